"""The model against outputs of the authors' released code (tests/reference/A).

Tolerances: indices equal, tower outputs within 1e-5, everything else within 1e-4 absolute,
gradients of the grounding loss within 1e-5 of their largest element.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unimo2 import Unimo2Config, Unimo2Model
from unimo2.modeling.generation import CachedDecoder
from unimo2.released.config import config_from_released
from unimo2.released.convert import convert

REFERENCE = Path(__file__).parents[2] / "reference" / "A"
TOWERS = ("vision", "text")
# The second of the three samples is all that is kept of the large image's case.
KEPT_SAMPLE = slice(1, 2)

Case = dict[str, Tensor]
ModelOf = Callable[[str], Unimo2Model]


def load(name: str) -> Case:
    with np.load(REFERENCE / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.fixture(scope="module")
def inputs() -> Case:
    return load("inputs")


@pytest.fixture(scope="module")
def model_of(
    released_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Unimo2Model]:
    """The converted checkpoint, by grounding."""
    fields = json.loads((REFERENCE / "config.json").read_text())
    models: dict[str, Unimo2Model] = {}

    def model(grounding: str) -> Unimo2Model:
        if grounding not in models:
            out = tmp_path_factory.mktemp("converted") / grounding
            arguments = config_from_released(fields, grounding)
            convert(released_folder, out, Unimo2Config.released(**arguments))
            models[grounding] = Unimo2Model.from_pretrained(out).eval()
        return models[grounding]

    return model


def pixels(inputs: Case, size: int) -> Tensor:
    """Images as our model takes them: channels first."""
    return inputs[f"image_{size}"].permute(0, 3, 1, 2).contiguous()


def texts(inputs: Case, samples: slice = slice(None)) -> dict[str, Tensor]:
    return {name: inputs[name][samples] for name in ("input_ids", "attention_mask", "position_ids")}


def labels(inputs: Case) -> Tensor:
    """Positions and tokens that the released code was asked to predict."""
    wanted = torch.full((inputs["input_ids"].numel(),), -100)
    wanted[[1, 3, 11, 19]] = torch.tensor([7, 11, 5, 9])
    return wanted.view_as(inputs["input_ids"])


def run(model: Unimo2Model, **arguments: Any) -> Case:
    """One forward pass, by output name, with the rows that the reference keeps."""
    with torch.no_grad():
        out = dict(model(**arguments))
    for name in ("vision", "fused_visual"):
        if name in out:
            out[name] = out[name][:, ::2]
    if "lm_logits" in out:
        out["lm_logits"] = out["lm_logits"].flatten(0, 1)
    return out


def assert_equal(got: Case, want: Case, real: Tensor | None = None) -> None:
    """Every reference array against our output of that name; `real` marks tokens [b, n]."""
    assert want
    for name, expected in want.items():
        actual = got[name]
        if name == "grounded_indices":
            assert torch.equal(actual, expected), name
            continue
        actual = actual.reshape(expected.shape)
        if name == "fused_text" and real is not None:
            actual, expected = actual[real.bool()], expected[real.bool()]
        deviation = (actual - expected).abs().max().item()
        limit = 1e-5 if name in TOWERS else 1e-4
        assert deviation <= limit, f"{name}: {deviation:.1e} from the released code"


GROUNDING_OF = {"topk": "topk", "nearest": "nearest", "baseline": "none"}


@pytest.mark.parametrize("mode", GROUNDING_OF)
def test_pairs_at_224_pixels(inputs: Case, model_of: ModelOf, mode: str) -> None:
    """Truth: the released code, all outputs and both losses of a batch of padded pairs."""
    want = load(f"pair_{mode}_224")
    towers = load("pair_topk_224")
    want = {name: value for name, value in want.items() if not name.startswith("grad_")}
    got = run(
        model_of(GROUNDING_OF[mode]),
        pixel_values=pixels(inputs, 224),
        labels=labels(inputs),
        return_loss=True,
        **texts(inputs),
    )
    assert {"itm_logits", "cmcl_score", "mlm_loss", "cmcl_loss"} <= want.keys()
    assert_equal(got, want | {name: towers[name] for name in TOWERS}, inputs["attention_mask"])


def test_pair_at_256_pixels_interpolates_positions(inputs: Case, model_of: ModelOf) -> None:
    """Truth: the released code on a larger image; a pair alone, its text padded as in the batch."""
    text = texts(inputs, KEPT_SAMPLE)
    got = run(model_of("topk"), pixel_values=pixels(inputs, 256), **text)
    assert_equal(got, load("pair_topk_256"), text["attention_mask"])


@pytest.mark.parametrize("mode", ["topk", "baseline"])
def test_images_alone(inputs: Case, model_of: ModelOf, mode: str) -> None:
    """Truth: the released code on images without text."""
    got = run(model_of(GROUNDING_OF[mode]), pixel_values=pixels(inputs, 224))
    assert got.get("pooled_text") is None and got.get("itm_logits") is None
    assert_equal(got, load(f"image_{mode}"))


@pytest.mark.parametrize("mode", GROUNDING_OF)
def test_texts_alone(inputs: Case, model_of: ModelOf, mode: str) -> None:
    """Truth: the released code on texts without image."""
    got = run(model_of(GROUNDING_OF[mode]), **texts(inputs))
    assert got.get("pooled_image") is None
    assert_equal(got, load(f"text_{mode}"), inputs["attention_mask"])


def test_captioning_with_the_tokens_given(inputs: Case, model_of: ModelOf) -> None:
    """Truth: the released code's teacher-forced captioning; logits of every row, padded ones too."""
    got = run(model_of("topk"), pixel_values=pixels(inputs, 224), causal=True, **texts(inputs))
    assert_equal(got, load("caption_topk_224"))


def test_captioning_sees_the_image_as_if_it_were_alone(inputs: Case, model_of: ModelOf) -> None:
    """Truth: the released code's image-only outputs, whatever the caption says."""
    got = run(model_of("topk"), pixel_values=pixels(inputs, 224), causal=True, **texts(inputs))
    want = load("image_topk")
    names = ("fused_visual", "fused_grounded", "grounded_indices")
    assert_equal(got, {name: want[name] for name in names})


def test_gradients_of_the_grounding_loss(inputs: Case, model_of: ModelOf) -> None:
    """Truth: the released code's gradients, within 1e-5 of the largest element of each."""
    model, want = model_of("topk"), load("pair_topk_224")
    with torch.no_grad():
        vision = model.encode_image(pixels(inputs, 224))
        text = model.encode_text(**texts(inputs))
    vision.requires_grad_()
    text.requires_grad_()
    dictionary = model.dictionary
    loss = model.fuse(vision, text, inputs["attention_mask"]).grounding_loss
    grads = torch.autograd.grad(loss, [dictionary.embedding, dictionary.temperature, vision, text])
    for name, got in zip(("dictionary", "temperature", "vision", "text"), grads, strict=True):
        expected = want[f"grad_loss_{name}"]
        actual = got[:, ::2] if name == "vision" else got
        deviation = (actual - expected).abs().max() / expected.abs().max()
        assert deviation <= 1e-5, f"{name}: {deviation:.1e} of the largest gradient"


def test_pooled_only_gives_the_released_scores(inputs: Case, model_of: ModelOf) -> None:
    """Truth: the released code's matching logits, from the short cut that retrieval takes."""
    model, want = model_of("topk"), load("pair_topk_224")
    with torch.no_grad():
        vision = model.encode_image(pixels(inputs, 224))
        text = model.encode_text(**texts(inputs))
        out = model.fuse(vision, text, inputs["attention_mask"], pooled_only=True)
    names = ("itm_logits", "pooled_image", "pooled_text", "grounded_indices")
    assert_equal(dict(out), {name: want[name] for name in names})


def test_captioning_token_by_token(inputs: Case, model_of: ModelOf) -> None:
    """Truth: the released code's teacher-forced logits, from cached keys and values here."""
    want = load("caption_topk_224")["lm_logits"].unflatten(0, inputs["input_ids"].shape)
    model, lengths = model_of("topk"), inputs["attention_mask"].sum(dim=1)
    with torch.no_grad():
        decoder = CachedDecoder(model, model.encode_image(pixels(inputs, 224)))
        for place, tokens in enumerate(inputs["input_ids"].unbind(dim=1)):
            real = lengths > place
            got = decoder.step(tokens)
            assert (got - want[:, place])[real].abs().max() <= 1e-4
