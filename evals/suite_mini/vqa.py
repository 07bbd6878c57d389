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

from evals.suite_mini import lexicon
from evals.suite_mini.captioned import CaptionedEntry as Picture
from evals.suite_mini.captioned import Written, coco_entries, scene_of
from evals.suite_mini.dice import Dice
from evals.suite_mini.lexicon import QUESTIONS, TABLES
from evals.suite_mini.looks import CELLS
from evals.suite_mini.pairing import AskableTopic, PictureGroup, answer_pairs, groups
from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.phrases import topic_phrases
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.topics import KINDS, Topic, topics
from evals.suite_mini.world import COLOURS, SHAPES, SIZES, TEXTURES, Scene
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


_LINES = {"row": "top, middle or bottom", "column": "left, middle or right"}


def wording(topic: Topic, dice: Dice) -> str:
    """A question for the topic; equal topics can be worded in many ways."""
    template = dice.pick(QUESTIONS[topic.kind]["words"])
    return template.format_map({**topic_phrases(topic, dice), "lines": _LINES.get(topic.detail)})


def balanced_pairs(
    scenes: Sequence[Scene], pairs: int, dice: Dice
) -> list[tuple[str, tuple[AskableTopic, AskableTopic]]]:
    """Questions in the manner of VQA v2: each about two pictures that answer it differently.

    Returns:
        Each question with the two members of its pair, as `answer_pairs` finds them among the scenes.
    """
    known = [dict(topics(scene)) for scene in scenes]
    return [
        (wording(pair[0].topic, dice), pair) for pair in answer_pairs(known, KINDS, pairs, dice)
    ]


PEOPLE = 10

# How sure people are of a question: the share who give the canonical answer, and how often
# questions are so. Four of ten are enough for full marks, so a good reader stays near 100.
_AGREEMENT = (1.0, 0.85, 0.5)
_AGREEMENT_WEIGHTS = (48, 36, 16)
_SYNONYM_CHANCE = 0.65
"""Of those who do not give the canonical answer; the others err."""
_CONFIDENCES = ("yes", "maybe", "no")
_SURE, _UNSURE = (85, 13, 2), (40, 45, 15)

_BACKGROUND_ANSWERS: dict[str, str] = lexicon.TABLES["background_answers"]
# Who errs takes another answer of the family; the first family with the answer counts.
_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("yes", "no"),
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    ("left", "right"),
    ("above", "below"),
    ("top", "bottom"),
    CELLS,
    tuple(_BACKGROUND_ANSWERS.values()),
)


@dataclass(frozen=True)
class HumanAnswer:
    """What one annotator wrote."""

    text: str
    confidence: str


def spoken(answer: str) -> str:
    """The canonical answer as the data set spells it: "meadow" is "grass"."""
    return _BACKGROUND_ANSWERS.get(answer, answer)


def answer_type(answer: str) -> str:
    """VQA's "yes/no", "number" or "other"."""
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdigit() else "other"


def ten_answers(answer: str, dice: Dice) -> tuple[HumanAnswer, ...]:
    """What ten people answer, given the canonical answer (`topics`), in their order."""
    share = _AGREEMENT[dice.weighted(_AGREEMENT_WEIGHTS)]
    return tuple(_one(answer, share, dice) for _ in range(PEOPLE))


def most_common(answers: tuple[HumanAnswer, ...]) -> str:
    """VQA's `multiple_choice_answer`; of equally common ones, the one given first."""
    return Counter(answer.text for answer in answers).most_common(1)[0][0]


def _one(answer: str, share: float, dice: Dice) -> HumanAnswer:
    if dice.chance(share):
        return HumanAnswer(spoken(answer), _CONFIDENCES[dice.weighted(_SURE)])
    if dice.chance(_SYNONYM_CHANCE):
        # There is no other word for "yes" or "3".
        text = dice.pick(_synonyms(answer) or (spoken(answer),))
    else:
        text = _mistaken(answer, dice)
    return HumanAnswer(text, _CONFIDENCES[dice.weighted(_UNSURE)])


def _synonyms(answer: str) -> tuple[str, ...]:
    """Other words for the answer, none of which is canonical for another one."""
    if " and " in answer:
        first, second = answer.split(" and ")
        return (f"{second} and {first}", f"{first}, {second}")
    if answer in lexicon.NOUNS:
        return tuple(word for word, _ in lexicon.NOUNS[answer][1:] if word != answer)
    if answer in lexicon.TEXTURE_WORDS:
        return lexicon.TEXTURE_WORDS[answer][0][1:]
    if answer in _BACKGROUND_ANSWERS:
        names = lexicon.BACKGROUND_NAMES[answer]
        return tuple(name for name in names if name != spoken(answer))
    if answer in lexicon.TABLES["synonyms"]:
        return lexicon.TABLES["synonyms"][answer]
    if answer in CELLS:
        upright = answer.replace("top", "upper").replace("bottom", "lower")
        turned = upright.replace("middle", "center") if answer.startswith("middle") else upright
        return (turned, f"on {answer}")
    return (lexicon.COLOUR_WORDS | lexicon.SIZE_WORDS).get(answer, ("?",))[1:]


def _mistaken(answer: str, dice: Dice) -> str:
    """One off if it is a number, one colour wrong of two, else something else of its family."""
    if answer.isdigit():
        number = int(answer)
        return str(number + 1 if number == 0 or dice.chance(0.5) else number - 1)
    if " and " in answer:
        return answer.split(" and ")[dice.below(2)]
    known = spoken(answer)
    family = next(family for family in _FAMILIES if known in family)
    return dice.pick([other for other in family if other != known])
