"""GLUE: rows of the official files, labels or numbers, metrics and submissions.

The split "dev" or "test" of MNLI is both files of theirs; "accuracy" is then over the rows of both, and
"accuracy[matched]" and "accuracy[mismatched]" are the two figures that papers print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import numpy as np

from evals.benchmark import ItemMetric, Request, SampleMetric, Scored
from evals.datasets.suites import Suite
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
from evals.metrics.ranking import Metric
from evals.prediction import ItemBenchmark, Predict, Prediction, Predictions, Results
from evals.samples import (
    answered,
    columns_of,
    frame,
    guesses,
    scored,
    subset_means,
    unlabelled_notes,
)
from evals.splits import SplitData, SplitInfo, contents_of, fingerprint, first_items
from unimo2.errors import BadData, IncompatibleModel
from unimo2.files import write_text
from unimo2.formats.glue import TASKS, GlueExample, read_predictions, read_rows_of
from unimo2.formats.layout import GlueFiles

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import TextClassifier

_SUBMISSION = "index\tprediction\n"


@dataclass(frozen=True)
class GlueFile:
    """One file of a split.

    Attributes:
        name: Of the file without its ending, and in the data catalogue: "dev_matched".
        label: What tells it from the split's other files: "matched"; "" if there are none.
        submission: The file that the GLUE server takes; None where the labels are public.
    """

    name: str
    label: str = ""
    submission: str | None = None


@dataclass(frozen=True)
class GlueData(SplitData):
    """Rows of one split.

    Attributes:
        rows: With their part, in the order of the files; those without a majority are left out.
        hidden: The split's labels are the server's.
        unlabelled: Rows that are left out.
    """

    rows: tuple[tuple[GlueFile, GlueExample], ...]
    hidden: bool
    unlabelled: int

    def notes(self) -> list[str]:
        """Notes about the data."""
        return [*super().notes(), *unlabelled_notes(self.unlabelled, "rows")]


class Glue(ItemBenchmark):
    """A task of GLUE; the labels of test rows are on GLUE's server.

    Attributes:
        folder: Below `glue/`.
        parts: Files of each split.
        metric: What the record says is measured.
        other_names: By label, what else models call it.
    """

    capabilities = ("text_classifier",)
    default_split = "dev"
    dev_split = "dev"
    main_metric = "accuracy"
    resampled = "rows"
    unit = "rows"
    chunk = 256
    folder: ClassVar[str]
    parts: ClassVar[Mapping[str, tuple[GlueFile, ...]]]
    metric: ClassVar[str] = "accuracy"
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {}

    def files(self, split: str) -> Sequence[Path]:
        """The files of a split, below the data root."""
        at = GlueFiles(Path())
        return tuple(at.rows(self.name, part.name) for part in self.parts[split])

    def details(self, model: TextClassifier, request: Request) -> dict[str, Any]:
        """Protocol of the task; IncompatibleModel for other classes."""
        self._columns(model)
        pair = len(TASKS[self.name].sentences) > 1
        return {
            "score": self.metric,
            "text": "both sentences, as the tokenizer joins a pair" if pair else "the sentence",
            "padding": "none",
        }

    def read(self, suite: Suite, request: Request) -> GlueData:
        """Read one split; the limit is one of rows of each of the split's files."""
        self.require_split(request.split)
        parts = self.parts[request.split]
        hidden = any(part.submission is not None for part in parts)
        chosen: list[tuple[GlueFile, GlueExample]] = []
        available = 0
        for part, file in zip(parts, self.files(request.split), strict=True):
            rows = read_rows_of(self.name, suite.root / file)
            available += len(rows)
            chosen += [(part, row) for row in first_items(rows, request.limit, "rows")]
        kept = [(part, row) for part, row in chosen if hidden or row.target is not None]
        if not kept:
            names = ", ".join(f"{part.name}.tsv" for part in parts)
            raise BadData(f"glue/{self.folder}/{names}: no row has a label")
        lines = [[part.name, row.index, row.sentences, row.target] for part, row in kept]
        splits = (request.split, *(part.name for part in parts))
        return GlueData(
            extent=SplitInfo.of(suite, self.dataset, splits, self.unit, len(chosen), available),
            fingerprint=fingerprint(request.split, lines),
            contents=contents_of([row.sentences for _, row in kept]),
            rows=tuple(kept),
            hidden=hidden,
            unlabelled=len(chosen) - len(kept),
        )

    def groups(self, data: GlueData) -> Sequence[int]:
        """Rows of about one length together: fewer lengths in a call make fuller batches."""
        return [sum(map(len, row.sentences)) // 4 for _, row in data.rows]

    def predictor(self, model: TextClassifier, data: GlueData, request: Request) -> Predict:
        """Classifies rows."""
        columns = self._columns(model)

        def predictions(numbers: Sequence[int]) -> list[Prediction]:
            sentences = [data.rows[number][1].sentences for number in numbers]
            pairs = len(sentences[0]) > 1
            logits = model.classify_texts(
                [row[0] for row in sentences], [row[1] for row in sentences] if pairs else None
            )
            if columns is not None:
                return guesses(logits, columns)
            return [{"prediction": float(value), "logit": float(value)} for value in logits[:, 0]]

        return predictions

    def results(
        self, model: Any, data: GlueData, found: Predictions, request: Request, folder: Path
    ) -> Results:
        """The task's metrics, none where the labels are the server's; one sample per row."""
        given = found.column("prediction")
        columns: dict[str, Sequence[Any]] = {
            "id": [f"{part.label or 'row'}/{row.index}" for part, row in data.rows],
            "part": [part.label for part, _ in data.rows],
            "index": [row.index for _, row in data.rows],
            "logit": found.column("logit"),
        }
        if data.hidden:
            names = _write_submissions(data, given, folder)
            note = (
                f"{' and '.join(names)} in the run folder {'are' if len(names) > 1 else 'is'} what "
                "the GLUE server takes; the labels are there, so there is no score"
            )
            return Results({}, frame(columns, given), [note])
        targets = [row.target for _, row in data.rows]
        results = self._metrics(given, targets, columns["part"], request.seed)
        samples = frame(columns, given, targets, self._scores(given, targets))
        notes = [
            f"the {name} correlation is undefined, because all values of one side are the same; it "
            "counts as 0"
            for name, metric in results.items()
            if metric.ci95 == (0.0, 0.0) and metric.value == 0.0 and name != "accuracy"
        ]
        return Results(results, samples, notes)

    def sample_metrics(self, samples: pd.DataFrame) -> Mapping[str, SampleMetric | ItemMetric]:
        """The metrics of a run's samples, for paired comparisons."""
        if samples["score"].isna().any():
            return {}
        ids = samples["id"].to_numpy()
        if TASKS[self.name].labels is None:
            given, truth = (samples[name].to_numpy(float) for name in ("prediction", "target"))
            moments = pearson_moments(given, truth)
            return {
                "pearson": SampleMetric(ids, ids, moments, lambda sums: 100.0 * pearson_of(sums)),
                "spearman": ItemMetric(ids, given, truth, lambda *of: 100.0 * spearman_of(*of)),
            }
        if self.name == "cola":
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
        labels = TASKS[self.name].labels
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
        if TASKS[self.name].labels is None and not (_varies(given) and _varies(targets)):
            nothing = Metric(0.0, len(given), (0.0, 0.0), 0.0, True)
            return {"pearson": nothing, "spearman": nothing}
        results = metrics(self.name, given, targets, seed)
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
        """Score of each prediction: right or not; for numbers the negative error."""
        if TASKS[self.name].labels is None:
            return -np.abs(np.array(given, dtype=float) - np.array(targets, dtype=float))
        return np.array([a == b for a, b in zip(given, targets, strict=True)], dtype=float)

    def score(
        self,
        predictions: Annotated[Path, "TSV: index<TAB>prediction."],
        annotations: Annotated[Path, "dev.tsv as GLUE distributes it."],
        allow_missing: bool = False,
        seed: int = 0,
    ) -> Scored:
        """Score a file of predictions.

        Args:
            predictions: A TSV file `index<TAB>prediction`, as GLUE submissions.
            annotations: The development file as GLUE distributes it.
            allow_missing: Score the rows that have a prediction.
            seed: Seed of the bootstrap.

        Returns:
            The metrics.

        Raises:
            MissingData: A file is not there.
            BadData: A broken file, a file without targets, an index that is unknown or not
                predicted.
        """
        rows = read_rows_of(self.name, annotations)
        targets = {row.index: row.target for row in rows if row.target is not None}
        untold = [row.index for row in rows if row.target is None]
        if not targets:
            raise BadData(f"{annotations}: no row has a label; a test file cannot be scored here")
        given = read_predictions(self.name, predictions)
        chosen = answered(given, list(targets), "rows", allow_missing, ignored=untold)
        pairs = [given[index] for index in chosen], [targets[index] for index in chosen]
        notes = unlabelled_notes(len(untold), "rows")
        return scored(metrics(self.name, *pairs, seed), chosen, targets, "rows", notes)


def _files(name: str) -> dict[str, tuple[GlueFile, ...]]:
    """The files of a task that has one for each split."""
    return {
        "train": (GlueFile("train"),),
        "dev": (GlueFile("dev"),),
        "test": (GlueFile("test", submission=f"{name}.tsv"),),
    }


class Sst2(Glue):
    """SST-2: accuracy."""

    name = dataset = "sst2"
    title = folder = "SST-2"
    task = "GLUE SST-2"
    parts = _files("SST-2")
    splits = tuple(parts)
    other_names = TASKS["sst2"].other_names


class Mnli(Glue):
    """MNLI: accuracy, matched and mismatched."""

    name = dataset = "mnli"
    title = folder = "MNLI"
    task = "GLUE MNLI"
    dev_split = "dev_matched"
    _dev = (GlueFile("dev_matched", "matched"), GlueFile("dev_mismatched", "mismatched"))
    _test = (
        GlueFile("test_matched", "matched", "MNLI-m.tsv"),
        GlueFile("test_mismatched", "mismatched", "MNLI-mm.tsv"),
    )
    parts = {
        "train": (GlueFile("train"),),
        "dev": _dev,
        "dev_matched": _dev[:1],
        "dev_mismatched": _dev[1:],
        "test": _test,
        "test_matched": _test[:1],
        "test_mismatched": _test[1:],
    }
    splits = tuple(parts)


class Cola(Glue):
    """CoLA: Matthews correlation."""

    name = dataset = "cola"
    title = folder = "CoLA"
    task = "GLUE CoLA"
    parts = _files("CoLA")
    splits = tuple(parts)
    metric = "Matthews correlation"
    main_metric = "matthews"
    other_names = TASKS["cola"].other_names


class Stsb(Glue):
    """STS-B: Pearson and Spearman correlation."""

    name = dataset = "stsb"
    title = folder = "STS-B"
    task = "GLUE STS-B"
    parts = _files("STS-B")
    splits = tuple(parts)
    metric = "Pearson and Spearman correlation"
    main_metric = "pearson"


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


def metrics(
    task: str, predictions: Sequence[str | float], targets: Sequence[str | float], seed: int
) -> dict[str, Metric]:
    """The metrics of a task, in percent.

    Args:
        task: "sst2", "mnli", "cola" or "stsb".
        predictions: `[items]`, labels as written in the files, or scores.
        targets: `[items]`.
        seed: Seed of the bootstrap over items.

    Returns:
        "accuracy"; for CoLA "matthews"; for STS-B "pearson" and "spearman".

    Raises:
        BadData: A correlation with values that are all the same.
    """
    labels = TASKS[task].labels
    if labels is None:
        given, truth = np.array(predictions, dtype=float), np.array(targets, dtype=float)
        return {"pearson": pearson(given, truth, seed), "spearman": spearman(given, truth, seed)}
    classes = {label: number for number, label in enumerate(labels)}
    guessed = np.array([classes[str(label)] for label in predictions])
    right = np.array([classes[str(label)] for label in targets])
    if task == "cola":
        return {"matthews": matthews(guessed, right, seed)}
    whole = {"accuracy": np.ones(len(right), dtype=np.bool_)}
    hits = (guessed == right).astype(np.float64)
    return means(hits, whole, np.arange(len(right)), seed, chance=1 / len(labels))
