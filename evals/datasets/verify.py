"""Checks data on disk against the official counts, and lists the differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.datasets.entry import DataSet, ImageCheck, OfficialCount, VerificationReport
from evals.datasets.registry import is_there
from unimo2.errors import BadData, MissingData

NOT_THERE, COMPLETE, PART, SAMPLE = "not there", "complete", "part", "sample"
WRONG, READ = "problems", "read"
_TELLING = 100  # in smaller splits, the size of another one does not suggest a mix-up


@dataclass(frozen=True)
class CountRow:
    """One line of the table: what is here beside what there should be."""

    split: str  # its name
    unit: str  # what is counted
    here: int | None  # how many there are; None if that was not counted
    # how many the data set as distributed has (of a generated suite: as it was written); None if
    # nobody says
    official: int | None
    paper: str  # what the paper prints
    source: str  # where the official number is from


@dataclass(frozen=True)
class Verdict:
    """Verdict on one data set."""

    name: str  # of the data set
    # `COMPLETE`, `PART` (whole splits, not all of them), `SAMPLE`, `WRONG`, `READ` (nothing wrong,
    # and no count to hold it against) or `NOT_THERE`
    state: str
    rows: tuple[CountRow, ...]  # counts
    problems: tuple[str, ...]  # what is wrong, one line each; only these make the command fail
    notes: tuple[str, ...]  # what one should know besides


def verify(
    data_set: DataSet, root: Path, images: ImageCheck, suite: Mapping[str, Any] | None = None
) -> Verdict:
    """Check one data set of a data root; nothing is raised for data that is wrong.

    Args:
        data_set: Which.
        root: The data root.
        images: Is shown every image that is there.
        suite: Content of `suite.json` for a generated suite, whose counts then stand for the
            official ones; None for real data.
    """
    expected = data_set.official if suite is None else written_counts(data_set, suite)
    if not is_there(data_set, root):
        return Verdict(data_set.name, NOT_THERE, _rows({}, expected), (), ())
    try:
        findings = data_set.verify(root, images)
    except (MissingData, BadData) as error:
        return Verdict(data_set.name, WRONG, _rows({}, expected), (str(error),), ())
    problems = [*findings.problems, *images.problems()]
    wrong, differences = compare(data_set, findings, expected)
    problems += wrong
    absent = _absent(findings, expected)
    whole = PART if absent else COMPLETE if expected else READ
    state = WRONG if problems else SAMPLE if differences else whole
    not_there = [f"not there: {', '.join(absent)}"] if absent else []
    notes = (*differences, *not_there, *findings.notes)
    rows = _rows(findings.counts, expected)
    return Verdict(data_set.name, state, rows, tuple(problems), notes)


def written_counts(data_set: DataSet, suite: Mapping[str, Any]) -> tuple[OfficialCount, ...]:
    """Counts of a data set as recorded in `suite.json`."""
    counts = suite.get("counts", {}).get(data_set.name, {})
    # "images with 5 captions each" are counted as images.
    unit = suite.get("units", {}).get(data_set.name, data_set.main_unit).split()[0]
    return tuple(
        OfficialCount(split, unit, count, "suite.json")
        for split, count in counts.items()
        if isinstance(count, int)
    )


def compare(
    data_set: DataSet, findings: VerificationReport, expected: Iterable[OfficialCount]
) -> tuple[list[str], list[str]]:
    """Hold counts against what they should be.

    Returns:
        Problems (a split with more than it should have, named where it is known what has that
        many) and differences that make the data a sample ("test: 60 of 1,000 images").
    """
    problems: list[str] = []
    samples: dict[str, str] = {}  # one line a split: what lacks images lacks captions, too
    for row in expected:
        found = findings.counts.get((row.split, row.unit))
        if found is None or found == row.count:
            continue
        if row.about:
            if not 0.9 <= found / row.count <= 1.1:
                samples[row.split] = f"{row.split}: {found:,} of about {row.count:,} {row.unit}"
            continue
        known = _known_as(data_set, expected, row, found)
        if found > row.count:
            what = f"{known}, " if known else ""
            problems.append(
                f"{row.split}: {found:,} {row.unit}: {what}the {row.split} split has {row.count:,}"
            )
        elif not samples.keys() & {row.split, *row.split.split("+")}:
            what = f" ({known})" if known else ""
            samples[row.split] = f"{row.split}: {found:,} of {row.count:,} {row.unit}{what}"
    return problems, list(samples.values())


def _known_as(
    data_set: DataSet, expected: Iterable[OfficialCount], row: OfficialCount, found: int
) -> str | None:
    """Note on a known collection or split with this number of items; None if there is none."""
    if row.unit == data_set.main_unit and found in data_set.look_alikes:
        return f"these are {data_set.look_alikes[found]}"
    others = [
        other.split
        for other in expected
        if other.unit == row.unit and other.count == found and other.split != row.split
    ]
    if others and (found > row.count or found >= _TELLING):
        return f"as many as the {others[0]} split has"
    return None


def _absent(findings: VerificationReport, expected: Iterable[OfficialCount]) -> list[str]:
    """Splits without any counted item, in the official order."""
    counted = {split for split, _ in findings.counts}
    return list(dict.fromkeys(row.split for row in expected if row.split not in counted))


def _rows(
    counts: Mapping[tuple[str, str], int], expected: Iterable[OfficialCount]
) -> tuple[CountRow, ...]:
    """Official rows with what is here, then what is here beyond them."""
    rows = [
        CountRow(
            split=row.split,
            unit=row.unit,
            here=counts.get((row.split, row.unit)),
            official=row.count,
            paper=row.paper,
            source=row.source,
        )
        for row in expected
    ]
    listed = {(row.split, row.unit) for row in rows}
    rows += [
        CountRow(split, unit, count, None, "", "")
        for (split, unit), count in counts.items()
        if (split, unit) not in listed
    ]
    return tuple(rows)
