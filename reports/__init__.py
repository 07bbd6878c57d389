"""Reports: the paper's tables, with the measured results below them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.figures import figure
    from reports.tables import measured, published, report_json, report_tables, table

__all__ = ["figure", "measured", "published", "report_json", "report_tables", "table"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in __all__:
        raise AttributeError(f"module 'reports' has no attribute {name!r}")
    home = "reports.figures" if name == "figure" else "reports.tables"
    return getattr(import_module(home), name)
