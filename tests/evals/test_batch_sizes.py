"""The batch size of a run: found by its first units, kept for a resumed one, without other results."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import evals
from builders.item_fakes import FakePairClassifier, write_snli_ve
from builders.retrieval_fakes import ColourScorer, write_flickr
from evals import batch_sizes, prediction
from evals.batch_sizes import ESTIMATED, GIVEN, TIMED, BatchSize, Search, Workload
from evals.benchmarks import flickr
from evals.datasets.suites import resolve
from evals.prediction import ChunkPlan
from evals.retrieval import scorer
from evals.retrieval.planner import make_plan
from evals.retrieval.writer import BlockWriter
from evals.runner import make_request
from unimo2.console import silent

WORK = Workload("captions", 1000, 100_000, 100)


def _search(folder: Path, pace, size: int = 8, extent: Workload = WORK, units: int = 40):
    """The sizes that a search asks for, with `pace(size)` seconds an item."""
    batch_sizes.begin(folder, size, ESTIMATED)
    search, asked = Search.of_run(folder, size, extent), []
    for _ in range(units):
        asked.append(search.size)
        search.note(asked[-1], 100, 100 * pace(asked[-1]))
    return asked


@pytest.mark.parametrize("fastest", [4, 8, 16, 32])
def test_the_fastest_of_four_doublings_is_taken(tmp_path, fastest):
    """Truth: a clock that is kind to one size; 13 units are timed, the first of them as a warm-up."""
    asked = _search(tmp_path, lambda size: 1.0 if size == fastest else 1.2)
    assert asked[:13] == [8] + [8, 16, 32, 4] * 3
    assert set(asked[13:]) == {fastest}
    found = batch_sizes.read(tmp_path)
    assert (found.size, found.source, found.timed) == (fastest, TIMED, "13 captions")
    assert found.seconds == pytest.approx({s: 1.0 if s == fastest else 1.2 for s in (4, 8, 16, 32)})
    (note,) = found.notes()
    assert f"batch size {fastest}" in note and "1.20 (" in note


def test_noise_does_not_move_the_estimate(tmp_path):
    """Truth: another size that is 2 % faster is no reason, by the rule of 3 %."""
    assert set(_search(tmp_path, lambda size: 0.98 if size == 16 else 1.0)[13:]) == {8}


def test_one_slow_call_of_a_size_does_not_decide(tmp_path):
    """Truth: each size's first call takes nine times as long, as first calls do."""
    seen = set()

    def pace(size):
        first = size not in seen
        seen.add(size)
        return (9.0 if first else 1.0) * (0.5 if size == 32 else 1.0)

    assert set(_search(tmp_path, pace)[13:]) == {32}


def test_the_search_ends_when_it_costs_two_percent_of_the_run(tmp_path):
    """Truth: all of 100 units are 2 units of cost; size 16 takes three times as long, 2 in excess."""
    work = Workload("captions", 100, 99 * 100, 100)
    asked = _search(tmp_path, lambda size: 3.0 if size == 16 else 1.0, extent=work)
    assert asked == [8, 8, 16] + [8] * 37
    assert batch_sizes.read(tmp_path).timed == "3 captions"


@pytest.mark.parametrize(
    ("extent", "size", "tried"),
    [
        (Workload("chunks", 51, 5100, 100), 8, {8}),  # 13 timed units are more than a fourth
        (Workload("chunks", 52, 5200, 100), 8, {4, 8, 16, 32}),
        (Workload("chunks", 1000, 10_000, 10), 8, {4, 8, 16}),  # 16 and 32 are the same: all ten
        (Workload("chunks", 1000, 10_000, 4), 16, {16}),  # and so is every size
        (Workload("chunks", 1000, 10_000, 10), 1, {1, 2, 4}),
    ],
)
def test_what_is_not_worth_it_is_not_tried(tmp_path, extent, size, tried):
    """Truth: the numbers in the comments."""
    assert set(_search(tmp_path, lambda size: 1.0, size, extent)) == tried


def test_a_size_that_does_not_fit_is_not_asked_for_again(tmp_path):
    """Truth: there is room for 12; larger sizes would be the fastest."""
    batch_sizes.begin(tmp_path, 8, ESTIMATED)
    search, asked = Search.of_run(tmp_path, 8, WORK), []
    for _ in range(40):
        asked.append(search.size)
        fits = asked[-1] if asked[-1] < 12 else asked[-1] // 2
        if fits < asked[-1]:
            search.limit(fits)
        search.note(fits, 100, 100 / fits)
    assert asked == [8, 8, 16, 4, 8, 4, 8, 4] + [8] * 32
    assert batch_sizes.read(tmp_path).size == 8
    search = Search(16)
    search.limit(4)
    search.limit(9)
    assert search.size == 4


def test_what_was_found_or_given_stays(tmp_path):
    """Truth: a search's result and a user's choice; a file that is damaged counts as none."""
    _search(tmp_path, lambda size: 1 / size)
    batch_sizes.begin(tmp_path, 8, ESTIMATED)  # as a resumed run does
    again = Search.of_run(tmp_path, 8, WORK)
    assert (again.own, again.size, again.largest) == (8, 32, 32)
    (tmp_path / batch_sizes.FILE).write_text('{"size": 32, "source": "timed"')
    assert batch_sizes.read(tmp_path) is None
    batch_sizes.begin(tmp_path, 5, GIVEN)
    assert batch_sizes.read(tmp_path) == BatchSize(5, GIVEN)
    assert Search.of_run(tmp_path, 5, WORK).largest == 5
    assert Search.of_run(tmp_path / "nothing", 7, WORK).largest == 7


@pytest.mark.parametrize(
    "content",
    [
        {"size": 0, "source": ESTIMATED, "seconds": {}, "timed": ""},
        {"size": 32, "source": TIMED, "seconds": {"8": 1.0}, "timed": "13 captions"},
        {"size": 32, "source": TIMED, "seconds": {"32": "soon"}, "timed": "13 captions"},
        [32],
    ],
)
def test_a_file_that_no_search_can_have_written_counts_as_none(tmp_path, content):
    """Truth: no size, one that was never timed, seconds that are not a number, no object."""
    (tmp_path / batch_sizes.FILE).write_text(json.dumps(content))
    assert batch_sizes.read(tmp_path) is None


class Watched(ColourScorer):
    """Takes a second for each call, whatever its size, by a clock of its own; remembers the sizes."""

    def __init__(self, patch: pytest.MonkeyPatch, **options) -> None:
        """Make one, and let the scorer look at its clock."""
        super().__init__(**options)
        self.sizes: list[int] = []
        clock = SimpleNamespace(perf_counter=lambda: float(len(self.sizes)))
        patch.setattr("evals.retrieval.scorer.time", clock)

    def score_pairs(self, images, text):
        """Score and remember."""
        self.sizes.append(len(images))
        return super().score_pairs(images, text)


def _run(data: Path, output: Path, model: ColourScorer, **options) -> evals.Record:
    return evals.run(
        "flickr", model=model, zero_shot=True, data_root=data, output=output, **options
    )


def _scores(record: evals.Record) -> np.ndarray:
    return np.load(record.path.parent / "scores.npy")


@pytest.mark.parametrize("rerank", [None, 8])
def test_retrieval_finds_its_size_and_scores_no_pair_twice(tmp_path, monkeypatch, rerank):
    """Truth: the same run with a size that was given; a call's time does not depend on its size."""
    data = write_flickr(tmp_path / "data", images=14)
    model = Watched(monkeypatch)
    found = _run(data, tmp_path / "runs", model, rerank=rerank)
    fixed = Watched(monkeypatch)
    given = _run(data, tmp_path / "given", fixed, rerank=rerank, batch_size=3)
    assert model.pairs == fixed.pairs
    assert set(fixed.sizes) <= {1, 2, 3}
    assert max(model.sizes) >= 8 and np.median(model.sizes[-20:]) > 3
    np.testing.assert_allclose(_scores(found), _scores(given), atol=1e-5)
    assert any("batch size 12" in note for note in found.notes)
    assert not any("batch size" in note for note in given.notes)
    assert "--batch-size 3" in given.command and "--batch-size" not in found.command


def test_a_resumed_run_keeps_the_size_that_was_found(tmp_path, monkeypatch):
    """Truth: the calls that reach the model before and after it was stopped in its third block."""
    data = write_flickr(tmp_path / "data", images=30)

    class Stops(Watched):
        def score_pairs(self, images, text):
            if self.texts > 2 * 64:
                raise KeyboardInterrupt
            return super().score_pairs(images, text)

    with pytest.raises(KeyboardInterrupt):
        _run(data, tmp_path / "runs", Stops(monkeypatch))
    (folder,) = (tmp_path / "runs").glob("*/*/*/*")
    assert batch_sizes.read(folder).size == 12
    model = Watched(monkeypatch)
    record = _run(data, tmp_path / "runs", model)
    assert record.path.parent == folder
    assert set(model.sizes) == {12, 30 % 12}
    assert any("batch size 12" in note for note in record.notes)


def test_items_find_their_size_and_keep_their_chunks(tmp_path, monkeypatch):
    """Truth: the sizes that the model has in each chunk; chunks are planned by its own."""
    model, sizes, clock = FakePairClassifier(batch_size=4), [], [0.0]
    monkeypatch.setattr(prediction, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    batch_sizes.begin(tmp_path, model.batch_size, ESTIMATED)
    work = ChunkPlan.of(range(16 * 60), "pairs", model.batch_size, 16)

    def timed(numbers):
        sizes.append(model.batch_size)
        clock[0] += 1.1 if model.batch_size < 16 else 1.0
        return [{"prediction": number} for number in numbers]

    store = prediction.predict(model, work, timed, tmp_path, silent)
    assert sizes[:13] == [4] + [4, 8, 16, 2] * 3
    assert set(sizes[13:]) == {16}
    assert model.batch_size == 4
    assert store.assemble().column("prediction") == list(range(960))
    assert prediction.predict(model, work, timed, tmp_path, silent).remaining() == []
    assert len(sizes) == 60


def test_an_item_benchmark_says_what_it_found(tmp_path, monkeypatch):
    """Truth: 60 labelled pairs are one chunk of 64, or 30 of 2: four times the 7 that are timed."""
    root = write_snli_ve(tmp_path / "data", pairs=66)
    for chunk, timed in ((64, False), (2, True)):
        monkeypatch.setattr("evals.benchmarks.snli_ve.SnliVe.chunk", chunk)
        monkeypatch.setattr("evals.prediction._CALLS", 1)
        record = evals.run(
            "snli_ve", model=FakePairClassifier("neutral", batch_size=1), split="dev",
            data_root=root, output=tmp_path / "runs",
        )  # fmt: skip
        assert any("batch size" in note for note in record.notes) == timed
        assert (batch_sizes.read(record.path.parent).source == TIMED) == timed


def test_scores_do_not_depend_on_the_size_that_is_found(tmp_path):
    """Truth: a real model's scores in calls of one size, within 1e-5."""
    from unimo2 import Unimo2Config, Unimo2Model, Unimo2Processor
    from unimo2.processing import train_tokenizer
    from zoo.families.unimo2 import Unimo2Scorer

    root = write_flickr(tmp_path / "data", images=6, captions=3)
    data = flickr.Flickr().read(resolve(None, root), make_request("flickr", "tiny", {}))
    paths = [image.path for image in data.images]
    tokenizer = train_tokenizer(data.captions, 300)
    torch.manual_seed(0)
    config = Unimo2Config.mini(
        image_size=16, hidden_size=32, intermediate_size=64, vision_layers=1, text_layers=1,
        fusion_layers=2, dictionary_size=32, grounded_tokens=4, vocab_size=len(tokenizer),
    )  # fmt: skip
    processor = Unimo2Processor(tokenizer, image_size=16, max_text_length=64)
    model = Unimo2Scorer("tiny", Unimo2Model(config).eval(), processor, "c" * 64)
    kept, matrices = [], []
    plan = make_plan(6, 18)
    for number, search in enumerate((Search(6), Search(2, None, (4, 8, 1), None, kept.append))):
        writer = BlockWriter(tmp_path / str(number), 6)
        scorer.score(model, paths, data.captions, plan, writer, search, silent)
        matrices.append(writer.assemble(plan.blocks)[0]["score"])
    assert set(kept[0].seconds) == {1, 2, 4, 8}
    np.testing.assert_allclose(*matrices, atol=1e-5)
