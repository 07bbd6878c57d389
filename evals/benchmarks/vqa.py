"""VQA v2: questions about photos, scored by the official accuracy (`evals.metrics.vqa`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evals import prediction
from evals.benchmark import Outcome, Report, Request, SampleMetric
from evals.distributed import ALL, Share
from evals.metrics.bootstrap import by_label, grouping, means
from evals.metrics.ranking import RESAMPLES, Floats, Metric
from evals.metrics.vqa import accuracies
from evals.prediction import Work
from evals.samples import frame, subset_means
from evals.scoring import Scored, answered, missing_note
from evals.splits import Extent, fingerprint, first_items, known_split
from evals.suites import Suite
from unimo2.errors import BadData
from unimo2.files import write_text
from unimo2.formats.coco import image_file
from unimo2.formats.images import loaded
from unimo2.formats.parsing import first_few
from unimo2.formats.vqa import Annotation, Question, read_annotations, read_questions, read_results

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import Answerer, Model

__all__ = [
    "CAPABILITY",
    "SPLIT",
    "measure",
    "predict",
    "protocol",
    "read",
    "sample_metrics",
    "score",
]

CAPABILITY = "answerer"
SPLIT = "test-dev"
_CHUNK = 64  # questions; with those of an image together, some 12 images
_TYPES = ("answer_type", "question_type")


def protocol(model: Model, request: Request) -> dict[str, Any]:
    """How answers are measured: the record's "protocol"."""
    return {
        "task": "visual question answering",
        "zero_shot": request.zero_shot,
        "score": "official accuracy: min(1, k / 3), each annotator left out in turn",
        "padding": "none",
        "interval": f"percentile bootstrap over images, {RESAMPLES:,} resamples",
    }


def predict(
    model: Answerer,
    data: VqaData,
    request: Request,
    folder: Path,
    report: Report,
    share: Share = ALL,
) -> prediction.Store:
    """Answer the questions that are left, and keep the answers in `folder`."""
    work = Work.of(data.images, "questions", model.batch_size, _CHUNK)

    def answers(numbers: Sequence[int]) -> list[prediction.Prediction]:
        images = loaded([data.images[number] for number in numbers])
        texts = [data.questions[number].text for number in numbers]
        return [{"prediction": answer} for answer in model.answer(images, texts)]

    return prediction.predict(model, work, answers, folder, report, share)


def measure(
    model: Answerer, data: VqaData, request: Request, folder: Path, report: Report
) -> Outcome:
    """Answer all questions; score the answers where the truth is known.

    Args:
        model: Answers questions.
        data: From `read`.
        request: Gives the seed.
        folder: Keeps finished chunks, and receives the results file that the server takes.
        report: Called as the work goes on.

    Returns:
        Accuracies, none where the answers are the server's; one sample a question.
    """
    store = predict(model, data, request, folder, report)
    found = store.assemble()
    answers = [str(answer) for answer in found.column("prediction")]
    entries = [
        {"question_id": question.id, "answer": answer}
        for question, answer in zip(data.questions, answers, strict=True)
    ]
    name = f"vqa_OpenEnded_mscoco_{SPLITS[data.extent.split].subtype}_{model.name}_results.json"
    write_text(folder / name, json.dumps(entries, ensure_ascii=False))
    columns: dict[str, Sequence[Any]] = {
        "question_id": [question.id for question in data.questions],
        "image_id": [question.image_id for question in data.questions],
    }
    results: dict[str, Metric] = {}
    notes = [f"{name} in the run folder is what the evaluation server takes"]
    if data.truth is None:
        notes.append(
            f"the answers of {data.extent.split} are on the evaluation server: there is no accuracy"
        )
        samples = frame(columns, answers)
    else:
        truth = [data.truth[question.id] for question in data.questions]
        values = accuracies(answers, truth)
        results = metrics(values, truth, columns["image_id"], request.seed)
        columns |= {kind: [getattr(one, kind) for one in truth] for kind in _TYPES}
        samples = frame(columns, answers, [one.most_common for one in truth], values)
    return prediction.outcome(store, found, results, samples, "questions", notes)


def sample_metrics(samples: pd.DataFrame) -> dict[str, SampleMetric]:
    """The accuracies of a run's samples, for paired comparisons; none without known answers."""
    return subset_means(samples, "question_id", "image_id", _TYPES)


def metrics(
    values: Floats, annotations: Sequence[Annotation], images: Sequence[int], seed: int
) -> dict[str, Metric]:
    """Accuracy overall, by answer type and by question type, in percent.

    Args:
        values: `[questions]`, from `accuracies`.
        annotations: `[questions]`.
        images: `[questions]`, the image of each; its questions are resampled together.
        seed: Of the bootstrap.

    Returns:
        "accuracy", "accuracy[answer_type=...]" and "accuracy[question_type=...]".
    """
    subsets = {
        "accuracy": np.ones(len(values), dtype=np.bool_),
        **by_label("answer_type", [annotation.answer_type for annotation in annotations]),
        **by_label("question_type", [annotation.question_type for annotation in annotations]),
    }
    return means(values, subsets, grouping(images), seed)


def score(
    results: Path,
    questions: Sequence[Path],
    annotations: Sequence[Path],
    allow_missing: bool = False,
    seed: int = 0,
) -> Scored:
    """Score somebody's answers.

    Args:
        results: JSON as the evaluation server takes it.
        questions: Question files.
        annotations: Annotation files of those questions.
        allow_missing: Score the questions that are answered.
        seed: Of the bootstrap.

    Returns:
        The metrics.

    Raises:
        MissingData: A file is not there.
        BadData: A broken file; questions and annotations that do not belong together; a question
            that is unknown or not answered.
    """
    asked = {question.id: question for question in read_questions(questions)}
    truth = {annotation.question_id: annotation for annotation in read_annotations(annotations)}
    _require_same(asked, truth)
    given = read_results(results)
    chosen = answered(given, list(truth), "questions", allow_missing)
    kept = [truth[key] for key in chosen]
    values = accuracies([given[key] for key in chosen], kept)
    return Scored(
        metrics=metrics(values, kept, [asked[key].image_id for key in chosen], seed),
        missing=len(truth) - len(chosen),
        notes=missing_note(len(chosen), len(truth), "questions"),
    )


def _require_same(asked: Mapping[int, Question], truth: Mapping[int, Annotation]) -> None:
    """Refuse questions and annotations of different files."""
    if not truth:
        raise BadData("the annotation files hold no annotations")
    for name, keys, others in (
        ("annotations have no question", truth, asked),
        ("questions have no annotation", asked, truth),
    ):
        lonely = [key for key in keys if key not in others]
        if lonely:
            raise BadData(
                f"{len(lonely):,} {name} in the files given: {first_few(lonely)}; give question "
                "and annotation files of the same splits"
            )
    for key, annotation in truth.items():
        if annotation.image_id not in (None, asked[key].image_id):
            raise BadData(
                f"question {key} is about image {asked[key].image_id}, its annotation about "
                f"{annotation.image_id}"
            )


# VQA v2 from its official files: questions, images, and answers where somebody has them.


@dataclass(frozen=True)
class Files:
    """Where a split lies.

    Attributes:
        questions: File of the questions.
        answers: File of the annotations; of a test split, what the evaluation server holds.
        hidden: The answers are the server's, and usually not there.
        images: COCO's folder, which is part of every image's name.
        subtype: What the server calls the split in names of result files.
    """

    questions: str
    answers: str
    hidden: bool
    images: str
    subtype: str


def _public(images: str) -> Files:
    return Files(
        f"vqa/v2_OpenEnded_mscoco_{images}_questions.json",
        f"vqa/v2_mscoco_{images}_annotations.json",
        False,
        images,
        images,
    )


def _hidden(subtype: str) -> Files:
    return Files(
        f"vqa/v2_OpenEnded_mscoco_{subtype}_questions.json",
        f"vqa/server/v2_mscoco_{subtype}_annotations.json",
        True,
        "test2015",
        subtype,
    )


SPLITS: Mapping[str, Files] = {
    "train": _public("train2014"),
    "val": _public("val2014"),
    "test-dev": _hidden("test-dev2015"),
    "test-std": _hidden("test2015"),
}


@dataclass(frozen=True)
class VqaData:
    """Questions of one split.

    Attributes:
        questions: In the order of their file.
        images: `[questions]`, the image file of each.
        truth: Annotation by question; None where the answers are the server's secret.
        extent: How many, of what.
        fingerprint: sha256 of questions, answers and images.
    """

    questions: tuple[Question, ...]
    images: tuple[Path, ...]
    truth: Mapping[int, Annotation] | None
    extent: Extent
    fingerprint: str

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return self.extent.summary(self.fingerprint)

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        return self.extent.notes()


def read(suite: Suite, request: Request) -> VqaData:
    """Read one split and make sure that all its image files are there.

    Args:
        suite: The data root.
        request: Gives the split and the limit.

    Returns:
        The data.

    Raises:
        MissingData: A file is not there.
        BadData: A broken file, or a question without annotation where the answers are public.
        UsageError: A limit below 1, an unknown split.
    """
    known_split(request.split, SPLITS, "VQA")
    files = SPLITS[request.split]
    everything = read_questions([suite.root / files.questions])
    if not everything:
        raise BadData(f"{suite.root / files.questions}: no questions")
    questions = first_items(everything, request.limit, "questions")
    images = tuple(image_file(suite.root, files.images, one.image_id) for one in questions)
    truth = _truth(suite.root / files.answers, files.hidden, questions)
    return VqaData(
        questions=questions,
        images=images,
        truth=truth,
        extent=Extent.of(
            suite,
            "vqa",
            (request.split,),
            "questions",
            len(questions),
            len(everything),
            len(set(images)),
        ),
        fingerprint=fingerprint(request.split, _lines(questions, truth), images),
    )


def _truth(
    path: Path, hidden: bool, questions: tuple[Question, ...]
) -> dict[int, Annotation] | None:
    if hidden and not path.is_file():
        return None
    annotations = {one.question_id: one for one in read_annotations([path])}
    lonely = [question.id for question in questions if question.id not in annotations]
    if lonely:
        raise BadData(f"{path}: {len(lonely):,} questions without annotation: {first_few(lonely)}")
    return {question.id: annotations[question.id] for question in questions}


def _lines(questions: tuple[Question, ...], truth: Mapping[int, Annotation] | None) -> list[Any]:
    """What the fingerprint is taken of."""
    return [
        [
            question.id,
            question.image_id,
            question.text,
            None if truth is None else [answer.text for answer in truth[question.id].answers],
        ]
        for question in questions
    ]
