"""The engine of items: chunks, resumption, shares, order."""

import json
import signal
import time

import pytest
import torch

import evals
from builders import forked
from builders.item_fakes import Fake, FakePairClassifier, run_slowly, write_snli_ve
from evals import prediction, records
from evals.distributed import ProcessGroup
from evals.prediction import ChunkPlan
from unimo2.errors import BadCheckpoint


def test_items_of_one_image_stand_together_in_chunks_of_one_size():
    """Truth: the order by hand."""
    work = ChunkPlan.of(["a", "b", "a", "c", "b"], "questions", 1, 2)
    assert work.order == (0, 2, 1, 4, 3)
    assert [list(chunk) for chunk in work.chunks()] == [[0, 1, 2, 3], [4]]


def test_predictions_come_back_in_the_items_order(tmp_path):
    """Truth: each item's prediction is its own number."""
    work = ChunkPlan(tuple(reversed(range(10))), 3, "items")
    store = prediction.predict(Fake(), work, numbered, tmp_path, print)
    assert store.assemble().column("prediction") == list(range(10))


def numbered(numbers):
    return [{"prediction": number} for number in numbers]


def test_what_is_on_disk_is_not_done_again_and_damage_is(tmp_path):
    """Truth: the items that reach the predictor, written down."""
    work = ChunkPlan(tuple(range(10)), 3, "items")
    seen = []

    def watching(numbers):
        seen.extend(numbers)
        return numbered(numbers)

    prediction.predict(Fake(), work, watching, tmp_path, print, ProcessGroup(0, 2))
    assert seen == [0, 1, 2, 6, 7, 8]
    (tmp_path / "predictions" / "0-3.json").write_text('{"items": [0, 1')
    (tmp_path / "predictions" / "6-9.json").write_text(
        json.dumps({"items": [6], "predictions": []})
    )
    seen.clear()
    store = prediction.predict(Fake(), work, watching, tmp_path, print)
    assert seen == list(range(10))
    assert store.assemble().column("prediction") == list(range(10))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_take_every_chunk_once(count):
    """Truth: the units of all shares together, counted."""
    taken = [
        unit
        for index in range(count)
        for unit in range(7)
        if ProcessGroup(index, count).takes(unit)
    ]
    assert sorted(taken) == list(range(7))


def test_scores_that_are_no_numbers_stop_the_run(tmp_path):
    """Truth: NaN is no JSON."""
    work = ChunkPlan((0,), 1, "items")
    with pytest.raises(BadCheckpoint, match="scores that are not finite"):
        prediction.predict(Fake(), work, lambda _: [{"logit": float("nan")}], tmp_path, print)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tmp_path):
    """Truth: a predictor that has room for three items; the batch sizes that it was tried with."""
    model, tried = Fake(batch_size=16), []

    def small(numbers):
        tried.append(model.batch_size)
        if model.batch_size > 3:
            raise torch.OutOfMemoryError("no room")
        return numbered(numbers)

    work = ChunkPlan(tuple(range(8)), 4, "items")
    with prediction.batch_size(model, None):
        store = prediction.predict(model, work, small, tmp_path, print)
    assert tried == [16, 8, 4, 2, 2]
    assert store.assemble().column("prediction") == list(range(8))
    assert model.batch_size == 16

    def nothing(numbers):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError):
        prediction.predict(model, ChunkPlan((0,), 1, "items"), nothing, tmp_path / "none", print)


def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(tmp_path, monkeypatch):
    """Truth: a run that nobody interrupted; the killed one's chunks are not done again."""
    root = write_snli_ve(tmp_path / "data", pairs=400)
    process = forked.start(run_slowly, root, tmp_path / "killed", 0.4, out=tmp_path / "out.txt")
    runs = tmp_path / "killed" / "paper" / "snli_ve" / "fake"
    for _ in range(1200):
        done = len(list(runs.glob("*/predictions/*.json")))
        if done >= 2:
            break
        assert process.is_alive()
        time.sleep(0.05)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    done = len(list(runs.glob("*/predictions/*.json")))
    assert 2 <= done < 6
    model = FakePairClassifier("neutral")
    options = {"model": model, "split": "dev", "data_root": root}
    resumed = evals.run("snli_ve", output=tmp_path / "killed", **options)
    assert model.calls == 360 - 64 * done
    assert len(list(runs.iterdir())) == 1
    assert not list(runs.glob("*/predictions"))
    whole = evals.run("snli_ve", output=tmp_path / "whole", **options)
    assert resumed.metrics == whole.metrics
    samples = [records.read_samples(record.path.parent) for record in (resumed, whole)]
    assert samples[0].equals(samples[1])
