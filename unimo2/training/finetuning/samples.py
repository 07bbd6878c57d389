"""Training samples of a task in batches: a function of (seed, step, share)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from unimo2.data.batches import Batch
from unimo2.data.images import AugmentedImages
from unimo2.data.sampler import Chosen, EpochSampler, LengthGroupedSampler, TextsOfItems
from unimo2.data.seeding import CAPTIONS, ORDER, Shard
from unimo2.data.texts import TokenTable
from unimo2.training.finetuning.config import FinetuneConfig


class TaskData:
    """Images, texts or both, and in which order they are trained on."""

    def __init__(
        self,
        config: FinetuneConfig,
        counts: Tensor,
        texts: TokenTable | None,
        samples: int,
        together: int = 1,
        draw: Literal["in turn"] | int = 1,
    ) -> None:
        """Prepare the order.

        Args:
            config: Batch size, seed, length window.
            counts: int64 [items], how many texts each item has.
            texts: Texts of all items, one item after the other; None for images alone.
            samples: Number of samples per epoch.
            together: Samples that an item of a batch stands for.
            draw: See `LengthGroupedSampler`.
        """
        self.samples, self.items = samples, config.batch_size // together
        config.require_samples(len(counts), self.items)
        self._seed = config.seed
        self._window = 1 if texts is None else config.length_window
        lengths = None if texts is None or self._window == 1 else texts.lengths
        epochs = EpochSampler(len(counts), ORDER, "training samples")
        self.owned = TextsOfItems(counts)
        self._sampler = LengthGroupedSampler(epochs, self.owned, lengths, CAPTIONS, draw)

    def batch(self, step: int, share: Shard) -> Batch:
        """A part of the batch of a step, on the CPU."""
        raise NotImplementedError

    def describe(self) -> Mapping[str, Any]:
        """Counts and fingerprint, for records: plain values."""
        raise NotImplementedError

    def chosen(self, step: int) -> Chosen:
        """The samples of a step, of all processes."""
        return self._sampler.at(step, self.items, self._seed, self._window)

    def images_of(self, chosen: Chosen) -> Tensor:
        """Images of a step's items."""
        raise NotImplementedError

    def pixels(self, images: AugmentedImages, step: int, part: slice) -> Tensor:
        """Images of a part of a step; where they are in files, the next step's are decoded, too."""
        rows, following = self.images_of(self.chosen(step))[part], None
        if not images.store.in_memory:
            following = self.images_of(self.chosen(step + 1))[part]
        return images.batch(rows, following, step, part, self.items)
