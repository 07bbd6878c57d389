"""VQA v2: questions, annotations (ten answers per question) and the evaluation server's results.

`v2_OpenEnded_mscoco_*_questions.json`: {"questions": [{"image_id", "question", "question_id"}]};
`v2_mscoco_*_annotations.json`: {"annotations": [{"question_id", "image_id", "question_type",
"answer_type", "multiple_choice_answer", "answers": [{"answer", "answer_confidence", "answer_id"}]}]};
results: [{"question_id", "answer"}]. Training on train + val means several files of each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimo2.errors import BadData
from unimo2.formats.json_stream import json_items_under
from unimo2.formats.parsing import (
    Skips,
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
    """Read question files, for example those of train and val, in their order.

    Raises:
        MissingData: A file is not there.
        BadData: Malformed JSON (the line is named); a field is missing or of the wrong type, or a
            question id occurs twice (these only without `broken`).
    """
    found = parsed(_records(paths, "questions"), _question, broken)
    return without_repeats(found, lambda one: one.id, "question_id", _names(paths), broken)


def read_annotations(paths: Sequence[Path], broken: Skips | None = None) -> list[Annotation]:
    """Read annotation files as `read_questions` does; each has one answer or more."""
    found = parsed(_records(paths, "annotations"), _annotation, broken)
    return without_repeats(found, lambda one: one.question_id, "question_id", _names(paths), broken)


def read_results(path: Path) -> dict[int, str]:
    """Predicted answers by question id, in the evaluation server's format."""
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


# The official normalisation of VQA answers, with its oddities.
#
# The rules are those of the evaluation code of VQA v2 (GT-Vision-Lab/VQA, vqaEvaluation/vqaEval.py,
# as of its last commit). They are odd in places, and numbers are comparable only if they are kept:
#
# - a punctuation mark disappears if the *original* answer has it beside a space, or has a comma
#   between digits anywhere; otherwise it becomes a space;
# - a full stop disappears unless a digit follows it. The pattern there, "(?!<=\d)(\.)(?!\d)", was
#   meant to look behind too, but "?!<=" looks ahead for the characters "<=", which are never there;
# - its flag `re.UNICODE` stands where a count belongs and is the number 32: only the first 32 full
#   stops disappear;
# - digits are those of any script, as in Python 3 (the official code was written for Python 2);
# - contractions are looked up after lower-casing, so that those with a capital ("Im", "Ive") are never
#   found.


_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_FULL_STOPS_REMOVED = 32
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
} | {"none": "0"}

# What people mean; they are found by the same word without one of its apostrophes.
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't
    mightn't've must've mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
    shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
    someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're
    you've
"""


def _without_each_apostrophe(word: str) -> list[str]:
    places = [place for place, letter in enumerate(word) if letter == "'"]
    return [word[:place] + word[place + 1 :] for place in places]


_CONTRACTIONS = {
    written: meant for meant in _CONTRACTED.split() for written in _without_each_apostrophe(meant)
}
# The one entry of the official table that goes the other way.
_CONTRACTIONS["somebody'd"] = "somebodyd"


def clean(answer: str) -> str:
    """Clean an answer: line ends and tabs become spaces, ends are trimmed."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


def normalise(answer: str) -> str:
    """The form in which cleaned answers are compared where the annotators do not all agree.

    It lacks articles and most punctuation, and has lower case, number words up to ten as digits and
    contractions with their apostrophes.
    """
    words = []
    for word in _without_punctuation(answer).lower().split():
        word = _NUMBERS.get(word, word)
        if word not in _ARTICLES:
            words.append(_CONTRACTIONS.get(word, word))
    return " ".join(words)


def _without_punctuation(answer: str) -> str:
    remove_all = _COMMA_IN_NUMBER.search(answer) is not None
    result = answer
    for mark in _PUNCTUATION:
        beside_a_space = f"{mark} " in answer or f" {mark}" in answer
        result = result.replace(mark, "" if remove_all or beside_a_space else " ")
    return _FULL_STOP.sub("", result, count=_FULL_STOPS_REMOVED)
