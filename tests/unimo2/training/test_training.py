"""The trainer: what it learns, that a kill changes nothing, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from builders import forked
from builders import tiny_training as tiny
from unimo2 import Unimo2Model, Unimo2Processor
from unimo2.errors import BadCheckpoint, TrainingFailed, UsageError
from unimo2.training.checkpoints import load_state
from unimo2.training.curriculum import Corpora
from unimo2.training.logging import dictionary_use
from unimo2.training.objectives import PairObjective
from unimo2.training.pretraining import PretrainingRun, PretrainingTask, pretrain

WEIGHTS = Path("model/model.safetensors")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small sums on one thread: faster here, and the same as in the subprocesses."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """What a run leaves that nobody stopped; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    tiny.run(folder)
    return folder


@pytest.fixture
def finished(whole, tmp_path) -> Path:
    """A copy of that run, which a test may go on with."""
    return Path(shutil.copytree(whole, tmp_path / "finished"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def log_of(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def start(output: Path, kill_after: int) -> tuple[int | None, list[int]]:
    """The tiny run in a process of its own: its exit status, and the steps that it finished."""
    out = output.with_name("out.txt")
    process = forked.start(tiny.run_until_killed, output, kill_after, out=out)
    process.join()
    return process.exitcode, [int(line) for line in out.read_text().split()]


def test_a_killed_run_ends_with_the_same_weights(whole, tmp_path):
    """Truth: sha256 of the weights and the log of an uninterrupted run (real SIGKILL, twice)."""
    output = tmp_path / "killed"
    assert start(output, kill_after=2) == (-signal.SIGKILL, [1, 2])  # before any checkpoint
    assert start(output, kill_after=8) == (-signal.SIGKILL, [1, 2, 3, 4, 5, 6, 7, 8])
    assert load_state(output / "checkpoint").step == 6 and not (output / WEIGHTS).exists()
    assert start(output, kill_after=0) == (0, [7, 8, 9, 10, 11, 12])
    assert sha256(output / WEIGHTS) == sha256(whole / WEIGHTS)
    timing = {"seconds", "samples_per_second"}
    logs = [
        [{k: v for k, v in line.items() if k not in timing} for line in log_of(folder)]
        for folder in (output, whole)
    ]
    assert logs[0] == logs[1]


def test_a_run_that_was_killed_while_writing_a_checkpoint_still_has_the_one_before(whole, tmp_path):
    """Truth: a half-written file beside the whole one changes nothing."""
    output = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        tiny.run(output, on_progress=_stop_at(8))
    half = output / "checkpoint" / ".state.pt.123.partial"
    half.write_bytes(b"half")
    summary = tiny.run(output)
    assert summary.resumed_from == 6 and not half.exists()
    assert sha256(output / WEIGHTS) == sha256(whole / WEIGHTS)


def _stop_at(step: int):
    def listen(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return listen


def test_loss_falls_and_the_pairs_are_matched(tmp_path):
    """Truth: chance. Uniform negatives: in this world of 12 images hard ones come down to one word."""
    config = replace(
        tiny.CONFIG, steps=120, log_every=20, checkpoint_every=120, batch_size=8, hard_share=0.0
    )
    tiny.run(tmp_path, config, hidden_dropout=0.0)
    log = log_of(tmp_path)
    assert log[-1]["loss"] < 0.6 * log[0]["loss"]
    for name in ("mlm", "itm", "contrastive"):
        assert log[-1][name] < log[0][name]
    assert log[-1]["itm_accuracy"] > 0.75  # always "no match" gives 2 / 3


def test_the_output_is_a_model_folder_with_its_history(tmp_path):
    """Truth: what from_pretrained loads, and the numbers that were asked for."""
    summary = tiny.run(tmp_path, replace(tiny.CONFIG, save_dtype="float16"))
    model = Unimo2Model.from_pretrained(summary.model_folder)
    processor = Unimo2Processor.from_pretrained(summary.model_folder)
    state = load_state(tmp_path / "checkpoint")
    for name, value in model.state_dict().items():
        assert torch.equal(value, state.model[f"pairs.model.{name}"].half().float()), name
    assert len(processor.tokenizer) == model.config.vocab_size
    document = json.loads((tmp_path / "train.json").read_text())
    assert document["config"]["steps"] == summary.steps == 12
    assert document["corpora"]["pairs"]["images"] == 12
    assert document["seconds"] > 0
    assert torch.__version__.startswith(document["versions"]["torch"])
    assert [line["step"] for line in log_of(tmp_path)] == list(range(1, 13))
    assert 0 < log_of(tmp_path)[-1]["dictionary_used"] <= 1


def test_a_finished_run_is_not_trained_again(finished):
    """Truth: the weights and the step at which the second start begins."""
    before = sha256(finished / WEIGHTS)
    assert tiny.run(finished).resumed_from == 12
    assert sha256(finished / WEIGHTS) == before


def test_resume_never_starts_over(finished):
    """Truth: the first step of the second run's log."""
    summary = tiny.run(finished, replace(tiny.CONFIG, seed=1), resume="never")
    assert summary.resumed_from == 0
    assert log_of(finished)[0]["step"] == 1


@pytest.mark.parametrize(
    ("config", "changes", "named"),
    [
        (replace(tiny.CONFIG, learning_rate=1e-3), {}, "training.learning_rate was 0.003"),
        (replace(tiny.CONFIG, steps=13), {}, "training.steps was 12 and is 13"),
        (tiny.CONFIG, {"grounded_tokens": 5}, "model.grounded_tokens was 4 and is 5"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_in_one_line(finished, config, changes, named):
    """Truth: the value that was changed is the one that is named; the checkpoint stays."""
    before = sha256(finished / "checkpoint" / "state.pt")
    with pytest.raises(BadCheckpoint) as caught:
        tiny.run(finished, config, **changes)
    assert named in str(caught.value) and "\n" not in str(caught.value)
    assert sha256(finished / "checkpoint" / "state.pt") == before


def test_logging_and_evaluating_more_often_is_no_other_run(finished, tmp_path):
    """Truth: the weights, which such settings must not touch."""
    tiny.run(tmp_path / "b", replace(tiny.CONFIG, log_every=5, checkpoint_every=7))
    assert sha256(finished / WEIGHTS) == sha256(tmp_path / "b" / WEIGHTS)
    assert tiny.run(finished, replace(tiny.CONFIG, log_every=5)).resumed_from == 12


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    """Truth: a file that torch cannot read."""
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "state.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        tiny.run(tmp_path)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(whole, tmp_path, monkeypatch):
    """Truth: the state of step 3, still loadable, without a NaN, and the run can go on."""
    honest = PairObjective.forward
    calls = []

    def broken(self, batch):
        calls.append(1)
        result = honest(self, batch)
        return {**result, "loss": result["loss"] * float("nan")} if len(calls) == 5 else result

    monkeypatch.setattr(PairObjective, "forward", broken)
    with pytest.raises(TrainingFailed) as caught:
        tiny.run(tmp_path)
    assert "step 5" in str(caught.value) and "step 3 is intact" in str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.exit_status == 2
    state = load_state(tmp_path / "checkpoint")
    assert state.step == 3
    assert all(bool(torch.isfinite(value).all()) for value in state.model.values())
    monkeypatch.undo()
    tiny.run(tmp_path)
    assert sha256(tmp_path / WEIGHTS) == sha256(whole / WEIGHTS)


def test_a_full_disk_stops_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    """Truth: the bytes of the checkpoint before."""
    saved = torch.save

    def fails_later(values, file):
        if values["step"] > 3:
            file.write(b"half a checkpoint")
            raise OSError(28, "No space left on device")
        saved(values, file)

    monkeypatch.setattr("unimo2.training.checkpoints.torch.save", fails_later)
    with pytest.raises(TrainingFailed, match="No space left on device"):
        tiny.run(tmp_path)
    assert load_state(tmp_path / "checkpoint").step == 3
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["state.pt"]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("unimo2.processing.Unimo2Processor.save_pretrained", Exception("No space left on device")),
        (
            "transformers.PreTrainedModel.save_pretrained",
            SafetensorError("No space left on device"),
        ),
        ("unimo2.training.logging.LogFile.write", OSError(28, "No space left on device")),
    ],
)
def test_a_disk_that_is_full_elsewhere_is_one_line_too(whole, tmp_path, monkeypatch, place, error):
    """Truth: what the writers of weights, tokenizers and logs raise; a run that was never stopped."""

    def fails(*arguments, **named):
        raise error

    monkeypatch.setattr(place, fails)
    with pytest.raises(TrainingFailed, match="No space left on device") as caught:
        tiny.run(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.partial"))
    monkeypatch.undo()
    tiny.run(tmp_path)
    assert sha256(tmp_path / WEIGHTS) == sha256(whole / WEIGHTS)


def test_the_callers_generator_and_the_callback_do_not_meet_the_run(tmp_path):
    """Truth: torch.rand of the caller after a run is what it would have been without."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tiny.run(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_evaluation_is_logged_and_changes_no_weight(whole, tmp_path):
    """Truth: the weights of a run without evaluation."""
    seen = []

    def evaluate(model, step):
        assert not model.training
        torch.rand(7)  # an evaluation may draw numbers
        seen.append(step)
        return {"R@1": 50.0}

    pretrain(
        replace(tiny.CONFIG, eval_every=5),
        tiny.prepared(),
        tmp_path / "evaluated",
        device="cpu",
        evaluate=evaluate,
    )
    assert seen == [5, 10]
    assert {"step": 5, "eval/R@1": 50.0} in log_of(tmp_path / "evaluated")
    assert sha256(tmp_path / "evaluated" / WEIGHTS) == sha256(whole / WEIGHTS)


@pytest.mark.parametrize(("resume", "device"), [("always", "cpu"), ("auto", "tpu")])
def test_unknown_words_are_refused(tmp_path, resume, device):
    """Truth: the words that exist."""
    with pytest.raises(UsageError, match="expected "):
        pretrain(tiny.CONFIG, tiny.prepared(), tmp_path, resume=resume, device=device)


def test_dictionary_use_tells_an_even_from_a_collapsed_dictionary():
    """Truth: perplexity is C where all rows are chosen alike and 1 where one takes all."""
    even = dictionary_use(torch.full((8,), 3))
    collapsed = dictionary_use(torch.tensor([24, 0, 0, 0, 0, 0, 0, 0]))
    half = dictionary_use(torch.tensor([5, 5, 5, 5, 0, 0, 0, 0]))
    assert even["dictionary_used"] == 1.0 and even["dictionary_perplexity"] == pytest.approx(8)
    assert collapsed["dictionary_used"] == 0.125
    assert collapsed["dictionary_perplexity"] == pytest.approx(1)
    assert half["dictionary_used"] == 0.5 and half["dictionary_perplexity"] == pytest.approx(4)


def test_training_starts_from_the_towers_that_are_named(tmp_path):
    """Truth: the weights in the files of a timm ViT and a transformers RoBERTa, made here."""
    import timm
    from safetensors.torch import save_file
    from transformers import RobertaConfig, RobertaModel

    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    pairs, processor = tiny.corpus()
    sizes = {"hidden_size": 192, "intermediate_size": 768, "vision_layers": 12, "fusion_layers": 1}
    heads = {"num_attention_heads": 4, "vision_attention_heads": 3}
    images = {"image_size": 32, "patch_size": 16}
    config = tiny.model_config(processor, **sizes, **heads, **images, text_layers=2)
    roberta = RobertaModel(
        RobertaConfig(
            **{name: getattr(config, name) for name in ("vocab_size", "hidden_size")},
            **{"intermediate_size": 768, "num_hidden_layers": 2, "num_attention_heads": 4},
            **{"max_position_embeddings": config.max_position_embeddings, "type_vocab_size": 1},
            layer_norm_eps=config.layer_norm_eps,
        )
    )
    roberta.save_pretrained(tmp_path / "roberta")
    settings = replace(
        tiny.CONFIG,
        vision_tower="vit_tiny_patch16_224",
        vision_weights=str(tmp_path / "vit.safetensors"),
        text_tower=str(tmp_path / "roberta"),
    )
    prepared = PretrainingRun(processor, config, Corpora(pairs, processor))
    task = PretrainingTask(settings, prepared)
    layer = roberta.encoder.layer[0]
    assert torch.equal(
        task.model.vision.vit.blocks[3].attn.qkv.weight, vit.blocks[3].attn.qkv.weight
    )
    assert torch.equal(task.model.fusion.layers[0].up.weight, layer.intermediate.dense.weight)
    with pytest.raises(UsageError, match="other sizes"):
        other = tiny.model_config(processor, **sizes, **heads, **images, text_layers=1)
        PretrainingTask(settings, replace(prepared, model_config=other))


def test_the_matching_head_starts_and_stays_opposite(tmp_path):
    """Truth: without anything common to both rows, logit[1] is half of what cross entropy trains."""
    start = PretrainingTask(tiny.CONFIG, tiny.prepared()).model.itm_head
    assert torch.equal(start.weight[0], -start.weight[1]) and not start.bias.any()
    config = replace(tiny.CONFIG, steps=40, checkpoint_every=40, weight_decay=0.1, clip_norm=0.05)
    tiny.run(tmp_path, config)
    head = Unimo2Model.from_pretrained(tmp_path / "model").itm_head
    assert head.weight.abs().max() > 10 * (head.weight[0] + head.weight[1]).abs().max()
    assert (head.weight[0] + head.weight[1]).abs().max() < 1e-5
    assert (head.bias[0] + head.bias[1]).abs() < 1e-5
    assert not torch.equal(head.weight[1], start.weight[1])
