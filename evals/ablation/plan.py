"""Plan of an ablation: finished rows, and the cost of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evals import records
from evals.ablation.rows import AblationRow, same_row
from evals.datasets.suites import Suite
from evals.records import Record
from evals.retrieval.shortlist import most_pairs

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
    device: str = "auto"
    limit: int | None = None
    rerank: int | None = None

    def folder(self, row: AblationRow) -> Path:
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

    row: AblationRow
    record: Record | None
    state: Literal["done", "trained", "interrupted", "to do"]
    train_seconds: float | None
    evaluate_seconds: float | None
    basis: str


# Training and evaluation seconds of a row, judged by records of other rows, and the reason.
Cost = Callable[[AblationRow, Sequence[Record]], tuple[float | None, float | None, str]]


def finished(row: AblationRow, study: Study, found: Iterable[Record]) -> Record | None:
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


def make_plan(study: Study, rows: Sequence[AblationRow], cost: Cost) -> list[Planned]:
    """Find out which rows are done and estimate the others.

    Records are looked for in the runs folder and among those that come with the package.

    Args:
        study: what the rows share.
        rows: the trainings.
        cost: an `evals.ablation.plan.Estimator`.

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


# What a row of an ablation will cost: from rows that are done, or from one timed step.


class Estimator:
    """Estimates rows one after the other; what it counts and times for one serves the next."""

    def __init__(self, rerank: int | None = None) -> None:
        """Begin without having timed anything; `rerank` is the shortlist of the evaluation."""
        self._seconds_per_flop: float | None = None
        self._rerank = rerank

    def __call__(
        self, row: AblationRow, known: Sequence[Record]
    ) -> tuple[float | None, float | None, str]:
        """Seconds that a row's training and evaluation will take.

        Args:
            row: the training.
            known: records of finished rows, newest last. The most similar is scaled by the
                floating point operations of a step. Without any, a step of the first row is timed
                here, and the evaluation stays unknown.

        Returns:
            Training seconds, evaluation seconds or None, and what they rest on.
        """
        # Where every row is done the plan is shown without torch.
        from evals.ablation.cost import pair_flops, pair_seconds
        from unimo2.modeling.configuration import Unimo2Config
        from unimo2.training.pretraining import model_config

        training = row.recipe.training
        config = model_config(row.recipe, training.vocab_size)
        flops = pair_flops(config)
        pairs = training.steps * training.batch_size
        if not known:
            if self._seconds_per_flop is None:
                self._seconds_per_flop = pair_seconds(config, training.batch_size) / flops
            basis = "a training step timed here"
            if training.image_sets or training.text_sets:
                basis += ", of pairs alone"
            return pairs * flops * self._seconds_per_flop, None, basis
        record = _most_similar(row, known)
        done = record.protocol["training"]
        seconds = done["cost"]["seconds"] / (done["budget"] * done["config"]["batch_size"])
        other = Unimo2Config(**done["model"], vocab_size=done["config"]["vocab_size"])
        scale = flops / pair_flops(other)
        where = f"{record.variant} on {done['cost']['device']}"
        fused = _pairs(record, self._rerank) / _pairs(record, record.protocol.get("rerank"))
        return pairs * seconds * scale, record.seconds * scale * fused, where


def _pairs(record: Record, rerank: int | None) -> int:
    """Pairs that would be fused on the record's data."""
    images, captions = int(record.data["images"]), int(record.data["captions"])
    return images * captions if rerank is None else most_pairs(images, captions, rerank)


def _most_similar(row: AblationRow, known: Sequence[Record]) -> Record:
    """The record of the training that differs least; the newest of several."""

    def difference(record: Record) -> tuple[bool, bool, int, int]:
        own, other = row.training, record.protocol["training"]
        return (
            own["base"] != other["base"],
            own["grounding"] != other["grounding"],
            abs(own["K"] - other["K"]),
            abs(own["C"] - other["C"]),
        )

    return min(reversed(known), key=difference)
