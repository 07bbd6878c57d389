"""Counting and checking the files of a GLUE task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evals.datasets.entry import Findings
from unimo2.errors import BadData
from unimo2.formats.glue import NO_MAJORITY, TASKS, read_rows_of
from unimo2.formats.parsing import Skips


def check_glue(task: str, folder: Path, files: Mapping[str, str]) -> Findings:
    """Count the rows of every file that is there, and look for what is broken.

    Args:
        task: As `unimo2.formats.glue.TASKS` names it.
        folder: Of the task.
        files: Split -> name of its file.

    Returns:
        Rows by split, broken and repeated ones not among them. Broken and repeated rows, unknown
        labels and a training or development file without labels are problems.
    """
    findings = Findings()
    for split, name in files.items():
        path = folder / name
        if path.is_file():
            try:
                _check_file(task, split, path, findings)
            except BadData as error:
                findings.problems.append(str(error))
    return findings


def _check_file(task: str, split: str, path: Path, findings: Findings) -> None:
    broken = Skips()
    rows = read_rows_of(task, path, broken)
    findings.problems += broken.lines()
    findings.counts[split, "rows"] = len(rows)
    bare = sum(row.target is None for row in rows)
    has_labels = not split.startswith("test")
    if has_labels and bare == len(rows) and rows:
        findings.problems.append(f"{split}: no row of {path} has a {TASKS[task].target}")
    elif has_labels and bare:
        findings.notes.append(f"{split}: {bare:,} rows with the label '{NO_MAJORITY}'")
    elif not has_labels and bare < len(rows):
        findings.notes.append(f"{split}: has labels, which GLUE's own file has not")
    empty = sum(not all(text.strip() for text in row.sentences) for row in rows)
    if empty:
        findings.problems.append(f"{split}: {empty:,} rows of {path} have an empty sentence")
