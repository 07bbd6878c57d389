"""Verification of VQA: miniatures with known counts and known faults."""

import json
from pathlib import Path

import pytest

from builders.miniatures import check, here, picture, write
from evals.datasets.catalogue import vqa as vqa_catalogue
from unimo2.formats.vqa import Annotation, Question
from unimo2.training.finetuning.readers import answer_list

QUESTIONS = "v2_OpenEnded_mscoco_{}_questions.json"
ANNOTATIONS = "v2_mscoco_{}_annotations.json"


def question(number: int, image: int) -> dict:
    """As in the official files."""
    return {"image_id": image, "question": "What is it?", "question_id": number}


def annotation(number: int, image: int, answer: str = "net", **changes: object) -> dict:
    """As in the official files, ten answers."""
    return {
        "question_id": number, "image_id": image, "question_type": "what is",
        "answer_type": "other", "multiple_choice_answer": answer,
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": place}
            for place in range(1, 11)
        ],
    } | changes  # fmt: skip


def vqa(root: Path, name: str, images: str, questions: list[dict], answers=None) -> None:
    """Write one split of VQA, with a picture for every image."""
    head = {"info": {"version": "2.0"}, "data_subtype": name}
    content = head | {"questions": questions, "license": {}}
    write(root / "vqa" / QUESTIONS.format(name), json.dumps(content))
    if answers is not None:
        text = json.dumps(head | {"annotations": answers})
        write(root / "vqa" / ANNOTATIONS.format(name), text)
    for one in questions:
        image = one.get("image_id", 0)
        picture(root / "coco" / images / f"COCO_{images}_{image:012d}.jpg")


def vqa_root(root: Path) -> None:
    """A whole miniature: 3 + 1 questions with answers, 1 of test-dev among 2 of test-std."""
    pairs = [(10, 1), (11, 1), (20, 2)]
    vqa(
        root, "train2014", "train2014",
        [question(*pair) for pair in pairs], [annotation(*pair) for pair in pairs],
    )  # fmt: skip
    vqa(root, "val2014", "val2014", [question(30, 3)], [annotation(30, 3)])
    vqa(root, "test-dev2015", "test2015", [question(40, 4)])
    vqa(root, "test2015", "test2015", [question(40, 4), question(50, 5)])


def test_vqa_is_counted_split_by_split(tmp_path: Path) -> None:
    """Against the miniature's own counts; the same data as a suite's own is complete."""
    vqa_root(tmp_path)
    found = check(tmp_path, "vqa")
    assert (found.state, found.problems) == ("sample", ())
    assert here(found) == {
        ("train", "questions"): 3, ("val", "questions"): 1,
        ("test-dev", "questions"): 1, ("test-std", "questions"): 2,
        ("train", "annotations"): 3, ("val", "annotations"): 1,
        ("train+val", "frequent answers"): 0,
        ("train", "images"): 2, ("val", "images"): 1,
        ("test-dev", "images"): 1, ("test-std", "images"): 2,
    }  # fmt: skip
    assert "test-dev: 1 of 107,394 questions" in found.notes
    suite = {
        "counts": {"vqa": {"train": 3, "val": 1, "test-dev": 1, "test-std": 2}},
        "units": {"vqa": "questions"},
    }
    assert check(tmp_path, "vqa", suite=suite).state == "complete"


def test_every_fault_of_vqa_is_one_line(tmp_path: Path) -> None:
    """Against a miniature into which each fault was put."""
    questions = [question(n, n) for n in range(1, 7)]
    questions += [question(1, 1), {"question_id": 9, "image_id": 9}]
    answers = [annotation(n, n) for n in (1, 2, 3, 77)]
    answers[1]["image_id"] = 5
    answers[2]["answer_type"] = "colour"
    answers += [annotation(4, 4, answers=[{"answer": "net"}]), annotation(5, 5, answers=[])]
    vqa(tmp_path, "train2014", "train2014", questions, answers)
    vqa(tmp_path, "val2014", "val2014", [question(6, 6)], None)
    vqa(tmp_path, "test-dev2015", "test2015", [question(40, 4)])
    vqa(tmp_path, "test2015", "test2015", [question(41, 4)])
    (tmp_path / "coco" / "train2014" / "COCO_train2014_000000000002.jpg").unlink()
    (tmp_path / "coco" / "val2014" / "COCO_val2014_000000000006.jpg").write_bytes(b"\xff\xd8 cut")
    found = check(tmp_path, "vqa")
    expected = [
        "1 x id that occurs twice, first ",
        "1 x broken row, first ",
        "train: 1 of 6 images not on disk, first ",
        "1 x broken row, first ",
        "train: 1 annotations have an unknown answer type, first question_id 3",
        "train: 1 annotations have not 10 answers, first question_id 4",
        "train: 2 questions without annotation, first question_id 5",
        "train: 1 annotations without question, first question_id 77",
        "train: 1 annotations about another image than their question, first question_id 2",
        "1 questions are in train and in val",
        "1 questions of test-dev are not among those of test-std",
        "1 of 7 images cannot be read, first: ",
    ]
    assert found.state == "problems"
    assert [line[: len(start)] for line, start in zip(found.problems, expected, strict=True)] == (
        expected
    )
    assert "questions[7]: field 'question' is missing" in found.problems[1]
    assert "annotations[5]: no answers" in found.problems[3]
    assert all("\n" not in line for line in found.problems)


def test_a_broken_vqa_file_leaves_the_others_counted(tmp_path: Path) -> None:
    """Against one file cut off in its third line."""
    vqa_root(tmp_path)
    write(tmp_path / "vqa" / QUESTIONS.format("val2014"), '{\n"questions": [\n{"question_id": 3')
    found = check(tmp_path, "vqa")
    assert found.state == "problems" and "malformed JSON at line 3" in found.problems[0]
    assert here(found)["train", "questions"] == 3 and ("val", "questions") not in here(found)


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("test-dev2015", 447_793, "test-dev: 447,793 questions: as many as the test-std split has"),
        ("train2014", 658_111, "train: 658,111 questions: these are train and val together"),
        ("test2015", 107_394, "test-std: 107,394 of 447,793 questions (as many as the test-dev"),
    ],
)
def test_a_wrong_split_of_vqa_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, count: int, message: str
) -> None:
    """Against files with the number of questions of another split (read by a stand-in for speed)."""
    write(tmp_path / "vqa" / QUESTIONS.format(name), "")
    many = [Question(number, 1, "") for number in range(count)]
    monkeypatch.setattr(vqa_catalogue, "read_questions", lambda paths, broken: many)
    found = check(tmp_path, "vqa", decodes=False)
    assert any(line.startswith(message) for line in (*found.problems, *found.notes))


def test_frequent_answers_are_those_of_nine_questions(tmp_path: Path) -> None:
    """Against counts by hand: normalised before counting, eight questions are too few."""
    texts = ["The Net."] * 5 + ["net"] * 4 + ["1,000"] * 10 + ["cat"] * 8 + ["The"] * 9
    asked = [question(number, 1) for number in range(len(texts))]
    answers = [annotation(number, 1, text) for number, text in enumerate(texts)]
    vqa(tmp_path, "train2014", "train2014", asked[:20], answers[:20])
    vqa(tmp_path, "val2014", "val2014", asked[20:], answers[20:])
    found = check(tmp_path, "vqa")
    assert found.problems == () and here(found)["train+val", "frequent answers"] == 3


def test_the_answers_in_use_are_in_normal_form(real_data: Path) -> None:
    """Against the 3,129 answers in use: each is what our normal form makes of itself."""
    answers = json.loads((real_data / "vqa" / "trainval_label2ans.json").read_text())
    given = [Annotation(number, 1, None, None, text, ()) for number, text in enumerate(answers)]
    assert len(answers) == 3_129 and sorted(answer_list(given, 1)) == sorted(answers)


def test_the_real_questions(tmp_path: Path, real_data: Path) -> None:
    """Against ../shared/real: 3 questions of one image with their annotations, without the image."""
    for ours, theirs in (
        (QUESTIONS.format("train2014"), "allennlp_vqav2_questions.json"),
        (ANNOTATIONS.format("train2014"), "allennlp_vqav2_annotations.json"),
    ):
        write(tmp_path / "vqa" / ours, (real_data / "vqa" / theirs).read_text())
    found = check(tmp_path, "vqa")
    counted = here(found)
    assert counted["train", "questions"] == counted["train", "annotations"] == 3
    assert len(found.problems) == 1 and found.problems[0].startswith("train: 1 of 1 images not on")
