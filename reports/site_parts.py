"""Parts of the site's pages: the templates, thumbnails, and the cells and lines that they print."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from evals.datasets.suites import MINI
from evals.metrics.ranking import Metric
from evals.records import Record
from evals.records.provenance import remarks
from reports.differences import Differences, PairedDifference, kept_items
from reports.levels import GROUP, Levels, level_rows
from reports.render import FORMS, Table
from reports.selection import FULL, Column, Sheet, TableRow, label_of, setting_name, setting_of
from reports.tables import NOT_MEASURED, NOTHING, row_remark, sheet_heads
from unimo2.console import visible
from zoo import cards

TEMPLATES = Path(__file__).parent / "site"
_SIDE = 160  # of a thumbnail, pixels
_OURS = "unimo2"  # the family that the published numbers are of
_COPIED = {"Markdown": "md", "LaTeX": "latex", "CSV": "csv"}


def _finalize(value: Any) -> Any:
    """Shows control characters of every text that a template prints."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def environment() -> Environment:
    """The templates, with everything escaped."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def script(content: object) -> str:
    """JSON that is safe inside a script: no "<", no line separators, no control characters."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def address_of(record: Record) -> str:
    """The name of a run's page: letters and digits, whatever the model is called."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{record.benchmark}-{label_of(record)}".lower()).strip("-")
    where = "" if record.path is None else record.path.parent.name
    about = f"{record.suite}/{record.benchmark}/{label_of(record)}/{where}/{record.created}"
    return f"run-{words[:48]}-{hashlib.sha256(about.encode()).hexdigest()[:8]}.html"


@dataclass
class Thumbs:
    """Pictures of a site: copies within a budget, or references to where they lie.

    Attributes:
        folder: Folder of the site that is being written.
        home: Where the site will lie, for references.
        budget: Bytes that may still be written.
        known: Address of each picture by the text of its path, which is quicker to look up.
        left_out: Pictures without a copy, because the budget is spent.
    """

    folder: Path
    home: Path
    budget: int
    known: dict[str, str | None] = field(default_factory=dict)
    left_out: int = 0

    def address(self, image: Path | None, embed: bool, refer: bool) -> str | None:
        """The address of an image on a page, or None where there is none."""
        if image is None or not (embed or refer):
            return None
        if refer:
            return _link(image, self.home)
        name = str(image)
        if name not in self.known:
            self.known[name] = self._copy(image)
        return self.known[name]

    def _copy(self, image: Path) -> str | None:
        if self.budget <= 0:
            self.left_out += 1
            return None
        from PIL import Image

        name = hashlib.sha256(str(image).encode()).hexdigest()[:16]
        target = self.folder / "thumbs" / f"{name}.jpg"
        target.parent.mkdir(exist_ok=True)
        older = self.home / "thumbs" / target.name
        try:
            if older.is_file() and older.stat().st_mtime_ns >= image.stat().st_mtime_ns:
                os.link(older, target)  # of the site that this one replaces
                self.budget -= target.stat().st_size
                return f"thumbs/{name}.jpg"
            with Image.open(image) as picture:
                if picture.format == "JPEG" and max(picture.size) <= _SIDE:
                    shutil.copyfile(image, target)
                else:
                    picture.draft("RGB", (_SIDE * 2, _SIDE * 2))
                    small = picture.convert("RGB")
                    small.thumbnail((_SIDE, _SIDE))
                    small.save(target, quality=80)
        except (OSError, ValueError, Image.DecompressionBombError):
            target.unlink(missing_ok=True)
            return None
        self.budget -= target.stat().st_size
        return f"thumbs/{name}.jpg"


def _link(image: Path, home: Path) -> str:
    return quote(Path(os.path.relpath(image, home)).as_posix())


# Cells and lines.


def first_of(values: Iterable[str], most: int = 8) -> str:
    """Different texts in a line, the first few of many."""
    found = list(dict.fromkeys(value for value in values if value))
    more = f" and {len(found) - most:,} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def filled_columns(columns: int, measured: Mapping[str, int]) -> str:
    """How much of a table was measured."""
    if not columns:
        return "nothing to measure"
    said = "; ".join(f"{n} of {columns} columns on {suite}" for suite, n in measured.items())
    return said or f"none of {columns} columns"


def copied_forms(table: Table) -> dict[str, str]:
    """A table in the forms that a page lets one copy."""
    return {name: FORMS[form](table) for name, form in _COPIED.items()}


def rounded(value: float | None) -> float | None:
    """A number as short as a page needs it."""
    return None if value is None else round(float(value), 5)


def spaced(name: str) -> str:
    """An entry's name as words."""
    return name.replace("_", " ")


def in_words(value: Any) -> str:
    """A value of JSON as a reader would write it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(in_words, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{spaced(str(key))} {in_words(one)}" for key, one in value.items())
    if value is None:
        return "none"
    return (
        {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )


def headline_of(column: Column, sheets: Sequence[Sheet], split: str) -> dict[str, str]:
    """What was measured of a column: what is comparable if there is any, and of UNIMO-2.

    Args:
        column: Of a table.
        sheets: What was measured of the table.
        split: That the published number is of.
    """
    known = cards.read_all()

    def last(found: tuple[Sheet, TableRow, Metric]) -> tuple[bool, bool, bool]:
        record = found[1].records[column.block]
        card, told = known.get(record.model), record.protocol.get("lineage") or {}
        family = told.get("family") or (card.family if card else None)
        return record.suite == MINI, _comparable(record, split) != "yes", family != _OURS

    found = [
        (sheet, row, metric)
        for sheet in sheets
        for row in sheet.rows
        if (metric := row.metric(column)) is not None
    ]
    if not found:
        blank = dict.fromkeys(("value", "interval", "n", "model", "suite", "address"), "")
        return {**blank, "comparable": ""}
    sheet, row, metric = min(found, key=last)
    record = row.records[column.block]
    return {
        "value": f"{metric.value:.1f}",
        "interval": f"{metric.ci95[0]:.1f} to {metric.ci95[1]:.1f}",
        "n": f"{metric.n:,}",
        "model": row.label,
        "suite": sheet.suite,
        "address": address_of(record),
        "comparable": _comparable(record, split),
    }


def _comparable(record: Record, split: str) -> str:
    """Whether a number is of the data, split and protocol of the published one."""
    if record.suite == MINI or not record.data.get("official"):
        return "no: other data"
    if record.data.get("split") != split:
        return f"no: of {record.data.get('split')}, published is {split}"
    if record.variant:
        return f"no: {record.variant}"
    said = remarks(record.protocol)
    return f"not plainly: {'; '.join(said)}" if said else "yes"


def _reference(sheet: Sheet) -> TableRow | None:
    """The row that the others are compared with; None for a single one."""
    if len(sheet.rows) < 2:
        return None
    return next((row for row in sheet.rows if row.label == FULL), sheet.rows[0])


def reference_note(sheet: Sheet, groups: Iterable[tuple[str, list[dict[str, Any]]]]) -> list[str]:
    """What differences in a sheet are to, and how they are judged; nothing without any."""
    reference = _reference(sheet)
    found = [
        change
        for _, rows in groups
        for row in rows
        for cell in row["cells"]
        for one in cell
        if (change := one.get("change"))
    ]
    if reference is None or not found:
        return []
    name = " ".join(filter(None, (reference.group, reference.label)))
    notes = [f"Differences are to row '{name}', with 95 % intervals; 'tied' where 0 lies in them."]
    if not all(change.paired for change in found):
        notes.append(
            "'unpaired' where a run did not keep its items: its interval takes the runs for "
            "independent, which is too wide where they share items."
        )
    return notes


def sheet_groups(
    sheet: Sheet, levels: Levels | None, differences: Differences
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of a sheet in their groups, each cell a list of numbers."""
    reference = _reference(sheet)
    groups: list[tuple[str, list[dict[str, Any]]]] = []
    for row in sheet.rows:
        cells = [
            [
                _cell(row, one, _change(row, one, reference, differences))
                for one in columns
                if row.metric(one) is not None
            ]
            for _, _, columns in sheet_heads(sheet)
        ]
        if not groups or groups[-1][0] != row.group:
            groups.append((row.group, []))
        remark = row_remark(row, sheet.columns)
        shown = {"label": row.label, "cells": cells, "missing": NOT_MEASURED, "remark": remark}
        groups[-1][1].append(shown)
    computed = [
        {
            "label": name,
            "cells": [
                [{"computed": True, "text": f"{values[c]:.1f}"} for c in columns if c in values]
                for _, _, columns in sheet_heads(sheet)
            ],
            "missing": NOTHING,
            "remark": "",
        }
        for name, values in level_rows(levels, sheet)
    ]
    return [*groups, *([(GROUP, computed)] if computed else [])]


def _change(
    row: TableRow, column: Column, reference: TableRow | None, differences: Differences
) -> PairedDifference | None:
    """How a number differs from the reference's; None where there is nothing to compare with."""
    if reference is None or reference is row or reference.metric(column) is None:
        return None
    ours, theirs = row.records[column.block], reference.records[column.block]
    return differences.between(ours, theirs, column.measure)


def _cell(row: TableRow, column: Column, change: PairedDifference | None) -> dict[str, Any]:
    """One measured number with everything that is needed to judge it."""
    metric = row.records[column.block].metrics[column.measure]
    low, high = metric.ci95
    return {
        "address": address_of(row.records[column.block]),
        "text": f"{metric.value:.1f}",
        "half": f"{(high - low) / 2:.1f}",
        "low_text": f"{low:.1f}",
        "high_text": f"{high:.1f}",
        "n_text": f"{metric.n:,}",
        **{"task": column.task, "metric": column.metric, "at_chance": metric.at_chance},
        "remark": "; ".join(remarks(row.records[column.block].protocol)),
        **{"value": repr(metric.value), "low": repr(low), "high": repr(high), "n": metric.n},
        "change": change,
    }


def metric_line(name: str, metric: Metric) -> dict[str, str]:
    """A line of a run's table of metrics."""
    said = ["within noise of chance"] if metric.at_chance else []
    said += [f"{metric.ties:,} ties"] if metric.ties else []
    return {
        "name": name,
        "exact": repr(metric.value),
        "value": f"{metric.value:.2f}",
        "interval": f"{metric.ci95[0]:.2f} to {metric.ci95[1]:.2f}",
        "n": f"{metric.n:,}",
        "chance": "" if metric.chance is None else f"{metric.chance:.3g}",
        "remark": ", ".join(said),
    }


def facts_of(record: Record) -> list[tuple[str, str]]:
    """What a record says of its data, weights and machine."""
    card = cards.read_all().get(record.model)
    counts = {key: n for key, n in record.data.items() if type(n) is int}
    found = [
        ("suite", record.suite),
        ("setting", setting_name(setting_of(record))),
        ("data", f"{record.data.get('root_name')}, {in_words(counts)}"),
        ("fingerprint of the data", str(record.data.get("fingerprint"))),
        ("sha256 of the weights", record.weights_sha256),
        ("measured", record.created),
        ("commit", f"{record.commit or 'not known'}{' with changes' if record.dirty else ''}"),
        ("device", f"{record.device}, {record.dtype}"),
        ("time", f"{record.seconds:,.1f} s"),
        (
            "throughput",
            in_words({k: f"{v:,.1f}" for k, v in record.throughput.items()}) or "not known",
        ),
        ("memory at most", f"{record.peak_memory_mb:,.0f} MiB"),
        ("versions", in_words(record.versions)),
        ("seed of the bootstrap", str(record.seed)),
    ]
    if card is not None:
        found += [
            ("model", card.description),
            ("licence", card.licence),
            ("trained on", ", ".join(card.training_data) or "not said"),
            ("adapted from", card.adapted_from or "nothing"),
            ("trained by", card.command or "not said"),
        ]
    return found


def once(records: Iterable[Record]) -> list[Record]:
    """Each run once: of copies, the one beside which its items lie."""
    found: dict[str, Record] = {}
    for record in records:
        address = address_of(record)
        if kept_items(record) or address not in found:
            found[address] = record
    return list(found.values())
