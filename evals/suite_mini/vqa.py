"""VQA v2: questions about COCO's pictures, in pairs with different answers.

The answers of the test splits are not among its public files, as in reality; what the evaluation
server holds lies in vqa/server/.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from evals.suite_mini.answers import HumanAnswer, answer_type, most_common, spoken, ten_answers
from evals.suite_mini.captioned import COCO_FOLDER, coco_entries, scene_of
from evals.suite_mini.captioned import Entry as Picture
from evals.suite_mini.dice import Dice
from evals.suite_mini.pairing import shares
from evals.suite_mini.part import Report
from evals.suite_mini.pictures import write_scene
from evals.suite_mini.questions import balanced_pairs
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.topics import Topic
from unimo2.formats.layout import VqaFiles

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
    """Save a questions file."""
    questions = [
        {"image_id": one.image_id, "question": one.question, "question_id": one.question_id}
        for one in entries
    ]
    _write(path, {**_head(subtype), "questions": questions})


def write_annotations(path: Path, subtype: str, entries: Sequence[Entry]) -> None:
    """Save an annotations file."""
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
    """Save a file of complementary pairs: a list of pairs of question ids."""
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


FOLDER = "vqa"
TEST_IMAGES = f"{COCO_FOLDER}/test2015"
# Questions per picture: 60,000 in training, 4,000 for validation, 2,000 for test-dev and another
# 1,000 that only test-std has, with the pictures of scale 1. VQA v2 has 5.4 in training; of 20,000 a
# model of a few million parameters learns the answers by heart (69 % there, 47 % in val).
_PER_PICTURE = {"train": 6.0, "val": 20 / 3, "test-dev": 5.0, "test-rest": 5.0}
_TEST_PICTURES = {"test-dev": 400, "test-rest": 200}
_TEST_COLLECTION = "coco-test2015"
_TEST_ID_OFFSET, _ID_STEP = 2, 8  # captioned.py gives the odd places of every eight to COCO
_BELOW = VqaFiles(Path())


@dataclass(frozen=True)
class Result:
    """What a job hands back."""

    split: str
    """A key of the questions per picture, or "" for a picture."""
    pairs: tuple[tuple[Entry, Entry], ...]
    digests: tuple[str, ...]


@dataclass(frozen=True)
class QuestionJob:
    """Ask about a group of pictures."""

    split: str
    number: int
    pictures: tuple[Picture, ...]
    pairs: int

    def run(self, root: Path, seed: int) -> Result:
        """Word the questions and answer them; see `evals.suite_mini.part.Job`."""
        scenes = [scene_of(seed, picture) for picture in self.pictures]
        dice = Dice(seed, "vqa", self.split, self.number, "questions")
        asked_of = Counter[int]()
        digests = []
        pairs = []
        for pair in balanced_pairs(scenes, self.pairs, dice):
            members = []
            for asked in pair:
                image_id = self.pictures[asked.picture].cocoid
                assert image_id is not None
                entry = Entry(
                    question_id=1_000 * image_id + asked_of[image_id],
                    image_id=image_id,
                    question=asked.text,
                    topic=asked.topic,
                    answer=spoken(asked.answer),
                    answers=ten_answers(asked.answer, dice),
                )
                asked_of[image_id] += 1
                members.append(entry)
                digests.append(_digest(scenes[asked.picture].key(), entry))
            pairs.append((members[0], members[1]))
        return Result(self.split, tuple(pairs), tuple(digests))


@dataclass(frozen=True)
class BarePictureJob:
    """Draw a picture of test2015, about which nothing but questions is known."""

    picture: Picture

    def run(self, root: Path, seed: int) -> Result:
        """Save the picture; see `evals.suite_mini.part.Job`."""
        picture = self.picture
        dice = Dice(seed, picture.collection, picture.world, picture.index, "picture")
        digest = write_scene(root / picture.path, scene_of(seed, picture), dice)
        return Result("", (), (digest,))


def _digest(scene: str, entry: Entry) -> str:
    said = [f"{answer.text}={answer.confidence}" for answer in entry.answers]
    lines = [scene, str(entry.question_id), entry.question, *said]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@cache
def pictures(request: SuiteRequest) -> dict[str, list[Picture]]:
    """The pictures that each split asks about; those of "test-rest" are test-std's alone."""
    coco = coco_entries(request)
    dev = request.scaled(_TEST_PICTURES["test-dev"])
    rest = request.scaled(_TEST_PICTURES["test-rest"])
    test = [_test_picture(index) for index in range(dev + rest)]
    return {
        "train": [picture for picture in coco if picture.split == "train"],
        "val": [picture for picture in coco if picture.split in ("val", "test")],
        "test-dev": test[:dev],
        "test-rest": test[dev:],
    }


def _test_picture(index: int) -> Picture:
    image_id = _ID_STEP * index + _TEST_ID_OFFSET
    path = _BELOW.image("test-std", image_id).as_posix()
    return Picture(_TEST_COLLECTION, "test", index, "test2015", path, image_id)


class _Vqa:
    name = "vqa"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return [f"{FOLDER}/server", TEST_IMAGES]

    def jobs(self, request: SuiteRequest) -> Sequence[QuestionJob | BarePictureJob]:
        jobs: list[QuestionJob | BarePictureJob] = []
        for split, own in pictures(request).items():
            for share in shares(len(own), _PER_PICTURE[split]):
                group = tuple(own[share.start : share.end])
                jobs.append(QuestionJob(split, share.number, group, share.pairs))
            if split.startswith("test"):
                jobs += [BarePictureJob(picture) for picture in own]
        return jobs

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Result]) -> Report:
        pairs = {
            split: [pair for result in results if result.split == split for pair in result.pairs]
            for split in _PER_PICTURE
        }
        entries = {
            split: sorted(
                (entry for pair in own for entry in pair), key=lambda entry: entry.question_id
            )
            for split, own in pairs.items()
        }
        entries["test-std"] = entries["test-dev"] + entries["test-rest"]
        files = VqaFiles(root)
        for split in ("train", "val"):
            ids = [(first.question_id, second.question_id) for first, second in pairs[split]]
            write_complementary_pairs(files.complementary_pairs(split), ids)
        for split, subtype in VqaFiles.SUBTYPES.items():
            write_annotations(files.annotations(split), subtype, entries[split])
            write_questions(files.questions(split), subtype, entries[split])
        return Report(
            counts={split: len(entries[split]) for split in VqaFiles.SUBTYPES},
            unit="questions",
            digests=[digest for result in results for digest in result.digests],
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        own = pictures(request)
        images = [picture.path for split in _TEST_PICTURES for picture in own[split]]
        own_files = [_BELOW.complementary_pairs(split) for split in ("train", "val")]
        for split in VqaFiles.SUBTYPES:
            own_files += [_BELOW.questions(split), _BELOW.annotations(split)]
        return [*(path.as_posix() for path in own_files), *images]


VQA = _Vqa()
