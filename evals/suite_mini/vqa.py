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
from itertools import chain
from pathlib import Path
from typing import Any

from evals.suite_mini.answers import HumanAnswer, answer_type, most_common, spoken, ten_answers
from evals.suite_mini.captioned import CaptionedEntry as Picture
from evals.suite_mini.captioned import Written, coco_entries, scene_of
from evals.suite_mini.dice import Dice
from evals.suite_mini.lexicon import TABLES
from evals.suite_mini.pairing import PictureGroup, groups
from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.questions import balanced_pairs
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.topics import Topic
from unimo2.formats.layout import VqaFiles

NO_TYPE = "none of the above"
_HEAD = {
    "info": {
        "description": "Questions about drawn scenes, in the layout of VQA v2.0.",
        "url": "",
        "version": "2.0",
        "year": 2014,
        "contributor": "",
        "date_created": "",
    },
    "task_type": "Open-Ended",
    "data_type": "mscoco",
    "license": {"url": "", "name": "as the program that drew them"},
}


@dataclass(frozen=True)
class QuestionEntry:
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
    known = [kind for kind in TABLES["vqa"]["question_types"] if words.startswith(f"{kind} ")]
    return max(known, key=len) if known else NO_TYPE


def write_questions(path: Path, subtype: str, entries: Sequence[QuestionEntry]) -> None:
    """Save a questions file."""
    questions = [
        {"image_id": one.image_id, "question": one.question, "question_id": one.question_id}
        for one in entries
    ]
    _write(path, _HEAD | {"data_subtype": subtype, "questions": questions})


def write_annotations(path: Path, subtype: str, entries: Sequence[QuestionEntry]) -> None:
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
    _write(path, _HEAD | {"data_subtype": subtype, "annotations": annotations})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


# Questions per picture: 60,000 in training, 4,000 for validation, 2,000 for test-dev and another
# 1,000 that only test-std has, with the pictures of scale 1. VQA v2 has 5.4 in training; of 20,000 a
# model of a few million parameters learns the answers by heart (69 % there, 47 % in val).
_PER_PICTURE = {"train": 6.0, "val": 20 / 3, "test-dev": 5.0, "test-rest": 5.0}
_TEST_PICTURES = {"test-dev": 400, "test-rest": 200}
_TEST_ID_OFFSET, _ID_STEP = 2, 8  # captioned.py gives the odd places of every eight to COCO
_PAIRED = ("train", "val")  # splits with a file of complementary pairs
_BELOW = VqaFiles(Path())


@dataclass(frozen=True)
class VqaJobResult:
    """What a group's job hands back."""

    split: str
    """A key of the questions per picture."""
    pairs: tuple[tuple[QuestionEntry, QuestionEntry], ...]
    digests: tuple[str, ...]


@dataclass(frozen=True)
class QuestionJob(PictureGroup):
    """Ask about a group of pictures."""

    path = ""

    def run(self, root: Path, seed: int) -> VqaJobResult:
        """Word the questions and answer them; see `evals.suite_mini.part.Job`."""
        scenes = [scene_of(seed, picture) for picture in self.pictures]
        dice = Dice(seed, "vqa", self.split, self.number, "questions")
        asked_of = Counter[int]()
        digests = []
        pairs = []
        for question, pair in balanced_pairs(scenes, self.pairs, dice):
            members = []
            for asked in pair:
                image_id = self.pictures[asked.picture].cocoid
                assert image_id is not None
                entry = QuestionEntry(
                    question_id=1_000 * image_id + asked_of[image_id],
                    image_id=image_id,
                    question=question,
                    topic=asked.topic,
                    answer=spoken(asked.answer),
                    answers=ten_answers(asked.answer, dice),
                )
                asked_of[image_id] += 1
                members.append(entry)
                digests.append(_digest(scenes[asked.picture].key(), entry))
            pairs.append((members[0], members[1]))
        return VqaJobResult(self.split, tuple(pairs), tuple(digests))


def _digest(scene: str, entry: QuestionEntry) -> str:
    said = [f"{answer.text}={answer.confidence}" for answer in entry.answers]
    lines = [scene, str(entry.question_id), entry.question, *said]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@cache
def pictures(request: SuiteRequest) -> dict[str, list[Picture]]:
    """The pictures that each split asks about; those of "test-rest" are only test-std's."""
    coco = coco_entries(request)
    dev, rest = (request.scaled(size) for size in _TEST_PICTURES.values())
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
    return Picture("coco-test2015", "test", index, "test2015", path, image_id, captioned=False)


class _Vqa(SuitePart):
    name = "vqa"

    def jobs(self, request: SuiteRequest) -> Sequence[QuestionJob | Picture]:
        jobs: list[QuestionJob | Picture] = []
        for split, own in pictures(request).items():
            jobs += groups(QuestionJob, split, own, _PER_PICTURE[split])
            jobs += own if split.startswith("test") else []
        return jobs

    def finish(
        self, root: Path, request: SuiteRequest, results: Sequence[VqaJobResult | Written]
    ) -> Report:
        pairs: dict[str, list[tuple[QuestionEntry, QuestionEntry]]] = {
            split: [] for split in _PER_PICTURE
        }
        digests: list[str] = []
        for result in results:
            if isinstance(result, Written):
                digests.append(result.digest)
            else:
                digests += result.digests
                pairs[result.split] += result.pairs
        entries = {
            split: sorted(chain.from_iterable(own), key=lambda entry: entry.question_id)
            for split, own in pairs.items()
        }
        entries["test-std"] = entries["test-dev"] + entries["test-rest"]
        files = VqaFiles(root)
        for split in _PAIRED:
            ids = [(first.question_id, second.question_id) for first, second in pairs[split]]
            _write(files.complementary_pairs(split), ids)
        for split, subtype in VqaFiles.SUBTYPES.items():
            write_annotations(files.annotations(split), subtype, entries[split])
            write_questions(files.questions(split), subtype, entries[split])
        return Report(
            {split: len(entries[split]) for split in files.SUBTYPES}, "questions", digests
        )

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        paths = [_BELOW.complementary_pairs(split) for split in _PAIRED]
        for split in VqaFiles.SUBTYPES:
            paths += [_BELOW.questions(split), _BELOW.annotations(split)]
        return [path.as_posix() for path in paths]


VQA = _Vqa()
