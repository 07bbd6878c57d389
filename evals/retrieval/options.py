"""Options of benchmarks that score images with texts: retrieval and zero-shot classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evals.benchmark import image_size_option, option
from unimo2.errors import UsageError


@dataclass(frozen=True)
class PairOptions:
    """How pairs are chosen and scored.

    Attributes:
        contrastive_weight: w of itm + w * contrastive; None for the model's own.
        rerank: K of a contrastive shortlist whose pairs alone are fused; None or 0 for all pairs.
        image_size: Side of the square that images are resized to; None for the model's own.
    """

    contrastive_weight: float | None = option(
        None,
        "w of itm + w * contrastive; the model's own by default.",
        range=(-1_000_000, 1_000_000),
        variant="contrastive-weight-{:g}",
        capabilities=("pair_scorer",),
    )
    rerank: int | None = option(
        None,
        "Fuse only the K best candidates of each query by contrastive score; 0, as without: all.",
        metavar="K",
        range=(0, None),
        variant="rerank-{:g}",
        capabilities=("pair_scorer",),
    )
    image_size: int | None = image_size_option()

    def __post_init__(self) -> None:
        """Take 0 for what it means."""
        if self.rerank == 0:
            object.__setattr__(self, "rerank", None)


@dataclass(frozen=True)
class RetrievalOptions(PairOptions):
    """Those of retrieval alone.

    Attributes:
        shortlist_from: Another model, as `--model` takes it, that chooses the shortlists.
        text_prompt: Sentence with {} where the caption goes.
        chooser: The model of `shortlist_from`, loaded; in Python any dual encoder or shortlister.
    """

    shortlist_from: str | None = option(
        None,
        "Another model that chooses the candidates of --rerank K: a card's name, a folder ...",
        metavar="NAME",
        variant="by-{}",
        capabilities=("pair_scorer",),
    )
    text_prompt: str | None = option(
        None,
        "What every caption is put into, for example 'a photo of {}'; nothing by default.",
        metavar="TEXT",
        variant="prompt-{}",
    )
    chooser: Any = None

    @property
    def prompt(self) -> str:
        """What captions are put into; the caption alone by default.

        Raises:
            UsageError: No place for the caption.
        """
        prompt = "{}" if self.text_prompt is None else self.text_prompt
        if prompt.count("{}") != 1:
            raise UsageError(
                f"--text-prompt '{prompt}': expected one {{}} where the caption goes, as in "
                "'a photo of {}'"
            )
        return prompt
