"""Caption metrics against pycocoevalcap's own evaluation, on small and on real files."""

import contextlib
import io
import json
import random
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from builders.official_java import java_on_path, let_spice_answer, quiet
from evals.benchmarks import coco
from evals.metrics import captions as caption_metrics
from evals.metrics import java
from evals.metrics.captions import CaptionScores, tokenise
from evals.metrics.ranking import bootstrap_counts
from unimo2.errors import BadData, MissingData

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
WORDS = (
    "a the two dogs dog cat runs running on grass red ball, sofa! man's U.S. (small) 3.5".split()
)


@pytest.fixture(scope="module")
def theirs():
    """METEOR of pycocoevalcap, whose program reads its tables for seconds: started once."""
    from pycocoevalcap.meteor.meteor import Meteor

    with java_on_path():
        return Meteor()


@pytest.fixture(scope="module")
def ours():
    """METEOR's program as the package starts it, kept running: the same answers to every test."""
    start, running = java.conversation, []
    with ExitStack() as stack:

        @contextmanager
        def conversation(name, arguments, folder, items):
            if not running:
                running.append(stack.enter_context(start(name, arguments, folder, 100_000)))
            yield running[0]

        yield conversation


@pytest.fixture
def one_program(ours, monkeypatch):
    """METEOR is asked in the program that runs."""
    monkeypatch.setattr(java, "conversation", ours)


def official(annotations, results, meteor):
    """What pycocoevalcap's COCOEvalCap says, without SPICE, whose models are not there."""
    from pycocoevalcap import eval as evaluation
    from pycocotools.coco import COCO

    class NoSpice:
        def compute_score(self, gts, res):
            return 0.0, [0.0] * len(gts)

        def method(self):
            return "SPICE"

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(evaluation, "Spice", NoSpice)
        patch.setattr(evaluation, "Meteor", lambda: meteor)
        truth = COCO(annotations)
        given = truth.loadRes(str(results))
        judge = evaluation.COCOEvalCap(truth, given)
        judge.params["image_id"] = given.getImgIds()
        with java_on_path(), quiet():
            judge.evaluate()
    each = {name: [judge.imgToEval[i][name] for i in given.getImgIds()] for name in METRICS}
    return {name: judge.eval[name] for name in METRICS}, each


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def sentence(random_):
    return " ".join(random_.choices(WORDS, k=random_.randrange(1, 12))) + random_.choice(
        [".", "", "!\n"]
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Forty images with two to six captions; results in another order, three blank or a copy."""
    random_, folder = random.Random(0), tmp_path_factory.mktemp("coco")
    ids = random_.sample(range(1, 10_000), 40)
    owners = [i for i in ids for _ in range(random_.randrange(2, 7))]
    random_.shuffle(owners)
    annotations = [
        {"id": n, "image_id": i, "caption": sentence(random_)} for n, i in enumerate(owners)
    ]
    results = [{"image_id": i, "caption": sentence(random_)} for i in random_.sample(ids, 40)]
    results[0]["caption"] = ""
    results[1]["caption"] = next(
        a["caption"] for a in annotations if a["image_id"] == results[1]["image_id"]
    )
    results[2]["caption"] = "zebra"
    content = {"images": [{"id": i} for i in ids], "annotations": annotations}
    return write(folder / "results.json", results), write(folder / "captions.json", content)


@dataclass(frozen=True)
class Parts:
    """The forty images as tokens, METEOR of them, and all scores."""

    truth: dict
    given: dict
    meteor: tuple
    scores: CaptionScores


@pytest.fixture(scope="module")
def parts(files, ours):
    """What is computed once."""
    results, annotations = files
    references = {i.id: i.captions for i in coco.read_captions(annotations)}
    captions = coco.read_results(results)
    truth = tokenise(references)
    given = tokenise({image: [captions[image]] for image in references})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(java, "conversation", ours)
        meteor = caption_metrics._meteor(truth, given)
        return Parts(truth, given, meteor, caption_metrics.caption_scores(captions, references))


def test_equal_to_pycocoevalcap(files, parts, theirs):
    """Against COCOEvalCap on the same files: every metric, of the corpus and of each image."""
    results, annotations = files
    expected, each = official(annotations, results, theirs)
    found = parts.scores
    assert list(found.metrics) == list(found.samples) == list(METRICS)
    assert found.images == tuple(i.id for i in coco.read_captions(annotations))
    for name in METRICS:
        metric = found.metrics[name]
        assert metric.value == pytest.approx(100 * expected[name], abs=1e-10), name
        assert found.samples[name] == pytest.approx(each[name], abs=1e-12), name
        assert (metric.n, metric.chance) == (40, None)
        assert metric.ci95[0] < metric.value < metric.ci95[1]


def test_some_of_the_images(files, tmp_path, one_program, theirs):
    """Against COCOEvalCap on those images alone: document frequencies come from them only."""
    results, annotations = files
    some = write(tmp_path / "some.json", json.loads(results.read_text())[:15])
    with pytest.raises(BadData, match="25 of 40 images have no prediction"):
        coco.Coco().score(some, annotations)
    expected, _ = official(annotations, some, theirs)
    found = coco.Coco().score(some, annotations, allow_missing=True)
    for name in METRICS:
        assert found.metrics[name].value == pytest.approx(100 * expected[name], abs=1e-10), name
    assert (found.missing, found.metrics["CIDEr"].n) == (25, 15)
    assert "25 of 40 images have no prediction" in found.notes[0]
    assert "SPICE is not measured" in found.notes[1]


def test_intervals_are_those_of_resampled_corpora(parts, one_program):
    """Against BLEU and METEOR by pycocoevalcap on a corpus of images copied as a resample has them."""
    _, _, bleu = caption_metrics._bleu(parts.truth, parts.given)
    counts = bootstrap_counts(40, 1, seed=0)
    images = [i for i, n in zip(parts.truth, counts[0], strict=True) for i in [i] * n]
    truth = {place: parts.truth[image] for place, image in enumerate(images)}
    given = {place: parts.given[image] for place, image in enumerate(images)}
    expected, _, _ = caption_metrics._bleu(truth, given)
    assert caption_metrics.corpus_bleu(counts @ bleu)[0] == pytest.approx(expected, abs=1e-12)
    expected, _, _ = caption_metrics._meteor(truth, given)
    assert caption_metrics.corpus_meteor(counts @ parts.meteor[2])[0] == pytest.approx(
        expected, abs=1e-12
    )


def test_meteor_of_single_captions(parts):
    """Against the scores that METEOR's program gives each caption."""
    _, each, statistics = parts.meteor
    assert caption_metrics.corpus_meteor(statistics) == pytest.approx(each, abs=1e-12)
    assert each.min() == 0 and each.max() == 1  # the blank or unheard-of one, and the copy


def test_meteor_of_another_version_is_refused():
    """Against lines with another number of statistics, and with none."""
    for line in ("1.0 2.0", "Error: specify SCORE or EVAL"):
        with pytest.raises(BadData, match="METEOR answers in an unknown form"):
            caption_metrics.parse_meteor([line])


def test_every_caption_keeps_its_line():
    """Against the captions themselves: other line ends and blank captions shift nothing."""
    captions = {
        1: ["A dog\r\nruns.", ""], 2: ["one\u2028two\u2029three\x85four\x0bfive\x0csix"], 3: ["", " ."],
    }  # fmt: skip
    found = tokenise(captions)
    assert tokenise({1: [""]}) == {1: [""]}
    assert found == {1: ["a dog runs", ""], 2: ["one two three four five six"], 3: ["", ""]}


@pytest.mark.parametrize("lines", [[], ["a dog"], ["a dog", "a cat", "a tree", "more"]])
def test_a_tokenizer_that_loses_lines_is_noticed(monkeypatch, lines):
    """Against what could come back: nothing, too little, too much."""
    monkeypatch.setattr(java, "run", lambda *arguments: "\n".join(lines))
    with pytest.raises(BadData, match="one line for each caption"):
        tokenise({1: ["a dog", "a cat"], 2: ["a tree"]})


def test_java_programs_print_nothing(capfd):
    """Against the terminal, to which the tokenizer by itself writes past Python's own streams."""
    tokenise({1: ["a dog"]})
    assert capfd.readouterr() == ("", "")


def test_figures_do_not_depend_on_the_machine(files, parts, monkeypatch, tmp_path):
    """Against the figures before: an Italian Java, a C locale, a package that nobody may write to."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=it -Duser.country=IT")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setattr("tempfile.NamedTemporaryFile", None)  # pycocoevalcap's, beside the package
    assert coco.Coco().score(*files).metrics == parts.scores.metrics


def test_spice_is_measured_where_its_models_are(files, parts, monkeypatch):
    """Against a stand-in for SPICE's program: its scores reach the table in the images' order."""
    monkeypatch.setattr(caption_metrics, "_meteor", lambda truth, given: parts.meteor)
    let_spice_answer(
        monkeypatch,
        lambda entries: [
            {"image_id": one["image_id"], "scores": {"All": {"f": one["image_id"] / 10_000}}}
            for one in reversed(entries)
        ],
    )
    found = coco.Coco().score(*files)
    images = [i.id for i in coco.read_captions(files[1])]
    assert found.metrics["SPICE"].value == pytest.approx(np.mean(images) / 100)
    assert found.notes == ()


@pytest.mark.parametrize("answer", ["status", "nothing", "no number"])
def test_what_spice_fails_at_costs_no_other_metric(files, parts, monkeypatch, answer):
    """Against the metrics where SPICE's models are not there; the reason is a note."""

    def failing(entries):
        if answer == "status":
            raise BadData("SPICE's program ended with status 1 without an answer")
        scores = {"All": {"f": None}}
        return [
            {"image_id": one["image_id"], "scores": scores}
            for one in entries[answer == "nothing" :]
        ]

    monkeypatch.setattr(caption_metrics, "_meteor", lambda truth, given: parts.meteor)
    without = coco.Coco().score(*files)
    let_spice_answer(monkeypatch, failing)
    found = coco.Coco().score(*files)
    assert found.metrics == without.metrics and "SPICE" not in found.metrics
    [note] = found.notes
    assert note.startswith("SPICE is not measured: SPICE's program")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('no memory')", "ended with status 1 without an answer: no memory"),
        ("while True: input(); print('1,0 2,0', flush=True)", "answers in an unknown form"),
        ("import time; time.sleep(60)", "was stopped by signal 9 without an answer"),
    ],
)
def test_a_meteor_that_fails_says_why_and_ends(parts, monkeypatch, program, reason):
    """Against programs that die, answer in another form, and never answer."""
    start = subprocess.Popen
    monkeypatch.setattr(java, "LIMIT", 1.0)
    monkeypatch.setattr(java, "_PER_ITEM", 0.0)
    monkeypatch.setattr(
        java.subprocess,
        "Popen",
        lambda command, **named: start([sys.executable, "-c", program], **named),
    )
    with pytest.raises(BadData, match=reason):
        caption_metrics._meteor(parts.truth, parts.given)


def test_what_meteor_fails_at_costs_no_other_metric(files, parts, monkeypatch):
    """Against the metrics with METEOR."""

    def failing(truth, given):
        raise BadData("METEOR's program ended")

    monkeypatch.setattr(caption_metrics, "_meteor", failing)
    found = coco.Coco().score(*files)
    assert list(found.metrics) == [name for name in METRICS if name != "METEOR"]
    for name, metric in found.metrics.items():
        expected = parts.scores.metrics[name]
        assert (metric.value, metric.n) == (expected.value, expected.n)
        assert metric.ci95 == pytest.approx(expected.ci95)
    assert found.notes[0] == "METEOR is not measured: METEOR's program ended"


def test_references_without_words_are_refused():
    """Against captions of punctuation alone, for which CIDEr has no document frequency."""
    with pytest.raises(BadData, match="captions have no words"):
        caption_metrics.caption_scores({1: "a dog"}, {1: [".", " "]})


def test_without_java_nothing_is_scored(files, monkeypatch):
    """Against a machine on which no Java runs."""
    monkeypatch.setattr(java, "_runs", lambda program: False)
    with pytest.raises(MissingData, match="no working Java"):
        coco.Coco().score(*files)


@pytest.mark.slow
def test_real_results(real_data, tmp_path, one_program, theirs):
    """Against COCOEvalCap on the 126 real captions of val2014 whose images are in val2017."""
    folder = real_data / "coco"
    annotations = folder / "annotations" / "captions_val2017.json"
    content = json.loads((folder / "captions_val2014_fakecap_results.json").read_text())
    known = {image["id"] for image in json.loads(annotations.read_text())["images"]}
    some = write(tmp_path / "some.json", [row for row in content if row["image_id"] in known])
    expected, _ = official(annotations, some, theirs)
    found = coco.Coco().score(some, annotations, allow_missing=True).metrics
    assert found["CIDEr"].n == 126
    for name in METRICS:
        assert found[name].value == pytest.approx(100 * expected[name], abs=1e-10), name


@pytest.mark.slow
def test_real_results_of_a_whole_split(real_data, one_program, theirs):
    """Against COCOEvalCap on 4,989 real captions of val2017."""
    folder = real_data / "coco"
    annotations = folder / "annotations" / "captions_val2017.json"
    results = folder / "captions_val2017_fakecap_results.json"
    expected, _ = official(annotations, results, theirs)
    found = coco.Coco().score(results, annotations, allow_missing=True)
    assert (found.metrics["CIDEr"].n, found.missing) == (4989, 11)
    for name in METRICS:
        assert found.metrics[name].value == pytest.approx(100 * expected[name], abs=1e-10), name
