"""Image classifiers of timm, with their own preprocessing.

A model is a folder that timm saved (a hub id `timm/NAME` is one too), or a file of weights whose card
names the architecture. Classes are ImageNet's synsets where the model has 1,000 of them and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import timm
import torch
from PIL.Image import Image
from safetensors.torch import load_file
from timm.data.config import resolve_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from timm.data.transforms_factory import create_transform
from timm.models._hub import load_model_config_from_path
from torch import Tensor

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint
from unimo2.formats.weights import weight_files, weights_sha256
from zoo.adapter import Adapter, columns, evaluated, refuse_differences
from zoo.cards import Card

RECOGNISES = {"key:architecture": ("image_classifier", "image_encoder")}
_BY_ORDER = "by order"
_OPTIONS = {"architecture", "rename", "preprocess"}


def load(
    folder: Path, card: Card, device: str = "auto", dtype: str | None = None
) -> TimmClassifier:
    """Load a folder that timm saved, or a file of weights.

    Args:
        folder: Holds config.json and the weights; without config.json the card's options say the rest.
        card: Its options: "architecture", a name of timm's; "rename" = "by order", where the
            weights have other names in the order of timm's; "preprocess", a table that changes fields
            of timm's data configuration (input_size, crop_pct, mean, std, interpolation ...). `labels`
            names the classes.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Dtype of the whole model; None for float32. Logits are float32.

    Returns:
        The adapter.

    Raises:
        UsageError: No such device or dtype here.
        BadCheckpoint: The folder cannot be read, or weights are not exactly those of the model.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    unknown = sorted(set(card.options) - _OPTIONS)
    if unknown:
        raise BadCheckpoint(
            f"card '{card.name}': unknown option '{unknown[0]}'; known: {', '.join(sorted(_OPTIONS))}"
        )
    model, config = _empty(folder, card)
    files = weight_files(folder / card.source.file if card.source.file else folder)
    tensors = {name: value for path in files for name, value in _tensors(path).items()}
    if card.options.get("rename") == _BY_ORDER:
        tensors = _by_order(tensors, model.state_dict(), files[0])
    tensors = _older_names(model, tensors)
    own = model.state_dict()
    shapes = [
        f"{name} {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in sorted(set(own) & set(tensors))
        if own[name].shape != tensors[name].shape
    ]
    missing, extra = set(own) - set(tensors), set(tensors) - set(own)
    refuse_differences(folder, config["architecture"], shapes, missing, extra, card)
    model.load_state_dict({name: tensors[name] for name in own if name in tensors}, strict=False)
    data = resolve_data_config(
        dict(card.options.get("preprocess", {})), pretrained_cfg=config, model=model
    )
    names = columns(card, _classes(config, int(model.num_classes)))
    digest = weights_sha256(files[0] if card.source.file else folder)
    return TimmClassifier(
        card.name, model.eval().to(chosen, precision), Preprocessing(config, data), names, digest
    )


class Preprocessing:
    """How a model's images are prepared.

    Attributes:
        config: timm's configuration of the weights.
        data: timm's data configuration: size, crop, interpolation, mean, std.
        transform: Makes a tensor of an image.
    """

    def __init__(self, config: Mapping[str, Any], data: dict[str, Any]) -> None:
        """Make the transform of a data configuration."""
        self.config, self.data = config, data
        self.transform: Any = create_transform(**data, is_training=False)


class TimmClassifier(Adapter):
    """A timm model as an `ImageClassifier`, and without its head as an `ImageEncoder`."""

    def __init__(
        self,
        name: str,
        model: Any,
        preprocessing: Preprocessing,
        image_classes: Sequence[str],
        weights_sha256: str,
    ) -> None:
        """Wrap a model with its preprocessing, the names of its classes and its weights' sha256."""
        self.preprocessing = preprocessing
        self.image_classes = tuple(image_classes)
        super().__init__(name, model, weights_sha256)

    @property
    def rows(self) -> int:
        """Patches of 16 pixels, or places of a convolutional network's third stage."""
        _, height, width = self.preprocessing.data["input_size"]
        return max(1, int(height * width) // 256)

    @property
    def settings(self) -> Mapping[str, object]:
        """The name of architecture and weights, and the preprocessing."""
        config = self.preprocessing.config
        return {
            "library": f"timm {timm.__version__}",
            **{key: config.get(key) for key in ("architecture", "tag", "num_classes")},
            "preprocess": {key: _plain(value) for key, value in self.preprocessing.data.items()},
        }

    @evaluated
    def classify_images(self, images: Sequence[Image]) -> Tensor:
        """Logits [images, classes], float32."""
        return torch.cat([self.model(pixels).float() for pixels in self.pixels(images)])

    @evaluated
    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """Pooled features before the head, [images, features], float32."""
        model = self.model
        return torch.cat(
            [
                model.forward_head(model.forward_features(pixels), pre_logits=True).float()
                for pixels in self.pixels(images)
            ]
        )

    def pixels(self, images: Sequence[Image]) -> Iterator[Tensor]:
        """Images as the transform makes them, in batches `[batch, 3, height, width]`."""
        for some in self.cuts(images):
            prepared = [self.preprocessing.transform(image.convert("RGB")) for image in some]
            yield self.to_device(torch.stack(prepared))


def _empty(folder: Path, card: Card) -> tuple[Any, dict[str, Any]]:
    """The architecture with random weights, and the configuration of the weights that it will have."""
    if (folder / "config.json").is_file():
        found, architecture, arguments = load_model_config_from_path(folder)
        config = dict(found)
        if int(arguments.get("num_classes", config["num_classes"])) != int(config["num_classes"]):
            raise BadCheckpoint(
                f"{folder}: config.json says {config['num_classes']} classes and "
                f"{arguments['num_classes']}: mend 'num_classes'"
            )
        arguments = {"num_classes": config["num_classes"], **arguments}
        model = timm.create_model(architecture, pretrained=False, **arguments)
        return model, {**config, "architecture": architecture}
    if "architecture" not in card.options:
        raise BadCheckpoint(
            f"{folder} has no config.json: the card's [options] must name timm's 'architecture'"
        )
    model = timm.create_model(str(card.options["architecture"]), pretrained=False)
    return model, dict(cast(Any, model).pretrained_cfg)


def _tensors(path: Path) -> dict[str, Tensor]:
    """The weights in a file, without running any code that it holds."""
    if path.suffix == ".safetensors":
        return load_file(path)
    state: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        raise BadCheckpoint(f"{path} holds no table of tensors")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _by_order(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """The tensors under the model's names, if all shapes agree in the order of both."""
    theirs, ours = list(tensors.items()), list(own.items())
    for (name, tensor), (wanted, parameter) in zip(theirs, ours):  # noqa: B905
        if tensor.shape != parameter.shape:
            raise BadCheckpoint(
                f"{path}: by order {name} {tuple(tensor.shape)} would be {wanted} "
                f"{tuple(parameter.shape)}: these are weights of another architecture"
            )
    if len(theirs) != len(ours):
        raise BadCheckpoint(f"{path} has {len(theirs)} tensors where the model has {len(ours)}")
    return {wanted: tensor for (_, tensor), (wanted, _) in zip(theirs, ours, strict=True)}


def _older_names(model: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of older versions of timm's code under today's names, by the architecture's own filter."""
    if set(tensors) == set(model.state_dict()):
        return tensors
    module = __import__(type(model).__module__, fromlist=["checkpoint_filter_fn"])
    renamed = getattr(module, "checkpoint_filter_fn", None)
    return tensors if renamed is None else dict(renamed(tensors, model))


def _classes(config: Mapping[str, Any], count: int) -> Sequence[str]:
    """Names of the classes: the configuration's, ImageNet's synsets, or numbers."""
    named = config.get("label_names")
    if named and len(named) == count:
        return [str(name) for name in named]
    subset = infer_imagenet_subset({"num_classes": count})
    if subset is not None:
        return [str(name) for name in ImageNetInfo(subset).label_names()]
    return [str(number) for number in range(count)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
