"""VQA v2: questions about photos, scored by the official accuracy (`evals.metrics.vqa`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from evals.benchmark import ImageOptions, Request, SampleMetric, Scored
from evals.datasets.suites import Suite
from evals.metrics.bootstrap import by_label, grouping, means
from evals.metrics.ranking import Floats, Metric
from evals.metrics.vqa import accuracies, ceilings
from evals.prediction import ItemBenchmark, Predict, Prediction, Predictions, Results
from evals.samples import answered, frame, scored, subset_means
from evals.splits import SplitData, SplitInfo, contents_of, fingerprint, first_items
from unimo2.errors import BadData
from unimo2.files import write_text
from unimo2.formats.images import loaded
from unimo2.formats.layout import VqaFiles
from unimo2.formats.parsing import first_few
from unimo2.formats.vqa import Annotation, Question, read_annotations, read_questions, read_results
from zoo.protocols import Answering

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import Answerer

CEILING = "accuracy[best of the vocabulary]"
_TYPES = ("answer_type", "question_type")


@dataclass(frozen=True)
class VqaData(SplitData):
    """Questions of one split.

    Attributes:
        questions: In the order of their file.
        images: `[questions]`, the image file of each.
        truth: Annotation by question; None where the answers are the server's secret.
    """

    questions: tuple[Question, ...]
    images: tuple[Path, ...]
    truth: Mapping[int, Annotation] | None


class Vqa(ItemBenchmark):
    """VQA v2: official accuracy, overall, by answer type and by question type.

    The run folder holds the results file that the evaluation server takes.
    """

    name = "vqa"
    title = "VQA v2"
    dataset = "vqa"
    task = "visual question answering"
    capabilities = ("answerer",)
    splits = tuple(VqaFiles.SUBTYPES)
    default_split = "test-dev"
    dev_split = "val"
    main_metric = "accuracy"
    unit = "questions"
    chunk = 64  # with those of an image together, some 12 images
    Options = ImageOptions

    def files(self, split: str) -> Sequence[Path]:
        """The question file of a split, and its annotations where they are public."""
        at = VqaFiles(Path())
        questions = at.questions(split)
        return (questions,) if _is_hidden(split) else (questions, at.annotations(split))

    def read(self, suite: Suite, request: Request) -> VqaData:
        """Read one split and make sure that all its image files are there."""
        self.require_split(request.split)
        at, split = VqaFiles(suite.root), request.split
        everything = read_questions([at.questions(split)])
        if not everything:
            raise BadData(f"{at.questions(split)}: no questions")
        questions = first_items(everything, request.limit, "questions")
        images = tuple(at.image(split, one.image_id) for one in questions)
        truth = _truth(at.annotations(split), _is_hidden(split), questions)
        lines = list(_lines(questions, truth))
        counts = (len(questions), len(everything), len(set(images)))
        return VqaData(
            extent=SplitInfo.of(suite, self.dataset, (split,), self.unit, *counts),
            fingerprint=fingerprint(split, lines, images),
            pictures=images,
            contents=contents_of(lines, images),
            questions=questions,
            images=images,
            truth=truth,
        )

    def details(self, model: Any, request: Request) -> dict[str, Any]:
        """Protocol of the answers."""
        how = getattr(model, "answering", None)
        return {
            "score": "official accuracy: min(1, k / 3), each annotator left out in turn",
            "padding": "none",
            "answering": _answering(how) if isinstance(how, Answering) else {"kind": "not said"},
        }

    def groups(self, data: VqaData) -> Sequence[Path]:
        """The image of each question."""
        return data.images

    def predictor(self, model: Answerer, data: VqaData, request: Request) -> Predict:
        """Answers questions."""

        def answers(numbers: Sequence[int]) -> list[Prediction]:
            images = loaded([data.images[number] for number in numbers])
            texts = [data.questions[number].text for number in numbers]
            return [{"prediction": answer} for answer in model.answer(images, texts)]

        return answers

    def results(
        self, model: Any, data: VqaData, found: Predictions, request: Request, folder: Path
    ) -> Results:
        """Accuracies, none where the answers are the server's; one sample per question."""
        answers = [str(answer) for answer in found.column("prediction")]
        entries = [
            {"question_id": question.id, "answer": answer}
            for question, answer in zip(data.questions, answers, strict=True)
        ]
        subtype = VqaFiles.SUBTYPES[data.extent.split]
        name = f"vqa_OpenEnded_mscoco_{subtype}_{model.name}_results.json"
        write_text(folder / name, json.dumps(entries, ensure_ascii=False))
        columns: dict[str, Sequence[Any]] = {
            "question_id": [question.id for question in data.questions],
            "image_id": [question.image_id for question in data.questions],
        }
        notes = [f"{name} in the run folder is what the evaluation server takes"]
        if data.truth is None:
            notes.append(
                f"the answers of {data.extent.split} are on the evaluation server, so there is no "
                "accuracy"
            )
            return Results({}, frame(columns, answers), notes)
        truth = [data.truth[question.id] for question in data.questions]
        values = accuracies(answers, truth)
        found_metrics = metrics(values, truth, columns["image_id"], request.seed)
        columns |= {kind: [getattr(one, kind) for one in truth] for kind in _TYPES}
        samples = frame(columns, answers, [one.most_common for one in truth], values)
        how = getattr(model, "answering", None)
        if isinstance(how, Answering) and how.vocabulary is not None:
            best = ceilings(how.vocabulary, truth)
            [ceiling] = means(
                best, {"": np.ones(len(best), dtype=np.bool_)}, grouping(columns["image_id"]),
                request.seed,
            ).values()  # fmt: skip
            found_metrics[CEILING] = ceiling
            notes.append(
                f"the model chooses among {len(how.vocabulary):,} answers ({how.kind}): the best of "
                f"them for each question would come to {ceiling.value:.1f}"
            )
        return Results(found_metrics, samples, notes)

    def sample_metrics(self, samples: pd.DataFrame) -> dict[str, SampleMetric]:
        """The accuracies of a run's samples; none without known answers."""
        return subset_means(samples, "question_id", "image_id", _TYPES)

    def score(
        self,
        results: Annotated[Path, 'JSON: [{"question_id", "answer"}, ...].'],
        questions: Annotated[list[Path], "v2_OpenEnded_*_questions.json, or more."],
        annotations: Annotated[list[Path], "v2_*_annotations.json, or more."],
        allow_missing: bool = False,
        seed: int = 0,
    ) -> Scored:
        """VQA v2: official accuracy, overall, by answer type and by question type.

        Args:
            results: JSON as the evaluation server takes it.
            questions: Question files.
            annotations: Annotation files of those questions.
            allow_missing: Score the questions that are answered.
            seed: Seed of the bootstrap.

        Returns:
            The metrics.

        Raises:
            MissingData: A file is not there.
            BadData: A broken file; questions and annotations that do not belong together; a
                question that is unknown or not answered.
        """
        asked = {question.id: question for question in read_questions(questions)}
        truth = {annotation.question_id: annotation for annotation in read_annotations(annotations)}
        _require_same(asked, truth)
        given = read_results(results)
        chosen = answered(given, list(truth), "questions", allow_missing)
        kept = [truth[key] for key in chosen]
        values = accuracies([given[key] for key in chosen], kept)
        found = metrics(values, kept, [asked[key].image_id for key in chosen], seed)
        return scored(found, chosen, truth, "questions")


def _answering(how: Answering) -> dict[str, Any]:
    """How a model finds answers, for the record's "protocol"."""
    found: dict[str, Any] = {"kind": how.kind}
    if how.vocabulary is not None:
        listed = json.dumps(list(how.vocabulary), ensure_ascii=False).encode()
        found["answers"] = len(how.vocabulary)
        found["vocabulary_sha256"] = hashlib.sha256(listed).hexdigest()
    return {**found, "search": dict(how.search)} if how.search else found


def _is_hidden(split: str) -> bool:
    """Whether the answers are on the evaluation server, and usually not on disk."""
    return split.startswith("test")


def metrics(
    values: Floats, annotations: Sequence[Annotation], images: Sequence[int], seed: int
) -> dict[str, Metric]:
    """Accuracy overall, by answer type and by question type, in percent.

    Args:
        values: `[questions]`, from `accuracies`.
        annotations: `[questions]`.
        images: `[questions]`, the image of each; its questions are resampled together.
        seed: Seed of the bootstrap.

    Returns:
        "accuracy", "accuracy[answer_type=...]" and "accuracy[question_type=...]".
    """
    subsets = {
        "accuracy": np.ones(len(values), dtype=np.bool_),
        **by_label("answer_type", [annotation.answer_type for annotation in annotations]),
        **by_label("question_type", [annotation.question_type for annotation in annotations]),
    }
    return means(values, subsets, grouping(images), seed)


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
    """Content of the fingerprint."""
    return [
        [
            question.id,
            question.image_id,
            question.text,
            None if truth is None else [answer.text for answer in truth[question.id].answers],
        ]
        for question in questions
    ]
