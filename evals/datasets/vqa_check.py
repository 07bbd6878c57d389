"""Counting and checking the files of VQA v2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.datasets.checks import check_files
from evals.datasets.entry import Findings
from evals.datasets.images import ImageCheck
from unimo2.errors import BadData
from unimo2.formats.coco import image_file
from unimo2.formats.parsing import Skips
from unimo2.formats.vqa import Annotation, Question, read_annotations, read_questions
from unimo2.training.finetuning.answers import answer_list

ANSWER_TYPES = ("yes/no", "number", "other")
ANNOTATORS = 10
FREQUENT = 9
"""Questions of which an answer must be the most common one, to be among the 3,129 in use."""


@dataclass(frozen=True)
class _Files:
    """Where a split lies, below `vqa/` and `coco/`."""

    questions: str
    annotations: str
    images: str


def _official(name: str, images: str, annotations: str = "") -> _Files:
    return _Files(
        questions=f"v2_OpenEnded_mscoco_{name}_questions.json",
        annotations=f"{annotations}v2_mscoco_{name}_annotations.json",
        images=images,
    )


# The answers of the test splits are on the evaluation server; a generated suite has that, too.
_SPLITS = {
    "train": _official("train2014", "train2014"),
    "val": _official("val2014", "val2014"),
    "test-dev": _official("test-dev2015", "test2015", "server/"),
    "test-std": _official("test2015", "test2015", "server/"),
}


def check_vqa(root: Path, images: ImageCheck) -> Findings:
    """Count questions, annotations, images and frequent answers; name what does not belong together.

    Args:
        root: The data root, with `vqa/` and `coco/`.
        images: Is shown every image that is there.
    """
    findings = Findings()
    asked: dict[str, dict[int, Question]] = {}
    answered: dict[str, list[Annotation]] = {}
    shown: set[Path] = set()
    for split, files in _SPLITS.items():
        questions, annotations = root / "vqa" / files.questions, root / "vqa" / files.annotations
        if questions.is_file():
            asked[split] = {one.id: one for one in _questions(split, questions, findings)}
            pictures = _pictures(root, files.images, asked[split].values())
            findings.counts[split, "images"] = len(pictures)
            # All images of test-dev are images of test-std.
            findings.problems += check_files(split, sorted(pictures - shown), images)
            shown |= pictures
        if annotations.is_file():
            answered[split] = _annotations(split, annotations, findings)
            findings.problems += _unpaired(split, asked.get(split, {}), answered[split])
    findings.problems += _overlaps(asked)
    if "train" in answered and "val" in answered:
        both = (*answered["train"], *answered["val"])
        findings.counts["train+val", "frequent answers"] = _frequent(both)
    return findings


def _frequent(annotations: Sequence[Annotation]) -> int:
    """The number of answers that a classifier chooses among."""
    try:
        return len(answer_list(annotations, FREQUENT))
    except BadData:  # no answer at all, as in a sample
        return 0


def _questions(split: str, path: Path, findings: Findings) -> list[Question]:
    broken = Skips()
    try:
        questions = read_questions([path], broken)
    except BadData as error:
        findings.problems.append(str(error))
        return []
    findings.problems += broken.lines()
    findings.counts[split, "questions"] = len(questions)
    return questions


def _pictures(root: Path, folder: str, questions: Iterable[Question]) -> set[Path]:
    identifiers = {question.image_id for question in questions}
    return {image_file(root, folder, identifier) for identifier in identifiers}


def _annotations(split: str, path: Path, findings: Findings) -> list[Annotation]:
    broken = Skips()
    try:
        annotations = read_annotations([path], broken)
    except BadData as error:
        findings.problems.append(str(error))
        return []
    findings.problems += broken.lines()
    findings.counts[split, "annotations"] = len(annotations)
    kinds = (None, *ANSWER_TYPES)
    for what, wrong in (
        ("an unknown answer type", [one for one in annotations if one.answer_type not in kinds]),
        (
            f"not {ANNOTATORS} answers",
            [one for one in annotations if len(one.answers) != ANNOTATORS],
        ),
    ):
        if wrong:
            findings.problems.append(
                f"{split}: {len(wrong):,} annotations have {what}, first question_id "
                f"{wrong[0].question_id}"
            )
    return annotations


def _unpaired(
    split: str, asked: Mapping[int, Question], annotations: Sequence[Annotation]
) -> list[str]:
    """Lines about questions without annotation, the reverse, and pairs about different images."""
    answered = {one.question_id for one in annotations}
    bare = [key for key in asked if key not in answered]
    lonely = [key for key in answered if key not in asked]
    elsewhere = [
        one.question_id
        for one in annotations
        if one.question_id in asked and one.image_id not in (None, asked[one.question_id].image_id)
    ]
    return [
        f"{split}: {len(keys):,} {what}, first question_id {min(keys)}"
        for keys, what in (
            (bare, "questions without annotation"),
            (lonely, "annotations without question"),
            (elsewhere, "annotations about another image than their question"),
        )
        if keys
    ]


def _overlaps(asked: Mapping[str, Mapping[int, Question]]) -> list[str]:
    """Lines about questions in two splits, and those of test-dev that test-std does not have."""
    problems = []
    names = list(asked)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            both = asked[first].keys() & asked[second].keys()
            if both and (first, second) != ("test-dev", "test-std"):
                problems.append(f"{len(both):,} questions are in {first} and in {second}")
    if asked.get("test-std"):
        beyond = asked.get("test-dev", {}).keys() - asked["test-std"].keys()
        if beyond:
            problems.append(
                f"{len(beyond):,} questions of test-dev are not among those of test-std"
            )
    return problems
