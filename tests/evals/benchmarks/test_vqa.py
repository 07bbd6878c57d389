"""VQA accuracy: by hand, and against the official structure on hundreds of random questions."""

import json
import random

import numpy as np
import pytest

from builders.vqa_reference import accuracy
from evals.benchmarks import vqa as vqa_benchmark
from evals.metrics import vqa
from unimo2.errors import BadData
from unimo2.formats.vqa import Annotation, Answer


def annotators(*answers):
    """Entries as in the annotation files."""
    return [
        {"answer": answer, "answer_confidence": "yes", "answer_id": place}
        for place, answer in enumerate(answers, start=1)
    ]


def annotation(entries, **types):
    answers = [Answer(e["answer"], e.get("answer_confidence"), e.get("answer_id")) for e in entries]
    fields = {"question_id": 1, "image_id": 1, "question_type": "x", "answer_type": "y"} | types
    return Annotation(**fields, most_common=None, answers=tuple(answers))


def score(prediction, entries):
    return float(vqa.accuracies([prediction], [annotation(entries)])[0])


@pytest.mark.parametrize(
    ("prediction", "answers", "expected"),
    [
        ("net", ["net"] * 10, 1.0),
        ("Net", ["net"] * 10, 0.0),  # ten of one mind: compared as it is
        ("net.", ["net"] * 10, 0.0),
        ("a net", ["a net"] * 10, 1.0),
        (" net\n", ["net"] * 10, 1.0),
        ("net", ["net\t"] * 9 + [" net"], 1.0),  # the same after trimming
        ("Net.", ["net"] * 9 + ["mesh"], 1.0),  # not of one mind: normalised
        ("net", ["The net!"] * 3 + ["mesh"] * 7, (3 * 2 / 3 + 7) / 10),
        ("net", ["net"] * 2 + ["mesh"] * 8, (2 * 1 / 3 + 8 * 2 / 3) / 10),
        ("net", ["net"] + ["mesh"] * 9, (0 + 9 * 1 / 3) / 10),
        ("net", ["mesh"] * 5 + ["goal"] * 5, 0.0),
        ("net", ["net"] * 4 + ["mesh"] * 6, 1.0),
        ("2", ["two"] * 5 + ["2"] * 4 + ["many"], 1.0),
        ("", ["a"] * 5 + ["the"] * 5, 1.0),  # articles alone are nothing
        ("yes", ["yes", "yes"], 1 / 3),  # fewer annotators than ten
        ("yes", ["yes"], 0.0),
    ],
)
def test_accuracy_by_hand(prediction, answers, expected):
    """Against min(1, others who agree / 3), averaged over the annotators, worked out by hand."""
    assert score(prediction, annotators(*answers)) == pytest.approx(expected, abs=1e-15)
    assert accuracy(prediction, annotators(*answers)) == pytest.approx(expected, abs=1e-15)


def test_entries_that_are_the_same_are_left_out_together():
    """Against the official code, which compares whole entries: without ids, equal ones are one."""
    entries = [{"answer": "net"}] * 9 + [{"answer": "mesh"}]
    assert score("net", entries) == pytest.approx(0.1)
    assert score("net", entries) == accuracy("net", entries)


def test_six_hundred_random_questions():
    """Against the official structure written a second time: ten answers of few words and marks."""
    random_ = random.Random(1)
    words = [
        "net",
        "Net.",
        "a net",
        "two",
        "2",
        "1,000",
        "1000",
        "t-shirt",
        "t shirt",
        "dont",
        "don't",
    ]
    right = 0
    for number in range(600):
        some = random_.sample(words, random_.choice([1, 2, 3, 5]))
        entries = annotators(*random_.choices(some, k=10))
        if number % 10 == 0:
            entries = [{**entry, "answer_id": 1} for entry in entries]
        prediction = random_.choice([*some, random_.choice(words)])
        found = score(prediction, entries)
        # Python 3.12 and later add floats more exactly than the official code's Python did.
        exact = pytest.approx(accuracy(prediction, entries), abs=1e-12)
        assert found == exact, (prediction, entries)
        right += found > 0
    assert 100 < right < 600  # the questions are neither all right nor all wrong


def test_the_ceiling_of_a_vocabulary_is_brute_force():
    """Against the best of all answers of the vocabulary, tried one by one; some are spelt oddly."""
    rng = random.Random(3)
    words = ["yes", "no", "2", "two", "a net", "net", "Net.", "it's red", "red", "on  it", "maybe"]
    asked = [annotation(annotators(*rng.choices(words, k=10))) for _ in range(60)]
    asked += [annotation(annotators(*[word] * 10)) for word in words]
    asked.append(annotation(annotators(*["nothing of it"] * 10)))
    for size in (1, 4, len(words)):
        vocabulary = rng.sample(words, size)
        every = [vqa.accuracies([one] * len(asked), asked) for one in vocabulary]
        found = vqa.ceilings(vocabulary, asked)
        np.testing.assert_array_equal(found, np.max(every, axis=0))
        assert found[-1] == 0 and found.max() > 0


def test_rounded_figures_are_the_official_ones():
    """Against the last line of the official code, whose sum goes from question to question."""
    agreeing = [10, 8, 10, 4, 5, 0, 0, 10, 2, 1, 7, 10, 2, 2, 4, 6]  # 75.625: to two places, 75.62
    truth = [annotation(annotators(*["net"] * k, *["mesh"] * (10 - k))) for k in agreeing]
    each = [accuracy("net", annotators(*["net"] * k, *["mesh"] * (10 - k))) for k in agreeing]
    found = vqa_benchmark.metrics(vqa.accuracies(["net"] * 16, truth), truth, range(16), seed=0)
    assert {metric.value for metric in found.values()} == {100 * float(sum(each)) / len(each)}
    assert round(found["accuracy"].value, 2) == 75.62 != round(100 * float(np.mean(each)), 2)


@pytest.fixture
def files(tmp_path):
    """Six questions about three images in two pairs of files, and answers to all of them."""
    kinds = [("yes/no", "is the"), ("number", "how many"), ("other", "what is")] * 2
    results = []
    for part in (0, 1):
        numbers = range(3 * part, 3 * part + 3)
        questions = [{"question_id": i, "image_id": 50 + i // 2, "question": "?"} for i in numbers]
        rows = [
            {
                **{
                    "question_id": i,
                    "image_id": 50 + i // 2,
                    "answers": annotators(*["net"] * 9, "x"),
                },
                **{"answer_type": kinds[i][0], "question_type": kinds[i][1]},
            }
            for i in numbers
        ]
        (tmp_path / f"q{part}.json").write_text(json.dumps({"questions": questions}))
        (tmp_path / f"a{part}.json").write_text(json.dumps({"annotations": rows}))
        results += [{"question_id": i, "answer": "net" if i < 4 else "goal"} for i in numbers]
    (tmp_path / "r.json").write_text(json.dumps(results))
    return tmp_path


def run(files, **options):
    parts = (0, 1)
    questions = [files / f"q{part}.json" for part in parts]
    return vqa_benchmark.Vqa().score(
        files / "r.json", questions, [files / f"a{part}.json" for part in parts], **options
    )


def test_accuracy_by_type(files):
    """Against the answers as they were made: 4 of 6 right, by type 2, 1 and 1 of 2."""
    scored = run(files)
    values = {name: (metric.value, metric.n) for name, metric in scored.metrics.items()}
    assert values == {
        "accuracy": (pytest.approx(100 * 4 / 6), 6),
        "accuracy[answer_type=yes/no]": (100.0, 2),
        "accuracy[answer_type=number]": (50.0, 2),
        "accuracy[answer_type=other]": (50.0, 2),
        "accuracy[question_type=is the]": (100.0, 2),
        "accuracy[question_type=how many]": (50.0, 2),
        "accuracy[question_type=what is]": (50.0, 2),
    }
    assert (scored.missing, scored.notes) == (0, ())


def test_questions_of_an_image_are_resampled_together(files):
    """Against all 27 resamples of three images, of which two are right throughout and one wrong."""
    draws = [
        np.mean([[1, 1, 0][i] for i in (a, b, c)])
        for a in range(3)
        for b in range(3)
        for c in range(3)
    ]
    low, high = np.percentile(draws, [2.5, 97.5], method="inverted_cdf")
    metric = run(files).metrics["accuracy"]
    assert metric.ci95 == (pytest.approx(100 * low), pytest.approx(100 * high))


def change(files, name, edit):
    path = files / name
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


BROKEN = [
    ("r.json", lambda r: r.pop(0), "1 of 6 questions have no prediction: 0; --allow-missing"),
    ("r.json", lambda r: r.append({"question_id": 9, "answer": ""}), "do not have: 9"),
    ("r.json", lambda r: r.append(r[0]), "question_id occurs more than once: 0"),
    ("r.json", lambda r: r.clear(), "none of the 6 questions has a prediction"),
    ("a0.json", lambda a: a["annotations"].pop(0), "1 questions have no annotation .*: 0"),
    ("q0.json", lambda q: q["questions"].pop(0), "1 annotations have no question .*: 0"),
    ("a0.json", lambda a: a["annotations"][0].update(image_id=1), "about image 50, its annotation"),
    (
        "q1.json",
        lambda q: q["questions"][0].update(question_id=0),
        "question_id occurs more than once",
    ),
]


@pytest.mark.parametrize(("name", "edit", "says"), BROKEN)
def test_files_that_do_not_fit_are_refused(files, name, edit, says):
    """Against one change that makes the files wrong."""
    change(files, name, edit)
    with pytest.raises(BadData, match=says):
        run(files)


def test_whole_numbers_with_a_point_are_ids(files):
    """Against the same results with their ids as a table with an empty cell writes them: 42.0."""
    before = run(files)
    change(
        files, "r.json", lambda r: [row.update(question_id=float(row["question_id"])) for row in r]
    )
    assert run(files) == before
    change(files, "r.json", lambda r: r[0].update(question_id=r[0]["question_id"] + 0.5))
    with pytest.raises(BadData, match="'question_id' must be of type int, found float"):
        run(files)


@pytest.mark.parametrize(
    ("content", "says"),
    [("[" * 100_000, "nested too deeply"), ("[" + "1" * 5000 + "]", "more digits")],
)
def test_json_that_python_cannot_hold_is_refused(files, content, says):
    """Against text that is JSON by its grammar, and that Python's decoder gives up on."""
    (files / "r.json").write_text(content)
    with pytest.raises(BadData, match=f"r.json: malformed JSON: .*{says}"):
        run(files)


def test_missing_answers_can_be_allowed(files):
    """Against the answers as they were made: without two right ones, 2 of 4."""
    change(files, "r.json", lambda r: [r.pop(0), r.pop(0)])
    scored = run(files, allow_missing=True)
    assert (scored.metrics["accuracy"].value, scored.metrics["accuracy"].n) == (50.0, 4)
    assert (scored.missing, len(scored.notes)) == (2, 1)
    assert "2 of 6 questions have no prediction" in scored.notes[0]
    assert scored.metrics["accuracy[answer_type=yes/no]"].n == 1


def test_the_real_sample(real_data, tmp_path):
    """Against ../shared/real/vqa and the official structure: "net" was said by seven of ten."""
    folder = real_data / "vqa"
    source = json.loads((folder / "allennlp_vqav2_annotations.json").read_text())["annotations"]
    answers = ["Net.", "catcher", "orange"]
    results = [
        {"question_id": row["question_id"], "answer": answer}
        for row, answer in zip(source, answers, strict=True)
    ]
    (tmp_path / "r.json").write_text(json.dumps(results))
    found = (
        vqa_benchmark.Vqa()
        .score(
            tmp_path / "r.json",
            [folder / "allennlp_vqav2_questions.json"],
            [folder / "allennlp_vqav2_annotations.json"],
        )
        .metrics
    )
    expected = [accuracy(a, row["answers"]) for a, row in zip(answers, source, strict=True)]
    assert expected[0] == 1.0
    assert found["accuracy"].value == pytest.approx(100 * np.mean(expected), abs=1e-12)
    assert list(found) == ["accuracy"]  # the sample has no types
