"""Records into tables: which stand in one table, in which rows, and which in none.

A sheet is one table of what was measured. Its columns hold numbers of one suite, and each column
those of one data set and one protocol. What was measured on other data or by another protocol
stands in a further sheet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evals.metrics.ranking import Metric
from evals.records import Record
from reports import ablations, paper
from reports.conditions import (
    FINETUNED,
    Block,
    Column,
    columns_of,
    condition_of,
    label_of,
    setting_of,
    training_of,
)
from zoo import cards
from zoo.cards import Card


@dataclass(frozen=True)
class Row:
    """One line of a sheet: who was measured, and the records that say so.

    Attributes:
        group: of rows, "" for none.
        label: the row's name.
        records: by the block of columns that they fill.
    """

    group: str
    label: str
    records: Mapping[Block, Record]

    def metric(self, column: Column) -> Metric | None:
        """What was measured for one column, or None."""
        record = self.records.get(column.block)
        return None if record is None else record.metrics.get(column.measure)


@dataclass(frozen=True)
class Sheet:
    """One table of what was measured.

    Attributes:
        table: of the paper.
        suite: all its numbers are of this suite.
        place: of the sheets of one suite (and one ablation), from 1.
        count: of them.
        rows: in order.
        columns: the table's; of a further sheet only those that it fills.
        about: for each block that is filled, a record of its data and protocol.
    """

    table: int
    suite: str
    place: int
    count: int
    rows: Sequence[Row]
    columns: Sequence[Column]
    about: Mapping[Block, Record] = field(default_factory=dict)


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
            left_out.append(_left_out(record, f"a sample of the data ({sample})"))
    return kept, list(dict.fromkeys(left_out))


def records_of(table: int, records: Iterable[Record]) -> list[Record]:
    """The records that a table of results is about.

    Those of its benchmarks; rows of an ablation in the tables of ablations alone, models of the
    zoo in all but Table 5, which is of trainings.
    """
    benchmarks = {column.block.benchmark for column in columns_of(table)}
    return [
        record
        for record in records
        if record.benchmark in benchmarks and ablations.belongs(record, table)
    ]


def arrange(table: int, records: Iterable[Record]) -> tuple[list[Sheet], list[str]]:
    """Sort records into sheets and rows.

    Args:
        table: a table of the paper.
        records: newest last; the newest of each row and block counts.

    Returns:
        The sheets (none for a table without results), and a line for each record of the table's
        benchmarks that no table of the paper has a column for.
    """
    columns = columns_of(table)
    apart: dict[tuple[object, ...], dict[Block, list[Record]]] = {}
    remarks: list[str] = []
    for record in records_of(table, records):
        home = apart.setdefault((record.suite, *training_of(record)), {})
        for column in columns:
            if column.block.takes(record) and column.measure in record.metrics:
                members = home.setdefault(column.block, [])
                if not members or members[-1] is not record:
                    members.append(record)
        remarks += _homeless(record)
    sheets = [sheet for home in apart.values() if home for sheet in _sheets(table, columns, home)]
    return sheets, list(dict.fromkeys(remarks))


def _homeless(record: Record) -> list[str]:
    """Says of a record that no column of any table takes, why."""
    if not record.metrics:
        return [_left_out(record, "it has no metrics, the truth is not public")]
    if any(column.block.takes(record) for t in paper.RESULT_TABLES for column in columns_of(t)):
        return []
    setting = "fine-tuned" if setting_of(record) == FINETUNED else setting_of(record)
    split = record.data.get("split")
    return [_left_out(record, f"the paper has no column for the {split} split, {setting}")]


def _sheets(
    table: int, columns: Sequence[Column], home: Mapping[Block, Sequence[Record]]
) -> list[Sheet]:
    """Sheets of one suite (and ablation): the first of each block's conditions, the second ..."""
    ranked = {block: _by_condition(found) for block, found in home.items()}
    filled = []
    for place in range(max(map(len, ranked.values()))):
        here = {block: found[place] for block, found in ranked.items() if place < len(found)}
        training = training_of(next(iter(here.values()))[0])
        rows = _ablation(table, here) if training else _models(here)
        if rows:
            filled.append(rows)
    sheets = []
    for place, rows in enumerate(filled, start=1):
        about = {block: record for row in rows for block, record in row.records.items()}
        kept = columns if place == 1 else [one for one in columns if one.block in about]
        suite = next(iter(about.values())).suite
        sheets.append(Sheet(table, suite, place, len(filled), rows, kept, about))
    return sheets


def _by_condition(found: Sequence[Record]) -> list[list[Record]]:
    """Records of equal data and protocol together: first the usual protocol, the newest data."""
    groups: dict[str, list[tuple[int, Record]]] = {}
    for place, record in enumerate(found):
        groups.setdefault(condition_of(record), []).append((place, record))

    def rank(group: list[tuple[int, Record]]) -> tuple[bool, int]:
        usual = [place for place, record in group if not record.variant]
        return bool(usual), max(usual, default=group[-1][0])

    ranked = sorted(groups.values(), key=rank, reverse=True)
    return [[record for _, record in group] for group in ranked]


def _models(here: Mapping[Block, Sequence[Record]]) -> list[Row]:
    """A row a model; embedded weights fine-tuned for a benchmark stand in their model's row."""
    known = cards.read_all()
    found: dict[str, dict[Block, Record]] = {}
    for block, records in here.items():
        for record in records:  # newest last, so that it stays
            label = _pretrained(record, known) + (f"+{record.variant}" if record.variant else "")
            found.setdefault(label, {})[block] = record
    return [Row("", label, by_block) for label, by_block in sorted(found.items())]


def _pretrained(record: Record, known: Mapping[str, Card]) -> str:
    """The model in whose row a record stands.

    The weights of card "mini-vqa", fine-tuned for VQA, stand in the row of "mini", as the paper's
    do; any other model in a row of its own name.
    """
    name = record.model.removesuffix("-" + record.benchmark.replace("_", "-"))
    if name == record.model or name not in known or record.model not in known:
        return record.model
    card = known[record.model]
    tuned = {one.replace("-", "_") for one in card.finetuned_for}
    fits = record.benchmark in tuned and card.adapted_from in (None, name)
    return name if fits else record.model


def _ablation(table: int, here: Mapping[Block, Sequence[Record]]) -> list[Row]:
    """The paper's rows of an ablation."""
    found: dict[ablations.Key, dict[Block, Record]] = {}
    every = [record for records in here.values() for record in records]
    order = ablations.arrange(table, every)
    for block, records in here.items():
        for record in records:
            for key, members in order.items():
                if any(record is member for member in members):
                    found.setdefault(key, {})[block] = record
    return [Row(*key, found[key]) for key in order]


def _left_out(record: Record, why: str) -> str:
    return f"left out: {label_of(record)} on {record.benchmark}, suite {record.suite}: {why}"
