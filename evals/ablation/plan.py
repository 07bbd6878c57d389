"""Plan of an ablation: what is measured of each row, and the jobs that measure the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from evals import records
from evals.ablation import running
from evals.ablation.columns import GridColumn
from evals.ablation.rows import AblationRow, digest, same_row
from evals.ablation.study import Study, trained_facts
from evals.jobs import Cost, PlannedJob, State, last_logged, unique
from evals.records import Record
from unimo2.training import LOG, RETRIEVAL_WEIGHT, SUMMARY

RowState = Literal["done", "trained", "interrupted", "to do"]


@dataclass(frozen=True)
class Cell:
    """One column of one row.

    Attributes:
        column: What is measured.
        record: The record of the finished evaluation, or None.
        jobs: Its fine-tuning, unless it is zero-shot, and its evaluation; none where it is done.
    """

    column: GridColumn
    record: Record | None
    jobs: tuple[PlannedJob, ...]


@dataclass(frozen=True)
class Planned:
    """One row of a plan.

    Attributes:
        row: The training.
        state: "done", "trained" (to be measured), "interrupted" or "to do".
        jobs: Its training, and the choice of its retrieval weight; none where it is done.
        cells: One for each column of the study.
    """

    row: AblationRow
    state: RowState
    jobs: tuple[PlannedJob, ...]
    cells: tuple[Cell, ...]

    @property
    def every_job(self) -> tuple[PlannedJob, ...]:
        """All that is left to do."""
        return (*self.jobs, *(job for cell in self.cells for job in cell.jobs))


class Estimates(Protocol):
    """Judges costs by records of other rows and models; see `evals.ablation.estimates.Estimator`."""

    def training(self, row: AblationRow) -> Cost:
        """Of a row's training."""
        ...

    def weighing(self, row: AblationRow) -> Cost:
        """Of the choice of its retrieval weight."""
        ...

    def tuning(self, row: AblationRow, column: GridColumn) -> Cost:
        """Of a column's fine-tuning."""
        ...

    def evaluation(self, row: AblationRow, column: GridColumn) -> Cost:
        """Of a column's evaluation."""
        ...


def finished(
    row: AblationRow, column: GridColumn, study: Study, found: Iterable[Record]
) -> Record | None:
    """The newest record of exactly this training, fine-tuning and evaluation, or None.

    Args:
        row: The training.
        column: The benchmark.
        study: Gives the suite and the protocol.
        found: Records, newest last.
    """
    conditions = study.conditions(row, column)
    matches = [
        record
        for record in found
        if record.suite == study.suite.name
        and record.benchmark == column.benchmark
        and bool(record.protocol.get("zero_shot")) == column.zero_shot
        and record.protocol.get("limit") == study.limit
        and record.protocol.get("rerank") == study.shortlist(column)
        and _conditions_of(record) == conditions
        and same_row(record, row)
        and study.starts_alike(row, record.protocol["training"])
    ]
    return matches[-1] if matches else None


def _conditions_of(record: Record) -> dict[str, Any]:
    told = record.protocol.get("measured_with") or {}
    return {name: value for name, value in told.items() if name != "cost"}


def find_records(study: Study) -> list[Record]:
    """Records of the suite in the package and the runs folder, newest last."""
    return records.find([records.MEASURED, study.output], study.suite.name)


def make_plan(
    study: Study, rows: Sequence[AblationRow], found: Sequence[Record], cost: Estimates
) -> list[Planned]:
    """Find out what is done, and estimate the rest.

    Args:
        study: What the rows share.
        rows: The trainings.
        found: From `find_records`.
        cost: An `evals.ablation.estimates.Estimator`.

    Raises:
        BadData: A record that cannot be read.
    """
    known = [record for record in found if record.protocol.get("training")]
    labels = _Labels(rows)
    plan: list[Planned] = []
    for row in rows:
        done = {column: finished(row, column, study, known) for column in study.columns}
        left = [column for column, record in done.items() if record is None]
        base = _base_jobs(study, row, labels, cost) if left else ()
        label, cells = labels.model(row), []
        for column, record in done.items():
            jobs = () if record else _cell_jobs(study, row, column, label, base, cost)
            cells.append(Cell(column, record, jobs))
        plan.append(Planned(row, _state(study, row) if left else "done", base, tuple(cells)))
    return plan


def jobs_of(plan: Iterable[Planned]) -> list[PlannedJob]:
    """All that is left to do, once: rows of one training share it and all that follows."""
    return unique(job for planned in plan for job in planned.every_job)


class _Labels:
    """What rows are called in a plan; rows of one training, or of one model, alike."""

    def __init__(self, rows: Sequence[AblationRow]) -> None:
        seeds = {row.training["seed"] for row in rows}
        recipes = {row.shared.name for row in rows}
        self._trainings: dict[str, str] = {}
        self._models: dict[tuple[str, str], str] = {}
        for row in rows:
            parts = [row.variant]
            parts += [row.shared.name] if len(recipes) > 1 else []
            parts += [f"seed {row.training['seed']}"] if len(seeds) > 1 else []
            label = ", ".join(parts)
            self._trainings.setdefault(row.key, label)
            self._models.setdefault((row.key, digest(row.inference)), label)

    def training(self, row: AblationRow) -> str:
        """Of the first row with this training."""
        return self._trainings[row.key]

    def model(self, row: AblationRow) -> str:
        """Of the first row with this training and these parts switched off."""
        return self._models[row.key, digest(row.inference)]


def _state(study: Study, row: AblationRow) -> RowState:
    facts = trained_facts(study.folder(row))
    if RETRIEVAL_WEIGHT in facts and study.starts_alike(row, facts):
        return "trained"
    return "interrupted" if (study.folder(row) / LOG).is_file() else "to do"


def _base_jobs(
    study: Study, row: AblationRow, labels: _Labels, cost: Estimates
) -> tuple[PlannedJob, ...]:
    """What must be done before a row can be measured at all."""
    jobs: list[PlannedJob] = []
    state = _state(study, row)
    if state != "trained":
        how = State.INTERRUPTED if state == "interrupted" else State.TO_DO
        work, name = partial(running.train_row, study, row), f"{labels.training(row)}: pre-train"
        done = last_logged(study.folder(row)).get("step", 0) / row.recipe.training.steps
        price = cost.training(row).part(1.0 - done)
        jobs.append(PlannedJob(name, work, (), how, price))
    if row.inference and RETRIEVAL_WEIGHT not in trained_facts(study.base(row)):
        needs = tuple(job.name for job in jobs)
        work = partial(running.switch_off, study, row)
        name = f"{labels.model(row)}: switch off"
        jobs.append(PlannedJob(name, work, needs, cost=cost.weighing(row)))
    return tuple(jobs)


def _cell_jobs(
    study: Study,
    row: AblationRow,
    column: GridColumn,
    label: str,
    base: Sequence[PlannedJob],
    cost: Estimates,
) -> tuple[PlannedJob, ...]:
    """The fine-tuning and the evaluation of a column that is not done."""
    needs = tuple(job.name for job in base)
    jobs: list[PlannedJob] = []
    folder = study.measured(row, column)
    if not column.zero_shot and not (folder / SUMMARY).is_file():
        begun = (folder / LOG).is_file()
        name = f"{label}: fine-tune {column.name}"
        work = partial(running.tune, study, row, column)
        state = State.INTERRUPTED if begun else State.TO_DO
        jobs.append(PlannedJob(name, work, needs, state, cost.tuning(row, column)))
        needs = (name,)
    begun = running.evaluation_folder(study, row, column).is_dir()
    measure = partial(running.evaluate, study, row, column)
    state = State.INTERRUPTED if begun else State.TO_DO
    name = f"{label}: evaluate {column.name}"
    return (*jobs, PlannedJob(name, measure, needs, state, cost.evaluation(row, column)))
