"""The embedded suite on disk: drawn part by part, each whole or not at all, and recognised there."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from evals.suite_mini.captioned import COCO, FLICKR30K
from evals.suite_mini.labelled import IMAGENET, IMAGENET21K
from evals.suite_mini.open_images import OPEN_IMAGES
from evals.suite_mini.part import Job, Report, SuitePart, make_folders
from evals.suite_mini.pictures import combined
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.snli_ve import SNLI_VE
from evals.suite_mini.texts import CORPORA, TASKS
from evals.suite_mini.visual_genome import VISUAL_GENOME
from evals.suite_mini.vqa import VQA
from evals.suite_mini.web import CONCEPTUAL_CAPTIONS, SBU
from unimo2.console import announce, showing, stage
from unimo2.devices import cores, end_with, ended_on_error
from unimo2.errors import MissingData, UsageError
from unimo2.files import cache_folder, locked, write_text

VERSION = 5
"""Goes up whenever the same seed gives other data."""

SUITE_FILE = "suite.json"
LEVELS_FILE = Path(__file__).with_name("levels.json")
"""Ceilings and floors by the fingerprint of a part, computed by `examples/embedded_levels`."""

_ABANDONED_SECONDS = 3_600.0

OnProgress = Callable[[int, int], None]
"""Called with the number of jobs done so far and in all."""

_ALL: tuple[SuitePart, ...] = (
    *(FLICKR30K, COCO, VQA, SNLI_VE, IMAGENET),
    *(VISUAL_GENOME, CONCEPTUAL_CAPTIONS, SBU, IMAGENET21K, OPEN_IMAGES),
    *CORPORA,
    *TASKS,
)
PARTS: Mapping[str, SuitePart] = {
    part.name: part for part in sorted(_ALL, key=lambda part: part.name)
}
"""Every data set of the suite by its name."""
NEEDS = {"snli_ve": "flickr30k", "vqa": "coco"}
"""Parts that speak of the pictures of another one."""


def default_root(seed: int = 0, scale: float = 1.0) -> Path:
    """Where the suite lives unless told otherwise: below the user's cache folder."""
    suffix = "" if scale == 1.0 else f"-scale{scale:g}"
    return cache_folder() / f"mini-v{VERSION}-seed{seed}{suffix}"


def read_suite(root: Path) -> dict[str, Any] | None:
    """The content of `suite.json` if a suite of this kind lies in the folder, else None."""
    try:
        content = json.loads((root / SUITE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("suite") == "mini" else None


def ensure(parts: Iterable[str] | None = None, root: Path | None = None) -> Path:
    """Draw what the suite lacks of some parts; progress is shown on a terminal.

    Args:
        parts: names of data sets, all if None; names that the suite does not have are left alone.
        root: where the suite lies or is to lie; its default place if None.

    Returns:
        The root.

    Raises:
        UsageError: the folder holds something else.
        MissingData: nothing can be written there.
    """
    root = default_root() if root is None else root
    wanted = PARTS if parts is None else {name for name in parts if name in PARTS}
    chosen = {*wanted, *(NEEDS[name] for name in wanted if name in NEEDS)}
    found = read_suite(root) or {}
    held = SuiteRequest(**{name: found[name] for name in asdict(SuiteRequest()) if name in found})
    missing = [name for name in PARTS if name in chosen and not _is_there(root, held, found, name)]
    if missing:
        announce(f"drawing {', '.join(missing)} of the mini suite in {root}")
        try:
            with showing(), stage("drawing the mini suite", "parts") as advance:
                make_suite(root, held, None, advance, missing)
        except OSError as error:
            raise MissingData(
                f"the mini suite cannot be drawn in {root}: {error}; set XDG_CACHE_HOME to a folder "
                "with room for it"
            ) from error
    return root


def make_suite(
    root: Path,
    request: SuiteRequest,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
    parts: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Draw the parts of the suite that are not there already.

    Args:
        root: The data root to be. Parts are drawn in a folder beside it and moved at the end.
        request: Seed and sizes.
        processes: As many as there are processors if None; without influence on the data.
        on_progress: See `OnProgress`.
        parts: Names of data sets; all that there are if None.

    Returns:
        The content of `suite.json`.

    Raises:
        UsageError: the folder holds something else, which is left alone.
    """
    root = Path(os.path.abspath(root))
    existing = read_suite(root)
    _refuse_foreign(root, request, existing)
    names = PARTS if parts is None else set(parts)
    missing = [
        part
        for name, part in PARTS.items()
        if name in names and not _is_there(root, request, existing or {}, name)
    ]
    if existing is not None and not missing:
        return existing
    root.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(root)
    partial_root = Path(tempfile.mkdtemp(prefix=f".{root.name}.partial-", dir=root.parent))
    try:
        reports = _draw(partial_root, request, missing, processes, on_progress)
        partial_root.chmod(0o755)  # mkdtemp makes folders that nobody else may read
        return _publish(partial_root, root, request, reports)
    finally:
        shutil.rmtree(partial_root, ignore_errors=True)


def _draw(
    root: Path,
    request: SuiteRequest,
    parts: Sequence[SuitePart],
    processes: int | None,
    on_progress: OnProgress | None,
) -> dict[str, Report]:
    """Write the files of parts, but not the suite's description."""
    make_folders(root, parts, request)
    jobs = [part.jobs(request) for part in parts]
    reports: dict[str, Report] = {}
    count = processes or cores()
    with closing(results_by_part(root, request.seed, jobs, count, on_progress)) as results:
        for part, own in zip(parts, results, strict=True):
            reports[part.name] = part.finish(root, request, own)
    return reports


def _publish(
    partial_root: Path, root: Path, request: SuiteRequest, reports: Mapping[str, Report]
) -> dict[str, Any]:
    """Give what was drawn its place; the description, which says what is there, comes last.

    Whoever is stopped in between leaves files that nothing speaks of and that the next one
    replaces with the same; whoever draws the same at the same time replaces them likewise.
    """
    content = _described(request, {}, reports)
    description = partial_root / SUITE_FILE
    write_text(description, json.dumps(content, indent=2) + "\n")
    try:
        partial_root.rename(root)  # if nothing is there, all of it appears at once
        return content
    except OSError:
        if not root.is_dir():
            raise
    description.unlink()
    with locked(root):  # others may add parts to the same suite
        existing = read_suite(root)
        _refuse_foreign(root, request, existing)
        _move(partial_root, root)
        content = _described(request, existing or {}, reports)
        write_text(root / SUITE_FILE, json.dumps(content, indent=2) + "\n")
    return content


def _move(source: Path, target: Path) -> None:
    """Move all in a folder into another one, folders before files: annotations come last."""
    for entry in sorted(source.iterdir(), key=lambda entry: (entry.is_file(), entry.name)):
        goal = target / entry.name
        try:
            entry.replace(goal)
        except OSError:  # a folder with something in it
            if not (entry.is_dir() and goal.is_dir()):
                raise
            _move(entry, goal)


def _described(
    request: SuiteRequest, existing: Mapping[str, Any], reports: Mapping[str, Report]
) -> dict[str, Any]:
    """What `suite.json` says with the parts that were there and those that were drawn."""
    drawn: dict[str, dict[str, Any]] = {
        "fingerprints": {name: combined(report.digests) for name, report in reports.items()},
        "counts": {name: dict(report.counts) for name, report in reports.items()},
        "units": {name: report.unit for name, report in reports.items()},
        "folded": {
            name: dict(report.dropped) for name, report in reports.items() if report.dropped
        },
    }
    held = {kind: dict(sorted({**existing.get(kind, {}), **drawn[kind]}.items())) for kind in drawn}
    fingerprints = held["fingerprints"]
    levels: dict[str, Any] = dict(existing.get("levels", {}))
    for entry in json.loads(LEVELS_FILE.read_text(encoding="utf-8")):
        if fingerprints.get(entry["part"]) == entry["fingerprint"]:
            levels |= entry["levels"]
    return {
        "suite": "mini",
        "version": VERSION,
        **asdict(request),
        "fingerprint": combined(f"{name} {value}" for name, value in fingerprints.items()),
        **held,
        "levels": dict(sorted(levels.items())),
    }


def _is_there(root: Path, request: SuiteRequest, content: Mapping[str, Any], name: str) -> bool:
    """Whether a part, and every file that belongs to it, is there."""
    if name not in content.get("fingerprints", ()):
        return False
    expected: dict[str, set[str]] = {}
    for path in PARTS[name].files(request):
        folder, _, file = path.rpartition("/")
        expected.setdefault(folder, set()).add(file)
    # One listing a folder: a stat for each of tens of thousands of files takes far longer.
    return all(
        (root / folder).is_dir() and files <= set(os.listdir(root / folder))
        for folder, files in expected.items()
    )


def _refuse_foreign(root: Path, request: SuiteRequest, existing: dict[str, Any] | None) -> None:
    """Only an empty folder, or a part of the very same suite, may be added to."""
    asked = {"version": VERSION, **asdict(request)}
    if existing is not None and any(existing.get(name) != value for name, value in asked.items()):
        held = ", ".join(f"{name} {existing.get(name)}" for name in asked)
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


_CHUNK = 50  # jobs a task: half a second of work


def results_by_part(
    root: Path,
    seed: int,
    jobs: Sequence[Sequence[Job]],
    processes: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Generator[list[Any], None, None]:
    """Run the jobs of all parts in one pool of processes.

    While the caller works on the results of one part, the pool goes on with the next ones.

    Args:
        root: folder of the suite.
        seed: of the suite.
        jobs: of each part.
        processes: how many; 1 runs everything in this process.
        on_progress: called with the number of jobs done so far and in all.

    Yields:
        For each part the results of its jobs, in their order.

    Raises:
        UsageError: A process was killed.
    """
    work = [job for own in jobs for job in own]
    run = partial(_run, root, seed)
    if processes == 1 or len(work) <= _CHUNK:
        yield from _regrouped(map(run, work), jobs, on_progress)
        return
    # Spawned, not forked: the caller may have threads (torch has), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(processes, context, end_with, (os.getpid(),))
    try:
        with workers as pool, ended_on_error():
            with _no_main():
                finished = pool.map(run, work, chunksize=_CHUNK)
            yield from _regrouped(finished, jobs, on_progress)
    except BrokenProcessPool:
        raise UsageError(
            "a process that drew the suite was killed, perhaps for want of memory: repeat the "
            "command, or allow it fewer cores, as with 'taskset -c 0'"
        ) from None


def _run(root: Path, seed: int, job: Job) -> Any:
    return job.run(root, seed)


@contextmanager
def _no_main() -> Iterator[None]:
    """Let new processes not run the caller's script, which need not be guarded for that.

    They import what they need by its name, and nothing of it lies in the script.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _regrouped(
    finished: Iterator[Any],
    jobs: Sequence[Sequence[Job]],
    on_progress: Callable[[int, int], None] | None,
) -> Generator[list[Any], None, None]:
    """The results put together by part."""
    total, done = sum(map(len, jobs)), 0
    for own in jobs:
        results: list[Any] = []
        for result in islice(finished, len(own)):
            results.append(result)
            done += 1
            last_of_task = len(results) % _CHUNK == 0 or len(results) == len(own)
            if on_progress is not None and last_of_task:
                on_progress(done, total)
        yield results
