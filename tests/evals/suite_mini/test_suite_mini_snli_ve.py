"""SNLI-VE of the embedded suite: labels follow from the scene, and words alone do not give them."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from builders.claim_reader import label as read_label
from evals.benchmarks.snli_ve import SnliVe
from evals.suite_mini import entailment
from evals.suite_mini.captioned import flickr_entries, scene_and_descriptions, scene_of
from evals.suite_mini.dice import Dice
from evals.suite_mini.entailment import CLAIM_KINDS, Claim, HypothesisForm, hypothesis_pairs
from evals.suite_mini.looks import Look
from evals.suite_mini.pairing import PictureGroup, groups
from evals.suite_mini.part import Report, make_folders
from evals.suite_mini.pictures import combined
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.snli_ve import (
    SNLI_VE,
    EntailmentJobResult,
    HypothesisJob,
    annotator_labels,
    gold_label,
    pictures,
)
from evals.suite_mini.topics import Topic, topics
from evals.suite_mini.world import Scene, Thing, split_of
from examples.embedded_levels.blind import bag_of_words_guesses, habit_guesses
from examples.embedded_levels.parts import levels_of
from unimo2.formats.snli_ve import LABELS, read_pairs

REQUEST = SuiteRequest(scale=0.1, flickr_test=40)
SPLITS = ("train", "dev", "test")


def build(root: Path, request: SuiteRequest) -> tuple[list[EntailmentJobResult], Report]:
    make_folders(root, [SNLI_VE], request)
    results = [job.run(root, request.seed) for job in SNLI_VE.jobs(request)]
    return results, SNLI_VE.finish(root, request, results)


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[EntailmentJobResult], Report]:
    root = tmp_path_factory.mktemp("mini-snli-ve")
    return root, *build(root, REQUEST)


@pytest.fixture(scope="module")
def levels() -> dict[str, Any]:
    """Of this request, by metric."""
    return levels_of("snli_ve", REQUEST)["snli_ve"]


def test_every_label_is_what_an_independent_judge_finds_in_the_scene(
    built: tuple[Path, list[EntailmentJobResult], Report],
) -> None:
    """Truth: tests/builders/claim_reader.py, which reads the English, in three-valued logic."""
    scenes = {entry.stem: scene_of(REQUEST.seed, entry) for entry in flickr_entries(REQUEST)}
    wrong = [
        (row["sentence2"], label)
        for result in built[1]
        for row, label in zip(result.rows, result.labels, strict=True)
        if read_label(row["sentence2"], scenes[row["Flickr30K_ID"]]) != label
    ]
    assert not wrong


@pytest.mark.parametrize("kind", CLAIM_KINDS)
def test_the_judge_agrees_about_every_kind_of_claim(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: tests/builders/claim_reader.py; the rare kinds, too, whatever their weights are."""
    monkeypatch.setattr(entailment, "CLAIM_KINDS", {kind: 1})
    entries = [entry for entry in flickr_entries(REQUEST) if entry.split == "train"][:120]
    scenes = [scene_of(REQUEST.seed, entry) for entry in entries]
    pairs = hypothesis_pairs(scenes, 9, Dice(0, kind))
    assert pairs
    for said in (member for pair in pairs for member in pair):
        assert read_label(said.text, scenes[said.picture]) == said.label, said.text


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [
        ("There is a red star.", "entailment"),
        ("There is a blue star.", "contradiction"),
        ("A girl made the picture.", "neutral"),
        ("There is a red star, and a girl made the picture.", "neutral"),
        ("There is a blue star, and a girl made the picture.", "contradiction"),
        ("Either there is a red star or a girl made the picture.", "entailment"),
        ("Either there is a blue star or a girl made the picture.", "neutral"),
        ("There is a red star, exactly as yesterday.", "neutral"),
        ("There is a blue star, as promised.", "contradiction"),
        ("There is a red star, either now or later.", "entailment"),
        ("There is a blue star, on this side or on the back.", "neutral"),
        ("The star, which belongs to a nurse, is to the left of the house.", "neutral"),
        ("The star, which belongs to a nurse, is to the right of the house.", "contradiction"),
    ],
)
def test_the_judge_itself_is_right(hypothesis: str, expected: str) -> None:
    """Truth: by hand, for a red star on the left and a blue house on the right."""
    things = (
        Thing(3, "star", "red", "small", "plain"),
        Thing(5, "house", "blue", "large", "plain"),
    )
    assert read_label(hypothesis, Scene("sand", things)) == expected


def test_claims_hold_where_their_answer_is_the_scenes() -> None:
    """Truth: a scene by hand."""
    known = dict(topics(Scene("sand", (Thing(3, "star", "red", "small", "plain"),))))
    assert Claim(Topic("count", (Look(shape="star"),)), "1").holds(known)
    assert not Claim(Topic("count", (Look(shape="star"),)), "2").holds(known)
    assert Claim(Topic("on", (), "sea"), "no").holds(known)


def test_equal_sentences_come_with_two_labels_equally_often(
    built: tuple[Path, list[EntailmentJobResult], Report],
) -> None:
    """Truth: counts by exact sentence; and of the three labels in all."""
    by_text: defaultdict[str, Counter[str]] = defaultdict(Counter)
    labels = Counter[str]()
    for result in built[1]:
        for row, label in zip(result.rows, result.labels, strict=True):
            by_text[row["sentence2"]][label] += 1
            labels[label] += 1
    for counts in by_text.values():
        # A sentence that two pairs have by chance may be of three labels.
        assert len(counts) >= 2 and max(counts.values()) <= sum(counts.values()) / 2
    assert set(labels) == set(LABELS)
    assert max(labels.values()) - min(labels.values()) <= 0.02 * sum(labels.values())


def test_the_unseen_makes_neutral_in_both_directions() -> None:
    """Truth: three-valued logic: unknown and true, unknown and false, unknown or true ..."""
    assert [HypothesisForm.SEEN.label(truth) for truth in (True, False)] == [
        "entailment",
        "contradiction",
    ]
    assert [HypothesisForm.AND_UNSEEN.label(truth) for truth in (True, False)] == [
        "neutral",
        "contradiction",
    ]
    assert [HypothesisForm.OR_UNSEEN.label(truth) for truth in (True, False)] == [
        "entailment",
        "neutral",
    ]


def test_files_are_in_the_official_layout(
    built: tuple[Path, list[EntailmentJobResult], Report],
) -> None:
    """Truth: the reader for the real files, and the captions of dataset_flickr30k.json."""
    root, results, report = built
    entries = {entry.stem: entry for entry in flickr_entries(REQUEST)}
    for split in SPLITS:
        path = root / "snli_ve" / f"snli_ve_{split}.jsonl"
        pairs = read_pairs(path)
        assert len(pairs) == report.counts[split]
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for pair, row in zip(pairs[:50], rows[:50], strict=True):
            image, number = row["captionID"].split("#")
            assert image == f"{row['Flickr30K_ID']}.jpg" and pair.image == row["Flickr30K_ID"]
            assert row["pairID"].startswith(row["captionID"])
            _, captions = scene_and_descriptions(REQUEST.seed, entries[pair.image])
            assert captions[int(number)].text == pair.caption
            assert len(row["annotator_labels"]) in (1, 5)
            assert gold_label(row["annotator_labels"]) == row["gold_label"]
    assert all((root / path).is_file() for path in SNLI_VE.files(REQUEST))


def test_pairs_without_a_majority_are_few_and_counted(
    built: tuple[Path, list[EntailmentJobResult], Report],
) -> None:
    """Truth: the files' own "-"."""
    root, _, report = built
    found = [read_pairs(root / "snli_ve" / f"snli_ve_{split}.jsonl") for split in SPLITS]
    undecided = sum(pair.label is None for pairs in found for pair in pairs)
    assert sum(report.dropped.values()) == undecided > 0
    assert undecided < 0.03 * sum(map(len, found))


def test_the_ideal_reader_scores_what_the_level_says(
    built: tuple[Path, list[EntailmentJobResult], Report], levels: dict[str, Any], tmp_path: Path
) -> None:
    """Truth: `SnliVe.score` on the test file."""
    root, results, _ = built
    lines = [
        json.dumps({"pairID": row["pairID"], "prediction": label})
        for result in results
        if result.split == "test"
        for row, label in zip(result.rows, result.labels, strict=True)
    ]
    path = tmp_path / "predictions.jsonl"
    path.write_text("\n".join(lines))
    value = SnliVe().score(path, root / "snli_ve" / "snli_ve_test.jsonl").metrics["accuracy"].value
    level = levels["accuracy"]
    assert value == pytest.approx(level["ideal"]) and value >= 95.0
    assert level["chance"] == pytest.approx(100 / 3)


def test_readers_of_the_hypothesis_alone_stay_low(levels: dict[str, Any]) -> None:
    """Truth: whatever a sentence's words, two labels are equally likely; and chance variation."""
    level = levels["accuracy"]
    assert level["majority"] < 45.0
    assert level["one_modality"]["text only"] < 60.0


def test_worlds_are_those_of_flickr30k_and_test_pictures_do_not_grow() -> None:
    """Truth: the world of each scene by its hash; a test split of another size."""
    worlds = {"train": "train", "dev": "val", "test": "test"}
    for split, own in pictures(REQUEST).items():
        assert {split_of(scene_of(0, picture)) for picture in own} == {worlds[split]}
    assert len(pictures(SuiteRequest(flickr_test=1_000))["test"]) == 300


def test_same_seed_same_digest_and_another_seed_another(tmp_path: Path) -> None:
    """Truth: two runs."""
    digests = [
        combined(build(tmp_path / name, SuiteRequest(seed=seed, scale=0.01))[1].digests)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_sizes_at_scale_1() -> None:
    """Truth: the sizes of the issue."""
    wanted = Counter[str]()
    for job in SNLI_VE.jobs(SuiteRequest()):
        assert isinstance(job, HypothesisJob)
        wanted[job.split] += 2 * job.pairs
    assert wanted == {"train": 30_000, "dev": 1_500, "test": 1_500}


def test_groups_cover_all_pictures_once() -> None:
    """Truth: the pictures of the groups in a row are all of them, and pairs add up."""
    entries = flickr_entries(SuiteRequest(scale=5.0))
    for count, per_picture in ((8, 5.0), (600, 20 / 3), (10_000, 2.0), (79, 3.0)):
        found = groups(PictureGroup, "train", entries[:count], per_picture)
        assert [one for group in found for one in group.pictures] == entries[:count]
        assert sum(group.pairs for group in found) == round(count * per_picture / 2)


def test_gold_needs_more_than_half() -> None:
    """Truth: SNLI's rule by hand."""
    e, n, c = LABELS
    assert gold_label([e]) == e
    assert gold_label([e, e, e, n, c]) == e
    assert gold_label([e, e, n, n, c]) == "-"
    assert set(map(len, (annotator_labels(n, share, Dice(1)) for share in (0.0, 1.0)))) == {1, 5}
    assert annotator_labels(c, 1.0, Dice(2))[0] == c


def test_blind_readers_learn_what_can_be_learned() -> None:
    """Truth: a toy where the word decides, and one where the second key must be backed off to."""
    texts = ["red star", "blue star", "red moon", "blue moon"] * 10
    answers = ["a", "b", "a", "b"] * 10
    assert bag_of_words_guesses(texts, answers, ["red fish", "blue fish"]) == ["a", "b"]
    seen = [("what a", "what"), ("what a", "what"), ("what b", "what"), ("is", "is")]
    assert habit_guesses(seen, ["1", "1", "2", "3"], [("what b", "what"), ("what c", "what")]) == [
        "2",
        "1",
    ]
    assert habit_guesses(seen, ["1", "1", "2", "3"], [("how", "how")]) == ["1"]


def test_a_group_without_differences_has_no_pairs() -> None:
    """Truth: equal scenes make every sentence true of both or of none."""
    scene = Scene("sand", (Thing(3, "star", "red", "small", "plain"),))
    assert hypothesis_pairs([scene, scene], 4, Dice(0)) == []


def test_hypotheses_are_the_same_on_every_machine() -> None:
    """Truth: a digest computed once; also under other hash seeds of Python."""
    results = [job.run(Path(), 0) for job in SNLI_VE.jobs(SuiteRequest(scale=0.01))]
    digests = [digest for result in results for digest in result.digests]
    assert combined(digests).startswith("051118aef24b8119")
