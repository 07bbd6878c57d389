"""The benchmarks that there are, found by their modules."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from evals.benchmark import Benchmark, Request, TwoWays
from unimo2.errors import UsageError


def canonical(name: str) -> str:
    """A benchmark's name as its module and its records have it: "snli_ve" for "snli-ve"."""
    return name.replace("-", "_")


def needed(module: Benchmark, request: Request) -> str:
    """The capability that a model needs: of the request, where a benchmark has two ways."""
    if hasattr(module, "capability"):
        return cast(TwoWays, module).capability(request)
    return module.CAPABILITY


def module_of(name: str) -> Benchmark:
    """The benchmark's module, `evals.benchmarks.<name>`.

    Args:
        name: As a module or as on the command line.

    Returns:
        The module.

    Raises:
        UsageError: There is none.
    """
    module = canonical(name)
    if module.isidentifier() and find_spec(f"evals.benchmarks.{module}") is not None:
        found = import_module(f"evals.benchmarks.{module}")
        if hasattr(found, "SPLIT"):
            return cast(Benchmark, found)
    raise UsageError(f"unknown benchmark '{name}'; known are: {', '.join(benchmarks())}")


def benchmarks() -> list[str]:
    """Names of all benchmarks, as the command line spells them: modules with a usual split."""
    names = (path.stem for path in sorted((Path(__file__).parent / "benchmarks").glob("*.py")))
    return [
        name.replace("_", "-")
        for name in names
        if name != "__init__" and hasattr(import_module(f"evals.benchmarks.{name}"), "SPLIT")
    ]
