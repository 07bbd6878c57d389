"""What is shown: the paper's tables, and what was measured beneath them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.tables import measured, published, report_json, report_tables, table

__all__ = ["measured", "published", "report_json", "report_tables", "table"]

_HOMES = {
    "measured": "reports.tables",
    "published": "reports.tables",
    "report_json": "reports.tables",
    "report_tables": "reports.tables",
    "table": "reports.tables",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'reports' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
