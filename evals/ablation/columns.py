"""Columns of an ablation: the benchmarks that every row is measured on, fine-tuned or zero-shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.registry import benchmarks, canonical, get_benchmark, shown
from unimo2.errors import UsageError

_ZERO_SHOT = "-zero-shot"


@dataclass(frozen=True)
class GridColumn:
    """One evaluation of every row.

    Attributes:
        benchmark: Its name, as in records.
        zero_shot: The row's model is measured as it is; otherwise it is fine-tuned before.
    """

    benchmark: str
    zero_shot: bool

    @property
    def name(self) -> str:
        """As typed: "coco", "flickr-zero-shot"."""
        return shown(self.benchmark) + (_ZERO_SHOT if self.zero_shot else "")

    @property
    def dataset(self) -> str:
        """The data set that it reads."""
        return get_benchmark(self.benchmark).dataset

    @property
    def scores_pairs(self) -> bool:
        """Whether images are scored with texts, of which a shortlist may be fused."""
        return self.zero_shot or self.benchmark == "flickr"


RETRIEVAL = GridColumn("flickr", zero_shot=True)


def columns_named(names: Sequence[str]) -> tuple[GridColumn, ...]:
    """Columns by the names that a user types, each once.

    Raises:
        UsageError: Something that a model can be neither fine-tuned for nor measured on.
    """
    return tuple(dict.fromkeys(map(_named, names)))


def _named(name: str) -> GridColumn:
    from unimo2.training.finetuning.config import TASKS

    benchmark = canonical(name.removesuffix(_ZERO_SHOT))
    zero_shot = [one for one in benchmarks() if get_benchmark(one).zero_shot]
    known = [*map(shown, TASKS), *(one + _ZERO_SHOT for one in zero_shot)]
    if name not in known and shown(name) not in known:
        raise UsageError(f"--columns {name}: expected some of: {', '.join(known)}")
    return GridColumn(benchmark, name.endswith(_ZERO_SHOT))
