"""VQA v2's files: questions, annotations with ten answers each, and complementary pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.suite_mini.answers import HumanAnswer, answer_type, most_common
from evals.suite_mini.topics import Topic

# The longest one that a question begins with is its type; spelt as in VQA's own list.
_QUESTION_TYPES = (
    "are",
    "are the",
    "are there",
    "are there any",
    "can you",
    "do",
    "do you",
    "does a",
    "does the",
    "how",
    "how big is the",
    "how many",
    "in which",
    "is",
    "is it",
    "is the",
    "is there",
    "is there a",
    "is this",
    "on which",
    "what",
    "what are",
    "what are the",
    "what can be",
    "what color",
    "what color are the",
    "what color is the",
    "what do you",
    "what does the",
    "what is",
    "what is behind the",
    "what is in the",
    "what is the",
    "what is the color of the",
    "what kind of",
    "what number of",
    "where can you",
    "where is the",
    "which",
    "which color",
    "would you",
)
NO_TYPE = "none of the above"
_ABOUT = {
    "description": "Questions about drawn scenes, in the layout of VQA v2.0.",
    "url": "",
    "version": "2.0",
    "year": 2014,
    "contributor": "",
    "date_created": "",
}
_LICENCE = {"url": "", "name": "as the program that drew them"}


@dataclass(frozen=True)
class Entry:
    """One question about one image, with all that the files say of it."""

    question_id: int
    image_id: int
    question: str
    topic: Topic
    answer: str
    """Canonical, as the data set spells it."""
    answers: tuple[HumanAnswer, ...]

    @property
    def most_common(self) -> str:
        """The answer that most people gave."""
        return most_common(self.answers)


def question_type(question: str) -> str:
    """The longest known beginning of the question, in whole words."""
    words = f"{question.lower().rstrip('?')} "
    known = [kind for kind in _QUESTION_TYPES if words.startswith(f"{kind} ")]
    return max(known, key=len) if known else NO_TYPE


def write_questions(path: Path, subtype: str, entries: Sequence[Entry]) -> None:
    """Save `v2_OpenEnded_mscoco_<subtype>_questions.json`."""
    questions = [
        {"image_id": one.image_id, "question": one.question, "question_id": one.question_id}
        for one in entries
    ]
    _write(path, {**_head(subtype), "questions": questions})


def write_annotations(path: Path, subtype: str, entries: Sequence[Entry]) -> None:
    """Save `v2_mscoco_<subtype>_annotations.json`."""
    annotations = [
        {
            "question_type": question_type(one.question),
            "multiple_choice_answer": one.most_common,
            "answers": [
                {"answer": answer.text, "answer_confidence": answer.confidence, "answer_id": number}
                for number, answer in enumerate(one.answers, 1)
            ],
            "image_id": one.image_id,
            "answer_type": answer_type(one.answer),
            "question_id": one.question_id,
        }
        for one in entries
    ]
    _write(path, {**_head(subtype), "annotations": annotations})


def write_complementary_pairs(path: Path, pairs: Sequence[tuple[int, int]]) -> None:
    """Save `v2_mscoco_<subtype>_complementary_pairs.json`: a list of pairs of question ids."""
    _write(path, [list(pair) for pair in pairs])


def _head(subtype: str) -> dict[str, Any]:
    return {
        "info": _ABOUT,
        "task_type": "Open-Ended",
        "data_type": "mscoco",
        "license": _LICENCE,
        "data_subtype": subtype,
    }


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
