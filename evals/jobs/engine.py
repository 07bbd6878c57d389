"""Engines: where jobs run, one of them on a device."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evals.jobs.plan import PlannedJob, State
from unimo2.console import announce, duration
from unimo2.devices import cores, end_with, ended_on_error
from unimo2.errors import Unimo2Error, UsageError

LOCAL, SLURM = "local", "slurm"
ENGINES = (LOCAL, SLURM)
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Engine:
    """Where the jobs of a plan run.

    Attributes:
        kind: "local" or "slurm".
        jobs: At once, at most; of a local engine each is a process with its own device, or its share
            of the processor's threads.
        logs: Folder for what the jobs of other processes print, a file each.
        device: "auto", "cpu" or "cuda".
        slurm: Parameters of submitit's executor, such as {"slurm_partition": "gpu"}.
        cluster: Of submitit: "slurm", or "local" to try a plan without one.
        quiet: Announce nothing.
    """

    kind: str = LOCAL
    jobs: int = 1
    logs: Path = Path("runs/jobs")
    device: str = "auto"
    slurm: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = SLURM
    quiet: bool = False


class _Result(Protocol):
    """A job that was handed over: what futures of all engines can do."""

    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def result(self) -> Any:
        """Raise what it raised."""
        ...


Submit = Callable[[PlannedJob], _Result]


def run_jobs(jobs: Sequence[PlannedJob], engine: Engine) -> None:
    """Run what is left of a plan, in the order of its needs.

    Args:
        jobs: Of a plan; those that are done are not run.
        engine: Where.

    Raises:
        UsageError: The engine does not exist here; or a job failed by a mistake of the user's, after
            all jobs that do not need it have ended.
        Exception: What a job raised that is a fault of ours, likewise.
    """
    left = [job for job in jobs if job.state is not State.DONE]
    if not left:
        return
    with _opened(engine) as submit:
        failed, lost = _Run(left, submit, engine).all()
    if not failed:
        return
    name, error = next(iter(failed.items()))
    if not isinstance(error, Unimo2Error):
        raise error
    more = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
    more += f"; {len(lost)} that need them were not started" if lost else ""
    raise type(error)(f"{name}: {error}{more}; the same command goes on with what is left")


class _Run:
    """One run of a plan."""

    def __init__(self, jobs: Sequence[PlannedJob], submit: Submit, engine: Engine) -> None:
        self.waiting, self.submit, self.engine = list(jobs), submit, engine
        self.running: dict[str, tuple[_Result, float]] = {}
        self.failed: dict[str, BaseException] = {}
        self.lost: list[str] = []

    def all(self) -> tuple[Mapping[str, BaseException], Sequence[str]]:
        """Run them; what failed, and what was not started because it needs that."""
        while self.waiting or self.running:
            self._start()
            ended = [name for name, (result, _) in self.running.items() if result.done()]
            for name in ended:
                self._end(name, *self.running.pop(name))
            if not ended:
                time.sleep(_POLL_SECONDS)
        return self.failed, self.lost

    def _start(self) -> None:
        for job in list(self.waiting):
            if {*job.needs} & {*self.failed, *self.lost}:
                self.waiting.remove(job)
                self.lost.append(job.name)
        open_names = {job.name for job in self.waiting} | set(self.running)
        for job in list(self.waiting):
            if len(self.running) < self.engine.jobs and not {*job.needs} & open_names:
                self.waiting.remove(job)
                self._tell(f"{job.name}: started")
                self.running[job.name] = self.submit(job), time.monotonic()

    def _end(self, name: str, result: _Result, started: float) -> None:
        try:
            result.result()
        except Exception as error:  # noqa: BLE001 - told at the end, when the others are done
            self.failed[name] = error
            words = " ".join(str(error).split()) or type(error).__name__
            self._tell(f"{name}: failed: {words}")
        else:
            self._tell(f"{name}: done in {duration(time.monotonic() - started)}")

    def _tell(self, text: str) -> None:
        if not self.engine.quiet:
            announce(text)


@contextlib.contextmanager
def _opened(engine: Engine) -> Iterator[Submit]:
    if engine.kind == SLURM:
        yield _slurm(engine)
    elif engine.jobs == 1:
        yield _here(engine)
    else:
        with _processes(engine) as submit:
            yield submit


# In this process, one after the other.


def _here(engine: Engine) -> Submit:
    def submit(job: PlannedJob) -> _Result:
        found: Future[None] = Future()
        log = _log(engine, job) if engine.quiet else None
        try:
            _work(job, log)
            found.set_result(None)
        except Exception as error:  # noqa: BLE001 - as of a future of another process
            found.set_exception(error)
        return found

    return submit


def _log(engine: Engine, job: PlannedJob) -> Path:
    return engine.logs / (re.sub(r"[^A-Za-z0-9._=-]+", "-", job.name) + ".log")


def _work(job: PlannedJob, log: Path | None) -> None:
    """Do a job; what it prints goes to a file."""
    if log is None:
        job.work()
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream, contextlib.redirect_stderr(stream):
        job.work()


# In several processes of this machine.


@contextlib.contextmanager
def _processes(engine: Engine) -> Iterator[Submit]:
    """A pool of processes; none of them outlives this one."""
    context = multiprocessing.get_context("spawn")
    places = context.Queue()
    for place in _places(engine):
        places.put(place)
    with (
        ProcessPoolExecutor(engine.jobs, context, _begin, (places, os.getpid())) as pool,
        ended_on_error(),
    ):
        yield lambda job: pool.submit(_work, job, _log(engine, job))


def _places(engine: Engine) -> list[Mapping[str, str]]:
    """Environment of each process: its GPU, or its share of the processor's threads.

    Raises:
        UsageError: More jobs than GPUs.
    """
    gpus = 0
    if engine.device != "cpu":
        import torch

        gpus = torch.cuda.device_count()
    if gpus:
        if engine.jobs > gpus:
            raise UsageError(f"--jobs {engine.jobs}: there are {gpus} GPUs here, one for each job")
        given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = given.split(",") if given else [str(number) for number in range(gpus)]
        return [{"CUDA_VISIBLE_DEVICES": name} for name in names[: engine.jobs]]
    threads = max(1, cores() // engine.jobs)
    return [{"OMP_NUM_THREADS": str(threads)} for _ in range(engine.jobs)]


def _begin(places: Any, parent: int) -> None:
    """Begin a process of the pool: take a place, and end with the first process."""
    os.environ.update(places.get())
    end_with(parent)


# On a cluster.


def _slurm(engine: Engine) -> Submit:
    """Jobs of a Slurm cluster, by submitit.

    Raises:
        UsageError: submitit is not installed, there is no Slurm here, or an unknown parameter.
    """
    try:
        import submitit
    except ImportError:
        raise UsageError("--engine slurm needs submitit: pip install 'unimo2[slurm]'") from None
    if engine.cluster == SLURM and shutil.which("sbatch") is None:
        raise UsageError("--engine slurm: no Slurm here (no sbatch on PATH); use --engine local")
    executor = submitit.AutoExecutor(engine.logs, cluster=engine.cluster)
    usual = {"timeout_min": 60 * 24} | ({} if engine.device == "cpu" else {"gpus_per_node": 1})
    try:
        executor.update_parameters(**{**usual, **engine.slurm})
    except (NameError, TypeError, ValueError) as error:
        raise UsageError(f"--slurm: {' '.join(str(error).split())[:300]}") from None
    return lambda job: _Submitted(executor.submit(_work_there, job))


def _work_there(job: PlannedJob) -> BaseException | None:
    """Do a job on a node; an error of the user's comes back as such, and not as a traceback."""
    try:
        job.work()
    except Unimo2Error as error:
        return error
    return None


@dataclass(frozen=True)
class _Submitted:
    """A job of submitit as a future."""

    job: Any

    def done(self) -> bool:
        """Whether it has ended."""
        return bool(self.job.done())

    def result(self) -> None:
        """Raise what it raised."""
        error = self.job.result()
        if error is not None:
            raise error


def slurm_parameters(assignments: Sequence[str]) -> dict[str, Any]:
    """Parameters from `key=value` texts; those of Slurm alone have "slurm_" before their name.

    Raises:
        UsageError: A text is not an assignment.
    """
    from unimo2.training.recipes import parse_assignments

    return parse_assignments(assignments)[0]
