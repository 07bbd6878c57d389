"""Trainings and evaluations as jobs that depend on each other, and the engines that run them.

A `PlannedJob` knows what it needs, whether it is done, and what it will cost. `run_jobs` runs what is left of
a plan: in this process, in several, or on a Slurm cluster. A job that fails costs only those that
need it. Every job keeps what is finished on disk, so that the same plan goes on after a kill.
"""

from evals.jobs.engine import Engine, run_jobs
from evals.jobs.plan import Cost, PlannedJob, State, last_logged, remaining, unique

__all__ = [
    "Cost",
    "Engine",
    "PlannedJob",
    "State",
    "last_logged",
    "remaining",
    "run_jobs",
    "unique",
]
