"""The rows and columns of the paper's Tables 4 and 5 as options of an ablation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from evals.ablation import columns_named
from evals.ablation.columns import GridColumn
from evals.registry import shown
from reports.paper import number_rows
from reports.selection import PARAMETERS, PARTS, SIZES, TAKEN_AWAY, TOKENS, ZERO_SHOT, blocks_of
from unimo2.errors import UsageError
from unimo2.modeling.fields import ModelFields

ABLATIONS = (PARTS, PARAMETERS)
_MAP = "one-to-one"


@dataclass(frozen=True)
class GridRows:
    """Rows of tables, beside the full training.

    Attributes:
        without: What is taken away, a row each.
        tokens: Values of K, the paper's own.
        sizes: Values of C, scaled.
        one_to_one: Whether the 1-to-1 map is among them.
        note: How C was scaled; "" where no size is among them.
    """

    without: tuple[str, ...] = ()
    tokens: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    one_to_one: bool = False
    note: str = ""


def table_rows(numbers: Sequence[int], base: ModelFields) -> GridRows:
    """The rows of some of the paper's tables of ablations.

    Args:
        numbers: 4, 5 or both.
        base: The recipe's model. Its C stands to the paper's C as the row's do to the paper's rows.

    Raises:
        UsageError: A C that is no whole number after scaling.
    """
    without = [name for name in TAKEN_AWAY if name != _MAP] if PARTS in numbers else []
    if PARAMETERS not in numbers:
        return GridRows(tuple(without), one_to_one=bool(numbers))
    paper = ModelFields.base().dictionary_size
    ratio = Fraction(base.dictionary_size, paper)
    printed = _labels(SIZES)
    sizes = [size * ratio for size in printed]
    if any(size.denominator != 1 for size in sizes):
        raise UsageError(
            f"--table {PARAMETERS}: the paper's C of {printed[0]:,} is no whole number at the ratio "
            f"of the recipe's C = {base.dictionary_size} to the paper's {paper:,}; choose another C"
        )
    note = (
        f"C is the paper's times {ratio} (the recipe's {base.dictionary_size:,} to the paper's "
        f"{paper:,}); K is the paper's."
    )
    return GridRows(
        tuple(without), tuple(_labels(TOKENS)), tuple(map(int, sizes)), one_to_one=True, note=note
    )


def _labels(group: str) -> list[int]:
    """The numbers that a part of Table 5 varies."""
    rows = number_rows(PARAMETERS)
    return list(dict.fromkeys(int(o["row_label"]) for o in rows if o["row_group"] == group))


def table_columns(numbers: Sequence[int]) -> tuple[GridColumn, ...]:
    """What must be measured to fill every column of some tables."""
    return columns_named(
        [
            shown(block.benchmark) + ("-zero-shot" if block.setting == ZERO_SHOT else "")
            for block in blocks_of(numbers)
        ]
    )
