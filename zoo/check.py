"""Trial of a model: loads it strictly and runs one item of each capability."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import zoo
from unimo2.errors import BadCheckpoint
from zoo.protocols import CAPABILITIES, Answering, StackedFeatures

_SIDE = 96
_TEXT = "a red square on a green field"
_QUESTION = "what colour is the square?"
_PACKAGES = ("torch", "transformers", "timm", "open-clip-torch")


def check(
    name_or_path: str | Path,
    device: str = "auto",
    dtype: str | None = None,
    trust_remote_code: bool = False,
) -> Mapping[str, Any]:
    """Load a model and run one item of each of its capabilities.

    Args:
        name_or_path: As of `zoo.resolve`.
        device: As of `zoo.load`.
        dtype: As of `zoo.load`.
        trust_remote_code: As of `zoo.load`.

    Returns:
        Fit for JSON: "model", "family", "weights_sha256", "device", "dtype", "date", "versions", and
        "ran" with what came out of each capability.

    Raises:
        UsageError: Or one of its kinds, as of `zoo.load`.
        BadCheckpoint: What came out are not numbers.
    """
    card = zoo.resolve(name_or_path)
    model = zoo.load_card(card, device, dtype, trust_remote_code)
    has = [name for name, protocol in CAPABILITIES.items() if isinstance(model, protocol)]
    if "dual_encoder" in has:
        has.remove("image_encoder")  # the same vectors
    return {
        "model": model.name,
        "family": card.family,
        "weights_sha256": model.weights_sha256,
        "device": model.device,
        "dtype": model.dtype,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
        "ran": {name: _TRIALS[name](model) for name in has},
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _image() -> Any:
    """A red square on green."""
    from PIL import Image

    image = Image.new("RGB", (_SIDE, _SIDE), (40, 160, 60))
    image.paste((200, 30, 30), (_SIDE // 4, _SIDE // 4, _SIDE // 2, _SIDE // 2))
    return image


def _numbers(model: Any, tensor: Any) -> list[float]:
    """The first few numbers of a result.

    Raises:
        BadCheckpoint: Some are not finite.
    """
    if not bool(tensor.isfinite().all()):
        raise BadCheckpoint(
            f"model '{model.name}' gives numbers that are not finite in {model.dtype}"
        )
    return [round(float(one), 6) for one in tensor.float().flatten()[:3]]


def _pair(model: Any) -> dict[str, Any]:
    stack = StackedFeatures.of(model.encode_images([_image()]))
    parts = model.score_pairs(stack, model.encode_texts([_TEXT])[0])
    return {name: _numbers(model, part)[0] for name, part in parts.items()}


def _shortlist(model: Any) -> dict[str, Any]:
    stack = StackedFeatures.of(model.encode_images([_image()]))
    scores = model.contrastive_scores(stack, model.encode_texts([_TEXT])[0])
    return {"contrastive": _numbers(model, scores)[0]}


def _vectors(model: Any) -> dict[str, Any]:
    image, text = model.embed_images([_image()]), model.embed_texts([_TEXT])
    similarity = _numbers(model, (image.float() * text.float()).sum(1))[0]
    return {"dimensions": image.shape[1], "similarity": similarity}


def _features(model: Any) -> int:
    vectors = model.embed_images([_image()])
    _numbers(model, vectors)
    return int(vectors.shape[1])


def _answer(model: Any) -> dict[str, Any]:
    how = getattr(model, "answering", None)
    kind = how.kind if isinstance(how, Answering) else "not said"
    return {"answer": model.answer([_image()], [_QUESTION])[0], "kind": kind}


def _classes(names: Any, logits: Any, model: Any) -> dict[str, Any]:
    _numbers(model, logits)
    return {"class": names[int(logits[0].argmax())], "of": len(names)}


def _text(model: Any) -> dict[str, Any]:
    pairs = len(model.text_classes) in (1, 3)  # a number, or entailment, is of two sentences
    logits = model.classify_texts([_TEXT], [_TEXT] if pairs else None)
    return _classes(model.text_classes, logits, model)


_TRIALS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "pair_scorer": _pair,
    "shortlister": _shortlist,
    "dual_encoder": _vectors,
    "image_encoder": lambda m: {"features": _features(m)},
    "captioner": lambda model: {"caption": model.caption([_image()], 3)[0]},
    "answerer": _answer,
    "image_classifier": lambda m: _classes(m.image_classes, m.classify_images([_image()]), m),
    "text_classifier": _text,
    "pair_classifier": lambda m: _classes(m.pair_classes, m.classify_pairs([_image()], [_TEXT]), m),
}
