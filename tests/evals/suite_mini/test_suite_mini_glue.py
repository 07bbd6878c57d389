"""The GLUE tasks of the embedded suite: files, labels, floors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest

from builders.glue_truth import acceptable, sentiment
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import REGIONS, Mention, Statement, is_true
from evals.suite_mini.part import Report, make_folders
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.texts import TASKS, GluePart, GlueRow, is_labelled
from evals.suite_mini.world import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    Thing,
    make_scene,
    split_of,
)
from examples.embedded_levels.parts import levels_of
from examples.embedded_levels.words import (
    accuracy,
    bag_of_words,
    logistic_baseline,
    ridge_pearson,
)
from examples.embedded_text import mnli, stsb
from examples.embedded_text.claims import Attribute, Both, Claim, Count, Exists, Not, readings
from examples.embedded_text.entailment import CONTRADICTION, ENTAILMENT, NEUTRAL, verdict
from examples.embedded_text.likeness import score
from examples.embedded_text.sentiment import is_reserved
from examples.embedded_text.telling import told
from examples.embedded_text.variation import changed
from unimo2.formats.glue import GlueExample, read_rows_of

BY_NAME = {part.name: part for part in TASKS}
REQUEST = SuiteRequest(scale=0.1)


@dataclass(frozen=True)
class Written:
    """The four tasks on disk."""

    root: Path
    reports: dict[str, Report]

    def rows(self, part: GluePart, split: str) -> list[GlueExample]:
        """What the reader finds in a file."""
        return read_rows_of(part.name, self.root / "glue" / part.folder / f"{split}.tsv")


def _write(part: GluePart, root: Path, request: SuiteRequest) -> Report:
    make_folders(root, [part], request)
    return part.finish(root, request, [])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """About a tenth of the rows."""
    root = tmp_path_factory.mktemp("mini")
    return Written(root, {part.name: _write(part, root, REQUEST) for part in TASKS})


@pytest.mark.parametrize("part", TASKS, ids=lambda part: part.name)
def test_the_reader_of_glue_reads_every_file(part: GluePart, written: Written) -> None:
    """Truth: the counts of the report; labels in all files but GLUE's test files."""
    for split in part.splits:
        rows = written.rows(part, split)
        expected = REQUEST.scaled(part.splits[split])
        assert len(rows) == expected == written.reports[part.name].counts[split]
        assert all((row.target is not None) == is_labelled(split) for row in rows)
        assert [row.index for row in rows] == list(range(len(rows)))
    on_disk = {
        str(path.relative_to(written.root))
        for path in (written.root / "glue" / part.folder).rglob("*")
        if path.is_file()
    }
    assert on_disk == set(part.files(REQUEST))


def test_columns_are_the_official_ones(written: Written) -> None:
    """Truth: the first lines of the files that GLUE distributes."""
    heads = {
        "SST-2/train": "sentence\tlabel",
        "SST-2/test": "index\tsentence",
        "CoLA/test": "index\tsentence",
        "STS-B/dev": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\t"
        "sentence2\tscore",
        "MNLI/train": "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\t"
        "sentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\t"
        "label1\tgold_label",
        "MNLI/dev_matched": "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\t"
        "sentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\t"
        "label1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label",
    }
    for name, head in heads.items():
        assert (written.root / f"glue/{name}.tsv").read_text().split("\n")[0] == head
    first = (written.root / "glue/CoLA/train.tsv").read_text().split("\n")[0].split("\t")
    assert len(first) == 4
    assert (first[1], first[2]) in (("1", ""), ("0", "*"))


@pytest.mark.parametrize("part", TASKS, ids=lambda part: part.name)
def test_no_row_is_in_two_splits(part: GluePart, written: Written) -> None:
    """Truth: all sentences or pairs of all files, counted."""
    rows = [row.sentences for split in part.splits for row in written.rows(part, split)]
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize("part", TASKS, ids=lambda part: part.name)
def test_text_is_the_same_for_every_seed_and_ends_with_scale_1(
    part: GluePart, tmp_path: Path
) -> None:
    """Truth: the package holds one text: a smaller scale takes the first rows of each split."""
    small, other = SuiteRequest(scale=0.01), SuiteRequest(scale=0.01, seed=1)
    assert part.rows(small) == part.rows(other)
    whole = part.rows(SuiteRequest())
    assert whole == part.rows(SuiteRequest(scale=3.0))
    assert {split: len(rows) for split, rows in whole.items()} == part.splits
    assert part.rows(small)["train"] == whole["train"][: len(part.rows(small)["train"])]


def test_words_alone_do_not_solve_the_tasks() -> None:
    """Truth: scikit-learn's regressions on words, trained on these very files."""
    levels = {part.name: levels_of(part.name, REQUEST)[part.name] for part in TASKS}
    assert levels["sst2"]["accuracy"]["one_modality"]["bag of words"] < 85
    assert levels["cola"]["matthews"]["one_modality"]["bag of words"] < 35
    assert levels["stsb"]["pearson"]["one_modality"]["word overlap"] < 75
    for metric in ("accuracy", "accuracy[matched]", "accuracy[mismatched]"):
        floors = levels["mnli"][metric]["one_modality"]
        assert floors["bag of words"] < 60
        assert floors["hypothesis only"] < 55
    assert all(level["ideal"] >= 95 for task in levels.values() for level in task.values())


def test_floors_of_a_suite_with_one_label_are_those_of_a_constant_answer() -> None:
    """Truth: by hand: a constant is right where the label is its own, and correlates with nothing."""
    rows = [GlueRow((f"A star {number}.", "A ring."), "1") for number in range(4)]
    reader = logistic_baseline(bag_of_words, rows)
    measured = [*rows[:3], GlueRow(("A moon.", "A ring."), "0")]
    assert accuracy(reader, measured) == 75.0
    assert ridge_pearson(rows, measured) == 0.0


def test_labels_are_balanced_as_in_glue(written: Written) -> None:
    """Truth: the shares that the tasks' authors report: halves, thirds, seven in ten."""
    for part, shares in (
        (BY_NAME["sst2"], {"0": 0.5, "1": 0.5}),
        (BY_NAME["cola"], {"0": 0.3, "1": 0.7}),
        (BY_NAME["mnli"], dict.fromkeys((ENTAILMENT, NEUTRAL, CONTRADICTION), 1 / 3)),
    ):
        rows = written.rows(part, "train")
        counts = Counter(row.target for row in rows)
        for label, share in shares.items():
            assert counts[label] / len(rows) == pytest.approx(share, abs=0.06)


def test_sentiment_follows_from_the_sentence(written: Written) -> None:
    """Truth: another reader's rules for negation, contrast and conditions, on the text alone."""
    for split in ("train", "dev"):
        for row in written.rows(BY_NAME["sst2"], split):
            assert ("1" if sentiment(row.sentences[0]) else "0") == row.target, row.sentences[0]


def test_reserved_combinations_are_new_in_dev(written: Written) -> None:
    """Truth: "is hardly <word>" and the like, found in the text of both files."""

    def denied(split: str) -> set[str]:
        pattern = r"(?:is|are) (?:not|never|hardly|anything but|far from|by no means) (\w+)"
        texts = (row.sentences[0] for row in written.rows(BY_NAME["sst2"], split))
        found = {match for text in texts for match in re.findall(pattern, text)}
        return {word for word in found if is_reserved("negated", word)}

    assert not denied("train")
    assert denied("dev")


def test_acceptability_follows_from_the_sentence(written: Written) -> None:
    """Truth: a grammar of its own, as regular expressions over the finished sentences."""
    for split in ("train", "dev"):
        for row in written.rows(BY_NAME["cola"], split):
            assert ("1" if acceptable(row.sentences[0]) else "0") == row.target, row.sentences[0]


def test_a_description_is_true_where_it_has_a_reading() -> None:
    """Truth: `is_true` of the meaning module, on scenes near and far."""
    seen = Counter[bool]()
    for index in range(150):
        scene = make_scene(0, "readings", "train", index)
        statement = told(scene, Dice(0, "readings", index))
        assert is_true(statement, scene)
        for other in (scene, make_scene(0, "readings", "train", index ^ 1)):
            found = any(True for _ in readings(statement, other))
            assert found == is_true(statement, other)
            seen[found] += 1
    assert min(seen.values()) > 20


def _drawings(statement: Statement, hints: list[Mention], dice: Dice) -> Iterator[Scene]:
    """Random drawings of which the statement is true: whatever it leaves open is drawn anew."""
    while True:
        things: list[Thing] = []
        free = dice.shuffled(range(9))
        for mention in statement.mentions:
            for _ in range(mention.count):
                allowed = REGIONS[mention.region] if mention.region else set(range(9))
                cells = [cell for cell in free if cell in allowed]
                if cells:
                    free.remove(cells[0])
                    things.append(_drawn(mention, cells[0], things, hints, dice))
        extra = dice.below(4) if statement.total is None else statement.total - len(things)
        things += [_drawn(None, cell, things, hints, dice) for cell in free[: max(0, extra)]]
        scene = Scene(statement.background or dice.pick(BACKGROUNDS), tuple(sorted(things)))
        if is_true(statement, scene):
            yield scene


def _drawn(
    mention: Mention | None, cell: int, others: list[Thing], hints: list[Mention], dice: Dice
) -> Thing:
    """A thing that fits; what is not said is often as the claim has it, or as another thing has."""
    values = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "texture": TEXTURES}
    hint = dice.pick(hints) if hints and dice.chance(0.4) else None
    like = dice.pick(others) if others and dice.chance(0.4) else None
    chosen = {}
    for name, options in values.items():
        known = [getattr(source, name, None) for source in (mention, hint, like)]
        chosen[name] = next((value for value in known if value), dice.pick(options))
    return Thing(cell, **chosen)


def _hints(claim: Claim) -> list[Mention]:
    """Things of the kind that the claim is about."""
    if isinstance(claim, Not):
        return _hints(claim.claim)
    if isinstance(claim, Both):
        return _hints(claim.first) + _hints(claim.second)
    if isinstance(claim, Attribute):
        return [replace(Mention(""), **{claim.name: claim.value})]
    return [claim.pattern] if isinstance(claim, Exists) else []


def test_entailment_is_decided_as_by_brute_force() -> None:
    """Truth: random drawings of the premise and every reading of it in each."""
    for index in range(160):
        statement, claim, label = mnli.make_pair(0, "brute", "train", index)
        drawings = _drawings(statement, _hints(claim), Dice(0, "brute", index))
        truths: set[bool] = set()
        for scene in islice(drawings, 3_000 if label == NEUTRAL else 60):
            truths |= {claim.holds(scene, reading) for reading in readings(statement, scene)}
            if len(truths) == 2:
                break
        expected = {ENTAILMENT: {True}, CONTRADICTION: {False}, NEUTRAL: {True, False}}
        assert truths == expected[label], (statement, claim, label)


@pytest.mark.parametrize(
    ("number", "label"), [(1, CONTRADICTION), (2, CONTRADICTION), (3, None), (4, NEUTRAL)]
)
def test_exactly_as_many_as_are_mentioned_is_left_without_a_label(
    number: int, label: str | None
) -> None:
    """Truth: three things are named; whether they are all can be disputed, fewer cannot be."""
    statement = Statement((Mention("star"), Mention("ring", count=2)))
    assert verdict(statement, Count("exactly", number)) == label


def test_development_labels_are_the_majority_of_five(written: Written) -> None:
    """Truth: the five annotators' columns, counted."""
    files = [written.root / f"glue/MNLI/dev_{name}.tsv" for name in ("matched", "mismatched")]
    disagreed = 0
    for line in [line for file in files for line in file.read_text().splitlines()[1:]]:
        *labels, gold = line.split("\t")[-6:]
        assert Counter(labels).most_common(1)[0][0] == gold
        disagreed += len(set(labels)) > 1
    assert disagreed


def test_mismatched_genres_do_not_occur_in_training(written: Written) -> None:
    """Truth: the genre columns."""

    def genres(split: str) -> set[str]:
        lines = (written.root / f"glue/MNLI/{split}.tsv").read_text().splitlines()[1:]
        return {line.split("\t")[3] for line in lines}

    assert genres("train") == genres("dev_matched")
    assert not genres("train") & genres("dev_mismatched")


def test_likeness_is_symmetric_and_full_for_the_same() -> None:
    """Truth: the definition: order does not matter, and what says the same scores 5."""
    for index in range(200):
        first, second = stsb.make_statements(0, "likeness", "train", index)
        assert score(first, second) == score(second, first)
        assert score(first, first) == score(second, second) == 5.0
        assert 0.0 <= score(first, second) <= 5.0


def test_likeness_falls_with_every_difference() -> None:
    """Truth: one more difference is never more alike: background, colours, shapes one by one."""
    for index in range(100):
        scene = make_scene(0, "likeness", "train", index)
        statement = told(scene, Dice(0, "likeness", index))
        scores = [5.0]
        other = replace(statement, background=BACKGROUNDS[index % 8])
        scores.append(score(statement, other))
        for name, values in (("colour", COLOURS), ("shape", SHAPES)):
            for place, mention in enumerate(statement.mentions):
                used = {getattr(said, name) for said in statement.mentions}
                new = next(value for value in values if value not in used)
                changed = list(other.mentions)
                changed[place] = replace(changed[place], **{name: new})
                other = replace(other, mentions=tuple(changed))
                assert mention != changed[place]
                scores.append(score(statement, other))
        assert all(more >= less for more, less in zip(scores[1:], scores[2:], strict=False)), scores
        assert scores[-1] <= 1.2


def test_changed_scenes_stay_in_their_world() -> None:
    """Truth: `split_of`, for the scenes of a development file."""
    for index in range(60):
        scene = make_scene(0, "variation", "val", index)
        assert split_of(changed(scene, "val", 1 + index % 3, Dice(0, "variation", index))) == "val"
