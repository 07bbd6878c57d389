"""What was measured, in the layout of the paper's tables.

Numbers measured on other data never share a column with another's: there is one table for each
suite, data set fingerprint and protocol, apart from the published one. Numbers on a sample of real
data ("60 of 1,000") stand in no table of a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evals.metrics import Metric
from evals.records import Record
from reports import ablations, paper
from reports.layout import Table

NOT_MEASURED = "not measured"
AT_CHANCE = "*"


@dataclass(frozen=True)
class Row:
    """One line of a measured table: who was measured, and the records that say so.

    Attributes:
        group: of rows, "" for none.
        label: the row's name.
        records: by setting, "zero-shot" or "finetuned".
    """

    group: str
    label: str
    records: Mapping[str, Record]


def comparable(records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """Leave out what was measured on a sample of the data.

    Returns:
        The records on whole splits, and a line for each that is left out.
    """
    kept, left_out = [], []
    for record in records:
        sample = record.data.get("note")
        if sample is None:
            kept.append(record)
        else:
            left_out.append(
                f"left out: {label_of(record)} on {record.benchmark}, suite {record.suite}: "
                f"a sample of the data ({sample})"
            )
    return kept, list(dict.fromkeys(left_out))


def measured(table: int, records: Iterable[Record], suite: str = "mini") -> pd.DataFrame:
    """What was measured of one table on one suite, a number a row.

    Args:
        table: of the paper, 1 to 10.
        records: from `evals.records.find`, newest last; the newest of each row and setting counts.
        suite: numbers of other suites are left out.

    Returns:
        Columns suite, data (start of the fingerprint), split, images, captions, pairs; recipe,
        budget and seed of an ablation's training; group, model, task, metric, value, low, high
        (95 % interval), n, chance, at_chance. Empty where nothing of it was measured.
    """
    found = long_frames(table, (record for record in records if record.suite == suite))
    if not found:
        return pd.DataFrame(columns=_COLUMNS)
    return pd.concat([frame for _, frame in found], ignore_index=True)


def long_frames(table: int, records: Iterable[Record]) -> list[tuple[str, pd.DataFrame]]:
    """As `measured`, a title and a frame for each suite, data set and protocol."""
    frames = []
    for about, rows in arrange(table, records):
        lines = [
            _line(about, row, task, metric, found)
            for row in rows
            for task, metric, found in _cells(table, row)
            if found is not None
        ]
        if lines:
            frames.append((_title(table, about), pd.DataFrame(lines, columns=_COLUMNS)))
    return frames


def measured_tables(table: int, records: Iterable[Record]) -> list[Table]:
    """The same in the paper's layout, one table for each suite, data set and protocol.

    Returns:
        Texts such as "65.3±2.4/88.1±1.7", "not measured" where there is none and "*" where a
        number is within noise of chance. For a table of results of which nothing was measured,
        one that says so; nothing for the others.
    """
    if table not in paper.RESULT_TABLES:
        return []
    groups = arrange(table, records)
    if not groups:
        frame = _frame(table, [Row("", "mini", {})])
        return [Table(f"Table {table}, measured on the embedded suite (mini)", frame)]
    return [
        Table(_title(table, about), _frame(table, rows), _notes(table, about, rows))
        for about, rows in groups
    ]


def arrange(table: int, records: Iterable[Record]) -> list[tuple[dict[str, Any], list[Row]]]:
    """Sort records into tables (numbers that may be compared) and rows."""
    benchmarks = set(paper.columns(table)["benchmark"]) - {""}
    by_table: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if record.benchmark in benchmarks and ablations.belongs(record, table):
            by_table.setdefault(tuple(_about(record).values()), []).append(record)
    arranged = []
    for group in by_table.values():
        rows = _ablation_rows(table, group) if _training(group[0]) else _model_rows(group)
        if rows:
            arranged.append((_about(group[0]), rows))
    return arranged


def label_of(record: Record) -> str:
    """The model's name with its variant."""
    return record.model + (f"+{record.variant}" if record.variant else "")


def _about(record: Record) -> dict[str, Any]:
    """What two numbers must have in common to stand in one column."""
    about: dict[str, Any] = {
        "suite": record.suite,
        "data": str(record.data["fingerprint"])[:8],
        "split": record.data.get("split"),
        "images": record.data.get("images"),
        "captions": record.data.get("captions"),
        "pairs": record.protocol.get("pairs"),
    }
    training = _training(record)
    if training:
        about |= {name: training[name] for name in ("recipe", "base", "budget", "seed")}
    return about


def _model_rows(records: Sequence[Record]) -> list[Row]:
    found: dict[str, dict[str, Record]] = {}
    for record in records:  # newest last, so that it stays
        found.setdefault(label_of(record), {})[_setting(record)] = record
    return [Row("", label, by_setting) for label, by_setting in sorted(found.items())]


def _ablation_rows(table: int, records: Sequence[Record]) -> list[Row]:
    """The rows of one ablation in the paper's order."""
    return [
        Row(group, label, {_setting(record): record})
        for group, label, record in ablations.arrange(table, records)
    ]


def _training(record: Record) -> Mapping[str, Any]:
    """What an ablation's record says about its training; nothing in other records."""
    found: Mapping[str, Any] = record.protocol.get("training") or {}
    return found


def _setting(record: Record) -> str:
    return "zero-shot" if record.protocol.get("zero_shot") else "finetuned"


def _cells(table: int, row: Row) -> list[tuple[str, str, Metric | None]]:
    """Each number of a row as (task, metric, what was measured)."""
    wanted = paper.columns(table)
    cells = []
    for _, column in wanted.iterrows():
        record = row.records.get(column["setting"])
        same = record is not None and record.benchmark == column["benchmark"]
        metric = record.metrics.get(column["measure"]) if record is not None and same else None
        cells.append((str(column["column"]), str(column["metric"]), metric))
    return cells


def _frame(table: int, rows: Sequence[Row]) -> pd.DataFrame:
    """Rows in the paper's layout, several numbers in a cell, and a remark at the end."""
    wanted = paper.columns(table)
    printed = wanted.groupby(wanted["position"].astype(int), sort=True)
    texts: dict[str, list[str]] = {}
    for row in rows:
        found = {(task, metric): value for task, metric, value in _cells(table, row)}
        for _, column in printed:
            keys = zip(column["column"], column["metric"], strict=True)
            head = " ".join(part for part in paper.head_of(column) if part)
            cell = paper.join(
                [("", _text(found[key])) for key in keys], column["separator"].iloc[0], ""
            )
            texts.setdefault(head, []).append(cell or NOT_MEASURED)
        texts.setdefault("remark", []).append(_remark([m for m in found.values() if m]))
    if any(row.group for row in rows):
        pairs = [(row.group, row.label) for row in rows]
        index: pd.Index = pd.MultiIndex.from_tuples(pairs, names=["group", "Model"])
    else:
        index = pd.Index([row.label for row in rows], name="Model")
    if not any(texts["remark"]):
        del texts["remark"]
    return pd.DataFrame(texts, index=index)


def _text(metric: Metric | None) -> str:
    if metric is None:
        return ""
    low, high = metric.ci95
    mark = AT_CHANCE if metric.at_chance else ""
    return f"{metric.value:.1f}±{(high - low) / 2:.1f}{mark}"


def _remark(metrics: Sequence[Metric]) -> str:
    if metrics and all(metric.at_chance for metric in metrics):
        return "within noise of chance"
    return ""


def _title(table: int, about: Mapping[str, Any]) -> str:
    where = f"suite {about['suite']}, {about['split']} split, data {about['data']}"
    size = f"{about['images']:,} images, {about['captions']:,} captions"
    title = f"Table {table}, measured on {where}: {size}, {about['pairs']} pairs"
    if "budget" in about:
        title += f"; each row trained for {about['budget']:,} steps (seed {about['seed']})"
    return title


def _notes(table: int, about: Mapping[str, Any], rows: Sequence[Row]) -> tuple[str, ...]:
    metrics = [(m, name) for row in rows for _, name, m in _cells(table, row) if m is not None]
    sizes = sorted({metric.n for metric, _ in metrics})
    notes = [
        "± half the width of the 95 % interval (its ends are in --format csv); "
        f"n = {' or '.join(f'{n:,}' for n in sizes)} queries a number."
    ]
    if about["suite"] != "paper":
        notes.append("Other data than the paper's: not comparable with the published table.")
    samples = {str(r.data["note"]) for row in rows for r in row.records.values() if r.data["note"]}
    notes += [f"A sample of the data: {text}." for text in sorted(samples)]
    marked = sorted({m.chance for m, _ in metrics if m.at_chance and m.chance is not None})
    if marked:
        levels = ", ".join(f"{chance:.2g}" for chance in marked)
        notes.append(f"{AT_CHANCE} within noise of chance (chance level {levels} %).")
    return tuple(notes)


_COLUMNS = [
    *("suite", "data", "split", "images", "captions", "pairs", "recipe", "budget", "seed"),
    *("group", "model", "task", "metric"),
    *("value", "low", "high", "n", "chance", "at_chance"),
]


def _line(
    about: Mapping[str, Any], row: Row, task: str, metric: str, found: Metric
) -> dict[str, Any]:
    low, high = found.ci95
    return {
        **{name: about.get(name) for name in _COLUMNS[:9]},
        "group": row.group,
        "model": row.label,
        "task": task,
        "metric": metric,
        "value": found.value,
        "low": low,
        "high": high,
        "n": found.n,
        "chance": found.chance,
        "at_chance": found.at_chance,
    }
