"""Which rows of an ablation are done, and what the others will cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evals import records
from evals.ablation.rows import Row, same_row
from evals.records import Record
from evals.suites import Suite

BENCHMARK = "flickr"
TRAINED = "trained.json"  # in a row's folder, once its training is complete


@dataclass(frozen=True)
class Study:
    """What all rows of an ablation share beside their recipe.

    Attributes:
        suite: the data.
        output: the runs folder.
        device: "auto", "cpu" or "cuda".
        limit: evaluate on the first images only; None for the whole test split.
        rerank: K of the shortlist by contrastive score whose pairs alone are fused; None to fuse
            every image with every caption. Rows of different protocols are different rows.
    """

    suite: Suite
    output: Path
    device: Literal["auto", "cpu", "cuda"] = "auto"
    limit: int | None = None
    rerank: int | None = None

    def folder(self, row: Row) -> Path:
        """Where a row is trained; one folder a training, so that nothing else resumes there.

        A row of the same training under another name may have been there first.
        """
        home = self.output / "ablation" / self.suite.name
        return next(iter(sorted(home.glob(f"*-{row.key}"))), home / f"{row.variant}-{row.key}")


@dataclass(frozen=True)
class Planned:
    """One row of a plan.

    Attributes:
        row: the training.
        record: of the finished row, or None.
        state: "done", "trained" (to be evaluated), "interrupted" or "to do".
        train_seconds: estimated training time of what is not done; None where nothing is known.
        evaluate_seconds: the same of the evaluation.
        basis: what the estimate rests on.
    """

    row: Row
    record: Record | None
    state: Literal["done", "trained", "interrupted", "to do"]
    train_seconds: float | None
    evaluate_seconds: float | None
    basis: str


# Training and evaluation seconds of a row, judged by records of other rows, and the reason.
Cost = Callable[[Row, Sequence[Record]], tuple[float | None, float | None, str]]


def finished(row: Row, study: Study, found: Iterable[Record]) -> Record | None:
    """The newest record of exactly this training and evaluation, or None.

    Args:
        row: the training.
        study: gives the suite and the limit.
        found: records, newest last.
    """
    matches = [
        record
        for record in found
        if record.suite == study.suite.name
        and record.benchmark == BENCHMARK
        and record.protocol.get("limit") == study.limit
        and record.protocol.get("rerank") == study.rerank
        and same_row(record, row)
    ]
    return matches[-1] if matches else None


def make_plan(study: Study, rows: Sequence[Row], cost: Cost) -> list[Planned]:
    """Find out which rows are done and estimate the others.

    Records are looked for in the runs folder and among those that come with the package.

    Args:
        study: what the rows share.
        rows: the trainings.
        cost: an `evals.ablation.cost.Estimator`.

    Raises:
        BadData: a record that cannot be read.
    """
    found = records.find([records.MEASURED, study.output], study.suite.name, BENCHMARK)
    known = [record for record in found if record.protocol.get("training")]
    plan: list[Planned] = []
    trained: set[str] = set()  # by rows that come before
    for row in rows:
        record = finished(row, study, known)
        training, evaluation, basis = (0.0, 0.0, "") if record else cost(row, known)
        folder = study.folder(row)
        if row.key in trained:
            training = 0.0
        if record is not None:
            planned = Planned(row, record, "done", training, evaluation, basis)
        elif (folder / TRAINED).is_file():
            planned = Planned(row, None, "trained", 0.0, evaluation, basis)
        else:
            state: Literal["interrupted", "to do"]
            state = "interrupted" if (folder / "log.jsonl").is_file() else "to do"
            planned = Planned(row, None, state, training, evaluation, basis)
        if record is None:
            trained.add(row.key)
        plan.append(planned)
    return plan
