"""What all adapters of UNIMO-2 share: who they are, tokens without padding, the dictionary's part.

The dictionary's accumulated scores (equation 2) are sums over the tokens of an image and of a text,
so each side is computed once and a pair adds the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from unimo2.devices import DTYPES
from unimo2.modeling.model import Unimo2Model, Unimo2PreTrainedModel
from unimo2.processing import Unimo2Processor
from zoo.feature_cache import IMAGES, TEXTS, FeatureStore

# Items in one call: so many that the widest activation takes this much. Measured on one core: the mini
# model is as fast with 22 to 88 pairs in float32 and 44 to 176 in bfloat16; the base model gains a sixth
# in bfloat16 from 1 to 4 pairs. A GPU is kept busy by more.
_ACTIVATION_BYTES = {"cpu": 16 * 2**20, "cuda": 2**31}


def items_at_once(model: Unimo2Model, rows: int) -> int:
    """Items in one call, from the size of the feed-forward layers' activations.

    Args:
        model: The model, where it will run.
        rows: Tokens of an item besides the grounded ones, image and text together.

    Returns:
        At least 1.
    """
    grounded = model.config.grounded_tokens if model.dictionary is not None else 0
    number = next(model.fusion.parameters()).element_size()
    wanted = _ACTIVATION_BYTES.get(model.device.type, _ACTIVATION_BYTES["cpu"])
    return max(1, wanted // int((rows + grounded) * model.config.intermediate_size * number))


class Unimo2Adapter:
    """A UNIMO-2 model, pre-trained or with a task's head, with its processor."""

    def __init__(
        self,
        name: str,
        model: Unimo2PreTrainedModel,
        processor: Unimo2Processor,
        weights_sha256: str,
    ) -> None:
        """Wrap a model.

        Args:
            name: The card's name, or the folder's.
            model: `Unimo2Model`, or a task model that has one as `unimo2`.
            processor: The model's.
            weights_sha256: Of the weights file.
        """
        self.name = name
        self.model: Unimo2PreTrainedModel = model
        self.base = cast(Unimo2Model, getattr(model, "unimo2", model))
        self.processor = processor
        self.weights_sha256 = weights_sha256
        self.features: FeatureStore | None = None
        self.batch_size = items_at_once(self.base, self.rows)

    @property
    def rows(self) -> int:
        """Tokens of a usual item besides the grounded ones, for the choice of a batch size."""
        return (self.image_size // self.patch_size) ** 2 + 1

    @property
    def image_size(self) -> int:
        """Side of the square that images are resized to, in pixels."""
        return self.processor.image_size

    @property
    def own_image_size(self) -> int:
        """That of the position embeddings."""
        return int(self.base.config.image_size)

    @property
    def patch_size(self) -> int:
        """What image sizes are multiples of."""
        return int(self.base.config.patch_size)

    def resize_images(self, side: int) -> None:
        """Resize images to another square from now on, and choose the batch size for it."""
        self.processor.image_size = side
        self.batch_size = items_at_once(self.base, self.rows)

    @property
    def device(self) -> str:
        """Where the model is, as torch spells it."""
        return str(self.base.device)

    @property
    def dtype(self) -> str:
        """Of towers and fusion."""
        return str(next(self.base.fusion.parameters()).dtype).removeprefix("torch.")

    @property
    def settings(self) -> Mapping[str, object]:
        """The model's configuration, as in its config.json: nothing of where it lies."""
        fields = self.base.config.to_dict()
        return {name: value for name, value in fields.items() if not name.startswith("_")}

    def vision(self, pixels: Tensor) -> Tensor:
        """Vision tower of processed pictures, [images, 3, side, side] to [images, p + 1, hidden]."""
        if self.features is None:
            return self._tower(pixels)
        return self.features.through(IMAGES, pixels, self._tower).to(self.base.device)

    def words(self, ids: Tensor) -> Tensor:
        """Text tower of texts of one length, [texts, tokens] to [texts, tokens, hidden]."""
        if self.features is None:
            return self.base.encode_text(ids)
        return self.features.through(TEXTS, ids, self.base.encode_text).to(self.base.device)

    def keep_features(self, folder: Path | None) -> None:
        """Keep what the towers give in a folder, and read it from there; None to stop."""
        self.features = None
        if folder is not None:
            self.features = FeatureStore(folder, self.weights_sha256, self.dtype, self.device)

    def _tower(self, pixels: Tensor) -> Tensor:
        return self.base.encode_image(pixels.to(self.base.device, DTYPES[self.dtype]))

    def tokens(self, first: Sequence[str], second: Sequence[str] | None = None) -> list[list[int]]:
        """Token ids of texts or of pairs of texts, cut to what the model has positions for."""
        longest = min(self.processor.max_text_length, self.base.text.longest)
        pairs = () if second is None else (list(second),)
        encoded = self.processor.tokenizer(list(first), *pairs, truncation=True, max_length=longest)
        return cast(list[list[int]], encoded["input_ids"])

    def ids(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Token ids of texts of one length, [texts, tokens], on the model's device."""
        return torch.tensor([list(row) for row in rows], device=self.base.device)

    def dictionary_part(self, states: Tensor, kind: int) -> dict[str, Tensor]:
        """What choosing grounded tokens needs of one modality.

        Args:
            states: [items, tokens, hidden], a tower's outputs, the first token included.
            kind: `IMAGE` or `TEXT`, of `unimo2.modeling.token_statistics`.

        Returns:
            "scores" [items, C], or "nearest" [items, tokens - 1] of the one-to-one map; nothing
            without a dictionary.
        """
        dictionary = self.base.dictionary
        if dictionary is None:
            return {}
        tokens = states[:, 1:].float()
        if dictionary.nearest:
            return {"nearest": dictionary(tokens, None, with_loss=False).indices}
        return {"scores": dictionary.scores(tokens, None, kind)}

    def grounded_rows(
        self, images: Mapping[str, Tensor], texts: Mapping[str, Tensor]
    ) -> Tensor | None:
        """Dictionary rows of pairs.

        Args:
            images: `dictionary_part` of n images.
            texts: That of n texts, or of one text without the first dimension.

        Returns:
            [n, K]; None without a dictionary.
        """
        dictionary = self.base.dictionary
        if dictionary is None:
            return None
        if dictionary.nearest:
            own = images["nearest"]
            return torch.cat([own, texts["nearest"].expand(len(own), -1)], dim=1)
        return dictionary.select(images["scores"] + texts["scores"])
