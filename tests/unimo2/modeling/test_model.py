"""The whole model: what it accepts, what it refuses, and that saving changes nothing."""

import pytest
import torch

from unimo2 import Unimo2Config, Unimo2Model
from unimo2.errors import BadCheckpoint, UsageError

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "vision_layers": 2,
    "text_layers": 2,
    "fusion_layers": 2,
    "vocab_size": 60,
    "dictionary_size": 20,
    "grounded_tokens": 4,
}


def _model(**overrides) -> Unimo2Model:
    torch.manual_seed(0)
    return Unimo2Model(Unimo2Config.mini(**{**SIZES, **overrides})).eval()


def _pair() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 60, (3, 7), generator=generator)
    mask = torch.ones(3, 7, dtype=torch.long)
    ids[1, 4:], mask[1, 4:] = 1, 0
    pixels = torch.randn(3, 3, 48, 48, generator=generator)
    return {"pixel_values": pixels, "input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def test_output_holds_what_the_input_allows():
    """Independent truth: the list of fields a pair, an image and a text can give."""
    model, pair = _model(), _pair()
    image = model(pixel_values=pair["pixel_values"])
    text = model(input_ids=pair["input_ids"], attention_mask=pair["attention_mask"])
    both = model(**pair, return_loss=True, labels=pair["input_ids"])
    assert image.itm_logits is None and image.text is None and image.pooled_image is not None
    assert text.itm_logits is None and text.vision is None and text.pooled_text is not None
    assert both.itm_logits.shape == (3, 2) and both.cmcl_score.shape == (3,)
    assert both.cmcl_loss > 0 and both.mlm_loss > 0 and both.lm_logits is None
    assert model(**pair, causal=True).lm_logits.shape == (3, 7, 60)


@pytest.mark.parametrize("grounding", ["topk", "nearest"])
@torch.no_grad()
def test_padding_does_not_change_a_pair(grounding):
    """Independent truth: each text alone, without padding."""
    model, pair = _model(grounding=grounding), _pair()
    batch = model(**pair)
    alone = model(pair["pixel_values"][1:2], pair["input_ids"][1:2, :4])
    chosen = alone.grounded_indices[0]  # the 1-to-1 map has a row for each token, padding last
    assert torch.equal(batch.grounded_indices[1, : len(chosen)], chosen)
    assert torch.allclose(batch.itm_logits[1], alone.itm_logits[0], atol=1e-6)
    assert torch.allclose(batch.cmcl_score[1], alone.cmcl_score[0], atol=1e-6)


@pytest.mark.parametrize("grounding", ["topk", "nearest", "none"])
@torch.no_grad()
def test_pooled_only_and_chosen_rows_change_nothing(grounding):
    """Independent truth: the full forward pass."""
    model, pair = _model(grounding=grounding), _pair()
    whole = model(**pair)
    pooled = model.fuse(whole.vision, whole.text, pair["attention_mask"], pooled_only=True)
    assert torch.allclose(pooled.itm_logits, whole.itm_logits, atol=1e-6)
    if grounding == "topk":
        chosen = model.fuse(
            whole.vision,
            whole.text,
            pair["attention_mask"],
            pooled_only=True,
            grounded_indices=whole.grounded_indices,
        )
        assert torch.allclose(chosen.itm_logits, whole.itm_logits, atol=1e-6)


@pytest.mark.parametrize(("outside", "end"), [(-1.0, 0.001), (1e-5, 0.001), (3.0, 0.5)])
@torch.no_grad()
def test_contrastive_temperature_is_clipped_to_its_range(outside, end):
    """Independent truth: the loss at the end of the released code's range, 0.001 to 0.5."""
    model = _model()
    images, texts = torch.nn.functional.normalize(
        torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(2)), dim=-1
    )
    losses = []
    for temperature in (outside, end):
        model.contrastive_temperature.fill_(temperature)
        losses.append(model.contrastive_loss(images, texts).item())
    assert losses[0] == losses[1] > 0


@torch.no_grad()
def test_a_caption_token_sees_no_later_token():
    """Independent truth: changing the last token may change no earlier logits."""
    model, pair = _model(), _pair()
    before = model(pair["pixel_values"], pair["input_ids"], causal=True)
    changed = pair["input_ids"].clone()
    changed[:, -1] = 5 + (changed[:, -1] % 50)
    after = model(pair["pixel_values"], changed, causal=True)
    assert torch.equal(before.grounded_indices, after.grounded_indices)
    assert torch.allclose(before.lm_logits[:, :-1], after.lm_logits[:, :-1], atol=1e-6)
    assert not torch.allclose(before.lm_logits[:, -1], after.lm_logits[:, -1], atol=1e-4)


@torch.no_grad()
def test_saved_and_loaded_model_gives_the_same_numbers(tmp_path):
    """Independent truth: the model before saving; half precision on disk loads as float32."""
    model, pair = _model(), _pair()
    expected = model(**pair).itm_logits
    model.save_pretrained(tmp_path / "full")
    loaded = Unimo2Model.from_pretrained(tmp_path / "full").eval()
    assert torch.equal(loaded(**pair).itm_logits, expected)
    model.half().save_pretrained(tmp_path / "half")
    loaded = Unimo2Model.from_pretrained(tmp_path / "half").eval()
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.allclose(loaded(**pair).itm_logits, expected, atol=1e-3)


@torch.no_grad()
def test_configuration_can_be_overridden_at_loading(tmp_path):
    """Independent truth: a model built with the same weights and the other configuration."""
    model, pair = _model(), _pair()
    model.save_pretrained(tmp_path)
    for override in ({"grounding": "nearest"}, {"attention": "dense"}, {"grounding": "none"}):
        loaded = Unimo2Model.from_pretrained(tmp_path, **override).eval()
        other = _model(**override)
        other.load_state_dict(model.state_dict(), strict=override != {"grounding": "none"})
        assert torch.allclose(loaded(**pair).itm_logits, other(**pair).itm_logits, atol=1e-6)


def test_missing_weights_are_refused_by_name(tmp_path):
    """Independent truth: a checkpoint without a dictionary cannot be a model with one."""
    _model(grounding="none").save_pretrained(tmp_path)
    with pytest.raises(BadCheckpoint, match="dictionary.embedding"):
        Unimo2Model.from_pretrained(tmp_path, grounding="topk")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"grounding": "top-k"}, "grounding='top-k'"),
        ({"grounded_tokens": 21}, "grounded_tokens"),
        ({"num_attention_heads": 5}, "num_attention_heads"),
        ({"image_size": 50}, "image_size"),
        ({"fusion_layers": 0}, "fusion_layers"),
        ({"patch_padding": 1}, "patch_padding"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(overrides, named):
    """Independent truth: the field that was set wrong is named."""
    with pytest.raises(UsageError, match=named):
        _model(**overrides)


def test_bad_inputs_are_refused_in_one_line():
    """Independent truth: what the docstrings say is refused."""
    model, pair = _model(), _pair()
    for call in (
        lambda: model(),
        lambda: model(pixel_values=torch.zeros(1, 3, 48, 40)),
        lambda: model(pixel_values=pair["pixel_values"], labels=pair["input_ids"]),
        lambda: model(input_ids=torch.full((1, 400), 5)),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_gradient_checkpointing_gives_the_same_gradients():
    """Independent truth: gradients without checkpointing."""
    grads = []
    for enable in (False, True):
        model = _model().train()
        if enable:
            model.gradient_checkpointing_enable()
        out = model(**_pair(), return_loss=True)
        (out.itm_logits.sum() + out.cmcl_loss + out.grounding_loss).backward()
        grads.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    assert all(torch.allclose(grads[0][n], grads[1][n], atol=1e-6) for n in grads[0])


@torch.no_grad()
def test_compiled_model_gives_the_same_numbers():
    """Independent truth: the model as written; a layer of each kind, for each is traced."""
    model, pair = _model(vision_layers=1, text_layers=1, fusion_layers=1), _pair()
    expected = model(**pair)
    compiled = torch.compile(model, backend="aot_eager")(**pair)
    assert torch.allclose(compiled.itm_logits, expected.itm_logits, atol=1e-5)
    assert torch.equal(compiled.grounded_indices, expected.grounded_indices)
