"""VQA v2 files: small ones in the official layout, the real sample, and broken ones."""

import json

import pytest

from unimo2.errors import BadData, MissingData
from unimo2.formats import vqa


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def question(number):
    return {"image_id": 10 + number, "question": f"What is {number}?", "question_id": number}


def annotation(number, answers=("net",) * 10):
    return {
        "question_type": "what is", "multiple_choice_answer": answers[0], "image_id": 10 + number,
        "answer_type": "other", "question_id": number,
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": place}
            for place, answer in enumerate(answers, start=1)
        ],
    }  # fmt: skip


def test_questions_and_annotations_of_several_files(tmp_path):
    """Against what was written in the official field names: train and val are read one after another."""
    parts = [
        (
            write(tmp_path / f"q{k}.json", {"info": {}, "questions": [question(k)]}),
            write(tmp_path / f"a{k}.json", {"info": {}, "annotations": [annotation(k)]}),
        )
        for k in (2, 1)
    ]
    questions = vqa.read_questions([path for path, _ in parts])
    assert questions == [vqa.Question(2, 12, "What is 2?"), vqa.Question(1, 11, "What is 1?")]
    first, second = vqa.read_annotations([path for _, path in parts])
    assert (first.question_id, second.question_id) == (2, 1)
    assert (first.question_type, first.answer_type, first.most_common) == (
        "what is",
        "other",
        "net",
    )
    assert [answer.id for answer in first.answers] == list(range(1, 11))
    assert first.answers[0] == vqa.Answer("net", "yes", 1)


def test_the_real_sample(real_data):
    """Against ../shared/real/vqa: three questions of one image, without types or image ids."""
    folder = real_data / "vqa"
    questions = vqa.read_questions([folder / "allennlp_vqav2_questions.json"])
    annotations = vqa.read_annotations([folder / "allennlp_vqav2_annotations.json"])
    assert questions[0].text == "What is this photo taken looking through?"
    assert [q.id for q in questions] == [a.question_id for a in annotations]
    assert [len(a.answers) for a in annotations] == [10, 10, 10]
    assert annotations[0].answers[9] == vqa.Answer("orange", "yes", 10)
    assert annotations[0].question_type is None


def test_results(tmp_path):
    """Against what was written: the answer as given, odd spaces and all."""
    path = write(tmp_path / "r.json", [{"question_id": 3, "answer": " Net\n"}])
    assert vqa.read_results(path) == {3: " Net\n"}


BROKEN = [
    (vqa.read_questions, {"questions": [question(1), question(1)]}, "more than once: 1"),
    (vqa.read_questions, {"annotations": []}, "list 'questions'"),
    (vqa.read_questions, {"questions": [{"question_id": 1, "image_id": 2}]}, r"questions\[0\].*'question'"),
    (vqa.read_annotations, {"annotations": [annotation(1), annotation(1)]}, "more than once: 1"),
    (vqa.read_annotations, {"annotations": [{**annotation(1), "answers": []}]}, "no answers"),
    (vqa.read_annotations, {"annotations": [{**annotation(1), "answers": [{}]}]}, r"answers\[0\]"),
    (vqa.read_annotations, {"annotations": [{"question_id": "1"}]}, "'answers' is missing"),
    (vqa.read_annotations, {"annotations": [{**annotation(1), "question_id": "1"}]}, "type int"),
    (vqa.read_results, {"question_id": 1}, "expected a list"),
    (vqa.read_results, [{"question_id": 1, "answer": None}], "'answer' must be of type str"),
    (vqa.read_results, [{"question_id": True, "answer": "x"}], "type int, found bool"),
    (vqa.read_results, [{"question_id": 1, "answer": "x"}] * 2, "more than once: 1"),
    (vqa.read_results, ["x"], "expected an object, found str"),
]  # fmt: skip


@pytest.mark.parametrize(("read", "content", "says"), BROKEN)
def test_broken_files_are_refused(tmp_path, read, content, says):
    """Against files that are wrong by construction."""
    path = write(tmp_path / "x.json", content)
    with pytest.raises(BadData, match=says) as error:
        read(path if read is vqa.read_results else [path])
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_malformed_json_names_its_line(tmp_path):
    """Against a file whose third line lacks a value."""
    path = tmp_path / "x.json"
    path.write_text('[\n{"question_id": 1, "answer": "x"},\n{"question_id": }]')
    with pytest.raises(BadData, match="malformed JSON at line 3"):
        vqa.read_results(path)


def test_a_missing_file_is_named(tmp_path):
    """Against a path where nothing lies."""
    with pytest.raises(MissingData, match="VQA questions not found: .*no.json"):
        vqa.read_questions([tmp_path / "no.json"])
