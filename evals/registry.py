"""Registry of benchmarks: those in `evals/benchmarks/`, and those of entry points."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from inspect import isabstract
from pathlib import Path
from pkgutil import iter_modules
from types import GenericAlias, ModuleType

from evals.benchmark import Benchmark, Request
from evals.datasets import suites
from unimo2.console import announce
from unimo2.errors import BadData, UsageError
from unimo2.files import write_text
from zoo import protocols

GROUP = "unimo2.benchmarks"  # entry points: NAME = "module:Class"
_FOLDER = "evals.benchmarks"


def canonical(name: str) -> str:
    """A benchmark's name as its records have it: "snli_ve" for "snli-ve"."""
    return name.replace("-", "_")


def shown(name: str) -> str:
    """A benchmark's name as the command line spells it: "snli-ve" for "snli_ve"."""
    return name.replace("_", "-")


def required(alternatives: Sequence[str], has: Callable[[str], bool]) -> str:
    """The first capability that a model has; the first of all where it has none."""
    return next((name for name in alternatives if has(name)), alternatives[0])


def require_one(alternatives: Sequence[str], model: object) -> str:
    """The first capability that a loaded model has; IncompatibleModel where it has none."""
    found = required(alternatives, lambda name: isinstance(model, protocols.CAPABILITIES[name]))
    protocols.require(model, found)
    return found


def get_benchmark(name: str) -> Benchmark:
    """Find a benchmark.

    Args:
        name: As in records or as on the command line.

    Returns:
        The benchmark.

    Raises:
        UsageError: There is none of that name.
    """
    wanted = canonical(name)
    # Most benchmarks lie in a module of their name: the others need not be imported.
    if wanted.isidentifier() and find_spec(f"{_FOLDER}.{wanted}") is not None:
        for benchmark in _of_module(import_module(f"{_FOLDER}.{wanted}")):
            if benchmark.name == wanted:
                return benchmark
    found = _every().get(wanted)
    if found is None:
        raise UsageError(f"unknown benchmark '{name}'; known are: {', '.join(benchmarks())}")
    return found


def benchmarks() -> list[str]:
    """Names of all benchmarks, as the command line spells them."""
    return sorted(map(shown, _every()))


@cache
def _every() -> dict[str, Benchmark]:
    """All benchmarks by name; those of entry points do not replace ours."""
    names = (module.name for module in iter_modules(import_module(_FOLDER).__path__))
    ours = (import_module(f"{_FOLDER}.{name}") for name in sorted(names))
    found = {one.name: one for module in ours for one in _of_module(module)}
    for benchmark in _installed():
        found.setdefault(benchmark.name, benchmark)
    return found


@cache
def _of_module(module: ModuleType) -> tuple[Benchmark, ...]:
    """The benchmarks that a module defines: its concrete classes that have a name."""
    return tuple(
        kind()
        for kind in vars(module).values()
        # Python 3.10 takes an alias such as `list[int]` for a class.
        if isinstance(kind, type)
        and not isinstance(kind, GenericAlias)
        and issubclass(kind, Benchmark)
        and kind.__module__ == module.__name__
        and not isabstract(kind)
        and hasattr(kind, "name")
    )


def _installed() -> Iterator[Benchmark]:
    """Benchmarks of other packages; one that cannot be loaded costs a line and not the program."""
    for point in entry_points(group=GROUP):
        try:
            found = point.load()()
            if not isinstance(found, Benchmark):
                raise TypeError("expected a subclass of evals.benchmark.Benchmark")
            missing = [name for name in Benchmark.__annotations__ if not hasattr(found, name)]
            if missing:
                raise TypeError(f"it does not say its {', '.join(missing)}")
        except Exception as error:  # whatever the code of others raises
            announce(
                f"note: benchmark '{point.name}' ({point.value}) cannot be loaded: "
                f"{type(error).__name__}: {error}"
            )
        else:
            yield found


def keep_fingerprints(root: Path) -> dict[str, dict[str, str]]:
    """Write into a suite's description what each benchmark reads from it, unless it is there.

    The fingerprints are those that records have: of everything that a model sees and is judged by.
    With them a number is matched with the suite's levels without reading the data again.

    Args:
        root: The data root of a generated suite.

    Returns:
        For each benchmark the fingerprint of each split that it can be measured on, the usual one
        first; splits and benchmarks that the suite lacks are left out.

    Raises:
        BadData: No readable description.
    """
    path = root / suites.DESCRIPTION
    content = suites.description(root)
    if content is None:
        raise BadData(f"{path} is missing; only a generated suite keeps fingerprints")
    if suites.KEPT not in content:
        content[suites.KEPT] = _fingerprints(suites.resolve(None, root))
        with contextlib.suppress(OSError):  # a suite that cannot be written to is read each time
            write_text(path, json.dumps(content, indent=2) + "\n")
    kept: dict[str, dict[str, str]] = content[suites.KEPT]
    return kept


def _fingerprints(suite: suites.Suite) -> dict[str, dict[str, str]]:
    """By the benchmarks' own readers."""
    found: dict[str, dict[str, str]] = {}
    for benchmark in map(get_benchmark, benchmarks()):
        for split in dict.fromkeys((benchmark.default_split, *benchmark.splits)):
            if split == "train":
                continue  # large, and never measured on
            options = benchmark.Options()
            request = Request(benchmark.name, suite.name, split=split, options=options)
            with contextlib.suppress(UsageError):  # not in this suite
                read = benchmark.read(suite, request)
                found.setdefault(benchmark.name, {})[split] = read.fingerprint
    return found
