"""Engines: order, failures, processes that end with the first one, a cluster's executor."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from evals.jobs import Cost, Engine, PlannedJob, State, remaining, run_jobs, unique
from evals.jobs.engine import slurm_parameters
from evals.registry import get_benchmark
from unimo2.errors import UsageError


def marks(folder: Path, *names: str) -> list[PlannedJob]:
    """Jobs that leave a folder each; a later one needs the one before, whose folder it lies in."""
    jobs: list[PlannedJob] = []
    for name in names:
        folder = folder / name
        jobs.append(
            PlannedJob(name, partial(os.mkdir, folder), tuple(job.name for job in jobs[-1:]))
        )
    return jobs


def test_jobs_run_after_what_they_need(tmp_path):
    """Against folders that can only be made inside each other; the plan is in another order."""
    run_jobs(marks(tmp_path, "a", "b", "c")[::-1], Engine())
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_what_is_done_is_not_run_and_nobody_waits_for_it(tmp_path):
    """Against a job that would fail if it ran."""
    done = PlannedJob("a", partial(os.rmdir, tmp_path / "nothing"), state=State.DONE)
    run_jobs([done, PlannedJob("b", partial(os.mkdir, tmp_path / "b"), ("a",))], Engine())
    assert (tmp_path / "b").is_dir()


def test_a_fault_of_ours_is_raised_as_it_is_after_the_others_have_ended(tmp_path):
    """Against the exception of the failing call, and the folder of the job behind it."""
    broken = PlannedJob("broken", partial(os.rmdir, tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError):
        run_jobs([broken, *marks(tmp_path, "a")], Engine())
    assert (tmp_path / "a").is_dir()


def test_processes_run_beside_each_other_and_log_to_files(tmp_path, capsys):
    """Against folders, a file a job, and a mistake of the user's in one of them."""
    jobs = [*marks(tmp_path, "a", "b"), PlannedJob("wrong: c", partial(get_benchmark, "nonsense"))]
    with pytest.raises(UsageError, match=r"wrong: c: unknown benchmark 'nonsense'"):
        run_jobs(jobs, Engine(jobs=2, logs=tmp_path / "logs", device="cpu"))
    assert (tmp_path / "a" / "b").is_dir()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "a.log",
        "b.log",
        "wrong-c.log",
    ]
    told = capsys.readouterr().err
    assert "a: started" in told and "wrong: c: failed: unknown benchmark" in told


FOREVER = """
import sys, time
from functools import partial
from pathlib import Path
from evals.jobs import Engine, PlannedJob, run_jobs
if __name__ == "__main__":
    jobs = [PlannedJob(name, partial(time.sleep, 600)) for name in "ab"]
    run_jobs(jobs, Engine(jobs=2, logs=Path(sys.argv[1]), device="cpu"))
"""


def test_no_process_outlives_a_killed_plan(tmp_path):
    """Against SIGKILL, which nobody can catch, and the processes that are alive afterwards."""
    script, logs = tmp_path / "forever.py", tmp_path / "logs"
    script.write_text(FOREVER)
    first = subprocess.Popen(
        [sys.executable, str(script), str(logs)], start_new_session=True, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 240
    while len(list(logs.glob("*"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(list(logs.glob("*"))) == 2
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    while time.monotonic() < until:
        try:
            os.killpg(first.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    pytest.fail("processes of the plan are still alive")


def test_a_cluster_runs_the_same_plan(tmp_path, capsys):
    """Against submitit's local executor: folders in order, and one line for a failing job."""
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    jobs = [*marks(tmp_path, "a", "b"), PlannedJob("wrong", partial(get_benchmark, "nonsense"))]
    engine = Engine(
        "slurm", 2, tmp_path / "logs", "cpu", slurm_parameters(["timeout_min=5"]), cluster="local"
    )
    with pytest.raises(UsageError, match="wrong: unknown benchmark 'nonsense'"):
        run_jobs(jobs, engine)
    assert (tmp_path / "a" / "b").is_dir()
    assert "b: done in" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_said(tmp_path, monkeypatch):
    """Against a PATH without sbatch, and a parameter that submitit does not have."""
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no sbatch on PATH"):
        run_jobs(marks(tmp_path, "a"), Engine("slurm", logs=tmp_path / "logs"))
    wrong = Engine("slurm", 1, tmp_path / "logs", "cpu", {"nonsense": 1}, cluster="local")
    with pytest.raises(UsageError, match="--slurm: .*nonsense"):
        run_jobs(marks(tmp_path, "a"), wrong)


def test_what_is_left_is_said_with_its_cost():
    """Against sums by hand; what nobody knows is not counted as nothing."""
    jobs = [
        PlannedJob("a", print, cost=Cost(600.0, "b")),
        PlannedJob("c", print, cost=Cost(None)),
        PlannedJob("d", print, state=State.DONE),
    ]
    assert remaining(jobs) == (
        "2 of 3 jobs remain, about 10 min (estimated from b); the cost of 1 of them is not known."
    )
    assert remaining(jobs[2:]) == "All jobs are done."
    assert remaining(jobs[1:2]) == "1 of 1 jobs remain, the cost of 1 of them is not known."
    assert unique([*jobs, *jobs]) == jobs
