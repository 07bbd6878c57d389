"""ViLT: scores and answers equal transformers' own example code, one pair a call."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoProcessor

import zoo
from builders.foreign_models import CAPTIONS, broken_folders, photos, vilt_folder
from unimo2.errors import BadCheckpoint
from zoo import protocols
from zoo.cards import Source
from zoo.protocols import StackedFeatures

QUESTIONS = ["what is this ?", "how many are there ?", "red", "is this a dog ?", "what is red ?"]


@torch.no_grad()
def example(folder, model, image, text):
    """The library's own code for one pair: logits."""
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(image, text, return_tensors="pt", truncation=True, max_length=12)
    return model(**inputs).logits[0]


def scores(adapter, images, texts):
    """Scores [texts, images] by the protocol's members."""
    stack = StackedFeatures.of(adapter.encode_images(images))
    return torch.stack(
        [adapter.score_pairs(stack, text)["score"] for text in adapter.encode_texts(texts)]
    )


def test_scores_equal_the_librarys_example(tmp_path):
    """Truth: transformers' example from pixels, pair by pair; images of three shapes share a stack."""
    model = vilt_folder(tmp_path / "m")
    adapter = zoo.load(tmp_path / "m", device="cpu")
    protocols.require(adapter, "pair_scorer")
    texts = [*CAPTIONS, "a very big red square beside a small red circle on a wide field"]
    expected = torch.tensor(
        [[example(tmp_path / "m", model, i, t).item() for i in photos()] for t in texts]
    )
    shapes = {tuple(adapter.processor(images=[i])["pixel_values"][0].shape) for i in photos()}
    assert len(shapes) > 1
    found = scores(adapter, photos(), texts)
    assert (found - expected).abs().max() < 1e-5
    single = torch.cat([scores(adapter, [image], texts) for image in photos()], dim=1)
    assert (single - expected).abs().max() < 1e-5
    assert expected.std() > 1e-2


def test_torchs_generator_is_not_touched_and_scores_repeat(tmp_path):
    """Truth: the generator's state; two runs with other states between them."""
    vilt_folder(tmp_path / "m")
    adapter = zoo.load(tmp_path / "m", device="cpu")
    before = torch.get_rng_state()
    first = scores(adapter, photos(), CAPTIONS)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(scores(adapter, photos(), CAPTIONS), first)


def test_no_patches_are_dropped_whatever_the_configuration_says(tmp_path):
    """Truth: the scores without a limit; with it the library's own example varies."""
    free, limited = (vilt_folder(tmp_path / str(n), max_image_length=n) for n in (-1, 2))
    adapters = [zoo.load(tmp_path / str(n), device="cpu") for n in (-1, 2)]
    assert adapters[1].model.config.max_image_length == -1
    found = [scores(adapter, photos(), CAPTIONS) for adapter in adapters]
    assert torch.equal(found[0], found[1])
    library = [example(tmp_path / "2", limited, photos()[0], CAPTIONS[0]) for _ in range(8)]
    assert max(library) - min(library) > 1e-4
    assert all(
        torch.equal(a, b) for a, b in zip(free.parameters(), limited.parameters(), strict=True)
    )


def test_a_folder_for_masked_words_is_refused_by_its_missing_keys(tmp_path):
    """Truth: the retrieval head, which such a folder does not have."""
    vilt_folder(tmp_path / "m", "mlm")
    with pytest.raises(BadCheckpoint, match="2 weights are missing.*rank_output.bias, rank_output"):
        zoo.load(tmp_path / "m", device="cpu")


@pytest.mark.parametrize("kind", ["retrieval", "vqa"])
def test_any_tensor_that_is_lost_or_reshaped_is_named(kind, tmp_path):
    """Truth: one tensor at a time is taken away, cut or added."""
    vilt_folder(tmp_path / "m", kind)
    for says in broken_folders(tmp_path / "m", tmp_path / "b", every=6):
        with pytest.raises(BadCheckpoint, match=says):
            zoo.load(tmp_path / "b", device="cpu")


def test_answers_equal_the_librarys_example_and_an_image_is_embedded_once(tmp_path):
    """Truth: transformers' example, question by question; the pictures that are embedded, counted."""
    model = vilt_folder(tmp_path / "m", "vqa")
    adapter, seen = zoo.load(tmp_path / "m", device="cpu"), []
    protocols.require(adapter, "answerer")
    adapter.model.vilt.embeddings.patch_embeddings.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    one, two, three = photos()
    images = [one, one, two, three, one]
    expected = torch.stack(
        [example(tmp_path / "m", model, i, q) for i, q in zip(images, QUESTIONS, strict=True)]
    )
    for adapter.batch_size in (1, 50):
        assert (adapter.logits(images, QUESTIONS) - expected).abs().max() < 1e-5
    assert sum(seen) == 2 * 3
    names = model.config.id2label
    assert adapter.answer(images, QUESTIONS) == [names[n] for n in expected.argmax(1).tolist()]
    assert adapter.answering.kind == "classes" and len(adapter.answering.vocabulary) == 5


def original(model, config):
    """Weights under the names of the original code, with a matching head of two rows."""
    state, hidden = {}, config.hidden_size
    for name, tensor in model.state_dict().items():
        for new, old in (
            ("vilt.embeddings.text_embeddings.", "text_embeddings."),
            ("vilt.embeddings.token_type_embeddings.", "token_type_embeddings."),
            ("vilt.embeddings.patch_embeddings.projection.", "transformer.patch_embed.proj."),
            ("vilt.embeddings.position_embeddings", "transformer.pos_embed"),
            ("vilt.embeddings.cls_token", "transformer.cls_token"),
            ("vilt.layernorm.", "transformer.norm."),
            ("vilt.pooler.", "pooler."),
            ("vilt.encoder.layer.", "transformer.blocks."),
            (".layernorm_before.", ".norm1."),
            (".layernorm_after.", ".norm2."),
            (".attention.output.dense.", ".attn.proj."),
            (".intermediate.dense.", ".mlp.fc1."),
            (".output.dense.", ".mlp.fc2."),
        ):
            name = name.replace(new, old)
        if not name.startswith("rank_output") and ".attention.attention." not in name:
            state[name] = tensor
    for layer in range(config.num_hidden_layers):
        for kind in ("weight", "bias"):
            place = f"vilt.encoder.layer.{layer}.attention.attention.%s.{kind}"
            parts = [model.state_dict()[place % which] for which in ("query", "key", "value")]
            state[f"transformer.blocks.{layer}.attn.qkv.{kind}"] = torch.cat(parts)
    rank = model.rank_output
    state["itm_score.fc.weight"] = torch.cat([torch.randn(1, hidden), rank.weight.data])
    state["itm_score.fc.bias"] = torch.cat([torch.randn(1), rank.bias.data])
    return {
        **state,
        "mlm_score.bias": torch.zeros(3),
        "text_embeddings.position_ids": torch.zeros(1),
    }


def test_an_original_checkpoint_gives_its_matching_heads_score(tmp_path):
    """Truth: the retrieval model whose weights were put under the original names; row 1 is "match"."""
    model = vilt_folder(tmp_path / "m", initializer_range=0.3)
    expected = scores(zoo.load(tmp_path / "m", device="cpu"), photos(), CAPTIONS)
    card = zoo.resolve(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    state = original(model, model.config)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "m" / "vilt.ckpt")
    source = Source("folder", str(tmp_path / "m"), file="vilt.ckpt")
    card = replace(card, source=source)
    assert (scores(zoo.load_card(card, "cpu"), photos(), CAPTIONS) - expected).abs().max() < 1e-5
    for lost in ("itm_score.fc.weight", "transformer.norm.bias"):
        rest = {name: tensor for name, tensor in state.items() if name != lost}
        torch.save(rest, tmp_path / "m" / "vilt.ckpt")
        with pytest.raises(BadCheckpoint, match="itm_score.fc|vilt.layernorm.bias"):
            zoo.load_card(card, "cpu")
