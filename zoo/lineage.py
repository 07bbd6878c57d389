"""Training data of a model: the union along `adapted_from`, which decides "zero-shot".

Entries of a card's `training_data` are read by their beginning: "coco" or "coco: Karpathy's train split"
is the data set `coco`; "suite mini, version 5, seed 0: train splits of coco, sbu" are those of the
generated suite, which are other data than the real ones; "unknown: ..." says that not all is known.
What weights were fine-tuned for they have seen, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from zoo.cards import Card

UNKNOWN = "unknown"
# Data set of a benchmark, where the names differ.
_DATA_OF = {"flickr": "flickr30k", "coco_retrieval": "coco"}
_SUITE = re.compile(r"suite (\w+)\b.*?: train splits? of (.+)")
_NAME = re.compile(r"([a-z0-9_]+)(?::.*)?", re.DOTALL)


@dataclass(frozen=True)
class Lineage:
    """Where weights come from.

    Attributes:
        models: The model and those that it was adapted from, the last one first of all.
        seen: Data sets of training and fine-tuning; those of a generated suite as "mini/coco".
        complete: Whether that is all; False where a card says "unknown", says nothing, or is missing.
        tuned_for: Benchmarks of fine-tuning along the way.
    """

    models: tuple[str, ...]
    seen: frozenset[str]
    complete: bool
    tuned_for: tuple[str, ...]

    def zero_shot(self, dataset: str, suite: str | None = None) -> str:
        """Whether a measurement on a data set is zero-shot.

        Args:
            dataset: Name of the data set, for example "flickr30k".
            suite: Name of a generated suite, which models of elsewhere cannot have seen; None for the
                real data.

        Returns:
            "yes", "no" or "unknown"; unknown training data is never a yes on real data.
        """
        if f"{suite}/{dataset}" in self.seen if suite else dataset in self.seen:
            return "no"
        if suite:
            return "yes" if self.complete or self._of_elsewhere else UNKNOWN
        return "yes" if self.complete else UNKNOWN

    @property
    def _of_elsewhere(self) -> bool:
        """Whether something of real data is known, so that the model is not one of a suite's."""
        return any("/" not in name for name in self.seen)

    def sentence(self, dataset: str, suite: str | None = None) -> str:
        """The same in words, for a record or a table."""
        answer = self.zero_shot(dataset, suite)
        seen = ", ".join(sorted(self.seen)) or "nothing that is named"
        rest = "" if self.complete else ", and unlisted data"
        tuned = f"; fine-tuned for {', '.join(self.tuned_for)}" if self.tuned_for else ""
        return f"zero-shot: {answer} (trained on {seen}{rest}{tuned})"


def lineage(card: Card, known: Mapping[str, Card]) -> Lineage:
    """Follow a card to the models that it was adapted from.

    Args:
        card: Card of the model.
        known: Cards by name, as of `zoo.cards.read_all`.

    Returns:
        The union of what all of them have seen.
    """
    models: list[str] = []
    seen: set[str] = set()
    tuned: list[str] = []
    complete = True
    current: Card | None = card
    while current is not None:
        models.append(current.name)
        names, whole = _read(current)
        seen |= names
        complete &= whole
        tuned += [name for name in current.finetuned_for if name not in tuned]
        before = current.adapted_from
        current = known.get(before) if before else None
        if before and (current is None or current.name in models):
            complete, current = False, None
    return Lineage(tuple(models), frozenset(seen), complete, tuple(tuned))


def _read(card: Card) -> tuple[set[str], bool]:
    """Data sets that one card names, and whether it claims that these are all."""
    names: set[str] = set()
    whole = bool(card.training_data) or card.adapted_from is not None
    suites = set()
    for entry in card.training_data:
        suite, named = _SUITE.fullmatch(entry), _NAME.fullmatch(entry)
        if suite:
            suites.add(suite[1])
            names |= {f"{suite[1]}/{_plain(name)}" for name in suite[2].split(",")}
        elif named and named[1] != UNKNOWN:
            names.add(named[1])
        else:
            whole = False
    if not suites:
        names |= {_DATA_OF.get(name, name) for name in card.finetuned_for}
    return names, whole


def _plain(name: str) -> str:
    """A data set as its benchmark is called: "glue/SST-2" is sst2."""
    return re.sub(r"[^a-z0-9_]", "", name.lower().rpartition("/")[2])
