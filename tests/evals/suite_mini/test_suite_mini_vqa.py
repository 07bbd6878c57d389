"""VQA of the embedded suite: true answers, balanced pairs, official layout, blind readers fail."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from builders.question_reader import answer as read_answer
from evals.benchmarks.vqa import Vqa
from evals.suite_mini import topics as topics_module
from evals.suite_mini.captioned import scene_of
from evals.suite_mini.dice import Dice
from evals.suite_mini.looks import Look
from evals.suite_mini.part import Report, make_folders
from evals.suite_mini.pictures import combined
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.topics import KINDS, Topic, topics
from evals.suite_mini.vqa import (
    NO_TYPE,
    VQA,
    QuestionEntry,
    QuestionJob,
    VqaJobResult,
    balanced_pairs,
    most_common,
    pictures,
    question_type,
    ten_answers,
)
from evals.suite_mini.world import Scene, Thing, make_scene, split_of
from examples.embedded_levels.parts import levels_of
from unimo2.formats.vqa import read_annotations, read_questions

REQUEST = SuiteRequest(scale=0.05)
TRAIN, VAL = "train2014", "val2014"


def build(root: Path, request: SuiteRequest) -> tuple[list[VqaJobResult], Report]:
    make_folders(root, [VQA], request)
    results = [job.run(root, request.seed) for job in VQA.jobs(request)]
    asked = [result for result in results if isinstance(result, VqaJobResult)]
    return asked, VQA.finish(root, request, results)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[VqaJobResult], Report]:
    root = tmp_path_factory.mktemp("mini-vqa")
    return root, *build(root, REQUEST)


@pytest.fixture(scope="module")
def levels() -> dict[str, Any]:
    """Of this request, by metric."""
    return levels_of("vqa", REQUEST)["vqa"]


def entries(results: list[VqaJobResult]) -> list[QuestionEntry]:
    return [entry for result in results for pair in result.pairs for entry in pair]


def test_every_answer_is_what_an_independent_reader_finds_in_the_scene(
    built: tuple[Path, list[VqaJobResult], Report],
) -> None:
    """Truth: tests/builders/question_reader.py, which reads the English and does its own geometry."""
    scenes = {
        picture.cocoid: scene_of(REQUEST.seed, picture)
        for split, own in pictures(REQUEST).items()
        for picture in own
    }
    asked = entries(built[1])
    assert {entry.topic.kind for entry in asked} == set(KINDS)
    wrong = [
        (entry.question, entry.answer)
        for entry in asked
        if read_answer(entry.question, scenes[entry.image_id]) != entry.answer
    ]
    assert not wrong


def test_half_true_relations_are_not_asked_about() -> None:
    """Truth: two scenes by hand; the star is to the left of the house, and further above it."""
    star, house = Look(shape="star"), Look(shape="house")

    def asked(star_cell: int, house_cell: int) -> dict[Topic, str]:
        things = (
            Thing(star_cell, "star", "red", "small", "plain"),
            Thing(house_cell, "house", "blue", "large", "plain"),
        )
        return dict(topics(Scene("sand", things)))

    steep = asked(0, 7)
    assert Topic("relation", (star, house), "left") not in steep
    assert steep[Topic("relation", (star, house), "above")] == "yes"
    assert steep[Topic("relation", (star, house), "right")] == "no"
    assert steep[Topic("height", (star, house))] == "above"
    assert Topic("side", (star, house)) not in steep
    level = asked(3, 5)
    assert level[Topic("relation", (star, house), "left")] == "yes"
    assert level[Topic("relation", (star, house), "above")] == "no"
    assert level[Topic("neighbour", (house,), "left")] == "star"
    assert level[Topic("two-colours")] == "red and blue"
    assert level[Topic("empty", (), "column")] == "middle"
    assert Topic("empty", (), "row") not in level


def test_the_only_one_is_one() -> None:
    """Truth: a scene by hand with two stars: "the star" is nowhere, "the large star" is."""
    things = (
        Thing(0, "star", "red", "small", "plain"),
        Thing(8, "star", "red", "large", "striped"),
    )
    known = dict(topics(Scene("sea", things)))
    named = {look for topic in known for look in topic.looks if topic.kind in ("colour", "place")}
    assert Look(shape="star") not in named
    assert known[Topic("colour", (Look(shape="star", size="large"),))] == "red"
    assert known[Topic("colours-of", (Look(shape="star"),))] == "red"
    assert known[Topic("count", (Look(shape="star"),))] == "2"
    assert known[Topic("texture", (Look(region="bottom right"),))] == "striped"


def test_topics_of_a_scene_are_asked_once() -> None:
    """Truth: a set is as large as the list."""
    for index in range(20):
        found = [topic for topic, _ in topics(make_scene(1, "check", "train", index))]
        assert len(set(found)) == len(found)
    assert {topic.kind for topic in found} <= set(KINDS) and topics_module.KINDS is KINDS


def test_members_of_a_pair_share_the_question_and_differ_in_image_and_answer(
    built: tuple[Path, list[VqaJobResult], Report],
) -> None:
    """Truth: the files alone, as a user reads them."""
    folder = built[0] / "vqa"
    for year in (TRAIN, VAL):
        texts = {
            q.id: q for q in read_questions([folder / f"v2_OpenEnded_mscoco_{year}_questions.json"])
        }
        answers = {entry.question_id: entry.answer for entry in entries(built[1])}
        pairs = json.loads((folder / f"v2_mscoco_{year}_complementary_pairs.json").read_text())
        assert sorted(key for pair in pairs for key in pair) == sorted(texts)
        for first, second in pairs:
            assert texts[first].text == texts[second].text
            assert texts[first].image_id != texts[second].image_id
            assert answers[first] != answers[second]


def test_yes_and_no_are_exactly_as_frequent_for_every_wording(
    built: tuple[Path, list[VqaJobResult], Report],
) -> None:
    """Truth: counts of the training questions."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in built[1]:
        for pair in result.pairs if result.split == "train" else ():
            for entry in pair:
                counts[entry.question][entry.answer] += 1
    assert all(found["yes"] == found["no"] for found in counts.values())


def test_files_are_those_of_vqa_v2_and_nest_as_the_official_ones_do(
    built: tuple[Path, list[VqaJobResult], Report],
) -> None:
    """Truth: the official field names, and test-dev within all test questions."""
    root, results, report = built
    folder = root / "vqa"
    assert all((root / path).is_file() for path in VQA.files(REQUEST))
    for split, year in (("train", TRAIN), ("val", VAL)):
        questions = read_questions([folder / f"v2_OpenEnded_mscoco_{year}_questions.json"])
        annotations = read_annotations([folder / f"v2_mscoco_{year}_annotations.json"])
        assert [q.id for q in questions] == [a.question_id for a in annotations]
        assert len(questions) == report.counts[split]
        for question, annotation in zip(questions, annotations, strict=True):
            assert question.id // 1_000 == question.image_id == annotation.image_id
            assert [one.id for one in annotation.answers] == list(range(1, 11))
            assert {one.confidence for one in annotation.answers} <= {"yes", "maybe", "no"}
            said = Counter(one.text for one in annotation.answers)
            assert said[annotation.most_common or ""] == max(said.values())
            picture = f"coco/{year}/COCO_{year}_{question.image_id:012d}.jpg"
            assert picture in {p.path for p in pictures(REQUEST)[split]}
    dev, std = (
        {q.id for q in read_questions([folder / f"v2_OpenEnded_mscoco_{year}_questions.json"])}
        for year in ("test-dev2015", "test2015")
    )
    assert dev < std and len(std) == report.counts["test-std"]
    assert not list(folder.glob("*test*annotations*"))
    record = json.loads((folder / f"v2_mscoco_{TRAIN}_annotations.json").read_text())
    assert set(record) == {
        *("info", "task_type", "data_type", "license", "data_subtype", "annotations")
    }


def test_the_server_scores_the_ideal_reader_at_95_or_more(
    built: tuple[Path, list[VqaJobResult], Report], levels: dict[str, Any], tmp_path: Path
) -> None:
    """Truth: `Vqa.score`, the official formula, on the files."""
    root, results, _ = built
    given = [{"question_id": e.question_id, "answer": e.answer} for e in entries(results)]
    questions = root / "vqa" / "v2_OpenEnded_mscoco_test-dev2015_questions.json"
    dev = {question.id for question in read_questions([questions])}
    path = tmp_path / "results.json"
    path.write_text(json.dumps([one for one in given if one["question_id"] in dev]))
    server = root / "vqa" / "server" / "v2_mscoco_test-dev2015_annotations.json"
    found = Vqa().score(path, [questions], [server]).metrics["accuracy"].value
    assert found >= 95.0
    assert found == pytest.approx(levels["accuracy"]["ideal"])


def test_readers_of_the_question_alone_stay_low(levels: dict[str, Any]) -> None:
    """Truth: balance bounds a blind reader at 50 for yes/no, far below for the rest."""
    level = levels["accuracy"]
    assert level["chance"] < level["majority"] < level["one_modality"]["text only"] < 50.0


def test_worlds_of_the_splits_are_disjoint() -> None:
    """Truth: the world of each scene by its hash."""
    worlds = {
        "train": {"train"},
        "val": {"val", "test"},
        "test-dev": {"test"},
        "test-rest": {"test"},
    }
    for split, own in pictures(REQUEST).items():
        assert {split_of(scene_of(0, picture)) for picture in own} == worlds[split]


def test_same_seed_same_digest_and_another_seed_another(tmp_path: Path) -> None:
    """Truth: two runs."""
    small = SuiteRequest(scale=0.001)
    first, second, other = (
        combined(build(tmp_path / name, request)[1].digests)
        for name, request in (
            ("a", small),
            ("b", small),
            ("c", SuiteRequest(seed=1, scale=0.001)),
        )
    )
    assert first == second != other


def test_a_group_too_small_for_pairs_gives_fewer() -> None:
    """Truth: two equal scenes answer everything alike; two different ones do not."""
    scene = make_scene(0, "check", "train", 0)
    assert balanced_pairs([scene, scene], 5, Dice(0)) == []
    other = make_scene(0, "check", "train", 2)
    pairs = balanced_pairs([scene, other], 5, Dice(0))
    assert len(pairs) == 5 and all({a.picture, b.picture} == {0, 1} for _, (a, b) in pairs)


def test_annotators_disagree_now_and_then() -> None:
    """Truth: shares over many questions; synonyms and slips occur, the canonical answer leads."""
    given = [ten_answers(answer, Dice(n)) for n in range(200) for answer in ("red", "2", "yes")]
    assert 0.05 < sum(len({a.text for a in ten}) > 1 for ten in given) / len(given) < 0.8
    spoken = {answer.text for ten in given for answer in ten}
    assert {"red", "crimson", "1", "2", "3", "yes", "no"} <= spoken
    assert sum(most_common(ten) in ("red", "2", "yes") for ten in given) > 0.9 * len(given)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What color is the star?", "what color is the"),
        ("How many stars are there?", "how many"),
        ("Is there a red star?", "is there a"),
        ("Is this on the beach?", "is this"),
        ("Where is the fish?", "where is the"),
        ("Wonder?", NO_TYPE),
    ],
)
def test_question_types_are_first_words(question: str, expected: str) -> None:
    """Truth: the types that VQA v2 gives to such questions."""
    assert question_type(question) == expected


def test_jobs_are_cheap_to_list_and_cover_the_sizes_asked_for() -> None:
    """Truth: the sizes of the issue at scale 1."""
    wanted = Counter[str]()
    for job in VQA.jobs(SuiteRequest()):
        if isinstance(job, QuestionJob):
            wanted[job.split] += 2 * job.pairs
    assert wanted["train"] == 60_000
    assert wanted["val"] == pytest.approx(4_000, abs=40)
    assert wanted["test-dev"] == 2_000 and wanted["test-rest"] == 1_000


def test_questions_are_the_same_on_every_machine() -> None:
    """Truth: a digest computed once; also under other hash seeds of Python."""
    jobs = [job for job in VQA.jobs(SuiteRequest(scale=0.01)) if isinstance(job, QuestionJob)]
    digests = [digest for job in jobs for digest in job.run(Path(), 0).digests]
    assert combined(digests).startswith("7a14b2403962004b")
