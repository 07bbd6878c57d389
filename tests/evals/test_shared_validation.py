"""Early evaluations that the processes of a training divide give what one process gives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from builders.item_fakes import FakePairClassifier, write_snli_ve
from builders.retrieval_fakes import ColourScorer, write_flickr
from evals.benchmarks.snli_ve import SnliVe
from evals.datasets.suites import resolve
from evals.distributed import ProcessGroup, Team, training_team
from evals.retrieval import planner
from evals.retrieval.weight import weighing
from evals.runner import make_request
from unimo2.errors import UndefinedMetric
from unimo2.formats.karpathy import read_karpathy


@dataclass(frozen=True)
class _Thread(ProcessGroup):
    """The share of one of several threads, which wait for each other as processes do."""

    barrier: Barrier = field(default_factory=lambda: Barrier(1))
    told: list[Any] = field(default_factory=list)

    def wait(self) -> None:
        self.barrier.wait(60)

    def tell(self, value: Any) -> Any:
        if self.first:
            self.told[:] = [value]
        self.wait()
        found = self.told[0]
        self.wait()
        return found


def together(count: int, folder: Path, work: Callable[[Team], Any]) -> list[Any]:
    """What each of several threads gets."""
    barrier, told = Barrier(count), []
    teams = [Team(_Thread(index, count, barrier, told), folder) for index in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, teams))


def test_the_weight_of_retrieval_is_chosen_together(tmp_path, monkeypatch):
    """Truth: one process that scores every pair; each of two scores a part of them, once."""
    monkeypatch.setattr(planner, "CAPTIONS_PER_BLOCK", 7)
    root = write_flickr(tmp_path / "data", 8, splits="val") / "flickr30k"
    images = read_karpathy(root / "dataset_flickr30k.json", root / "flickr30k-images", ["val"])
    alone = weighing(images, Team())(ColourScorer())
    models = [ColourScorer(), ColourScorer()]
    run = tmp_path / "run"
    found = together(2, run, lambda team: weighing(images, team)(models[team.share.index]))
    assert found == [alone, alone]
    assert models[0].pairs + models[1].pairs == 8 * 40
    assert min(model.pairs for model in models) > 50
    assert not list(run.iterdir())  # parts are gone


def test_a_development_split_is_measured_together(tmp_path, monkeypatch):
    """Truth: one process that predicts every item; each of three predicts some."""
    monkeypatch.setattr(SnliVe, "chunk", 4)
    root = write_snli_ve(tmp_path / "data")
    request = make_request("snli_ve", "fake", {"data_root": root, "split": "dev"})

    def validating(team: Team) -> Callable[[Any], Any]:
        return SnliVe().validating(resolve(None, root), request, team)

    alone = validating(Team())(FakePairClassifier("neutral"))
    models = [FakePairClassifier("neutral") for _ in range(3)]
    found = together(3, tmp_path / "run", lambda team: validating(team)(models[team.share.index]))
    assert found == [alone] * 3 and 0 < alone["accuracy"] < 100
    assert sum(model.calls for model in models) == 27  # three of 30 have no label
    assert min(model.calls for model in models) > 0


def test_a_metric_that_is_not_defined_is_one_in_every_process(tmp_path):
    """Truth: an error of the first process alone; the others would wait for it for ever."""

    def work(team: Team) -> str:
        def compute() -> int:
            assert team.share.first
            raise UndefinedMetric("all the same")

        with team.workplace() as folder:
            assert folder.is_dir()
            with pytest.raises(UndefinedMetric, match="all the same"):
                team.told(compute)
        return str(folder)

    assert len(set(together(3, tmp_path / "run", work))) == 1


def test_the_team_of_a_training_is_what_the_launcher_says(tmp_path, monkeypatch):
    """Truth: the variables of torchrun; no process group is opened, which is the loop's to do."""
    import torch.distributed

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    share = training_team(tmp_path).share
    assert (share.index, share.count, share.first) == (1, 4, False)
    assert not torch.distributed.is_initialized()
    monkeypatch.delenv("WORLD_SIZE")
    assert training_team(tmp_path).share.count == 1
