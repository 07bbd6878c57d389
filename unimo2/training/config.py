"""What a training run can be told: the loop's settings, and those of pre-training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from unimo2.errors import UsageError

# What every training has in common: steps, optimiser, schedule, precision, logging.


# Fields that change what is logged or kept, and no weight: a run may be resumed with others.
WITHOUT_EFFECT = frozenset(
    {"eval_every", "checkpoint_every", "log_every", "save_dtype", "dictionary_floor"}
    | {"trackers", "prefetch", "workers", "gradient_checkpointing"}
)


@dataclass(frozen=True)
class LoopConfig:
    """How weights are updated, and how often what is logged and kept.

    Configurations of pre-training and of fine-tuning are subclasses, with fields of their own.
    "Ours" marks what the paper does not state for pre-training; "paper" what it does.

    Attributes:
        steps: optimiser steps of the whole run; the schedule ends there. Ours.
        learning_rate: at the end of the warm-up. Paper: 5e-5 at base size.
        temperature_learning_rate: the same for the temperatures, at most `learning_rate`. Ours: the
            paper's rate, where the rest learns faster.
        schedule: after the warm-up: "linear" decay to 0 (paper), "constant", or "drops": divided
            by 10 at each of `drop_at`.
        warmup_ratio: share of the steps in which the rate rises linearly. Ours; the paper's 0.06 is
            for fine-tuning (Tables 8 and 9).
        drop_at: optimiser steps from which the rate is a tenth of what it was.
        weight_decay: decoupled, not on biases, norms, positions, dictionary, temperatures. Ours.
        adam_beta1, adam_beta2, adam_epsilon: of Adam. As in the released fine-tuning.
        clip_norm: largest norm of the gradient. As in the released fine-tuning.
        accumulate: parts in which a process computes its share of a batch, one after the other;
            negatives within the batch then come from a part.
        gradient_checkpointing: compute layers again in the backward pass instead of keeping what
            they gave: less memory, about a third more time.
        seed: of everything random.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where it is measured faster.
        log_every, eval_every, checkpoint_every: in steps; eval_every 0 evaluates never.
        dictionary_floor: share of the dictionary's rows in use in a logged interval below which a
            warning is given; 0 for none. Ours.
        trackers: that the log is also reported to: "tensorboard" (in output/trackers), "wandb", and
            what else Accelerate knows and is installed.
        prefetch: batches that a thread prepares while the step before computes.
        save_dtype: of the weights in output/model ("float16" halves the file).
    """

    steps: int = 1000
    learning_rate: float = 5e-5
    temperature_learning_rate: float = 5e-5
    schedule: Literal["linear", "constant", "drops"] = "linear"
    warmup_ratio: float = 0.06
    drop_at: tuple[int, ...] = ()
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_epsilon: float = 1e-6
    clip_norm: float = 1.0
    accumulate: int = 1
    gradient_checkpointing: bool = False
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    log_every: int = 20
    eval_every: int = 0
    checkpoint_every: int = 200
    dictionary_floor: float = 0.2
    trackers: tuple[str, ...] = ()
    prefetch: int = 0
    save_dtype: Literal["float32", "float16", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant; subclasses check their own and call this.

        Raises:
            UsageError: naming the field, its value and what is allowed.
        """
        for name in ("steps", "accumulate", "log_every", "checkpoint_every"):
            self.require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("learning_rate", "temperature_learning_rate", "adam_epsilon", "clip_norm"):
            self.require(name, getattr(self, name) > 0, "above 0")
        for name in ("eval_every", "weight_decay", "prefetch"):
            self.require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("warmup_ratio", "adam_beta1", "adam_beta2", "dictionary_floor"):
            self.require(name, 0.0 <= getattr(self, name) <= 1.0, "between 0 and 1")
        rising = all(a < b for a, b in zip((0, *self.drop_at), self.drop_at, strict=False))
        self.require("drop_at", rising, "rising steps, above 0")
        fits = bool(self.drop_at) == (self.schedule == "drops")
        self.require("drop_at", fits, 'given with schedule "drops", and only then')

    def require(self, name: str, holds: bool, allowed: str) -> None:
        """Raise UsageError that field `name` must be `allowed`, unless it `holds`."""
        if not holds:
            raise UsageError(f"training.{name} is {getattr(self, name)!r}; it must be {allowed}")

    def identity(self) -> dict[str, Any]:
        """The fields on which the weights depend, as plain values for JSON."""
        values = {k: v for k, v in asdict(self).items() if k not in WITHOUT_EFFECT}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


@dataclass(frozen=True)
class PretrainConfig(LoopConfig):
    """A pre-training run: the loop's settings, corpora, curriculum and losses.

    "Ours" marks what the paper does not state for pre-training; "paper" what it does.

    Attributes (beside those of `LoopConfig`):
        trains: "unimo2"; or one tower by itself, from random weights, which another run then starts
            from: a ViT on "labels" of `image_sets` or on "views" of them (SimCLR), or RoBERTa on
            masked "words" of `text_sets`.
        batch_size: pairs a step over all processes, pseudo pairs among them. Ours.
        pair_sets: corpora of pairs, folders of the data root. Paper: COCO, Visual Genome,
            Conceptual Captions, SBU.
        image_sets: corpora of images alone: "imagenet21k", "open_images". Paper: both.
        text_sets: corpora of texts alone: "text", "bookwiki", "openwebtext". Paper: the latter two.
        prompts: sentences with "[label]" that make pseudo pairs of labelled images. Paper.
        pair_steps: share of the steps that hold pairs alone, before the other corpora come in.
            Paper: 20 epochs, of how many it does not say.
        contrast_steps: share of the steps, the first ones, that train towers and dictionary by contrast
            and grounding alone: fusion has little to learn from towers that know nothing of each
            other, and costs most. Ours; the paper trains all losses throughout.
        prompt_share: share of the pairs of a mixed step that are pseudo pairs. Ours.
        image_batch, text_batch: images, and blocks of text, of a mixed step. Ours.
        mlm_weight, itm_weight, contrastive_weight: weights of the losses of pairs. Ours.
        vcl_weight: of the contrastive loss of views, of images alone. Ours.
        text_weight: of masked language modelling of texts alone. Ours.
        grounding_weight: of the grounding loss of each kind. Ours.
        vcl_temperature: SimCLR's best; the paper does not say.
        vcl_smallest_crop, vcl_rotation, vcl_colour: how much views differ: smallest area of a crop
            (SimCLR: 0.08), largest angle in degrees (ours), strength of the colours' distortion
            (SimCLR: 1).
        pair_crop, pair_colour: how much the images of pairs are varied: smallest area of a square
            crop (1 for none), strength of the colours' distortion. Ours.
        mlm_share: share of a batch whose texts are also trained with hidden spans. Ours.
        mask_fraction, mask_geometric_p: share of hidden tokens and span parameter. Paper.
        mask_max_span: longest hidden span. As SpanBERT.
        mask_unit: what spans are counted in. "token": 1 to mask_max_span tokens, ours. "word": 0 to
            mask_max_span whole words, their share rounded up with special tokens counted. Released.
        mask_level: mask, random or original decided for each span (as SpanBERT) or token
            (released).
        hard_share: share of the negatives for matching that are drawn by the contrastive scores of
            the batch, the others uniformly. Ours.
        match_share: share of the pairs of a batch that matching is trained on, spread over it; their
            negatives come from the whole batch. Ours.
        match_group: 0 for matching as two classes (paper); or pairs of a group: each matched pair
            meets so many less one that are like it, drawn by `hard_share`, and the true text of
            each image, and image of each text, is to be found within the group. Ours.
        match_fused: of matching in groups: weight of finding the partner by logit and contrastive score
            together, against the logit alone: matching then learns what contrast does not know. Ours.
        contrast_share: of matching in groups: share of the images that contrast is trained on;
            matching is trained on the others, where contrast is wrong as often as on new images.
            Ours.
        negatives_from: whether matching draws its negatives from the pairs of "all" processes, or of
            its own "process" (which sends less around). Ours.
        restart_unused: batches after which a dictionary row that no input chose starts anew from a
            vector of the batch; 0 for never. Ours.
        length_window: batches within which samples are put together by caption length; 1 for plain
            random batches. Ours.
        max_text_length: tokens kept of a caption, special tokens included. Paper: 512.
        text_length: tokens of a block of text; 0 for `max_text_length`.
        loading: "memory" decodes and tokenises everything once; "stream" holds names and captions
            alone and reads images and texts when they are due.
        shuffle_buffer: with "stream", items that are shuffled among each other; 0 for all, which
            jumps about on the disk.
        workers: decoding threads of a process.
        vocab_size: of the tokenizer that is trained on the corpora, if one is.
        vision_tower: timm name of the ViT that the Visual Transformer starts from ("local-dir:" and
            a folder for one that `trains` left); empty for random weights. Paper: ViT-B/16.
        vision_weights: file with its weights; empty for timm's own.
        text_tower: RoBERTa (hub id or folder) that the Text Transformer and the Grounded
            Transformer start from and whose tokenizer is taken; empty for random weights and a
            tokenizer trained on the corpora. Paper: RoBERTa-base.
    """

    trains: Literal["unimo2", "labels", "views", "words"] = "unimo2"
    batch_size: int = 64
    pair_sets: tuple[str, ...] = ("coco",)
    image_sets: tuple[str, ...] = ()
    text_sets: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ("a photo of [label]",)
    pair_steps: float = 0.5
    contrast_steps: float = 0.0
    prompt_share: float = 0.25
    image_batch: int = 32
    text_batch: int = 32
    mlm_weight: float = 1.0
    itm_weight: float = 1.0
    contrastive_weight: float = 1.0
    vcl_weight: float = 1.0
    text_weight: float = 1.0
    grounding_weight: float = 1.0
    vcl_temperature: float = 0.1
    vcl_smallest_crop: float = 0.08
    vcl_rotation: float = 15.0
    vcl_colour: float = 1.0
    pair_crop: float = 1.0
    pair_colour: float = 0.0
    mlm_share: float = 1.0
    mask_fraction: float = 0.15
    mask_geometric_p: float = 0.2
    mask_max_span: int = 10
    mask_unit: Literal["token", "word"] = "token"
    mask_level: Literal["span", "token"] = "span"
    hard_share: float = 1.0
    match_share: float = 1.0
    match_group: int = 0
    match_fused: float = 0.0
    contrast_share: float = 1.0
    negatives_from: Literal["all", "process"] = "all"
    restart_unused: int = 0
    length_window: int = 16
    max_text_length: int = 512
    text_length: int = 0
    loading: Literal["memory", "stream"] = "memory"
    shuffle_buffer: int = 0
    workers: int = 4
    vocab_size: int = 1000
    vision_tower: str = ""
    vision_weights: str = ""
    text_tower: str = ""

    @property
    def mixed_from(self) -> int:
        """The first step, counted from 0, that holds all three kinds of corpora."""
        return round(self.steps * self.pair_steps)

    @property
    def fused_from(self) -> int:
        """The first step, counted from 0, that trains fusion."""
        return round(self.steps * self.contrast_steps)

    @property
    def text_limit(self) -> int:
        """Tokens of the longest block of text."""
        return self.text_length or self.max_text_length

    def _require_ranges(self) -> None:
        """Refuse weights below 0 and shares that are not."""
        losses = ("mlm", "itm", "contrastive", "grounding", "vcl", "text")
        for name in (*(f"{loss}_weight" for loss in losses), "text_batch", "restart_unused"):
            self.require(name, getattr(self, name) >= 0, "at least 0")
        shares = ("mlm_share", "hard_share", "match_share", "pair_steps", "contrast_steps")
        for name in (*shares, "match_fused", "vcl_colour", "pair_colour"):
            self.require(name, 0.0 <= getattr(self, name) <= 1.0, "between 0 and 1")
        crops = ("vcl_smallest_crop", "pair_crop")
        for name in ("mask_fraction", "mask_geometric_p", *crops, "contrast_share"):
            self.require(name, 0.0 < getattr(self, name) <= 1.0, "above 0 and at most 1")

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            UsageError: naming the field, its value and what is allowed.
        """
        super().__post_init__()
        for name in ("mask_max_span", "length_window", "workers"):
            self.require(name, getattr(self, name) >= 1, "at least 1")
        grouped = self.match_group or (self.match_fused == 0 and self.contrast_share == 1)
        self.require("match_group", bool(grouped), "above 0 with match_fused or contrast_share")
        alone = self.contrast_steps == 0 or self.contrastive_weight > 0
        self.require("contrast_steps", alone, "0 if contrastive_weight is 0")
        self.require("match_group", self.match_group in (0, *range(2, 65)), "0 or 2 to 64")
        self._require_ranges()
        self.require("max_text_length", self.max_text_length >= 3, "at least 3")
        self.require("text_length", self.text_length in (0, *range(3, 1 << 20)), "0 or at least 3")
        self.require("batch_size", self.batch_size >= 2, "at least 2: negatives come from it")
        self.require(
            "image_batch", self.image_batch == 0 or self.image_batch > 1, "0 or at least 2"
        )
        weights = ("mlm_weight", "itm_weight", "contrastive_weight")
        above = any(getattr(self, name) > 0 for name in weights)
        self.require("itm_weight", above, "above 0 if mlm is 0")
        self.require("prompt_share", 0.0 <= self.prompt_share < 1.0, "at least 0 and below 1")
        self.require("vcl_temperature", self.vcl_temperature > 0, "above 0")
        self.require("vcl_rotation", 0 <= self.vcl_rotation <= 180, "between 0 and 180 degrees")
        needed = {"unimo2": "pair_sets", "words": "text_sets"}.get(self.trains, "image_sets")
        self.require(needed, len(getattr(self, needed)) >= 1, "at least one corpus")
        written = all("[label]" in prompt for prompt in self.prompts)
        both = bool(self.vision_tower) == bool(self.text_tower)
        self.require("text_tower", both, "given together with vision_tower")
        self.require("prompts", bool(self.prompts) and written, 'sentences with "[label]" in them')

    def identity(self) -> dict[str, Any]:
        """As `LoopConfig`; spans of tokens are those from before there were any of words."""
        values = super().identity()
        if self.mask_unit == "token":
            del values["mask_unit"]
        return values
