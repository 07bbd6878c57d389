"""Items of a run are shown as the run ranked, scored and read them."""

import pytest

import evals
from builders.item_fakes import FakeCaptioner, FakeTextClassifier, write_coco, write_glue
from builders.retrieval_fakes import ColourScorer, write_flickr
from evals import records
from reports.examples import Candidate, Example, Examples, ExampleSources, examples

IMAGES, CAPTIONS = 24, 3
WORDS = ("item", "prediction", "truth", "score")


@pytest.mark.parametrize("options", [{}, {"rerank": 2}, {"rerank": 6}, {"limit": 7}], ids=str)
def test_candidates_come_in_the_order_of_the_run(tmp_path, options):
    """Truth: the place of the best right candidate that the run kept of every query.

    With --rerank a direction's own shortlist stands first; pairs that the other direction's had
    fused do not count.
    """
    root = write_flickr(tmp_path / "data", IMAGES, CAPTIONS)
    record = evals.run(
        "flickr", model=ColourScorer(), zero_shot=True, data_root=root, output=tmp_path, **options
    )
    samples = records.read_samples(record.path.parent)
    found = examples(record, ExampleSources(root))
    assert len(found.items) == len(samples) == options.get("limit", IMAGES) * (1 + CAPTIONS)
    wrong = 0
    for one, line in zip(found.items, samples.to_dict("records"), strict=True):
        assert one.candidates[0].score == pytest.approx(line["best_score"], abs=1e-6)
        right = [place for place, other in enumerate(one.candidates[:5], 1) if other.true]
        assert (right[:1] == [line["better"] + 1]) or (not right and line["better"] >= 5)
        wrong += line["better"] > 0
    assert wrong > 5
    of_image = [one for one in found.items if one.part == "text retrieval"]
    assert all(other.text.startswith("colour ") for one in of_image for other in one.candidates)


def test_items_of_a_limited_run_are_its_own(tmp_path):
    """Truth: the sentence's number tells its label; MNLI has two files, limited each."""
    root = write_glue(tmp_path / "data")
    names = ("contradiction", "entailment", "neutral")
    model = FakeTextClassifier(names)
    record = evals.run("mnli", model=model, limit=4, split="dev", data_root=root, output=tmp_path)
    assert record.data["note"]
    found = examples(record, ExampleSources(root))
    assert len(found.items) == 8 and found.note == ""
    for one in found.items:
        number = int(one.about.split()[1])
        assert one.given == names[number % 3]
        assert one.truth == names[(number + ("mismatched" in one.key)) % 3]


def test_captions_are_graded_on_the_scale_of_the_table(tmp_path, no_meteor_program):
    """Truth: the mean of the items' CIDEr is the record's; none is called right or wrong."""
    root = write_coco(tmp_path / "data")
    record = evals.run("coco", model=FakeCaptioner(), data_root=root, output=tmp_path)
    found = examples(record, ExampleSources(root))
    mean = sum(one.score for one in found.items) / len(found.items)
    assert found.graded and mean == pytest.approx(record.metrics["CIDEr"].value)
    assert {one.right for one in found.items} == {None}


def test_a_close_prediction_of_zero_has_no_sign(tmp_path, make_record):
    """Truth: -0.001 rounds to 0.00; a correlation's items are graded."""
    root = write_glue(tmp_path / "data")
    model = FakeTextClassifier(("score",), constant=True)
    record = evals.run("stsb", model=model, split="dev", data_root=root, output=tmp_path)
    samples = records.read_samples(record.path.parent)
    records.write_samples(samples.assign(prediction=-0.001), record.path.parent)
    found = examples(record, ExampleSources(root))
    assert found.graded and {one.given for one in found.items} == {"0.00"}


def test_equally_good_items_show_different_pictures(tmp_path):
    """Truth: three pictures with two items each, and a worse item of a fourth."""
    items = [
        Example(f"{name}{n}", "", "", "", 1.0, image=tmp_path / name)
        for name in "abc"
        for n in "12"
    ]
    items.append(Example("d1", "", "", "", 0.6, image=tmp_path / "d"))
    items.append(Example("e1", "", "", "", 0.1, candidates=[Candidate("t", None, 1.0, False)]))
    found = Examples(items, len(items), WORDS)
    assert [one.key for one in found.best(3)] == ["a1", "b1", "c1"]
    assert [one.key for one in found.best(7)] == ["a1", "b1", "c1", "a2", "b2", "c2", "d1"]
    assert [one.key for one in found.worst(2)] == ["e1", "d1"]
