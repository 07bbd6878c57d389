"""The curriculum: the samples of each step (paper, section 3.1).

First pairs alone, until the dictionary is of use; then pairs, images and texts together, and pseudo
pairs made of labels among the pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from unimo2.data import seeding
from unimo2.data.augment import Augmentation, augment
from unimo2.data.batches import MixedBatch, PairBatch
from unimo2.data.masking import MaskingSpec, mask_spans, word_starts
from unimo2.data.pairs import ImageCorpus, Loaded, PairCorpus
from unimo2.data.seeding import Shard, spread, stream, stream_seed
from unimo2.data.text_blocks import TextCorpus
from unimo2.modeling.padding import pad
from unimo2.processing import Unimo2Processor
from unimo2.training.config import PretrainConfig

_PROMPTS = "batch_size times training.prompt_share"


@dataclass(frozen=True)
class StepPlan:
    """Number of samples of each kind per step, over all processes."""

    mixed: bool  # whether the step belongs to the second phase
    turn: int  # number of the step among those of its phase, from 0
    pairs: int  # pairs of the corpora of pairs
    prompts: int = 0  # pseudo pairs
    images: int = 0  # images of which two views are made
    texts: int = 0  # blocks of text


@dataclass(frozen=True)
class Corpora:
    """Data of a run, and its order."""

    pairs: PairCorpus  # images with captions
    processor: Unimo2Processor  # its special tokens are used
    prompts: PairCorpus | None = None  # images with prompts made of their labels, as pairs
    images: ImageCorpus | None = None  # images alone
    texts: TextCorpus | None = None  # texts alone

    def describe(self) -> dict[str, dict[str, object]]:
        """Counts and fingerprints of the corpora that there are, for records."""
        named = {name: getattr(self, name) for name in ("pairs", "prompts", "images", "texts")}
        return {name: part.describe() for name, part in named.items() if part is not None}

    def undecodable(self) -> list[str]:
        """Samples that this process could not decode so far, one line per reason and kind."""
        parts = (self.pairs, self.prompts, self.images)
        stores = dict.fromkeys(part.store for part in parts if part is not None)
        return [line for store in stores for line in store.broken.lines()]

    def plan(self, step: int, config: PretrainConfig) -> StepPlan:
        """Samples of a step. Kinds without a corpus are left out."""
        mixed_from = config.mixed_from
        unpaired = (self.prompts, self.images, self.texts)
        if step < mixed_from or all(part is None for part in unpaired):
            return StepPlan(False, step, config.batch_size)
        prompts = 0 if self.prompts is None else round(config.batch_size * config.prompt_share)
        return StepPlan(
            mixed=True,
            turn=step - mixed_from,
            pairs=config.batch_size - prompts,
            prompts=prompts,
            images=0 if self.images is None else config.image_batch,
            texts=0 if self.texts is None else config.text_batch,
        )

    def require(self, config: PretrainConfig, share: Shard) -> None:
        """Refuse batches that cannot be made, of both phases: the second may be days away.

        Raises:
            UsageError: A corpus is smaller than its part of a batch, or cannot be divided evenly.
        """
        for step in {0, min(config.mixed_from, config.steps - 1)}:
            plan = self.plan(step, config)
            for corpus, size, setting in (
                (self.pairs, plan.pairs, "batch_size"),
                (self.prompts, plan.prompts, _PROMPTS),
                (self.images, plan.images, "image_batch"),
                (self.texts, plan.texts, "text_batch"),
            ):
                if corpus is not None and size:
                    share.rows(size, setting)
                    corpus.require(size)

    def batch(self, step: int, config: PretrainConfig, share: Shard | None = None) -> MixedBatch:
        """A part of the batch of a step, on the CPU."""
        share = share or Shard()
        plan = self.plan(step, config)
        pairs = self._pairs(step, plan, config, share)
        images = texts = None
        if plan.images and self.images is not None:
            spec = augmentation(config)
            images = self.images.batch(plan.turn, plan.images, config.seed, spec, share)
        if plan.texts and self.texts is not None:
            masking = self.masking(config, config.text_limit)
            texts = self.texts.batch(plan.turn, plan.texts, config.seed, masking, share)
        return MixedBatch(pairs, images, texts)

    @cached_property
    def _word_starts(self) -> Tensor:
        return word_starts(self.processor.tokenizer)

    def masking(self, config: PretrainConfig, longest: int) -> MaskingSpec:
        """Masking of texts of at most `longest` tokens under a configuration."""
        starts = self._word_starts if config.mask_unit == "word" else None
        return masking_spec(self.processor.tokenizer, config, longest, starts)

    def _pairs(self, step: int, plan: StepPlan, config: PretrainConfig, share: Shard) -> PairBatch:
        """Pairs and pseudo pairs, each kind divided evenly over the parts."""
        seed, whole = config.seed, plan.pairs + plan.prompts
        purposes = (
            (seeding.MIXED_ORDER, seeding.MIXED_CAPTIONS)
            if plan.mixed
            else (seeding.ORDER, seeding.CAPTIONS)
        )
        rows = share.rows(plan.pairs)
        view = self._view(step, plan.pairs, config, rows)
        parts = [self._drawn(self.pairs, plan.turn, plan.pairs, config, purposes, rows, view)]
        index, position = [parts[0].images], [torch.arange(plan.pairs)[rows]]
        longest = self.pairs.longest
        if plan.prompts and self.prompts is not None:
            rows = share.rows(plan.prompts, _PROMPTS)
            purposes = (seeding.PROMPT_ORDER, seeding.PROMPT_CAPTIONS)
            parts.append(self._drawn(self.prompts, plan.turn, plan.prompts, config, purposes, rows))
            index.append(len(self.pairs) + parts[1].images)
            position.append(plan.pairs + torch.arange(plan.prompts)[rows])
            longest = max(longest, self.prompts.longest)
        tokens = [ids for part in parts for ids in part.tokens]
        place = torch.cat(position)
        # The texts that are also masked come first; which those are depends on the sample alone.
        fused = step >= config.fused_from
        masks = self._masked(place, config) & fused
        order, hidden = (~masks).long().argsort(stable=True), int(masks.sum())
        ids, mask = pad(
            [tokens[row] for row in order.tolist()], self.processor.tokenizer.pad_token_id, longest
        )
        place = place[order]
        spec = self.masking(config, longest)
        noise = spec.draw(whole, stream(seed, step, seeding.MASKS))[place]
        masked = mask_spans(ids[:hidden], noise[:hidden], spec)
        numbers = max(2, config.match_group - 1)
        negatives = torch.rand(whole, numbers, generator=stream(seed, step, seeding.NEGATIVES))
        return PairBatch(
            pixel_values=torch.cat([part.pixels for part in parts])[order],
            input_ids=ids,
            attention_mask=mask,
            masked_ids=masked.input_ids,
            labels=masked.labels,
            image_index=torch.cat(index)[order],
            negative_noise=negatives[place],
            position=place,
            prompts=len(parts[1].images) if len(parts) > 1 else 0,
            seed=stream_seed(seed, step, seeding.RESTARTS),
            fused=fused,
        )

    @staticmethod
    def _masked(position: Tensor, config: PretrainConfig) -> Tensor:
        """Samples of the batch that are also masked, bool: a share of them, evenly spread."""
        return spread(position, config.mlm_share if config.mlm_weight else 0.0)

    @staticmethod
    def _drawn(
        corpus: PairCorpus,
        turn: int,
        size: int,
        config: PretrainConfig,
        purposes: tuple[int, int],
        rows: slice,
        view: Callable[[Tensor], Tensor] | None = None,
    ) -> Loaded:
        """Some rows of the batch number `turn` of a corpus."""
        chosen = corpus.draw(turn, size, config.seed, config.length_window, purposes)
        return corpus.load(chosen.items[rows], chosen.texts[rows], view)

    @staticmethod
    def _view(
        step: int, pairs: int, config: PretrainConfig, rows: slice
    ) -> Callable[[Tensor], Tensor] | None:
        """Augmentation of the images of pairs; None for no augmentation."""
        if config.pair_crop == 1.0 and not config.pair_colour:
            return None
        spec = Augmentation(config.pair_crop, 1.0, 0.0, config.pair_colour, 1.0, 0.0)
        noise = spec.draw(pairs, stream(config.seed, step, seeding.PAIR_VIEWS))[rows]
        return partial(augment, noise=noise, spec=spec)


def masking_spec(
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainConfig,
    longest: int,
    starts: Tensor | None = None,
) -> MaskingSpec:
    """How texts of at most `longest` tokens are masked; `starts` as of `word_starts`, if known."""
    if config.mask_unit == "word" and starts is None:
        starts = word_starts(tokenizer)
    return MaskingSpec(
        mask_id=tokenizer.mask_token_id,
        special_ids=tuple(sorted(set(tokenizer.all_special_ids))),
        vocab_size=len(tokenizer),
        max_length=longest,
        fraction=config.mask_fraction,
        geometric_p=config.mask_geometric_p,
        max_span=config.mask_max_span,
        level=config.mask_level,
        word_starts=starts,
        pad_id=tokenizer.pad_token_id,
    )


def augmentation(config: PretrainConfig) -> Augmentation:
    """Augmentation of an image's views under a configuration."""
    return Augmentation(
        smallest_crop=config.vcl_smallest_crop,
        rotation=config.vcl_rotation,
        colour=config.vcl_colour,
    )
