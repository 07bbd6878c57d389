"""`unimo2 score`: every benchmark from the command line, JSON as eval prints it, errors in a line."""

import json
import subprocess
import sys

import numpy as np
import pytest

from unimo2.cli import main

FIELDS = {"value", "n", "ci95", "chance", "at_chance", "higher_is_better", "ties"}


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def as_json(path, content):
    return text(path, json.dumps(content))


def vqa(root):
    answers = [
        {"answer": a, "answer_confidence": "yes", "answer_id": i} for i, a in enumerate("xxxxy")
    ]
    for part in (0, 1):
        question = {"question_id": part, "image_id": part, "question": "?"}
        row = {
            "question_id": part,
            "answers": answers,
            "answer_type": "other",
            "question_type": "what",
        }
        as_json(root / f"q{part}.json", {"questions": [question]})
        as_json(root / f"a{part}.json", {"annotations": [row]})
    as_json(root / "p", [{"question_id": 0, "answer": "x"}, {"question_id": 1, "answer": "z"}])
    return [
        "--questions",
        root / "q0.json",
        root / "q1.json",
        "--annotations",
        root / "a0.json",
        root / "a1.json",
    ]


def snli_ve(root):
    rows = [
        {"pairID": f"p{i}", "gold_label": "neutral", "sentence2": "", "Flickr30K_ID": "1"}
        for i in (0, 1)
    ]
    text(
        root / "p",
        "\n".join(
            f'{{"pairID": "p{i}", "prediction": "{label}"}}'
            for i, label in enumerate(["neutral", "entailment"])
        ),
    )
    return ["--annotations", text(root / "a", "\n".join(map(json.dumps, rows)))]


def flickr(root):
    images = [
        {
            "imgid": i,
            "filename": f"{i}.jpg",
            "split": "val",
            "sentences": [{"sentid": i, "imgid": i, "raw": "a", "tokens": ["a"]}],
        }
        for i in (0, 1)
    ]
    np.save(root / "p.npy", np.array([[2.0, 3.0], [1.0, 4.0]]))
    (root / "p.npy").rename(root / "p")
    return ["--annotations", as_json(root / "a", {"images": images}), "--split", "val"]


def imagenet(root):
    for name in ("n1/a.JPEG", "n2/b.JPEG"):
        text(root / "val" / name, "")
    text(root / "p", "image,prediction\na.JPEG,n1\nb.JPEG,n1\n")
    return ["--annotations", root / "val"]


def glue(annotations, predictions):
    def files(root):
        text(
            root / "p",
            "index\tprediction\n" + "".join(f"{i}\t{p}\n" for i, p in enumerate(predictions)),
        )
        return ["--annotations", text(root / "a", annotations)]

    return files


CASES = {
    "vqa": (vqa, {"accuracy": 50.0, "accuracy[answer_type=other]": 50.0, "accuracy[question_type=what]": 50.0}),
    "snli-ve": (snli_ve, {"accuracy": 50.0, "accuracy[gold_label=neutral]": 50.0}),
    "flickr": (flickr, {"image_retrieval/R@1": 100.0, "text_retrieval/R@1": 50.0}),
    "imagenet": (imagenet, {"accuracy": 50.0}),
    "sst2": (glue("sentence\tlabel\na\t1\nb\t0\n", "11"), {"accuracy": 50.0}),
    "mnli": (
        glue("index\tsentence1\tsentence2\tgold_label\n0\ta\tb\tneutral\n1\ta\tb\tentailment\n", ["neutral"] * 2),
        {"accuracy": 50.0},
    ),
    "cola": (glue("x\t1\t\ta\nx\t0\t*\tb\n", "10"), {"matthews": 100.0}),
    "stsb": (
        glue("index\tsentence1\tsentence2\tscore\n0\ta\tb\t1\n1\ta\tb\t2\n2\ta\tb\t5\n", "123"),
        {"pearson": 100 * 4 / np.sqrt(2 * 26 / 3), "spearman": 100.0},
    ),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """The arguments that score one benchmark's predictions, and the values by hand."""
    files, expected = CASES[request.param]
    options = list(map(str, files(tmp_path)))
    return ["score", request.param, str(tmp_path / "p"), *options], expected


def test_json_has_the_layout_of_eval(case, capsys):
    """Against values worked out by hand, and the fields of a record's metrics."""
    arguments, expected = case
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    assert captured.err == ""
    assert (set(content), content["missing"]) == ({"metrics", "missing", "notes"}, 0)
    for metric in content["metrics"].values():
        assert set(metric) == FIELDS
        assert metric["ci95"][0] <= metric["value"] <= metric["ci95"][1] and metric["n"] > 0
    for name, value in expected.items():
        assert content["metrics"][name]["value"] == pytest.approx(value, abs=1e-9), name
    if "R@1" not in str(expected):
        assert set(content["metrics"]) == set(expected)


def test_the_table_has_every_metric(case, capsys, monkeypatch):
    """Against the same values to two places."""
    monkeypatch.setenv("COLUMNS", "120")
    arguments, expected = case
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for name, value in expected.items():
        (line,) = [line for line in printed.splitlines() if line.split()[:1] == name.split()[:1]]
        assert f" {value:.2f} " in line


def test_wrong_predictions_are_one_line_and_status_2(case, capsys, tmp_path):
    """Against no file, and a file of another format."""
    arguments, _ = case
    for wrong in (tmp_path / "none", text(tmp_path / "wrong", "{\nwrong")):
        assert main(["score", arguments[1], str(wrong), *arguments[3:]]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("unimo2: error: ") and captured.err.count("\n") == 1
        assert str(wrong) in captured.err


@pytest.mark.parametrize("matrix", [[[2.0, np.nan], [1.0, 4.0]], [[True, False], [False, True]]])
def test_score_matrices_that_cannot_be_ranked_are_named(tmp_path, capsys, matrix):
    """Against a score that is no number, and scores that are only true or false."""
    options = list(map(str, flickr(tmp_path)))
    np.save(tmp_path / "odd.npy", np.array(matrix))
    assert main(["score", "flickr", str(tmp_path / "odd.npy"), *options]) == 2
    assert f"error: {tmp_path / 'odd.npy'}: " in capsys.readouterr().err


def test_a_negative_seed_is_refused(case, capsys):
    """Against the command line's own rule: one line and status 2."""
    assert main([*case[0], "--seed", "-1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "--seed" in captured.err


def test_annotations_are_asked_for(capsys):
    """Against a command line without them."""
    assert main(["score", "coco", "r.json"]) == 2
    assert "Missing option '--annotations'" in capsys.readouterr().err


def test_missing_predictions_are_counted_in_the_output(tmp_path, capsys):
    """Against one prediction of two: an error, and with --allow-missing a number and a note."""
    options = list(map(str, CASES["imagenet"][0](tmp_path)))
    path = text(tmp_path / "one.csv", "image,prediction\na,n1\n")
    assert main(["score", "imagenet", str(path), *options]) == 2
    assert "1 of 2 images have no prediction: b" in capsys.readouterr().err
    assert main(["score", "imagenet", str(path), *options, "--allow-missing", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["missing"], content["metrics"]["accuracy"]["n"]) == (1, 1)
    assert content["notes"] == ["1 of 2 images have no prediction; the other 1 are scored"]


def test_synsets_decide_the_classes_of_imagenet_and_chance(tmp_path, capsys):
    """Against one of four classes by guessing, where the images know two; a class it lacks."""
    options = list(map(str, CASES["imagenet"][0](tmp_path)))
    arguments = ["score", "imagenet", str(tmp_path / "p"), *options, "--json", "--synsets"]
    known = text(tmp_path / "elsewhere" / "known.txt", "n1 a\nn2 b\nn3 c\nn4 d\n")
    assert main([*arguments, str(known)]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"]["chance"] == 25.0
    assert main([*arguments, str(text(tmp_path / "few.txt", "n1 a\n"))]) == 2
    assert "few.txt lacks: n2" in capsys.readouterr().err


def test_captions_are_scored_from_the_command_line(tmp_path, capsys, no_meteor_program):
    """Against a caption that is its reference, in both images; `test_coco.py` runs METEOR itself."""
    captions = ["a dog runs on the grass", "two red balls and a man"]
    as_json(tmp_path / "r.json", [{"image_id": i, "caption": c} for i, c in enumerate(captions)])
    rows = [{"id": i, "image_id": i, "caption": c} for i, c in enumerate(captions)]
    as_json(tmp_path / "a.json", {"images": [{"id": 0}, {"id": 1}], "annotations": rows})
    arguments = [
        "score",
        "coco",
        tmp_path / "r.json",
        "--annotations",
        tmp_path / "a.json",
        "--json",
    ]
    assert main(list(map(str, arguments))) == 0
    content = json.loads(capsys.readouterr().out)
    for name in ("Bleu_1", "Bleu_4", "METEOR", "ROUGE_L"):
        assert content["metrics"][name]["value"] == pytest.approx(100.0, abs=1e-6)
    assert content["metrics"]["CIDEr"]["value"] == pytest.approx(1000.0)
    assert "SPICE is not measured" in content["notes"][0]


def test_no_model_is_loaded(tmp_path):
    """Against the modules of a fresh process: scoring needs neither torch nor transformers."""
    options = CASES["sst2"][0](tmp_path)
    code = (
        "import sys; from unimo2.cli import main; "
        f"status = main({['score', 'sst2', str(tmp_path / 'p'), *map(str, options)]!r}); "
        "sys.exit(status or bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SST-2" in done.stdout


@pytest.mark.parametrize("width", [None, 40, 24])
def test_names_are_shown_as_they_are_and_figures_whole(width, tmp_path, capsys, monkeypatch):
    """Truth: two of three by hand; a name that rich takes for markup and an emoji, at any width."""
    monkeypatch.setattr("unimo2.console.terminal_width", lambda: width)
    truth, given = tmp_path / "dev.tsv", tmp_path / "run[final]:100:\x1b[2J.tsv"
    truth.write_text("sentence\tlabel\na\t1\nb\t0\nc\t1\n")
    given.write_text("index\tprediction\n0\t1\n1\t0\n2\t0\n")
    assert main(["score", "sst2", str(given), "--annotations", str(truth)]) == 0
    out = capsys.readouterr().out
    assert r"run[final]:100:\x1b[2J.tsv" in out.replace("\n", "")
    assert "66.67" in out and "0.00 to 100.00" in out and "\x1b" not in out
