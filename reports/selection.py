"""Selection of records for a table: their columns and rows, and the records left out.

A sheet is one table of what was measured. Its columns hold numbers of one suite, and each column
those of one data set and one protocol. What was measured on other data or by another protocol
stands in a further sheet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from evals import records
from evals.metrics.ranking import Metric
from evals.records import NOT_COUNTS, Record, protocol
from evals.records.protocol import Pairs, Score
from reports import paper
from unimo2.errors import MissingData
from zoo import cards
from zoo.cards import Card

ZERO_SHOT, FINETUNED = "zero-shot", "finetuned"
PARTS, PARAMETERS = 4, 5  # Table 4 takes parts away, Table 5 varies K, C and the map
RUNS = Path("runs")

# Entries of a protocol that are not conditions: what the block says already, what belongs to the
# model (images of another size make another row) or to a row of an ablation, and how the interval
# is found.
_NO_CONDITION = {
    *("zero_shot", "contrastive_weight", "score", "interval", "image_size"),
    *("name", "lineage", "answering", "ensemble"),
    *("training", "limit", "without", "inference", "measured_with"),
}
# Scores that are the model's own; any other is chosen by the evaluation's options.
_OWN_SCORES = (Score.OWN, Score.FUSED, Score.DOT)


def gather(runs: Path | None = None) -> list[Record]:
    """The records that come with the package and those of a runs folder, the newest last.

    Args:
        runs: Folder of runs; "runs" in the working folder if None, where there may be none.

    Raises:
        MissingData: A folder is named and is not there.
        BadData: A record cannot be read.
    """
    if runs is not None and not runs.is_dir():
        raise MissingData(
            f"no folder of runs at {runs}; 'unimo2 eval' writes one, see its --output"
        )
    return records.find([records.MEASURED, RUNS if runs is None else runs])


@dataclass(frozen=True)
class ColumnBlock:
    """Columns of a table that one run fills.

    Attributes:
        benchmark: A record's.
        setting: "zero-shot" or "finetuned".
        splits: Those whose numbers the columns take (MNLI's two files are measured together or
            each separately).
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
        task: The paper's name of the column.
        metric: The paper's name of the number in it.
        block: Which runs fill it.
        measure: Name of the metric in their records.
    """

    task: str
    metric: str
    block: ColumnBlock
    measure: str


@dataclass(frozen=True)
class TableRow:
    """One line of a sheet: who was measured, and the records that say so.

    Attributes:
        group: Of rows, "" for none.
        label: The row's name.
        records: By the block of columns that they fill.
    """

    group: str
    label: str
    records: Mapping[ColumnBlock, Record]

    def metric(self, column: Column) -> Metric | None:
        """What was measured for one column, or None."""
        record = self.records.get(column.block)
        return None if record is None else record.metrics.get(column.measure)


@dataclass(frozen=True)
class Sheet:
    """One table of what was measured.

    Attributes:
        table: Of the paper.
        suite: All its numbers are of this suite.
        place: Of the sheets of one suite (and one ablation), from 1.
        count: Of them.
        rows: In order.
        columns: The table's; of a further sheet only those that it fills.
        about: For each block that is filled, a record of its data and protocol.
    """

    table: int
    suite: str
    place: int
    count: int
    rows: Sequence[TableRow]
    columns: Sequence[Column]
    about: Mapping[ColumnBlock, Record] = field(default_factory=dict)


@cache
def columns_of(table: int) -> tuple[Column, ...]:
    """The columns of a table that can be measured, a number each, in the paper's order."""
    return tuple(
        Column(
            one["column"],
            one["metric"],
            ColumnBlock(one["benchmark"], one["setting"], tuple(one["split"].split())),
            one["measure"],
        )
        for one in paper.column_rows(table)
        if one["benchmark"]
    )


def blocks_of(tables: Iterable[int]) -> list[ColumnBlock]:
    """What the columns of some tables are measured by, each once."""
    return list(dict.fromkeys(column.block for table in tables for column in columns_of(table)))


# What a record says of itself.


def setting_of(record: Record) -> str:
    """Whether a model was taken as pre-trained or fine-tuned for the benchmark."""
    return ZERO_SHOT if record.protocol.get("zero_shot") else FINETUNED


def setting_name(setting: str) -> str:
    """The same for a reader."""
    return "fine-tuned" if setting == FINETUNED else setting


def condition_of(record: Record) -> str:
    """The data and the protocol of a record: equal for numbers that may be compared."""
    facts = {
        name: value
        for name, value in record.protocol.items()
        if name not in _NO_CONDITION and value is not None
    }
    score = record.protocol.get("score")
    if score not in _OWN_SCORES:
        facts["score"] = score
    # Of a row of an ablation: how it was fine-tuned.
    facts["fine-tuning"] = (record.protocol.get("measured_with") or {}).get("settings")
    about: list[Any] = [record.suite, record.benchmark, record.data.get("split")]
    about += [record.data.get("fingerprint"), facts]
    return json.dumps(about, sort_keys=True)


def training_of(record: Record) -> tuple[Any, ...]:
    """What rows of one ablation have in common; empty for a model of the zoo."""
    training = record.protocol.get("training")
    if training is None:
        return ()
    return tuple(training[name] for name in ("recipe", "base", "budget", "seed"))


def size_of(record: Record) -> str:
    """How much data a record is of: "300 images, 1,500 captions"."""
    counts = {name: n for name, n in record.data.items() if name not in NOT_COUNTS}
    return ", ".join(f"{n:,} {name}" for name, n in counts.items() if n is not None)


def protocol_of(record: Record) -> str:
    """What of a record's protocol could be chosen otherwise: "exhaustive pairs"."""
    facts, told = record.protocol, protocol.texts(record.protocol)
    parts = []
    if facts.get("pairs"):
        exhaustive = facts["pairs"] == Pairs.EXHAUSTIVE
        parts.append("exhaustive pairs" if exhaustive else str(told["pairs"]))
    if facts.get("text_prompt"):
        parts.append(f"captions as '{facts['text_prompt']}'")
    if facts.get("score") == Score.CONTRASTIVE:
        parts.append(str(told["score"]))
    if facts.get("probe"):
        images = facts["probe"].get("images")
        parts.append("linear probe" + (f" on {images:,} training images" if images else ""))
    if facts.get("templates"):
        templates = facts["templates"]
        parts.append(f"{templates} template{'s' if templates > 1 else ''}")
    if facts.get("beam_size"):
        parts.append(f"beam size {facts['beam_size']}")
    if facts.get("object_tags"):
        tags = facts["object_tags"]
        parts.append(f"object tags: {tags['file'] if isinstance(tags, Mapping) else tags}")
    return ", ".join(parts)


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
    return str(record.data.get("fingerprint"))[:8]


# Records into sheets.


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

    Those of its benchmarks. Rows of an ablation stand in the tables of ablations only, models of
    the zoo in all but Table 5, which is of trainings.
    """
    benchmarks = {column.block.benchmark for column in columns_of(table)}
    return [one for one in records if one.benchmark in benchmarks and _belongs(one, table)]


def _belongs(record: Record, table: int) -> bool:
    if record.protocol.get("training") is None:
        return table != PARAMETERS
    return table == PARTS or (table == PARAMETERS and not _without(record))


def arrange(table: int, records: Iterable[Record]) -> tuple[list[Sheet], list[str]]:
    """Sort records into sheets and rows.

    Args:
        table: A table of the paper.
        records: Newest last; the newest of each row and block counts.

    Returns:
        The sheets (none for a table without results), and a line for each record of the table's
        benchmarks that no table of the paper has a column for.
    """
    columns = columns_of(table)
    apart: dict[tuple[object, ...], dict[ColumnBlock, list[Record]]] = {}
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
    split = record.data.get("split")
    setting = setting_name(setting_of(record))
    return [_left_out(record, f"the paper has no column for the {split} split, {setting}")]


def _left_out(record: Record, why: str) -> str:
    return f"left out: {label_of(record)} on {record.benchmark}, suite {record.suite}: {why}"


def _sheets(
    table: int, columns: Sequence[Column], home: Mapping[ColumnBlock, Sequence[Record]]
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


def _models(here: Mapping[ColumnBlock, Sequence[Record]]) -> list[TableRow]:
    """A row per model; embedded weights fine-tuned for a benchmark stand in their model's row."""
    known = cards.read_all()
    found: dict[str, dict[ColumnBlock, Record]] = {}
    for block, members in here.items():
        for record in members:  # newest last, so that it stays
            label = _pretrained(record, known) + (f"+{record.variant}" if record.variant else "")
            found.setdefault(label, {})[block] = record
    return [TableRow("", label, by_block) for label, by_block in sorted(found.items())]


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


# The rows of an ablation (paper, Tables 4 and 5).

SIZES, TOKENS = "GD Size C", "Top-K"  # groups of Table 5
FULL = "full"  # the variant of the row that all others are compared with

# Group and label of Table 4, in its order; the full training stands before them.
TAKEN_AWAY = {
    "gd": ("GD", "w/o GD (P)"),
    "gd-inference": ("GD", "w/o GD (I)"),
    "gt": ("GD", "w/o G.T."),
    "one-to-one": ("GD", "1-to-1 Map"),
    "text": ("Corpus", "w/o Text"),
    "images": ("Corpus", "w/o Images"),
    "both": ("Corpus", "w/o Both"),
}
_FULL = ("", FULL)
_MAP = (2, "", 0)  # place of the 1-to-1 map in Table 5: after all C and all K

Key = tuple[str, str]
"""A row's group and label."""


def _ablation(table: int, here: Mapping[ColumnBlock, Sequence[Record]]) -> list[TableRow]:
    """The paper's rows of an ablation."""
    every = [record for members in here.values() for record in members]
    order = ablation_rows(table, every)
    found: dict[Key, dict[ColumnBlock, Record]] = {}
    for block, members in here.items():
        for record in members:
            for key, same in order.items():
                if any(record is one for one in same):
                    found.setdefault(key, {})[block] = record
    return [TableRow(*key, found[key]) for key in order]


def ablation_rows(table: int, records: Sequence[Record]) -> dict[Key, list[Record]]:
    """Put the rows of one ablation into the order of the paper's table.

    Args:
        table: 4 or 5.
        records: Of one recipe, budget and seed, of any benchmark.

    Returns:
        By group and label the records of each row; nothing for a table of which there is at most
        the full training to compare with.
    """
    return _parts(records) if table == PARTS else _parameters(records)


def _parts(records: Sequence[Record]) -> dict[Key, list[Record]]:
    """Table 4's rows: the full training, then what is taken away from it."""
    if not any(_without(record) or _is_map(record) for record in records):
        return {}
    found: dict[Key, list[Record]] = {}
    for record in records:
        if _is_default(record):
            found.setdefault(_FULL, []).append(record)
        else:
            part = _without(record) or ("one-to-one" if _is_map(record) else "")
            if part in TAKEN_AWAY:
                found.setdefault(TAKEN_AWAY[part], []).append(record)
    return {key: found[key] for key in (_FULL, *TAKEN_AWAY.values()) if key in found}


def _parameters(records: Sequence[Record]) -> dict[Key, list[Record]]:
    """Table 5's rows; a run with both default sizes stands in both parts, as in the paper."""
    if all(record.variant == FULL for record in records):
        return {}
    found: dict[tuple[int, str, int], list[Record]] = {}
    for record in records:
        training = record.protocol["training"]
        size, tokens = int(training["C"]), int(training["K"])
        if _is_map(record):
            found.setdefault(_MAP, []).append(record)
            continue
        if tokens == training["base_K"]:
            found.setdefault((0, SIZES, size), []).append(record)
        if size == training["base_C"]:
            found.setdefault((1, TOKENS, tokens), []).append(record)
    for part in (SIZES, TOKENS):
        here = [key for key in found if key[1] == part]
        if len(here) == 1 and len(found) > 1 and _is_default(found[here[0]][0]):
            del found[here[0]]  # the other part has it too, or nothing to compare it with here
    return {
        (group, str(value) if group else "1-to-1 Map"): members
        for (_, group, value), members in sorted(found.items(), key=lambda item: item[0])
    }


def _without(record: Record) -> str:
    """What the row takes away: "gd", "text" ...; "" for others."""
    return str(record.protocol.get("without") or "")


def _is_map(record: Record) -> bool:
    """The 1-to-1 map, which is a row of both tables."""
    return bool(record.protocol["training"]["grounding"] == "nearest")


def _is_default(record: Record) -> bool:
    """Whether nothing differs from the recipe that the rows share."""
    training = record.protocol["training"]
    same = training["C"] == training["base_C"] and training["K"] == training["base_K"]
    return bool(same) and not _without(record) and not _is_map(record)
