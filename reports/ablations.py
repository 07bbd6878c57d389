"""Which row of the paper's Tables 4 and 5 a training of an ablation is."""

from __future__ import annotations

from collections.abc import Iterable

from evals.records import Record

ABLATION_TABLES = (4, 5)
ONLY_ABLATIONS = 5  # Table 4 has the models of the zoo, too
SIZES, TOKENS = "GD Size C", "Top-K"

Key = tuple[str, str]
"""A row's group and label."""

# Table 4, by the variant's name; what a run leaves out is told by the name alone.
_COMPONENTS = {
    "without-gd": ("GD", "w/o GD (P)"),
    "without-gd-inference": ("GD", "w/o GD (I)"),
    "without-gt": ("GD", "w/o G.T."),
    "one-to-one": ("GD", "1-to-1 Map"),
    "without-text": ("Corpus", "w/o Text"),
    "without-images": ("Corpus", "w/o Images"),
    "without-both": ("Corpus", "w/o Both"),
}
_WHOLE = ("", "UNIMO-2")
_MAP = ("", "1-to-1 Map")


def ablation_rows(table: int, records: Iterable[Record]) -> dict[Key, list[Record]]:
    """The rows of a table and the records of each, in the paper's order.

    Args:
        table: 4 or 5.
        records: of one recipe, budget and seed, newest last.

    Returns:
        By group and label; empty if nothing of the table was trained.
    """
    return _table_4(records) if table == 4 else _table_5(records)


def _table_4(records: Iterable[Record]) -> dict[Key, list[Record]]:
    """What is left out; the whole model is the run with both default sizes."""
    found: dict[Key, list[Record]] = {}
    for record in records:
        key = _COMPONENTS.get(_variant(record))
        if key is None and _is_nearest(record):
            key = _COMPONENTS["one-to-one"]
        if key is None and _is_default(record):
            key = _WHOLE
        if key is not None:
            found.setdefault(key, []).append(record)
    order = [_WHOLE, *_COMPONENTS.values()]
    rows = {key: found[key] for key in order if key in found}
    return rows if set(rows) - {_WHOLE} else {}  # alone, the whole model is no ablation


def _table_5(records: Iterable[Record]) -> dict[Key, list[Record]]:
    """C, then K, then the map; a run with both default sizes stands in both parts."""
    found: dict[tuple[int, str, int], list[Record]] = {}
    for record in records:
        training = record.protocol["training"]
        if _leaves_out(record):
            continue
        size, tokens = int(training["C"]), int(training["K"])
        if _is_nearest(record):
            found.setdefault((2, "", 0), []).append(record)
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
        ((group, str(value)) if group else _MAP): members
        for (_, group, value), members in sorted(found.items(), key=lambda item: item[0])
    }


def _variant(record: Record) -> str:
    return record.variant or ""


def _leaves_out(record: Record) -> bool:
    """Whether a row of Table 4 alone."""
    return _variant(record).startswith("without-")


def _is_nearest(record: Record) -> bool:
    return bool(record.protocol["training"]["grounding"] == "nearest")


def _is_default(record: Record) -> bool:
    training = record.protocol["training"]
    if _leaves_out(record) or _is_nearest(record):
        return False
    return bool(training["C"] == training["base_C"] and training["K"] == training["base_K"])
