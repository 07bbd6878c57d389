"""The GLUE tasks of the paper, from the TSV files as GLUE distributes them.

Nothing is quoted in them: a quotation mark is a character like any other, and a CSV reader that takes
it for more swallows rows. Lines end with a line feed alone; other separators occur inside sentences.

- SST-2: header `sentence, label` (test: `index, sentence`);
- CoLA: no header, four columns: source, label, the author's mark, sentence (test: header
  `index, sentence`);
- STS-B: ten columns with header, `index` first, `sentence1, sentence2, score` last (test: no score);
- MNLI: header with `index`, `sentence1, sentence2`, and `gold_label` last (test: none); the columns
  between differ from file to file, so all are found by name. "-" means that there was no majority.

Rows without an index of their own are numbered from 0, as the submission format wants it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

from unimo2.errors import BadData
from unimo2.formats.parsing import (
    Skips,
    UnknownLabel,
    parsed,
    read_rows,
    refuse_repeated,
    without_repeats,
)

NO_MAJORITY = "-"
_LONGEST_INDEX = 18  # digits; Python refuses to convert thousands of them


@dataclass(frozen=True)
class GlueTask:
    """File format of one task."""

    name: str
    sentences: tuple[str, ...]
    """Columns of the sentence or the pair."""
    target: str
    """Column of the label or score."""
    labels: tuple[str, ...] | None
    """As written, in the order of class numbers; None where the target is a number."""
    bare_columns: tuple[str, ...] = ()
    """Columns of files without a header."""
    other_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By label: words that models and predictions write for it."""


TASKS: Mapping[str, GlueTask] = {
    task.name: task
    for task in (
        GlueTask(
            "sst2",
            ("sentence",),
            "label",
            ("0", "1"),
            other_names={"0": ("negative",), "1": ("positive",)},
        ),
        GlueTask(
            "cola",
            ("sentence",),
            "label",
            ("0", "1"),
            ("source", "label", "mark", "sentence"),
            other_names={"0": ("unacceptable",), "1": ("acceptable",)},
        ),
        GlueTask("stsb", ("sentence1", "sentence2"), "score", None),
        GlueTask(
            "mnli",
            ("sentence1", "sentence2"),
            "gold_label",
            ("contradiction", "entailment", "neutral"),
        ),
    )
}


@dataclass(frozen=True)
class GlueExample:
    """One sentence, or one pair of sentences."""

    index: int
    sentences: tuple[str, ...]
    target: str | float | None
    """A label as written, a score from 0 to 5; None in test files and where "-" is written."""


def read_rows_of(task: str, path: Path, broken: Skips | None = None) -> list[GlueExample]:
    """Read one file of a task (a key of `TASKS`), such as `train.tsv` or `dev_matched.tsv`.

    Returns:
        The rows in the order of the file.

    Raises:
        MissingData: The file does not exist.
        BadData: The file is empty or a column is missing; a row has another number of columns (its
            line is named), an unknown label, a score that is not from 0 to 5, an index that occurs
            twice (these only without `broken`).
    """
    kind = TASKS[task]
    lines = read_rows(path, f"{task} data", broken)
    first = next(lines, None)
    if first is None:
        raise BadData(f"{path}: empty")
    columns = _columns(kind, first[0], path)
    if columns is None:
        columns = {name: place for place, name in enumerate(kind.bare_columns)}
        lines = chain([first], lines)
    numbers = count()
    found = parsed(
        lines, lambda cells, place: _row(kind, columns, cells, place, next(numbers)), broken
    )
    rows = without_repeats(found, lambda row: row.index, "index", path, broken)
    if not rows and not (broken and broken.total):
        raise BadData(f"{path}: no rows below the header")
    return rows


def read_predictions(task: str, path: Path) -> dict[int, str | float]:
    """Read predictions in the format of GLUE submissions: header `index<TAB>prediction`.

    Returns:
        The label as the data has it (predictions may write it in capitals, or as one of
        `GlueTask.other_names`), or the score, by index.

    Raises:
        MissingData: The file does not exist.
        BadData: Another header, a broken row, an unknown label, a score that is not a finite number,
            an index that occurs twice.
    """
    kind = TASKS[task]
    lines = list(read_rows(path, f"{task} predictions"))
    if not lines or [cell.strip() for cell in lines[0][0]] != ["index", "prediction"]:
        found = "\\t".join(lines[0][0]) if lines else "nothing"
        raise BadData(f"{path}: line 1: expected the header index\\tprediction, found {found}")
    pairs = []
    for cells, place in lines[1:]:
        if len(cells) != 2:
            raise BadData(f"{place}: expected 2 columns, found {len(cells)}")
        prediction = (
            _predicted(kind, cells[1].strip(), place) if kind.labels else _number(cells[1], place)
        )
        pairs.append((_index(cells[0], place), prediction))
    refuse_repeated((index for index, _ in pairs), "index", path)
    return dict(pairs)


def _columns(kind: GlueTask, first: Sequence[str], path: Path) -> dict[str, int] | None:
    """Index of each column, by name; None for a file without a header."""
    columns = {name: place for place, name in enumerate(first)}
    missing = [name for name in kind.sentences if name not in columns]
    if not missing:
        return columns
    if kind.bare_columns and len(first) == len(kind.bare_columns):
        return None
    raise BadData(
        f"{path}: line 1: no column {' or '.join(missing)}: not the {kind.name} file that GLUE "
        f"distributes (columns found: {', '.join(first)})"
    )


def _row(
    kind: GlueTask, columns: Mapping[str, int], cells: Sequence[str], place: str, number: int
) -> GlueExample:
    if len(cells) != len(columns):
        raise BadData(f"{place}: expected {len(columns)} columns, found {len(cells)}")
    return GlueExample(
        index=_index(cells[columns["index"]], place) if "index" in columns else number,
        sentences=tuple(cells[columns[name]] for name in kind.sentences),
        target=_target(kind, cells[columns[kind.target]], place)
        if kind.target in columns
        else None,
    )


def _target(kind: GlueTask, cell: str, place: str) -> str | float | None:
    if kind.labels is None:
        score = _number(cell, place)
        if not 0 <= score <= 5:
            raise UnknownLabel(f"{place}: score {cell!r} is not from 0 to 5")
        return score
    return None if cell == NO_MAJORITY else _label(kind, cell, place)


def _label(kind: GlueTask, cell: str, place: str) -> str:
    labels = kind.labels or ()
    if cell not in labels:
        raise UnknownLabel(
            f"{place}: unknown label {cell!r}; the labels of {kind.name} are {', '.join(labels)}"
        )
    return cell


def _predicted(kind: GlueTask, cell: str, place: str) -> str:
    """The label that a prediction means: sets of GLUE with named classes give names back."""
    word = cell.lower()
    for label, others in kind.other_names.items():
        if word in others:
            return label
    labels = kind.labels or ()
    if all(label.isdecimal() for label in labels):  # 1 as a data frame or a classifier writes it
        word = word.removeprefix("label_").removesuffix(".0")
    return word if word in labels else _label(kind, cell, place)


def _number(cell: str, place: str) -> float:
    try:
        value = math.nan if "_" in cell else float(cell)  # Python reads 1_0 as ten
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadData(f"{place}: {cell!r} is not a number")
    return value


def _index(cell: str, place: str) -> int:
    if not cell.strip().isdecimal() or len(cell) > _LONGEST_INDEX:
        raise BadData(f"{place}: index {cell!r} is not a whole number")
    return int(cell)
