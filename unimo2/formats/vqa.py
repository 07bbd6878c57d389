"""VQA v2: questions, annotations (ten answers a question) and the evaluation server's results.

`v2_OpenEnded_mscoco_*_questions.json`: {"questions": [{"image_id", "question", "question_id"}]};
`v2_mscoco_*_annotations.json`: {"annotations": [{"question_id", "image_id", "question_type",
"answer_type", "multiple_choice_answer", "answers": [{"answer", "answer_confidence", "answer_id"}]}]};
results: [{"question_id", "answer"}]. Training on train + val means several files of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimo2.errors import BadData
from unimo2.formats.fields import (
    field,
    integer,
    items,
    optional_integer,
    optional_text,
    read_json,
    read_predictions,
    refuse_repeated,
    text,
)


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


def read_questions(paths: Sequence[Path]) -> list[Question]:
    """Read question files.

    Args:
        paths: one or more, for example those of train and val.

    Returns:
        The questions in the order of the files.

    Raises:
        MissingData: a file is not there.
        BadData: malformed JSON (the line is named), a field is missing or of the wrong type, or a
            question id occurs twice.
    """
    questions = [
        Question(
            id=integer(record, "question_id", place),
            image_id=integer(record, "image_id", place),
            text=text(record, "question", place),
        )
        for record, place in _records(paths, "questions")
    ]
    refuse_repeated((question.id for question in questions), "question_id", _names(paths))
    return questions


def read_annotations(paths: Sequence[Path]) -> list[Annotation]:
    """Read annotation files; arguments and errors as for `read_questions`, and answers are needed.

    Returns:
        The annotations in the order of the files.
    """
    annotations = [_annotation(record, place) for record, place in _records(paths, "annotations")]
    refuse_repeated((one.question_id for one in annotations), "question_id", _names(paths))
    return annotations


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
    """The entries under `name` of all files, each with its place."""
    for path in paths:
        content = read_json(path, f"VQA {name}")
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise BadData(f"{path}: expected an object with a list '{name}', as in VQA v2")
        for index, record in enumerate(content[name]):
            yield record, f"{path}: {name}[{index}]"


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
            Answer(
                text=field(answer, "answer", str, f"{place}.answers[{number}]"),
                confidence=optional_text(answer, "answer_confidence", place),
                id=optional_integer(answer, "answer_id", place),
            )
            for number, answer in enumerate(answers)
        ),
    )


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
