"""A dictionary that collapses is said aloud, and rows out of use can start anew."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from builders import tiny_training as tiny
from unimo2.modeling.grounding import GroundedDictionary
from unimo2.training.checkpoints import load_state
from unimo2.training.dictionary_usage import RowUse, collapse_warning
from unimo2.training.logging import TrainingBar, TrainingProgress
from unimo2.training.pretraining import PretrainingTask


def test_a_collapse_is_said_in_one_line():
    """Truth: 26 of 256 rows are 10 %."""
    line = collapse_warning({"dictionary_used": 0.1}, 0.2, 256, 32)
    assert "26 of its 256 rows" in line and "10 %" in line and "\n" not in line
    assert collapse_warning({"dictionary_used": 0.2}, 0.2, 256, 32) is None
    assert collapse_warning({}, 0.2, 256, 32) is None


def test_a_warning_is_in_the_log_and_in_the_progress(tmp_path, capsys):
    """Truth: four of sixteen rows are chosen for an input, so that a floor of 1 is not reached."""
    seen = []
    tiny.run(tmp_path / "a", replace(tiny.CONFIG, dictionary_floor=1.0), on_progress=seen.append)
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").open()]
    below = [line for line in lines if line["dictionary_used"] < 1.0]
    assert below and all("collapsing" in line["warning"] for line in below)
    assert [news.warning is not None for news in seen] == ["warning" in line for line in lines]
    tiny.run(tmp_path / "b", replace(tiny.CONFIG, dictionary_floor=0.0))
    assert "warning" not in (tmp_path / "b" / "log.jsonl").read_text()
    bar = TrainingBar()
    for step, warning in enumerate(["it collapses", "it collapses", None, "it collapses"], 1):
        bar(TrainingProgress(step, 4, 0.0, {"samples_per_second": 1.0}, warning))
    assert capsys.readouterr().err.count("warning, step") == 2


def test_rows_out_of_use_become_vectors_of_the_batch():
    """Truth: which rows were idle for how long, by hand; padding and class tokens are no candidates."""
    torch.manual_seed(0)
    dictionary = GroundedDictionary(tiny.model_config(tiny.corpus()[1], dictionary_size=6))
    before = dictionary.embedding.detach().clone()
    use = RowUse(6, patience=2)
    vision, text = torch.randn(2, 3, 32), torch.randn(2, 4, 32)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    use.note(torch.tensor([3, 0, 1, 0, 0, 2]))
    use.restart(dictionary, vision, text, mask, seed=1)
    assert torch.equal(dictionary.embedding, before), "patience is two batches"
    use.note(torch.tensor([0, 0, 0, 5, 0, 2]))
    assert use.idle.tolist() == [1, 2, 1, 0, 2, 0]
    use.restart(dictionary, vision, text, mask, seed=1)
    vectors = [*vision[:, 1:].flatten(0, 1), *text[0, 1:], text[1, 1]]
    for row in range(6):
        now = dictionary.embedding[row]
        if row in (1, 4):
            assert any(torch.equal(now, vector) for vector in vectors)
        else:
            assert torch.equal(now, before[row])
    assert use.idle.tolist() == [1, 0, 1, 0, 0, 0]


def test_restarts_survive_a_kill(tmp_path):
    """Truth: the run that was not stopped; and restarts do change the weights."""
    torch.set_num_threads(1)
    config = replace(tiny.CONFIG, restart_unused=2)

    def stop(progress):
        if progress.step == 8:
            raise KeyboardInterrupt

    tiny.run(tmp_path / "whole", config, dictionary_size=64)
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path / "killed", config, on_progress=stop, dictionary_size=64)
    tiny.run(tmp_path / "killed", config, dictionary_size=64)
    tiny.run(tmp_path / "plain", tiny.CONFIG, dictionary_size=64)
    states = {n: load_state(tmp_path / n / "checkpoint") for n in ("whole", "killed", "plain")}
    name = "pairs.model.dictionary.embedding"
    assert torch.equal(states["whole"].model[name], states["killed"].model[name])
    assert not torch.equal(states["whole"].model[name], states["plain"].model[name])
    assert "pairs.row_use.idle" in states["whole"].model
    assert "pairs.row_use.idle" not in states["plain"].model


def test_evaluation_restarts_nothing():
    """Truth: the rows after a forward pass outside training."""
    config = replace(tiny.CONFIG, restart_unused=1)
    task = PretrainingTask(config, tiny.prepared())
    task.objective.eval()
    before = task.model.dictionary.embedding.detach().clone()
    with torch.no_grad():
        for step in range(3):
            task.objective(task.corpora.batch(step, config))
    assert torch.equal(task.model.dictionary.embedding, before)
