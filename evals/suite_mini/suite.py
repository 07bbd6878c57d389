"""The embedded suite on disk: made once, whole or not at all, and recognised when it is there."""

from __future__ import annotations

import json
import os
import pkgutil
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from evals.suite_mini import parts as parts_package
from evals.suite_mini.fingerprint import combined
from evals.suite_mini.part import Part, Report
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.texts import CORPORA, TASKS
from evals.suite_mini.workers import results_by_part
from unimo2.errors import UsageError

VERSION = 5
"""Goes up whenever the same seed gives other data."""

SUITE_FILE = "suite.json"
LEVELS_FILE = Path(__file__).with_name("levels.json")
"""Ceilings and floors by the fingerprint of a part, computed by `examples/embedded_levels`."""
_ABANDONED_SECONDS = 3_600.0

Progress = Callable[[int, int], None]
"""Called with the number of jobs done so far and in all."""


@cache
def all_parts() -> tuple[Part, ...]:
    """Every part of the suite: the object `PART` of each module in `evals/suite_mini/parts/`.

    Returns:
        In the order of their names.

    Raises:
        ValueError: two modules give the same name.
    """
    modules = pkgutil.iter_modules(parts_package.__path__, f"{parts_package.__name__}.")
    found: list[Part] = [import_module(module.name).PART for module in modules]
    found += [*CORPORA, *TASKS]
    names = [part.name for part in found]
    if len(set(names)) != len(names):
        raise ValueError(f"parts of one name: {sorted(names)}")
    return tuple(sorted(found, key=lambda part: part.name))


def default_root(seed: int = 0, scale: float = 1.0) -> Path:
    """Where the suite lives unless told otherwise: below the user's cache folder."""
    cache_home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache_home) if os.path.isabs(cache_home) else Path.home() / ".cache"
    suffix = "" if scale == 1.0 else f"-scale{scale:g}"
    return base / "unimo2" / f"mini-v{VERSION}-seed{seed}{suffix}"


def read_suite(root: Path) -> dict[str, Any] | None:
    """The content of `suite.json` if a suite of this kind lies in the folder, else None."""
    try:
        content = json.loads((root / SUITE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("suite") == "mini" else None


def make_suite(
    root: Path,
    request: SuiteRequest,
    processes: int | None = None,
    on_progress: Progress | None = None,
    parts: Sequence[Part] | None = None,
) -> dict[str, Any]:
    """Write the suite, unless it is there already.

    Args:
        root: the data root to be. It is made in a folder beside it and renamed at the end.
        request: seed and sizes.
        processes: how many to use; as many as there are processors if None. Has no influence on
            the data.
        on_progress: see `Progress`.
        parts: which data sets it has; all that there are if None.

    Returns:
        The content of `suite.json`.

    Raises:
        UsageError: the folder holds something else, which is left alone.
    """
    root = Path(os.path.abspath(root))
    chosen = all_parts() if parts is None else tuple(parts)
    existing = read_suite(root)
    if existing is not None and _answers(existing, request):
        if _is_complete(root, request, existing, chosen):
            return existing
    _refuse_foreign(root, request, existing)
    root.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(root)
    partial_root = Path(tempfile.mkdtemp(prefix=f".{root.name}.partial-", dir=root.parent))
    try:
        content = _write(partial_root, request, chosen, processes, on_progress)
        partial_root.chmod(0o755)  # mkdtemp makes folders that nobody else may read
        if root.exists():
            shutil.rmtree(root)
        partial_root.rename(root)
    finally:
        shutil.rmtree(partial_root, ignore_errors=True)
    return content


def _write(
    root: Path,
    request: SuiteRequest,
    parts: Sequence[Part],
    processes: int | None,
    on_progress: Progress | None,
) -> dict[str, Any]:
    for part in parts:
        for folder in part.folders(request):
            (root / folder).mkdir(parents=True, exist_ok=True)
    jobs = [part.jobs(request) for part in parts]
    reports: dict[str, Report] = {}
    count = processes or _processors()
    with closing(results_by_part(root, request.seed, jobs, count, on_progress)) as results:
        for part, own in zip(parts, results, strict=True):
            reports[part.name] = part.finish(root, request, own)
    content = _content(request, reports)
    (root / SUITE_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def _content(request: SuiteRequest, reports: dict[str, Report]) -> dict[str, Any]:
    """What `suite.json` says."""
    fingerprints = {name: combined(report.digests) for name, report in reports.items()}
    kept = json.loads(LEVELS_FILE.read_text(encoding="utf-8"))
    levels: dict[str, Any] = {}
    for entry in kept:
        if fingerprints.get(entry["part"]) == entry["fingerprint"]:
            levels |= entry["levels"]
    return {
        "suite": "mini",
        "version": VERSION,
        **asdict(request),
        "fingerprint": combined(f"{name} {value}" for name, value in fingerprints.items()),
        "fingerprints": fingerprints,
        "counts": {name: dict(report.counts) for name, report in reports.items()},
        "units": {name: report.unit for name, report in reports.items()},
        "folded": {name: dict(report.folded) for name, report in reports.items() if report.folded},
        "levels": dict(sorted(levels.items())),
    }


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _answers(content: dict[str, Any], request: SuiteRequest) -> bool:
    """Whether the suite on disk was made for this request; equal requests give equal data."""
    expected = {"version": VERSION, **asdict(request)}
    return all(content.get(field) == value for field, value in expected.items())


def _is_complete(
    root: Path, request: SuiteRequest, content: dict[str, Any], parts: Sequence[Part]
) -> bool:
    """Whether every part, and every file that belongs to it, is still there."""
    written = content.get("fingerprints")
    if not isinstance(written, dict) or any(part.name not in written for part in parts):
        return False
    expected: dict[str, set[str]] = {}
    for part in parts:
        for path in part.files(request):
            folder, _, name = path.rpartition("/")
            expected.setdefault(folder, set()).add(name)
    # One listing a folder: a stat for each of tens of thousands of files takes far longer.
    return all(
        (root / folder).is_dir() and names <= set(os.listdir(root / folder))
        for folder, names in expected.items()
    )


def _refuse_foreign(root: Path, request: SuiteRequest, existing: dict[str, Any] | None) -> None:
    """Only an empty folder, or a damaged copy of the very same suite, may be replaced."""
    if existing is not None and not _answers(existing, request):
        held = ", ".join(
            f"{field} {existing.get(field)}" for field in ("version", *asdict(request))
        )
        raise UsageError(
            f"{root} holds another mini suite ({held}); choose another --root, or delete that folder"
        )
    if existing is None and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root} is not empty and holds no mini suite; choose another --root")


def _clear_abandoned(root: Path) -> None:
    """Remove what runs that were killed long ago left behind."""
    for folder in root.parent.glob(f".{root.name}.partial-*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
