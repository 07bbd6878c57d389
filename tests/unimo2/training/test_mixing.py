"""The curriculum: what steps hold, that parts of a batch make the whole, and what a kill leaves."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from builders import tiny_mixed
from builders import tiny_training as tiny
from builders.tiny_mixed import CONFIG, LINES
from unimo2.data.seeding import Shard
from unimo2.data.text_blocks import blocks
from unimo2.errors import UsageError
from unimo2.formats.plain_text import TextLine
from unimo2.training.checkpoints import load_state
from unimo2.training.curriculum import Corpora
from unimo2.training.pretraining import PretrainingTask, pretrain


@pytest.fixture(scope="module")
def corpora() -> Corpora:
    """All kinds of corpora."""
    return tiny_mixed.corpora()


def test_pairs_come_first_and_then_everything(corpora):
    """Truth: a quarter of twelve steps; the counts that were asked for."""
    counts = [corpora.batch(step, CONFIG).counts for step in range(12)]
    assert counts[:3] == [{"pairs": 4}] * 3
    assert counts[3:] == [{"pairs": 2, "prompts": 2, "images": 2, "texts": 2}] * 9


def test_what_there_is_no_corpus_of_is_left_out(corpora):
    """Truth: the corpora that are given; without any, all steps are of pairs in one order."""
    pairs, processor = corpora.pairs, tiny.corpus()[1]
    texts = Corpora(pairs, processor, texts=corpora.texts)
    assert texts.batch(5, CONFIG).counts == {"pairs": 4, "texts": 2}
    images = Corpora(pairs, processor, corpora.prompts, corpora.images)
    assert images.batch(5, CONFIG).counts == {"pairs": 2, "prompts": 2, "images": 2}
    alone = Corpora(pairs, processor)
    passes = [alone.batch(step, CONFIG).pairs.image_index for step in range(3, 6)]
    assert Counter(torch.cat(passes).tolist()) == Counter(range(12))
    assert list(texts.describe()) == ["pairs", "texts"]


def test_mixed_steps_take_every_item_once_a_pass(corpora):
    """Truth: counted: 12 images in 6 steps, 6 labelled ones and 6 images alone in 3."""
    batches = [corpora.batch(step, CONFIG) for step in range(3, 9)]
    index = torch.cat([batch.pairs.image_index for batch in batches])
    assert Counter(index[index < 12].tolist()) == Counter(range(12))
    for part in (batches[:3], batches[3:]):
        labelled = torch.cat([batch.pairs.image_index for batch in part])
        assert Counter(labelled[labelled >= 12].tolist()) == Counter(range(12, 18))


@pytest.mark.parametrize("step", [1, 4])
def test_parts_make_the_whole(corpora, step):
    """Truth: the batch of one process, sample by sample."""
    config = replace(CONFIG, batch_size=8, mlm_share=0.5)
    whole = corpora.batch(step, config)
    parts = [corpora.batch(step, config, Shard(rank, 2)) for rank in range(2)]
    assert {k: 2 * n for k, n in parts[0].counts.items()} == whole.counts

    def by_position(batches, name):
        found = {}
        for batch in batches:
            for row, place in enumerate(batch.pairs.position.tolist()):
                values = getattr(batch.pairs, name)
                if row < len(values):
                    found[place] = values[row]
        return found

    for name in ("pixel_values", "image_index", "negative_noise", "masked_ids", "input_ids"):
        expected, found = by_position([whole], name), by_position(parts, name)
        assert set(expected) == set(found), name
        for place, value in expected.items():
            other = found[place]
            if value.dim() == 1:  # texts are padded to the longest of their own part
                shorter = min(len(value), len(other))
                value, other = value[:shorter], other[:shorter]
            assert torch.equal(value, other), name
    if step == 4:
        assert len(whole.pairs.masked_ids) == 4
        views = [part.images.views.view(2, 1, 3, 16, 16) for part in parts]
        together = torch.cat(views, dim=1).flatten(0, 1)
        torch.testing.assert_close(together, whole.images.views, atol=1e-5, rtol=0)
        rows = [part.texts.masked_ids for part in parts]
        for expected, found in zip(whole.texts.masked_ids, rows, strict=True):
            assert torch.equal(expected[: found.shape[1]], found[0])


def test_masked_samples_are_spread_over_the_batch(corpora):
    """Truth: 0.3 of ten positions, not the shortest captions that come first."""
    config = replace(CONFIG, mlm_share=0.3)
    assert Corpora._masked(torch.arange(10), config).nonzero().flatten().tolist() == [3, 6, 9]
    assert Corpora._masked(torch.arange(10), replace(config, mlm_share=1.0)).all()
    assert not Corpora._masked(torch.arange(10), replace(config, mlm_weight=0.0)).any()


def test_blocks_are_whole_lines_of_one_file(corpora):
    """Truth: the lines, joined by spaces and cut nowhere but where a line is too long."""
    tokenizer = tiny.corpus()[1].tokenizer
    processor = tiny.corpus()[1]
    lines = LINES[:3] + [TextLine(Path("third"), 1, "a long one " * 30)]
    packed = list(blocks(lines, processor, 60))
    assert max(len(ids) for ids in packed) <= 60
    for ids in packed:
        assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
        assert tokenizer.pad_token_id not in ids
    texts = [tokenizer.decode(ids[1:-1]).strip() for ids in packed]
    joined = " ".join(texts)
    assert joined.startswith(" ".join(line.text for line in LINES[:3]))
    first = next(text for text in texts if "a long one" in text)
    assert first.startswith("a long one"), "a block does not go over the end of a file"
    everything = "".join(line.text for line in lines)
    assert joined.replace(" ", "") == everything.replace(" ", "")


def run(corpora, output, config=CONFIG, on_progress=None):
    prepared = tiny.prepared(corpora=corpora)
    return pretrain(config, prepared, output, device="cpu", on_progress=on_progress)


def test_a_mixed_run_resumes_bit_by_bit_and_logs_what_it_holds(corpora, tmp_path):
    """Truth: the run that was not stopped; samples counted by hand."""
    torch.set_num_threads(1)

    def stop(progress):
        if progress.step == 8:
            raise KeyboardInterrupt

    summary = run(corpora, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(corpora, tmp_path / "killed", on_progress=stop)
    assert run(corpora, tmp_path / "killed").resumed_from == 6
    for name in ("model/model.safetensors", "vcl_projection.safetensors"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "killed"))
        assert one == two, name
    assert summary.samples == {"pairs": 3 * 4 + 9 * 2, "prompts": 18, "images": 18, "texts": 18}
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").open()]
    assert "vcl" not in lines[2] and lines[2]["samples/pairs"] == 4
    for name in ("vcl", "text_mlm", "image_grounding", "text_grounding", "vcl_accuracy"):
        assert name in lines[3], name
    assert lines[3]["samples/images"] == lines[3]["samples/texts"] == 2
    state = load_state(tmp_path / "whole" / "checkpoint")
    assert "projection.0.weight" in state.model
    assert not any("projection" in name for name in _weights(tmp_path / "whole" / "model"))


def _weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"accumulate": 2, "image_batch": 3}, "image_batch 3 is not a multiple of 2"),
        ({"image_batch": 7}, "6 images (training.image_batch)"),
        ({"text_batch": 99}, "blocks of text"),
        ({"batch_size": 30}, "12 images (training.batch_size)"),
    ],
)
def test_the_second_phase_is_checked_before_the_first_step(changes, named, tmp_path):
    """Truth: nothing was trained when the setting is named, though it is of step 4 at the earliest."""
    seen = []
    with pytest.raises(UsageError) as caught:
        pretrain(
            replace(CONFIG, **changes),
            tiny.prepared(corpora=tiny_mixed.corpora()),
            tmp_path,
            device="cpu",
            on_progress=lambda progress: seen.append(progress.step),
        )
    assert named in str(caught.value) and not seen


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_batch": 7}, "6 images (training.image_batch)"),
        ({"text_batch": 99}, "blocks of text"),
        ({"batch_size": 30}, "12 images (training.batch_size)"),
        ({"batch_size": 16, "prompt_share": 0.6}, "6 labelled images (training.prompt_share)"),
    ],
)
def test_a_batch_larger_than_its_corpus_names_the_setting(corpora, changes, named):
    """Truth: the corpora's sizes."""
    with pytest.raises(UsageError) as caught:
        corpora.batch(5, replace(CONFIG, **changes))
    assert named in str(caught.value)


def test_the_first_steps_can_train_the_towers_alone(corpora):
    """Truth: losses by name, and whose weights get a gradient; nothing is masked before fusion."""
    config = replace(CONFIG, contrast_steps=0.5)  # of twelve steps
    task = PretrainingTask(config, tiny.prepared(corpora=corpora))
    first, later = (corpora.batch(step, config).pairs for step in (5, 6))
    assert (first.fused, len(first.masked_ids)) == (False, 0)
    assert (later.fused, len(later.masked_ids)) == (True, 2)
    result = task.objective.pairs(first)
    assert "contrastive" in result and "grounding" in result
    assert "itm" not in result and "mlm" not in result
    result["loss"].backward()
    assert task.model.fusion.layers[0].up.weight.grad is None
    assert task.model.dictionary.embedding.grad is not None
    assert "itm" in task.objective.pairs(later)
    with pytest.raises(UsageError, match="contrast_steps"):
        replace(config, contrastive_weight=0.0)


def test_images_of_pairs_can_be_varied(corpora):
    """Truth: other pixels of the same range, and parts of a batch that make the whole."""
    config = replace(CONFIG, pair_crop=0.5, pair_colour=0.2)
    plain, varied = (corpora.batch(1, c).pairs for c in (CONFIG, config))
    assert torch.equal(plain.input_ids, varied.input_ids)
    assert not torch.equal(plain.pixel_values, varied.pixel_values)
    assert varied.pixel_values.abs().max() <= 1.0 + 1e-6
    halves = [corpora.batch(1, config, Shard(rank, 2)).pairs for rank in range(2)]
    by_place = {
        int(place): pixels
        for half in halves
        for place, pixels in zip(half.position, half.pixel_values, strict=True)
    }
    for place, pixels in zip(varied.position.tolist(), varied.pixel_values, strict=True):
        assert torch.allclose(by_place[place], pixels)
