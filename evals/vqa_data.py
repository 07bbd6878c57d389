"""VQA v2 from its official files: questions, images, and answers where somebody has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.benchmark import Request
from evals.item_data import Extent, fingerprint, first_items, known_split
from evals.suites import Suite
from unimo2.errors import BadData
from unimo2.formats.coco import image_file
from unimo2.formats.parsing import first_few
from unimo2.formats.vqa import Annotation, Question, read_annotations, read_questions


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
