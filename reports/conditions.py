"""What two numbers must have in common to stand in one column, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from evals.records import Record
from reports import paper

ZERO_SHOT, FINETUNED = "zero-shot", "finetuned"
# Entries of a protocol that are no condition: what the block says already, what belongs to the
# model (images of another size make another row) or to a row of an ablation, and how the interval is found.
_NO_CONDITION = {
    *("zero_shot", "contrastive_weight", "score", "interval", "image_size"),
    *("training", "limit", "without", "inference"),
}
# Scores that are the model's own; any other is chosen by whoever measures.
_OWN_SCORES = {"the model's", "itm + contrastive_weight * contrastive"}
_NO_COUNT = {"fingerprint", "root_name", "split", "official", "note"}


@dataclass(frozen=True)
class Block:
    """Columns of a table that one run fills.

    Attributes:
        benchmark: a record's.
        setting: "zero-shot" or "finetuned".
        splits: those whose numbers the columns take (MNLI's two files are measured together or
            alone).
    """

    benchmark: str
    setting: str
    splits: tuple[str, ...]

    def takes(self, record: Record) -> bool:
        """Whether a record's numbers belong into these columns."""
        return (
            record.benchmark == self.benchmark
            and setting_of(record) == self.setting
            and record.data.get("split") in self.splits
        )


@dataclass(frozen=True)
class Column:
    """One number of a table's rows.

    Attributes:
        task: the paper's name of the column.
        metric: the paper's name of the number in it.
        block: which runs fill it.
        measure: name of the metric in their records.
    """

    task: str
    metric: str
    block: Block
    measure: str


@cache
def columns_of(table: int) -> tuple[Column, ...]:
    """The columns of a table that can be measured, a number each, in the paper's order."""
    wanted = paper.columns(table)
    return tuple(
        Column(
            str(one["column"]),
            str(one["metric"]),
            Block(one["benchmark"], one["setting"], tuple(one["split"].split())),
            one["measure"],
        )
        for _, one in wanted.iterrows()
        if one["benchmark"]
    )


def setting_of(record: Record) -> str:
    """Whether a model was taken as pre-trained or fine-tuned for the benchmark."""
    return ZERO_SHOT if record.protocol.get("zero_shot") else FINETUNED


def condition_of(record: Record) -> str:
    """The data and the protocol of a record: equal for numbers that may be compared."""
    protocol = {
        name: value
        for name, value in record.protocol.items()
        if name not in _NO_CONDITION and value is not None
    }
    score = record.protocol.get("score")
    if score not in _OWN_SCORES:
        protocol["score"] = score
    about: list[Any] = [record.suite, record.benchmark, record.data.get("split")]
    about += [record.data["fingerprint"], protocol]
    return json.dumps(about, sort_keys=True)


def training_of(record: Record) -> tuple[Any, ...]:
    """What rows of one ablation have in common; empty for a model of the zoo."""
    training = record.protocol.get("training")
    if training is None:
        return ()
    return tuple(training[name] for name in ("recipe", "base", "budget", "seed"))


def size_of(record: Record) -> str:
    """How much data a record is of: "300 images, 1,500 captions"."""
    counts = {name: n for name, n in record.data.items() if name not in _NO_COUNT}
    return ", ".join(f"{n:,} {name}" for name, n in counts.items() if n is not None)


def protocol_of(record: Record) -> str:
    """What of a record's protocol could be chosen otherwise: "exhaustive pairs"."""
    protocol = record.protocol
    parts = []
    if protocol.get("pairs"):
        pairs = str(protocol["pairs"])
        parts.append("exhaustive pairs" if pairs == "exhaustive" else pairs)
    if protocol.get("score") == "contrastive score alone":
        parts.append(str(protocol["score"]))
    if protocol.get("templates"):
        templates = protocol["templates"]
        parts.append(f"{templates} template{'s' if templates > 1 else ''}")
    if protocol.get("beam_size"):
        parts.append(f"beam size {protocol['beam_size']}")
    if protocol.get("object_tags"):
        parts.append(f"object tags: {_named(protocol['object_tags'])}")
    return ", ".join(parts)


def _named(tags: Any) -> str:
    """The file that object tags are from."""
    return str(tags["file"]) if isinstance(tags, Mapping) else str(tags)


def described(record: Record) -> str:
    """Data and protocol in a line."""
    told = [f"{record.benchmark} {record.data.get('split')} split", size_of(record)]
    return ", ".join(
        part for part in (*told, protocol_of(record), f"data {short_data(record)}") if part
    )


def label_of(record: Record) -> str:
    """The model's name with its variant."""
    return record.model + (f"+{record.variant}" if record.variant else "")


def short_data(record: Record) -> str:
    """The start of the data's fingerprint."""
    return str(record.data["fingerprint"])[:8]
