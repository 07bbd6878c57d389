"""VQA v2: questions about COCO's photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evals.datasets.checks import by_image, check_files
from evals.datasets.entry import (
    DataSet,
    ImageCheck,
    OfficialCount,
    RequiredPath,
    Sample,
    SampleReader,
    VerificationReport,
)
from unimo2.errors import BadData
from unimo2.formats.layout import CocoFiles, VqaFiles
from unimo2.formats.parsing import MISSING_IMAGE, Skips
from unimo2.formats.vqa import Annotation, Question, read_annotations, read_questions

_SOURCE = "download page of visualqa.org"
_DEV = "literature; the download page does not count test-dev"
_ANSWERS = "compute_softscore.py of bottom-up-attention-vqa, and everybody since"
_ANSWER_TYPES = ("yes/no", "number", "other")
_ANNOTATORS = 10
_FREQUENT = 9
"""Questions of which an answer must be the most common one, to be among the 3,129 in use."""
_BELOW = VqaFiles(Path())


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    """Count questions, annotations, images and frequent answers; name what does not belong together."""
    at, findings = VqaFiles(root), VerificationReport()
    asked: dict[str, dict[int, Question]] = {}
    answered: dict[str, list[Annotation]] = {}
    shown: set[Path] = set()
    for split in VqaFiles.SUBTYPES:
        questions, annotations = at.questions(split), at.annotations(split)
        if questions.is_file():
            asked[split] = {one.id: one for one in _questions(split, questions, findings)}
            pictures = {at.image(split, one.image_id) for one in asked[split].values()}
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
    from unimo2.training.finetuning.readers import answer_list

    try:
        return len(answer_list(annotations, _FREQUENT))
    except BadData:  # no answer at all, as in a sample
        return 0


def _questions(split: str, path: Path, findings: VerificationReport) -> list[Question]:
    broken = Skips()
    try:
        questions = read_questions([path], broken)
    except BadData as error:
        findings.problems.append(str(error))
        return []
    findings.problems += broken.lines()
    findings.counts[split, "questions"] = len(questions)
    return questions


def _annotations(split: str, path: Path, findings: VerificationReport) -> list[Annotation]:
    broken = Skips()
    try:
        annotations = read_annotations([path], broken)
    except BadData as error:
        findings.problems.append(str(error))
        return []
    findings.problems += broken.lines()
    findings.counts[split, "annotations"] = len(annotations)
    kinds = (None, *_ANSWER_TYPES)
    for what, wrong in (
        ("an unknown answer type", [one for one in annotations if one.answer_type not in kinds]),
        (
            f"not {_ANNOTATORS} answers",
            [one for one in annotations if len(one.answers) != _ANNOTATORS],
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


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    return by_image(_lines(VqaFiles(root), split, skips))


def _lines(at: VqaFiles, split: str, skips: Skips) -> Iterator[tuple[Path, str]]:
    """Photo, and question with its answers, where these are public."""
    path = at.annotations(split)
    public = split in ("train", "val") and path.is_file()
    answers = {one.question_id: one for one in read_annotations([path])} if public else {}
    for question in read_questions([at.questions(split)]):
        image = at.image(split, question.image_id)
        if not image.is_file():
            skips.add(MISSING_IMAGE, str(image))
            continue
        annotation = answers.get(question.id)
        yield image, question.text + (f" {_said(annotation)}" if annotation else "")


def _said(annotation: Annotation) -> str:
    """As in: yes (8), no (2)."""
    counts = Counter(answer.text for answer in annotation.answers)
    return ", ".join(f"{text} ({count})" for text, count in counts.most_common())


DATA_SET = DataSet(
    name="vqa",
    title="VQA v2.0",
    role="benchmark",
    about="Questions about COCO's photos with ten human answers each, balanced so that a question "
    "alone does not tell the answer; the answers of the test splits are on a server.",
    licence="CC BY 4.0 (questions and answers); photos as for COCO.",
    source="https://visualqa.org/download.html (Balanced Real Images, v2.0)",
    places=(
        RequiredPath.files("training questions", _BELOW.questions("train")),
        RequiredPath.files("training answers", _BELOW.annotations("train")),
        RequiredPath.files("validation questions", _BELOW.questions("val")),
        RequiredPath.files("validation answers", _BELOW.annotations("val")),
        RequiredPath.files("test-dev questions", _BELOW.questions("test-dev")),
        RequiredPath.files("all test questions", _BELOW.questions("test-std")),
        *(
            RequiredPath.folders(f"COCO_{images}_*.jpg", CocoFiles(Path()).images(images))
            for images in ("train2014", "val2014", "test2015")
        ),
    ),
    official=(
        OfficialCount("train", "questions", 443_757, _SOURCE, "444K"),
        OfficialCount("val", "questions", 214_354, _SOURCE, "214K"),
        OfficialCount("test-dev", "questions", 107_394, _DEV, "448K"),
        OfficialCount("test-std", "questions", 447_793, _SOURCE, "107K"),
        OfficialCount("train", "annotations", 443_757, _SOURCE),
        OfficialCount("val", "annotations", 214_354, _SOURCE),
        OfficialCount("train+val", "frequent answers", 3_129, _ANSWERS),
        OfficialCount("train", "images", 82_783, "COCO train2014", "83K"),
        OfficialCount("val", "images", 40_504, "COCO val2014", "41K"),
        OfficialCount("test-dev", "images", 81_434, "COCO test2015", "81K"),
        OfficialCount("test-std", "images", 81_434, "COCO test2015", "81K"),
    ),
    notes=(
        "the paper's table 7 swaps the heads test-dev and test-std: test-dev has 107K questions, "
        "test-std 448K (all of test2015, as the server takes them)",
        "frequent answers are the most common answer of nine questions or more in train and val; "
        "a classifier chooses among them",
    ),
    look_alikes={
        658_111: "train and val together",
        248_349: "the training questions of VQA v1",
        121_512: "the validation questions of VQA v1",
        244_302: "the test questions of VQA v1",
    },
    benchmark="vqa",
    verify=_verify,
    samples=SampleReader(("val", "train", "test-dev", "test-std"), _samples),
)
