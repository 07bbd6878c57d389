"""In which table and at which place the rows of an ablation stand (paper, Tables 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.records import Record

PARTS, PARAMETERS = 4, 5  # Table 4 takes parts away, Table 5 varies K, C and the map
SIZES, TOKENS = "GD Size C", "Top-K"  # groups of Table 5

# Group and label of Table 4, in its order; the full training stands before them.
_TAKEN_AWAY = {
    "gd": ("GD", "w/o GD (P)"),
    "gd-inference": ("GD", "w/o GD (I)"),
    "gt": ("GD", "w/o G.T."),
    "one-to-one": ("GD", "1-to-1 Map"),
    "text": ("Corpus", "w/o Text"),
    "images": ("Corpus", "w/o Images"),
    "both": ("Corpus", "w/o Both"),
}
FULL = "full"  # the variant of the row that all others are compared with
_FULL = ("", FULL)
_MAP = (2, "", 0)  # place of the 1-to-1 map in Table 5: after all C and all K

Key = tuple[str, str]
"""A row's group and label."""


def belongs(record: Record, table: int) -> bool:
    """Whether a record can stand in a table: an ablation's only in 4 and 5, others not in 5."""
    if record.protocol.get("training") is None:
        return table != PARAMETERS
    return table == PARTS or (table == PARAMETERS and not _without(record))


def arrange(table: int, records: Sequence[Record]) -> dict[Key, list[Record]]:
    """Put the rows of one ablation into the order of the paper's table.

    Args:
        table: 4 or 5.
        records: of one recipe, budget and seed, of any benchmark.

    Returns:
        By group and label the records of each row; nothing for a table of which there is at most
        the full training to compare with.
    """
    return _parts(records) if table == PARTS else _parameters(records)


def _parts(records: Sequence[Record]) -> dict[Key, list[Record]]:
    """Table 4's rows: the full training, then what is taken away from it."""
    if not any(_without(record) for record in records):
        return {}
    found: dict[Key, list[Record]] = {}
    for record in records:
        if _is_default(record):
            found.setdefault(_FULL, []).append(record)
        else:
            part = _without(record) or _map_of(record)
            if part in _TAKEN_AWAY:
                found.setdefault(_TAKEN_AWAY[part], []).append(record)
    return {key: found[key] for key in (_FULL, *_TAKEN_AWAY.values()) if key in found}


def _parameters(records: Sequence[Record]) -> dict[Key, list[Record]]:
    """Table 5's rows; a run with both default sizes stands in both parts, as in the paper."""
    if all(record.variant == FULL for record in records):
        return {}
    found: dict[tuple[int, str, int], list[Record]] = {}
    for record in records:
        training = _training(record)
        size, tokens = int(training["C"]), int(training["K"])
        if _map_of(record):
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


def _map_of(record: Record) -> str:
    """The 1-to-1 map, which is a row of both tables; "" for others."""
    return "one-to-one" if _training(record)["grounding"] == "nearest" else ""


def _is_default(record: Record) -> bool:
    """Whether nothing differs from the recipe that the rows share."""
    training = _training(record)
    same = training["C"] == training["base_C"] and training["K"] == training["base_K"]
    return bool(same) and not _without(record) and not _map_of(record)


def _training(record: Record) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record.protocol["training"]
    return found
