"""VQA v2: questions, annotations (ten answers a question) and the evaluation server's results.

`v2_OpenEnded_mscoco_*_questions.json`: {"questions": [{"image_id", "question", "question_id"}]};
`v2_mscoco_*_annotations.json`: {"annotations": [{"question_id", "image_id", "question_type",
"answer_type", "multiple_choice_answer", "answers": [{"answer", "answer_confidence", "answer_id"}]}]};
results: [{"question_id", "answer"}]. Training on train + val means several files of each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimo2.errors import BadData
from unimo2.formats.fields import (
    integer,
    items,
    optional_integer,
    optional_text,
    parsed,
    read_predictions,
    require_file,
    text,
    without_repeats,
)
from unimo2.formats.json_stream import json_items_under
from unimo2.formats.rows import Skips


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one image."""

    id: int
    image_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one annotator said; confidence is "yes", "maybe" or "no"."""

    text: str
    confidence: str | None
    id: int | None


@dataclass(frozen=True, slots=True)
class Annotation:
    """The answers to one question; what a sample of the data leaves out is None."""

    question_id: int
    image_id: int | None
    question_type: str | None
    """How the question begins, for example "what color is the"."""
    answer_type: str | None
    """ "yes/no", "number" or "other"."""
    most_common: str | None
    """`multiple_choice_answer`."""
    answers: tuple[Answer, ...]


def read_questions(paths: Sequence[Path], broken: Skips | None = None) -> list[Question]:
    """Read question files.

    Args:
        paths: one or more, for example those of train and val.
        broken: counts questions that cannot be used; None makes the first one an error.

    Returns:
        The questions in the order of the files.

    Raises:
        MissingData: a file is not there.
        BadData: malformed JSON (the line is named); a field is missing or of the wrong type, or a
            question id occurs twice (these only without `broken`).
    """
    found = parsed(_records(paths, "questions"), _question, broken)
    return without_repeats(found, lambda one: one.id, "question_id", _names(paths), broken)


def read_annotations(paths: Sequence[Path], broken: Skips | None = None) -> list[Annotation]:
    """Read annotation files; arguments and errors as for `read_questions`, and answers are needed.

    Returns:
        The annotations in the order of the files.
    """
    found = parsed(_records(paths, "annotations"), _annotation, broken)
    return without_repeats(found, lambda one: one.question_id, "question_id", _names(paths), broken)


def read_results(path: Path) -> dict[int, str]:
    """Read somebody's answers, in the evaluation server's format.

    Args:
        path: a JSON list of {"question_id", "answer"}.

    Returns:
        The answer as given, by question id.

    Raises:
        MissingData: there is no such file.
        BadData: malformed JSON, an entry without those fields, or a question answered twice.
    """
    return read_predictions(path, "VQA results", "question_id", "answer")


def _records(paths: Sequence[Path], name: str) -> Iterator[tuple[Any, str]]:
    """The entries under `name` of all files, each with its place; no file is held in memory."""
    for path in paths:
        require_file(path, f"VQA {name}")
        for index, record in enumerate(json_items_under(path, name)):
            yield record, f"{path}: {name}[{index}]"


def _question(record: Any, place: str) -> Question:
    return Question(
        id=integer(record, "question_id", place),
        image_id=integer(record, "image_id", place),
        text=text(record, "question", place),
    )


def _annotation(record: Any, place: str) -> Annotation:
    answers = items(record, "answers", place)
    if not answers:
        raise BadData(f"{place}: no answers")
    return Annotation(
        question_id=integer(record, "question_id", place),
        image_id=optional_integer(record, "image_id", place),
        question_type=optional_text(record, "question_type", place),
        answer_type=optional_text(record, "answer_type", place),
        most_common=optional_text(record, "multiple_choice_answer", place),
        answers=tuple(
            _answer(answer, f"{place}.answers[{number}]") for number, answer in enumerate(answers)
        ),
    )


def _answer(record: Any, place: str) -> Answer:
    confidence = optional_text(record, "answer_confidence", place)
    # Millions of answers are a few ten thousand different ones: one object each.
    return Answer(
        text=sys.intern(text(record, "answer", place)),
        confidence=None if confidence is None else sys.intern(confidence),
        id=optional_integer(record, "answer_id", place),
    )


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
