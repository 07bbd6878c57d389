"""Evaluation: benchmarks, their metrics, and the records of runs.

`evals.run("flickr", model="mini", zero_shot=True)` returns the record of a run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.records import Record
    from evals.runner import run

__all__ = ["Record", "run"]

_HOMES = {"Record": "evals.records", "run": "evals.runner"}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'evals' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
