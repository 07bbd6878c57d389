"""SNLI-VE: one JSON object per line, an image of Flickr30k as the premise and a sentence about it.

`snli_ve_*.jsonl` has "Flickr30K_ID" (the file's name without ".jpg"; "Flikr30kID" with ".jpg" in
older files), "gold_label", "pairID", "sentence1" (the caption that SNLI took for the image) and
"sentence2" (the hypothesis). A gold label "-" means that the annotators had no majority.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimo2.errors import BadData
from unimo2.formats.parsing import (
    Skips,
    UnknownLabel,
    optional_text,
    parsed,
    read_json_lines,
    refuse_repeated,
    text,
    without_repeats,
)

LABELS = ("entailment", "neutral", "contradiction")
NO_MAJORITY = "-"
_IMAGE_FIELDS = ("Flickr30K_ID", "Flikr30kID")


@dataclass(frozen=True)
class Pair:
    """One image with one hypothesis."""

    id: str
    image: str
    """Name of the image in Flickr30k, without ".jpg"."""
    caption: str | None
    hypothesis: str
    label: str | None
    """One of `LABELS`; None where the annotators had no majority."""


def read_pairs(path: Path, broken: Skips | None = None) -> list[Pair]:
    """Read all pairs of one split in the order of the file, those without a gold label too.

    Raises:
        MissingData: The file does not exist.
        BadData: A malformed line, a missing field, an unknown label, a pairID that occurs twice (these
            only without `broken`); no pair at all.
    """
    found = parsed(read_json_lines(path, "SNLI-VE pairs", broken), _pair, broken)
    pairs = without_repeats(found, lambda pair: pair.id, "pairID", path, broken)
    if not pairs and not (broken and broken.total):
        raise BadData(f"{path}: no pairs")
    return pairs


def read_predictions(path: Path) -> dict[str, str]:
    """Read predicted labels: one object {"pairID", "prediction"} per line, in any case."""
    rows = [
        (text(record, "pairID", place), _predicted(text(record, "prediction", place), place))
        for record, place in read_json_lines(path, "SNLI-VE predictions")
    ]
    refuse_repeated((identifier for identifier, _ in rows), "pairID", path)
    return dict(rows)


def _pair(record: Any, place: str) -> Pair:
    label = text(record, "gold_label", place)
    image = next((name for name in _IMAGE_FIELDS if name in record), _IMAGE_FIELDS[0])
    return Pair(
        id=text(record, "pairID", place),
        image=text(record, image, place).removesuffix(".jpg"),
        caption=optional_text(record, "sentence1", place),
        hypothesis=text(record, "sentence2", place),
        label=None if label == NO_MAJORITY else _label(label, place),
    )


def _predicted(label: str, place: str) -> str:
    word = label.strip().lower()
    return word if word in LABELS else _label(label, place)


def _label(label: str, place: str) -> str:
    if label not in LABELS:
        raise UnknownLabel(f"{place}: unknown label {label!r}; the labels are {', '.join(LABELS)}")
    return label
