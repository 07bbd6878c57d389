"""CLIP, SigLIP and OpenCLIP folders: vectors equal those of the libraries' own example code."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize
from transformers import AutoProcessor, CLIPTokenizer

import zoo
from builders.foreign_models import (
    CAPTIONS,
    broken_folders,
    clip_folder,
    photos,
    siglip_folder,
)
from unimo2.errors import BadCheckpoint
from zoo import protocols
from zoo.families import clip

MAKE = {"clip": clip_folder, "siglip": siglip_folder}
LONG = "a very long text " * 60


@pytest.fixture(scope="module", params=MAKE)
def saved(request, tmp_path_factory):
    """A family, a folder and the model in it."""
    folder = tmp_path_factory.mktemp(request.param) / "m"
    return request.param, folder, MAKE[request.param](folder)


@torch.no_grad()
def example(kind, folder, model, images, texts):
    """The library's own code: logits of all pairs, and the vectors."""
    processor = AutoProcessor.from_pretrained(folder)
    texts = [text.lower() for text in texts]
    padding = {"padding": "max_length", "max_length": 12} if kind == "siglip" else {"padding": True}
    inputs = processor(
        text=texts, images=images, return_tensors="pt", truncation=True, **padding
    )  # fmt: skip
    if kind == "siglip":
        inputs.pop("attention_mask", None)
    return model(**inputs)


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_vectors_and_scores_equal_the_librarys_example(saved, batch_size):
    """Truth: transformers' own example with the same image backend; each item alone and in a batch."""
    kind, folder, model = saved
    expected = example(kind, folder, model, photos(), CAPTIONS)
    adapter = zoo.load(folder, device="cpu")
    protocols.require(adapter, "dual_encoder")
    adapter.batch_size = batch_size
    images, texts = adapter.embed_images(photos()), adapter.embed_texts(CAPTIONS)
    assert (images - expected.image_embeds).abs().max() < 1e-5
    assert (texts - expected.text_embeds).abs().max() < 1e-5
    logits = images @ texts.T * adapter.logit_scale
    logits += model.logit_bias.item() if kind == "siglip" else 0.0
    assert (logits - expected.logits_per_image).abs().max() < 1e-5 * adapter.logit_scale
    assert expected.image_embeds.std(0).max() > 1e-3 and expected.text_embeds.std(0).max() > 1e-3
    assert adapter.similarity == "cosine"
    assert (images.norm(dim=1) - 1).abs().max() < 1e-5


def test_an_image_goes_through_the_tower_once(saved, tmp_path):
    """Truth: the pictures that reach the tower, counted, without and with kept features."""
    _, folder, _ = saved
    adapter, seen = zoo.load(folder, device="cpu"), []
    tower = adapter.model.vision_model
    tower.register_forward_pre_hook(lambda m, a, k: seen.append(len(k["pixel_values"])), with_kwargs=True)  # fmt: skip
    plain = adapter.embed_images(photos())
    assert sum(seen) == 3
    adapter.keep_features(tmp_path)
    for total in (6, 6):
        assert torch.equal(adapter.embed_images(photos()), plain)
        assert sum(seen) == total


@torch.no_grad()
def test_unprojected_or_unnormalised_vectors_would_be_noticed(saved):
    """Truth: the variants themselves, which are far from what the adapter gives."""
    _, folder, model = saved
    adapter = zoo.load(folder, device="cpu")
    pixels = adapter.pixels(photos())
    out = model.get_image_features(pixel_values=pixels)
    found = adapter.embed_images(photos())
    assert (normalize(out.pooler_output, dim=-1) - found).abs().max() < 1e-5
    assert (out.pooler_output - found).abs().max() > 0.1
    if hasattr(model, "visual_projection"):
        assert out.last_hidden_state[:, 0].shape != found.shape


def test_siglip_texts_are_padded_without_a_mask(tmp_path):
    """Truth: the unpadded and the masked variant, which are far from the adapter's vectors."""
    model = siglip_folder(tmp_path / "m")
    adapter = zoo.load(tmp_path / "m", device="cpu")
    ids = torch.tensor(adapter.ids(CAPTIONS[:1]))
    assert ids.shape == (1, 12)
    length = int((ids != adapter.tokenizer.pad_token_id).sum())
    mask = (ids != adapter.tokenizer.pad_token_id).long()
    found = adapter.embed_texts(CAPTIONS[:1])
    with torch.no_grad():
        variants = (
            model.get_text_features(input_ids=ids[:, :length]),
            model.get_text_features(input_ids=ids, attention_mask=mask),
        )
        for variant in variants:
            assert (normalize(variant.pooler_output, dim=-1) - found).abs().max() > 1e-2


def test_a_long_text_ends_in_its_end_token(tmp_path):
    """Truth: the ids by hand; the old and the new `eos_token_id` find the same token."""
    clip_folder(tmp_path / "new")
    clip_folder(tmp_path / "old", old_end=True)
    new, old = (zoo.load(tmp_path / name, device="cpu") for name in ("new", "old"))
    assert (
        new.model.config.text_config.eos_token_id,
        old.model.config.text_config.eos_token_id,
    ) == (
        len(new.tokenizer) - 1,
        2,
    )
    rows = new.ids([LONG, "red"])
    end = new.tokenizer.eos_token_id
    assert len(rows[0]) == 40 and rows[0][-1] == end and rows[0].count(end) == 1
    assert rows[1] == [end - 1, *new.tokenizer.convert_tokens_to_ids(["r", "e", "d</w>"]), end]
    texts = [LONG, *CAPTIONS]
    assert torch.equal(new.embed_texts(texts), old.embed_texts(texts))


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    """Truth: a configuration that expects another end token, or has fewer embeddings."""
    for change in ({"eos_token_id": 5}, {"eos_token_id": 2, "bos_token_id": 1}):
        clip_folder(tmp_path / "m")
        path = tmp_path / "m" / "config.json"
        config = json.loads(path.read_text())
        config["text_config"].update(change)
        path.write_text(json.dumps(config))
        if change["eos_token_id"] == 2:
            tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "m")
            tokenizer.add_tokens(["<new>"])
            tokenizer.save_pretrained(tmp_path / "m")
        with pytest.raises(BadCheckpoint, match="it is another model's"):
            zoo.load(tmp_path / "m", device="cpu")


def test_any_tensor_that_is_lost_or_reshaped_is_named(saved, tmp_path):
    """Truth: one tensor at a time is taken away, cut or added."""
    _, folder, _ = saved
    for says in broken_folders(folder, tmp_path / "b", every=7):
        with pytest.raises(BadCheckpoint, match=says):
            zoo.load(tmp_path / "b", device="cpu")
    with_extra = zoo.resolve(tmp_path / "b")
    with pytest.raises(BadCheckpoint, match="do not belong to .*: extra.weight"):
        zoo.load_card(with_extra, "cpu")
    assert zoo.load_card(replace(with_extra, may_be_unused=(r"extra\..*",)), "cpu").name == "b"


@pytest.mark.parametrize("backend", ["pil", "torchvision"])
def test_a_card_chooses_the_image_backend(tmp_path, backend):
    """Truth: the library's processor with that backend; the two differ by a grey level at most."""
    clip_folder(tmp_path / "m")
    card = replace(zoo.resolve(tmp_path / "m"), options={"backend": backend})
    adapter = zoo.load_card(card, "cpu")
    settings = adapter.settings["image_processor"]
    assert settings["backend"] == backend
    expected = AutoProcessor.from_pretrained(tmp_path / "m").image_processor
    difference = expected(images=photos(), return_tensors="pt")["pixel_values"] - adapter.pixels(photos())  # fmt: skip
    assert (
        (difference == 0).all() if backend == "torchvision" else 0 < difference.abs().max() < 0.05
    )
    json.dumps(adapter.settings)


def test_variable_resolution_is_refused(tmp_path):
    """Truth: a configuration of SigLIP 2 NaFlex."""
    (tmp_path / "config.json").write_text(
        '{"model_type": "siglip2", "architectures": ["Siglip2Model"]}'
    )
    (tmp_path / "model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    with pytest.raises(BadCheckpoint, match="NaFlex"):
        zoo.load(tmp_path, device="cpu")


def test_a_bfloat16_folder_computes_in_float32_when_asked(tmp_path):
    """Truth: the weights' dtype, and vectors near those of the float32 model."""
    model = clip_folder(tmp_path / "full")
    clip_folder(tmp_path / "half")
    model.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    half = zoo.load(tmp_path / "half", device="cpu")
    assert half.dtype == "float32"
    full = zoo.load(tmp_path / "full", device="cpu")
    assert (half.embed_texts(CAPTIONS) - full.embed_texts(CAPTIONS)).abs().max() < 0.05
    assert zoo.load(tmp_path / "half", device="cpu", dtype="bfloat16").dtype == "bfloat16"


ODD = [
    "&lt;b&gt; fish &amp; chips",
    "an eﬃcient ﬁsh",
    "it’s “red”",
    "two   spaces\tand &amp;amp;",
    "é",
]


def test_texts_are_cleaned_as_openai_does():
    """Truth: the cleaned texts by hand."""
    assert [clip.clean(text) for text in ODD] == [
        "<b> fish & chips", "an efficient fish", "it's \"red\"", "two spaces and &", "é",
    ]  # fmt: skip


def test_token_ids_equal_open_clips(tmp_path):
    """Truth: OpenCLIP's own tokenizer, OpenAI's vocabulary."""
    open_clip = pytest.importorskip("open_clip")
    simple = open_clip.SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(token, token): number for token, number in simple.encoder.items()}
    merges = [tuple(pair) for pair in simple.bpe_ranks]
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges)
    for text in [*ODD, *CAPTIONS, LONG]:
        own = tokenizer(clip.clean(text), truncation=True, max_length=77)["input_ids"]
        theirs = simple([text])[0].tolist()
        assert own == theirs[: len(own)] and set(theirs[len(own) :]) <= {0}


def test_an_open_clip_folder_gives_open_clips_vectors(tmp_path):
    """Truth: OpenCLIP's own code on the same folder; a lost tensor is one line."""
    open_clip = pytest.importorskip("open_clip")
    towers = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }  # fmt: skip
    torch.manual_seed(0)
    model = open_clip.CLIP(**{**towers, "vision_cfg": open_clip.CLIPVisionCfg(**towers["vision_cfg"]), "text_cfg": open_clip.CLIPTextCfg(**towers["text_cfg"])}).eval()  # fmt: skip
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()},
        tmp_path / "open_clip_model.safetensors",
    )
    preprocess = {
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "size": [32, 32],
        "interpolation": "bicubic",
    }
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": towers, "preprocess_cfg": preprocess})
    )
    adapter = zoo.load(tmp_path, device="cpu")
    assert len(adapter.weights_sha256) == 64
    _, transform = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
    with torch.no_grad():
        images = model.encode_image(torch.stack([transform(p) for p in photos()]), normalize=True)
        texts = model.encode_text(tokenizer(CAPTIONS), normalize=True)
    for adapter.batch_size in (1, 50):
        assert (adapter.embed_images(photos()) - images).abs().max() < 1e-5
        assert (adapter.embed_texts(CAPTIONS) - texts).abs().max() < 1e-5
    weights = load_file(tmp_path / "open_clip_model.safetensors")
    weights.pop("visual.proj")
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(BadCheckpoint, match=r"cannot be read as an OpenCLIP model"):
        zoo.load(tmp_path, device="cpu")
