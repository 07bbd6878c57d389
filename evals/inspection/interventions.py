"""Does it matter which dictionary rows are chosen? Matching with rows of the pair, and with others.

Every caption is matched with its own image and with the images that contrast takes for most like it.
R@1 among those is measured with the rows that the pair chooses (equation 2), and with rows chosen in
other ways. Where rows drawn at random do as well, the grounded tokens are places through which
messages pass, and their content says nothing: no ablation of K, C or the dictionary can then show
anything through matching.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evals.benchmark import Progress, Report
from evals.metrics.bootstrap import grouping, interval, resampled_sums
from evals.metrics.ranking import Floats
from unimo2.errors import IncompatibleModel, UsageError
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import KarpathyImage
from zoo.families.unimo2 import Unimo2Scorer
from zoo.protocols import ItemFeatures, StackedFeatures

WAYS = {
    "pair": "chosen by the pair",
    "image": "by the image alone",
    "text": "by the text alone",
    "fixed": "the same for all pairs",
    "other": "by another pair",
    "random": "drawn at random",
    "worst": "those that fit least",
}
"""How rows are chosen: keys, and what they are called."""

_AT_ONCE = 64  # images in a call of the vision tower


@dataclass(frozen=True)
class Intervention:
    """Matching with rows that were chosen in one way.

    Attributes:
        way: A key of `WAYS`.
        recall: Captions whose own image has the highest logit, in percent.
        loss: What is lost against "pair", in points.
        ci95: Its interval, paired over captions; captions of one image are drawn together.
        correlation: Of the logits with those of "pair".
    """

    way: str
    recall: float
    loss: float
    ci95: tuple[float, float]
    correlation: float


@dataclass(frozen=True)
class Interventions:
    """The table, and what it was measured on."""

    rows: tuple[Intervention, ...]
    images: int
    captions: int
    candidates: int


def measure(
    model: Unimo2Scorer,
    images: Sequence[KarpathyImage],
    report: Report,
    candidates: int = 8,
    seed: int = 0,
) -> Interventions:
    """Match every caption with its image and the nearest others, with rows of each way.

    Args:
        model: A scorer with a dictionary of which K rows are chosen.
        images: A split with its captions.
        report: Called as the work goes on.
        candidates: Images that a caption is matched with, its own among them.
        seed: Of random rows and of resampling.

    Returns:
        The table.

    Raises:
        IncompatibleModel: The model has no such dictionary.
        UsageError: Fewer images than candidates.
    """
    dictionary = model.base.dictionary
    if dictionary is None or dictionary.nearest:
        raise IncompatibleModel(f"model '{model.name}' has no dictionary of which rows are chosen")
    if not 2 <= candidates <= len(images):
        raise UsageError(
            f"{candidates} candidates of {len(images)} images: 2 at least, all at most"
        )
    encoded: list[ItemFeatures] = []
    for start in range(0, len(images), _AT_ONCE):
        encoded += model.encode_images([load_image(i.path) for i in images[start:][:_AT_ONCE]])
    stack = StackedFeatures.of(encoded)
    texts = [(row, caption.text) for row, image in enumerate(images) for caption in image.captions]
    features = model.encode_texts([text for _, text in texts])
    choice = _Choice(model, stack, features, seed)
    logits: dict[str, list[Tensor]] = {way: [] for way in WAYS}
    for number, ((own, _), text) in enumerate(zip(texts, features, strict=True)):
        near = _candidates(model.contrastive_scores(stack, text), own, candidates)
        for way, found in _match(model, stack, text, near, choice(number, near)).items():
            logits[way].append(found)
        report(Progress("captions", number + 1, len(texts), None))
    group = grouping([row for row, _ in texts])
    stacked = {way: torch.stack(rows).cpu().numpy() for way, rows in logits.items()}
    rows = tuple(_row(way, found, stacked["pair"], group, seed) for way, found in stacked.items())
    return Interventions(rows, len(images), len(texts), candidates)


def _candidates(scores: Tensor, own: int, count: int) -> Tensor:
    """The own image, then those with the highest contrastive scores, int64 [count]."""
    others = scores.clone()
    others[own] = -torch.inf
    return torch.cat([torch.tensor([own], device=scores.device), others.topk(count - 1).indices])


class _Choice:
    """Dictionary rows of a caption and some images, in every way."""

    def __init__(
        self, model: Unimo2Scorer, images: StackedFeatures, texts: Sequence[ItemFeatures], seed: int
    ) -> None:
        assert model.base.dictionary is not None
        self._select: Callable[[Tensor], Tensor] = model.base.dictionary.select
        self._images = images.tensors["scores"]  # [images, C]
        self._texts = torch.stack([text.tensors["scores"] for text in texts])  # [captions, C]
        self._fixed = self._images.mean(dim=0) + self._texts.mean(dim=0)
        self._dice = torch.Generator().manual_seed(seed)

    def __call__(self, caption: int, near: Tensor) -> dict[str, Tensor]:
        """Rows [candidates, K] by way."""
        images, text = self._images[near], self._texts[caption].expand(len(near), -1)
        noise = torch.rand(images.shape, generator=self._dice).to(images)
        strangers = torch.randint(len(self._images), (len(near),), generator=self._dice)
        speakers = torch.randint(len(self._texts), (len(near),), generator=self._dice)
        scores = {
            "pair": images + text,
            "image": images,
            "text": text,
            "fixed": self._fixed.expand(len(near), -1),
            "other": self._images[strangers] + self._texts[speakers],
            "random": noise,
            "worst": -(images + text),
        }
        return {way: self._select(found) for way, found in scores.items()}


def _match(
    model: Unimo2Scorer,
    images: StackedFeatures,
    text: ItemFeatures,
    near: Tensor,
    rows: dict[str, Tensor],
) -> dict[str, Tensor]:
    """What the matching head says for a match and not against, [candidates] by way."""
    count = len(near)
    with torch.inference_mode():
        vision = images.tensors["states"][near].repeat(len(rows), 1, 1)
        words = text.tensors["states"].expand(len(vision), -1, -1)
        chosen = torch.cat(list(rows.values()))
        out = model.base.fuse(vision, words, pooled_only=True, grounded_indices=chosen)
    assert out.itm_logits is not None  # image and text were given
    # Of a head that did not start antisymmetric the difference alone is trained.
    difference = (out.itm_logits[:, 1] - out.itm_logits[:, 0]).float()
    return dict(zip(rows, difference.split(count), strict=True))


def _row(way: str, logits: Floats, chosen: Floats, group: np.ndarray, seed: int) -> Intervention:
    """A line of the table; logits [captions, candidates], the own image first."""
    hits = logits.argmax(axis=1) == 0
    lost = 100.0 * ((chosen.argmax(axis=1) == 0).astype(np.float64) - hits)
    sums = resampled_sums(np.stack([lost, np.ones_like(lost)], axis=1), group, seed)
    loss = float(lost.mean())
    return Intervention(
        way=way,
        recall=100.0 * float(hits.mean()),
        loss=loss,
        ci95=interval(sums[:, 0] / sums[:, 1], loss),
        correlation=float(np.corrcoef(logits.ravel(), chosen.ravel())[0, 1]),
    )
