"""GLUE tasks as benchmarks: rows of the official files -> labels or numbers -> metrics, submissions.

`evals/benchmarks/sst2.py` and its neighbours are the benchmarks; each is a `GlueBenchmark`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evals import prediction as items
from evals.benchmark import ItemMetric, Outcome, Report, Request, SampleMetric
from evals.distributed import ALL, Share
from evals.metrics.bootstrap import means
from evals.metrics.correlation import (
    matthews,
    matthews_of,
    matthews_table,
    pearson,
    pearson_moments,
    pearson_of,
    spearman,
    spearman_of,
)
from evals.metrics.ranking import RESAMPLES, Metric
from evals.prediction import Work
from evals.samples import columns_of, frame, guesses, subset_means
from evals.scoring import Scored, answered, missing_note
from evals.splits import Extent, fingerprint, first_items, known_split
from evals.suites import Suite
from unimo2.errors import BadData, IncompatibleModel
from unimo2.files import write_text
from unimo2.formats.glue import TASKS, Row, read_predictions, read_rows_of

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import Model, TextClassifier

CAPABILITY = "text_classifier"
DEV = "dev"  # labels of test rows are on GLUE's server
_CHUNK = 256
_SUBMISSION = "index\tprediction\n"


@dataclass(frozen=True)
class Part:
    """One file of a split.

    Attributes:
        name: What the data catalogue calls it, for example "dev_matched".
        file: The file's name.
        label: What tells it from the split's other files: "matched"; "" if there are none.
        submission: The file that the GLUE server takes; None where the labels are public.
    """

    name: str
    file: str
    label: str = ""
    submission: str | None = None


@dataclass(frozen=True)
class GlueData:
    """Rows of one split.

    Attributes:
        rows: With their part, in the order of the files; those without a majority are left out.
        hidden: The split's labels are the server's.
        unlabelled: Rows that are left out.
        extent: How many.
        fingerprint: sha256 of sentences and targets.
    """

    rows: tuple[tuple[Part, Row], ...]
    hidden: bool
    unlabelled: int
    extent: Extent
    fingerprint: str

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return self.extent.summary(self.fingerprint)

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        left_out = f"{self.unlabelled:,} rows without a majority label ('-') are left out"
        return [*self.extent.notes(), *([left_out] if self.unlabelled else [])]


@dataclass(frozen=True)
class GlueBenchmark:
    """A task of GLUE; its methods are the members of a benchmark module.

    Attributes:
        task: Key of `unimo2.formats.glue.TASKS`.
        folder: Below `glue/`.
        splits: Files of each split.
        score: What the record says is measured.
        other_names: By label, what else models call it.
    """

    task: str
    folder: str
    splits: Mapping[str, tuple[Part, ...]]
    score: str
    other_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def protocol(self, model: Model, request: Request) -> dict[str, Any]:
        """How the task is measured: the record's "protocol"; IncompatibleModel for other classes."""
        self._columns(cast("TextClassifier", model))
        pair = len(TASKS[self.task].sentences) > 1
        return {
            "task": f"GLUE {self.folder}",
            "zero_shot": request.zero_shot,
            "score": self.score,
            "text": "both sentences, as the tokenizer joins a pair" if pair else "the sentence",
            "padding": "none",
            "interval": f"percentile bootstrap over rows, {RESAMPLES:,} resamples",
        }

    def read(self, suite: Suite, request: Request) -> GlueData:
        """Read one split.

        Args:
            suite: The data root.
            request: Gives the split and the limit (rows of each of the split's files).

        Returns:
            The data.

        Raises:
            MissingData: A file is not there.
            BadData: A broken file; no row with a label where labels are public.
            UsageError: A limit below 1, an unknown split.
        """
        known_split(request.split, self.splits, self.folder)
        parts = self.splits[request.split]
        hidden = any(part.submission is not None for part in parts)
        chosen: list[tuple[Part, Row]] = []
        available = 0
        for part in parts:
            rows = read_rows_of(self.task, suite.root / "glue" / self.folder / part.file)
            available += len(rows)
            chosen += [(part, row) for row in first_items(rows, request.limit, "rows")]
        kept = [(part, row) for part, row in chosen if hidden or row.target is not None]
        if not kept:
            names = ", ".join(part.file for part in parts)
            raise BadData(f"glue/{self.folder}/{names}: no row has a label")
        lines = [[part.name, row.index, row.sentences, row.target] for part, row in kept]
        splits = (request.split, *(part.name for part in parts))
        return GlueData(
            rows=tuple(kept),
            hidden=hidden,
            unlabelled=len(chosen) - len(kept),
            extent=Extent.of(suite, self.task, splits, "rows", len(chosen), available),
            fingerprint=fingerprint(request.split, lines),
        )

    def predict(
        self,
        model: TextClassifier,
        data: GlueData,
        request: Request,
        folder: Path,
        report: Report,
        share: Share = ALL,
    ) -> items.Store:
        """Classify the rows that are left, and keep the predictions in `folder`."""
        # Rows of about one length together: the fewer lengths a call has, the fuller its batches.
        lengths = [sum(map(len, row.sentences)) // 4 for _, row in data.rows]
        columns = self._columns(model)

        def predictions(numbers: Sequence[int]) -> list[items.Prediction]:
            sentences = [data.rows[number][1].sentences for number in numbers]
            pairs = len(sentences[0]) > 1
            logits = model.classify_texts(
                [row[0] for row in sentences], [row[1] for row in sentences] if pairs else None
            )
            if columns is not None:
                return guesses(logits, columns)
            return [{"prediction": float(value), "logit": float(value)} for value in logits[:, 0]]

        work = Work.of(lengths, "rows", model.batch_size, _CHUNK)
        return items.predict(model, work, predictions, folder, report, share)

    def measure(
        self, model: TextClassifier, data: GlueData, request: Request, folder: Path, report: Report
    ) -> Outcome:
        """Classify all rows; compute the metrics where the labels are known.

        Args:
            model: Classifies texts.
            data: From `read`.
            request: Gives the seed.
            folder: Keeps finished chunks, and receives the files that the GLUE server takes.
            report: Called as the work goes on.

        Returns:
            The task's metrics, none where the labels are the server's; one sample a row.
        """
        store = self.predict(model, data, request, folder, report)
        found = store.assemble()
        given = found.column("prediction")
        columns: dict[str, Sequence[Any]] = {
            "id": [f"{part.label or 'row'}/{row.index}" for part, row in data.rows],
            "part": [part.label for part, _ in data.rows],
            "index": [row.index for _, row in data.rows],
            "logit": found.column("logit"),
        }
        if data.hidden:
            names = _write_submissions(data, given, folder)
            notes = [
                f"{' and '.join(names)} in the run folder {'are' if len(names) > 1 else 'is'} what "
                "the GLUE server takes; the labels are there, so there is no score"
            ]
            return items.outcome(store, found, {}, frame(columns, given), "rows", notes)
        targets = [row.target for _, row in data.rows]
        results = self._metrics(given, targets, columns["part"], request.seed)
        samples = frame(columns, given, targets, self._scores(given, targets))
        notes = [
            f"the {name} correlation is undefined, because all values of one side are the same; it "
            "counts as 0"
            for name, metric in results.items()
            if metric.ci95 == (0.0, 0.0) and metric.value == 0.0 and name != "accuracy"
        ]
        return items.outcome(store, found, results, samples, "rows", notes)

    def sample_metrics(self, samples: pd.DataFrame) -> Mapping[str, SampleMetric | ItemMetric]:
        """The metrics of a run's samples, for paired comparisons."""
        if samples["score"].isna().any():
            return {}
        ids = samples["id"].to_numpy()
        if TASKS[self.task].labels is None:
            given, truth = (samples[name].to_numpy(float) for name in ("prediction", "target"))
            moments = pearson_moments(given, truth)
            return {
                "pearson": SampleMetric(ids, ids, moments, lambda sums: 100.0 * pearson_of(sums)),
                "spearman": ItemMetric(ids, given, truth, lambda *of: 100.0 * spearman_of(*of)),
            }
        if self.task == "cola":
            given, truth = (samples[name].to_numpy(int) for name in ("prediction", "target"))
            table = matthews_table(given, truth)
            return {
                "matthews": SampleMetric(ids, ids, table, lambda sums: 100.0 * matthews_of(sums))
            }
        parts = samples["part"].ne("").any()
        found = subset_means(samples, "id", "id", ("part",) if parts else ())
        return {name.replace("part=", ""): metric for name, metric in found.items()}

    def _columns(self, model: TextClassifier) -> list[str] | None:
        """Labels of the model's columns; None for a number."""
        labels = TASKS[self.task].labels
        if labels is not None:
            named = {label: self.other_names.get(label, ()) for label in labels}
            return columns_of(model.name, model.text_classes, named)
        if len(model.text_classes) != 1:
            raise IncompatibleModel(
                f"model '{model.name}' has {len(model.text_classes)} classes; {self.folder} needs "
                "one number"
            )
        return None

    def _metrics(
        self, given: Sequence[Any], targets: Sequence[Any], parts: Sequence[str], seed: int
    ) -> dict[str, Metric]:
        """The task's metrics, of several files also apart."""
        if TASKS[self.task].labels is None and not (_varies(given) and _varies(targets)):
            nothing = Metric(0.0, len(given), (0.0, 0.0), 0.0, True)
            return {"pearson": nothing, "spearman": nothing}
        results = metrics(self.task, given, targets, seed)
        if "accuracy" in results and any(parts):
            chance = cast(float, results["accuracy"].chance) / 100.0
            hits = self._scores(given, targets)
            subsets = {
                f"accuracy[{label}]": np.array([part == label for part in parts])
                for label in dict.fromkeys(parts)
            }
            results.update(means(hits, subsets, np.arange(len(hits)), seed, chance))
        return results

    def _scores(self, given: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        """What each prediction is worth: right or not; of numbers the error, below 0."""
        if TASKS[self.task].labels is None:
            return -np.abs(np.array(given, dtype=float) - np.array(targets, dtype=float))
        return np.array([a == b for a, b in zip(given, targets, strict=True)], dtype=float)


def _varies(values: Sequence[Any]) -> bool:
    return len(set(values)) > 1


def _write_submissions(data: GlueData, given: Sequence[Any], folder: Path) -> list[str]:
    """Write `index<TAB>prediction`, one file for each of the split's."""
    lines: dict[str, list[str]] = {}
    for (part, row), prediction in zip(data.rows, given, strict=True):
        value = f"{prediction:.6f}" if isinstance(prediction, float) else str(prediction)
        lines.setdefault(str(part.submission), []).append(f"{row.index}\t{value}\n")
    for name, rows in lines.items():
        write_text(folder / name, _SUBMISSION + "".join(rows))
    return list(lines)


# GLUE: accuracy of SST-2 and MNLI, Matthews correlation of CoLA, Pearson and Spearman of STS-B.


def metrics(
    task: str, predictions: Sequence[str | float], targets: Sequence[str | float], seed: int
) -> dict[str, Metric]:
    """The metrics of a task, in percent.

    Args:
        task: "sst2", "mnli", "cola" or "stsb".
        predictions: `[items]`, labels as written in the files, or scores.
        targets: `[items]`.
        seed: Of the bootstrap over items.

    Returns:
        "accuracy"; for CoLA "matthews"; for STS-B "pearson" and "spearman".

    Raises:
        BadData: A correlation with values that are all the same.
    """
    labels = TASKS[task].labels
    if labels is None:
        given, truth = np.array(predictions, dtype=float), np.array(targets, dtype=float)
        return {
            "pearson": pearson(given, truth, seed),
            "spearman": spearman(given, truth, seed),
        }
    classes = {label: number for number, label in enumerate(labels)}
    guessed = np.array([classes[str(label)] for label in predictions])
    right = np.array([classes[str(label)] for label in targets])
    if task == "cola":
        return {"matthews": matthews(guessed, right, seed)}
    whole = {"accuracy": np.ones(len(right), dtype=np.bool_)}
    hits = (guessed == right).astype(np.float64)
    return means(hits, whole, np.arange(len(right)), seed, chance=1 / len(labels))


def score(
    task: str,
    predictions: Path,
    annotations: Path,
    allow_missing: bool = False,
    seed: int = 0,
) -> Scored:
    """Score somebody's predictions.

    Args:
        task: "sst2", "mnli", "cola" or "stsb".
        predictions: A TSV file `index<TAB>prediction`, as GLUE submissions.
        annotations: The development file as GLUE distributes it.
        allow_missing: Score the rows that have a prediction.
        seed: Of the bootstrap.

    Returns:
        The metrics.

    Raises:
        MissingData: A file is not there.
        BadData: A broken file, a file without targets, an index that is unknown or not predicted.
    """
    rows = read_rows_of(task, annotations)
    targets = {row.index: row.target for row in rows if row.target is not None}
    untold = [row.index for row in rows if row.target is None]
    if not targets:
        raise BadData(f"{annotations}: no row has a label; a test file cannot be scored here")
    given = read_predictions(task, predictions)
    chosen = answered(given, list(targets), "rows", allow_missing, ignored=untold)
    left_out = f"{len(untold):,} rows without a majority label ('-') are left out"
    return Scored(
        metrics=metrics(task, [given[i] for i in chosen], [targets[i] for i in chosen], seed),
        missing=len(targets) - len(chosen),
        notes=(
            *missing_note(len(chosen), len(targets), "rows"),
            *([left_out] if untold else []),
        ),
    )
