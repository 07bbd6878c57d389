"""The embedded suite on disk: made once, whole or not at all, and recognised when it is there."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from evals.suite_mini.captioned import (
    FLICKR_IMAGES,
    Entry,
    Written,
    coco_entries,
    flickr_entries,
    scene_and_descriptions,
    write_karpathy,
    write_picture,
)
from evals.suite_mini.fingerprint import combined
from evals.suite_mini.ideal import chance_recall, ideal_recall
from evals.suite_mini.request import SuiteRequest
from unimo2.errors import UsageError

VERSION = 1
"""Goes up whenever the same seed gives other data."""

SUITE_FILE = "suite.json"
_CHUNK = 100  # pictures a task: a fraction of a second of work
_ABANDONED_SECONDS = 3_600.0

Progress = Callable[[int, int], None]
"""Called with the number of pictures written so far and in all."""


def default_root(seed: int = 0, scale: float = 1.0) -> Path:
    """Where the suite lives unless told otherwise: below the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
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
) -> dict[str, Any]:
    """Write the suite, unless it is there already.

    Args:
        root: the data root to be. It is made in a folder beside it and renamed at the end.
        request: seed and sizes.
        processes: how many to use; as many as there are processors if None. Has no influence on
            the data.
        on_progress: see `Progress`.

    Returns:
        The content of `suite.json`.

    Raises:
        UsageError: the folder holds something else, which is left alone.
    """
    root = Path(os.path.abspath(root))
    existing = read_suite(root)
    if existing is not None and _answers(existing, request) and _is_complete(root, request):
        return existing
    _refuse_foreign(root, request, existing)
    root.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(root)
    partial_root = Path(tempfile.mkdtemp(prefix=f".{root.name}.partial-", dir=root.parent))
    try:
        content = _write(partial_root, request, processes or _processors(), on_progress)
        partial_root.chmod(0o755)  # mkdtemp makes folders that nobody else may read
        if root.exists():
            shutil.rmtree(root)
        partial_root.rename(root)
    finally:
        shutil.rmtree(partial_root, ignore_errors=True)
    return content


def _write(
    root: Path, request: SuiteRequest, processes: int, on_progress: Progress | None
) -> dict[str, Any]:
    collections = _collections(request)
    total = sum(len(entries) for _, _, entries in collections.values())
    digests: list[str] = []
    for dataset, (json_path, image_root, entries) in collections.items():
        for folder in {entry.filepath or "" for entry in entries}:
            (root / image_root / folder).mkdir(parents=True, exist_ok=True)
        written: list[Written] = []
        for result in _draw(root / image_root, request.seed, entries, processes):
            written += result
            if on_progress is not None:
                on_progress(len(digests) + len(written), total)
        write_karpathy(root / json_path, dataset, entries, written)
        digests += [result.digest for result in written]
    content = {
        "suite": "mini",
        "version": VERSION,
        **asdict(request),
        "fingerprint": combined(digests),
        "counts": _counts(request),
        "ceilings": {"flickr": _flickr_ceiling(request)},
    }
    (root / SUITE_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def _collections(request: SuiteRequest) -> dict[str, tuple[str, str, list[Entry]]]:
    """Data set name -> (JSON file, image folder, entries)."""
    flickr = flickr_entries(request.scale, request.flickr_test)
    return {
        "flickr30k": ("flickr30k/dataset_flickr30k.json", f"flickr30k/{FLICKR_IMAGES}", flickr),
        "coco": ("coco/dataset_coco.json", "coco", coco_entries(request.scale)),
    }


def _draw(
    image_root: Path, seed: int, entries: Sequence[Entry], processes: int
) -> Iterator[list[Written]]:
    """Results in the order of the entries, a chunk at a time."""
    chunks = [entries[start : start + _CHUNK] for start in range(0, len(entries), _CHUNK)]
    work = partial(_draw_chunk, image_root, seed)
    if processes == 1 or len(chunks) == 1:
        yield from map(work, chunks)
        return
    # Spawned, not forked: the caller may have threads (torch has), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(processes, len(chunks)), initializer=_leave_interrupts) as pool:
        yield from pool.imap(work, chunks)


def _draw_chunk(image_root: Path, seed: int, entries: Sequence[Entry]) -> list[Written]:
    return [write_picture(image_root, seed, entry) for entry in entries]


def _leave_interrupts() -> None:
    """Ctrl-C is for the parent process, which ends the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _counts(request: SuiteRequest) -> dict[str, dict[str, int]]:
    """Images by data set and split."""
    return {
        dataset: dict(Counter(entry.split for entry in entries))
        for dataset, (_, _, entries) in _collections(request).items()
    }


def _flickr_ceiling(request: SuiteRequest) -> dict[str, dict[str, float]]:
    """What the ideal reader and a guess reach on Flickr's test split, in percent."""
    entries = flickr_entries(request.scale, request.flickr_test)
    test = [
        scene_and_descriptions(request.seed, entry) for entry in entries if entry.split == "test"
    ]
    statements = [[description.statement for description in own] for _, own in test]
    return {
        "ideal": ideal_recall([scene for scene, _ in test], statements),
        "chance": chance_recall([len(own) for own in statements]),
    }


def _answers(content: dict[str, Any], request: SuiteRequest) -> bool:
    """Whether the suite on disk was made for this request; equal requests give equal data."""
    expected = {"version": VERSION, **asdict(request)}
    return all(content.get(field) == value for field, value in expected.items())


def _is_complete(root: Path, request: SuiteRequest) -> bool:
    """Whether every file that belongs to the suite is still there."""
    for json_path, image_root, entries in _collections(request).values():
        expected: dict[str, set[str]] = {}
        for entry in entries:
            expected.setdefault(entry.filepath or "", set()).add(entry.filename)
        for folder, names in expected.items():
            path = root / image_root / folder
            if not path.is_dir() or not names <= set(os.listdir(path)):
                return False
        if not (root / json_path).is_file():
            return False
    return True


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
