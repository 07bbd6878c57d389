"""Resumable, chunked prediction, shared by all benchmarks except retrieval.

The unit of work is a chunk of items. A chunk's predictions are one file, written atomically, so that
a killed run resumes with the next chunk and ends with the same numbers. The items of a chunk depend
on the data and on the batch size given by the model or the user, not on the one that the run finds
fastest.
"""

from __future__ import annotations

import json
import shutil
import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from evals.batch_sizes import Search, Workload
from evals.benchmark import Benchmark, Outcome, Request
from evals.distributed import ALL, ProcessGroup
from unimo2.console import Progress, Report, stage
from unimo2.errors import BadCheckpoint
from unimo2.files import write_text

if TYPE_CHECKING:
    import pandas as pd

    from evals.metrics.ranking import Metric
    from zoo.protocols import Model

Prediction = Mapping[str, Any]
"""What a model said of one item, fit for JSON: "prediction", and whatever else a benchmark keeps."""

Predict = Callable[[Sequence[int]], Sequence[Prediction]]
"""Takes the numbers of some items, gives one prediction each."""

Result = TypeVar("Result")

_EARLIER = "earlier"  # folder of what runs of other data predicted
_CALLS = 4  # batches in a chunk at least: so many that texts of one length find each other


@dataclass(frozen=True)
class ChunkPlan:
    """The items of a run in the order in which they are worked on.

    Attributes:
        order: Item numbers; items of one image stand together.
        chunk: Items of a chunk.
        unit: Name of the items, in the plural: "questions".
        contents: `[items]`, what each prediction depends on, of `evals.splits.contents_of`; or none.
    """

    order: tuple[int, ...]
    chunk: int
    unit: str
    contents: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        groups: Sequence[Hashable],
        unit: str,
        batch_size: int,
        smallest: int,
        contents: Sequence[str] = (),
    ) -> ChunkPlan:
        """Plan the work.

        Args:
            groups: `[items]`, equal for items that should share a call (those of an image).
            unit: Name of the items, in the plural.
            batch_size: The model's.
            smallest: Items of a chunk at least.
            contents: As in the plan.

        Returns:
            The plan.
        """
        first: dict[Hashable, int] = {}
        for item, group in enumerate(groups):
            first.setdefault(group, item)
        order = sorted(range(len(groups)), key=lambda item: (first[groups[item]], item))
        return cls(tuple(order), max(smallest, _CALLS * batch_size), unit, contents)

    def chunks(self) -> list[range]:
        """Places in `order`, chunk by chunk."""
        ends = range(0, len(self.order), self.chunk)
        return [range(start, min(start + self.chunk, len(self.order))) for start in ends]


@dataclass(frozen=True)
class Predictions:
    """All predictions of a run.

    Attributes:
        values: `[items]`, in the items' own order.
        seconds: Duration of their computation, in all sessions and processes together.
    """

    values: list[Prediction]
    seconds: float

    def column(self, name: str) -> list[Any]:
        """One field of every prediction."""
        return [value[name] for value in self.values]


@dataclass(frozen=True)
class _Earlier:
    """Prediction of an item by an earlier run on other data, and its part of the seconds."""

    prediction: Prediction
    seconds: float


def _by_content(folder: Path) -> dict[str, _Earlier]:
    """Predictions of an earlier run by the content of their items."""
    found = {}
    for path in sorted(folder.glob("**/*.json")):
        try:
            chunk = json.loads(path.read_text(encoding="utf-8"))
            each = chunk["seconds"] / len(chunk["items"])
            for content, value in zip(chunk["contents"], chunk["predictions"], strict=True):
                found[content] = _Earlier(value, each)
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            continue  # damaged, and so not known
    return found


def take_over(folder: Path, earlier: Sequence[Path]) -> None:
    """Give a new run what unfinished ones of other data predicted; it takes what has not changed.

    Args:
        folder: Folder of the new run.
        earlier: Run folders, the newest first.
    """
    kept = folder / "predictions" / _EARLIER
    for number, old in enumerate(reversed(earlier)):
        if (old / "predictions").is_dir():
            shutil.copytree(old / "predictions", kept / str(number))


class Store:
    """The finished chunks in a run folder."""

    def __init__(self, folder: Path, work: ChunkPlan) -> None:
        """Open the predictions of a run; `predictions/` in the folder is created."""
        self._folder = folder / "predictions"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._work = work
        self._earlier = _by_content(self._folder / _EARLIER) if work.contents else {}

    def remaining(self, share: ProcessGroup = ALL) -> list[range]:
        """A process's chunks that are not on disk, or damaged there."""
        return [
            chunk
            for unit, chunk in enumerate(self._work.chunks())
            if share.takes(unit) and self._read(chunk) is None
        ]

    def write(self, chunk: range, values: Sequence[Prediction], seconds: float) -> None:
        """Keep a finished chunk."""
        content = {
            "items": [self._work.order[place] for place in chunk],
            "predictions": list(values),
            "seconds": seconds,
            "contents": self._contents(chunk),
        }
        write_text(self._path(chunk), json.dumps(content, ensure_ascii=False, allow_nan=False))

    def earlier(self, chunk: range) -> list[_Earlier | None]:
        """Predictions of an earlier run for a chunk's items; None where missing."""
        contents = self._contents(chunk)
        return [self._earlier.get(one) for one in contents] if contents else [None] * len(chunk)

    def _contents(self, chunk: range) -> list[str]:
        contents = self._work.contents
        return [contents[self._work.order[place]] for place in chunk] if contents else []

    def assemble(self) -> Predictions:
        """All predictions; every chunk must be finished."""
        values: list[Prediction] = [{}] * len(self._work.order)
        seconds = 0.0
        for chunk in self._work.chunks():
            content = self._read(chunk)
            assert content is not None
            for item, value in zip(content["items"], content["predictions"], strict=True):
                values[item] = value
            seconds += content["seconds"]
        return Predictions(values, seconds)

    def discard(self) -> None:
        """Remove the chunks, once samples and record are written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, chunk: range) -> Path:
        return self._folder / f"{chunk.start}-{chunk.stop}.json"

    def _read(self, chunk: range) -> dict[str, Any] | None:
        """A chunk's content; None if it is not there or not whole."""
        try:
            content = json.loads(self._path(chunk).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        expected = [self._work.order[place] for place in chunk]
        whole = isinstance(content, dict) and content.get("items") == expected
        return content if whole and len(content["predictions"]) == len(expected) else None


def predict(
    model: Model,
    work: ChunkPlan,
    predictor: Predict,
    folder: Path,
    report: Report,
    share: ProcessGroup = ALL,
    hint: str | None = None,
) -> Store:
    """Predict what is left and keep it.

    Args:
        model: Works in the batch size that is found, smaller ones where a GPU has too little memory.
        work: The plan.
        predictor: Of the benchmark, with the model.
        folder: The run folder.
        report: Called as the work progresses.
        share: Which chunks are this process's.
        hint: What would be sooner, in case the run will take long.

    Returns:
        The chunks; all are there unless other processes have some.

    Raises:
        BadCheckpoint: The model gives what no JSON can hold (NaN).
    """
    store = Store(folder, work)
    mine = store.remaining(share)
    total, left = len(work.order), sum(map(len, mine))
    extent = Workload("chunks", len(mine), total, work.chunk)
    search = Search.of_run(folder, model.batch_size, extent, keeps=share.first)
    # Other processes are taken to be as far as this one.
    before = max(0, total - left * share.count)
    done, started = 0, time.perf_counter()
    report(Progress(work.unit, before, total, None))
    for chunk in mine:
        known = store.earlier(chunk)
        new = [work.order[place] for place, one in zip(chunk, known, strict=True) if one is None]
        found: Sequence[Prediction] = ()
        seconds = 0.0
        if new:
            found, seconds = _in_batches(model, search, partial(predictor, new), len(new))
        rest = iter(found)
        values = [next(rest) if one is None else one.prediction for one in known]
        seconds += sum(one.seconds for one in known if one is not None)
        try:
            store.write(chunk, values, seconds)
        except ValueError as error:
            raise BadCheckpoint(
                f"the model returns scores that are not finite ({error}); its weights are damaged, "
                "or try --dtype float32"
            ) from None
        done += len(chunk)
        pace = (time.perf_counter() - started) / done
        finished = min(total, before + done * share.count)
        report(Progress(work.unit, finished, total, pace * (left - done), hint))
    return store


def _in_batches(
    model: Model, search: Search, call: Callable[[], Result], items: int
) -> tuple[Result, float]:
    """Predictions of a chunk at the batch size under test, and the seconds."""
    # The model's own size comes back: chunks are planned by it.
    with batch_size(model, search.size):
        started = time.perf_counter()
        result = with_room(model, call)
        seconds = time.perf_counter() - started
        if model.batch_size < search.size:
            search.limit(model.batch_size)
        search.note(model.batch_size, items, seconds)
    return result, seconds


def with_room(model: Model, call: Callable[[], Result]) -> Result:
    """Run a model, in half the batch size as often as a GPU has too little memory.

    Args:
        model: Cuts its calls into batches of `batch_size`, which stays what it became.
        call: Runs the model; it is called again from the start.

    Returns:
        What the call returned.

    Raises:
        torch.OutOfMemoryError: Not even one item fits.
    """
    while (found := fitting(call, model.batch_size)) is None:
        model.batch_size //= 2
    return found


def fitting(call: Callable[[], Result], size: int) -> Result | None:
    """What a call returns; None where a GPU has too little memory for it, and it can be halved.

    Args:
        call: Runs the model.
        size: Size of its batch; of one item the error is passed on.
    """
    import torch

    try:
        return call()
    except torch.OutOfMemoryError:
        if size == 1:
            raise
    # Outside the handler, whose traceback would keep the tensors of the failed call.
    torch.cuda.empty_cache()
    return None


@contextmanager
def batch_size(model: Model, size: int | None) -> Iterator[None]:
    """Let a model work with another batch size for a while; its own if None. Put it back after."""
    own = model.batch_size
    if size is not None:
        model.batch_size = size
    try:
        yield
    finally:
        model.batch_size = own


@dataclass(frozen=True)
class Results:
    """What predictions are worth.

    Attributes:
        metrics: By name; none where the truth is not known here.
        samples: One row per item, from `evals.samples.frame`.
        notes: What a reader must know.
    """

    metrics: Mapping[str, Metric]
    samples: pd.DataFrame
    notes: Sequence[str] = ()


def _contents(data: Any) -> Sequence[str]:
    """Inputs that the predictions depend on; empty if another package's benchmark gives none."""
    return getattr(data, "contents", ())


class ItemBenchmark(Benchmark):
    """A benchmark of items that are predicted one by one: all but retrieval.

    Attributes:
        unit: Name of the items, in the plural: "questions".
        chunk: Items of a chunk at least.
    """

    unit: ClassVar[str]
    chunk: ClassVar[int] = 64

    @abstractmethod
    def groups(self, data: Any) -> Sequence[Hashable]:
        """For each item what it shares with those that should be in its call: its image."""

    @abstractmethod
    def predictor(self, model: Any, data: Any, request: Request) -> Predict:
        """A function from numbers of items to their predictions."""

    @abstractmethod
    def results(
        self, model: Any, data: Any, found: Predictions, request: Request, folder: Path
    ) -> Results:
        """Score the predictions of all items; write what an evaluation server takes to `folder`."""

    def predict(
        self,
        model: Any,
        data: Any,
        request: Request,
        folder: Path,
        report: Report,
        share: ProcessGroup = ALL,
    ) -> Store:
        """Predict the items that are left and keep the predictions in `folder`."""
        work = ChunkPlan.of(
            self.groups(data), self.unit, model.batch_size, self.chunk, _contents(data)
        )
        predictor = self.predictor(model, data, request)
        return predict(model, work, predictor, folder, report, share)

    def measure(
        self, model: Any, data: Any, request: Request, folder: Path, report: Report
    ) -> Outcome:
        """Predict all items and score the predictions."""
        store = self.predict(model, data, request, folder, report)
        found = store.assemble()
        with stage("metrics and intervals"):
            results = self.results(model, data, found, request, folder)
        pace = len(found.values) / found.seconds if found.seconds else 0.0
        return Outcome(
            metrics=results.metrics,
            samples=results.samples,
            seconds=found.seconds,
            throughput={f"{self.unit}_per_second": pace},
            clean_up=store.discard,
            notes=results.notes,
        )
