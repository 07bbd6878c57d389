"""Several processes that share a run end with the numbers of one."""

import socket

import numpy as np
import pytest

import evals
from builders import forked
from builders.item_fakes import FakePairClassifier, run_slowly, write_snli_ve
from builders.retrieval_fakes import ColourScorer
from evals import records
from evals.benchmark import Request
from evals.benchmarks import flickr
from evals.datasets.suites import resolve
from evals.distributed import ALL, ProcessGroup, launched, own_device
from evals.retrieval.options import RetrievalOptions


def test_two_processes_give_the_record_of_one(tmp_path):
    """Truth: one process; the pairs that each of the two classified, added up, are all pairs."""
    root = write_snli_ve(tmp_path / "data", pairs=400)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    outs = [tmp_path / f"{rank}.txt" for rank in "01"]
    processes = [
        forked.start(
            *(run_slowly, root, tmp_path / "two", 0.0),
            out=out,
            environment={**launcher, "RANK": out.stem},
        )
        for out in outs
    ]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    counts = [int(out.read_text().split()[-1]) for out in outs]
    assert sum(counts) == 360
    assert min(counts) > 100
    [path] = (tmp_path / "two" / "paper" / "snli_ve" / "fake").iterdir()
    two = records.read(path)
    one = evals.run(
        "snli_ve", model=FakePairClassifier("neutral"), split="dev", data_root=root,
        output=tmp_path / "one",
    )  # fmt: skip
    assert two.metrics == one.metrics
    assert any("2 processes" in note for note in two.notes)
    found, expected = (records.read_samples(record.path.parent) for record in (two, one))
    assert found.drop(columns="logit").equals(expected.drop(columns="logit"))
    assert np.abs(found["logit"] - expected["logit"]).max() < 1e-5


@pytest.mark.parametrize("rerank", [None, 3])
def test_shares_of_retrieval_are_the_whole(flickr_root, tmp_path, monkeypatch, rerank):
    """Truth: a run that nobody shares; what is left for the last step is not one pair."""
    from evals.retrieval import planner

    monkeypatch.setattr(planner, "CAPTIONS_PER_BLOCK", 7)
    request = Request("flickr", "colours", options=RetrievalOptions(rerank=rerank))
    data = flickr.Flickr().read(resolve(None, flickr_root), request)
    whole = flickr.Flickr().measure(ColourScorer(), data, request, tmp_path / "whole", print)
    pairs = []
    for index in range(3):
        model = ColourScorer()
        flickr.Flickr().predict(
            model, data, request, tmp_path / "shared", print, ProcessGroup(index, 3)
        )
        pairs.append(model.pairs)
    last = ColourScorer()
    shared = flickr.Flickr().measure(last, data, request, tmp_path / "shared", print)
    assert last.pairs == 0
    assert min(pairs) > 0
    assert shared.metrics == whole.metrics
    for name in ("scores", "itm", "contrastive"):
        matrices = [np.load(tmp_path / run / f"{name}.npy") for run in ("whole", "shared")]
        np.testing.assert_allclose(matrices[0], matrices[1], atol=1e-5)


def test_a_process_by_itself_has_all_units(monkeypatch):
    """Truth: no launcher has set anything."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert launched() is ALL
    assert ALL.first
    assert all(ALL.takes(unit) for unit in range(5))
    assert ALL.tell("path") == "path"
    assert own_device("cpu", ProcessGroup(1, 2)) == "cpu"
