"""Training configuration: the loop's settings, and those of pre-training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_type_hints

from unimo2.errors import UsageError
from unimo2.modeling.fields import TIMM_FOLDER

# Fields that change what is logged or kept, and no weight: a run may be resumed with others.
WITHOUT_EFFECT = frozenset(
    {"eval_every", "checkpoint_every", "log_every", "save_dtype", "dictionary_floor"}
    | {"trackers", "prefetch", "workers", "gradient_checkpointing"}
)


class Bound(NamedTuple):
    """Valid values of a field."""

    allowed: str  # in words
    holds: Callable[[Any], bool]


Count = Annotated[int, Bound("at least 1", lambda value: value >= 1)]
CountOrNone = Annotated[int, Bound("at least 0", lambda value: value >= 0)]
Positive = Annotated[float, Bound("above 0", lambda value: value > 0)]
Weight = Annotated[float, Bound("at least 0", lambda value: value >= 0)]
Fraction = Annotated[float, Bound("between 0 and 1", lambda value: 0 <= value <= 1)]
BelowOne = Annotated[float, Bound("at least 0, below 1", lambda value: 0 <= value < 1)]
AboveZero = Annotated[float, Bound("above 0 and at most 1", lambda value: 0 < value <= 1)]
Tokens = Annotated[int, Bound("at least 3", lambda value: value >= 3)]


@dataclass(frozen=True)
class LoopConfig:
    """How weights are updated, and how often what is logged and kept.

    Configurations of pre-training and of fine-tuning are subclasses, with fields of their own.
    "Ours" marks what the paper does not state for pre-training; "paper" what it does.
    """

    steps: Count = 1000  # optimiser steps of the whole run; the schedule ends there. Ours.
    learning_rate: Positive = 5e-5  # at the end of the warm-up. Paper: 5e-5 at base size.
    # the same for the temperatures, at most `learning_rate`. Ours: the paper's rate, where the rest
    # learns faster.
    temperature_learning_rate: Positive = 5e-5
    # after the warm-up: "linear" decay to 0 (paper), "constant", or "drops": divided by 10 at each
    # of `drop_at`
    schedule: Literal["linear", "constant", "drops"] = "linear"
    # share of the steps in which the rate rises linearly. Ours; the paper's 0.06 is for fine-tuning
    # (Tables 8 and 9).
    warmup_ratio: Fraction = 0.06
    drop_at: tuple[int, ...] = ()  # optimiser steps from which the rate is a tenth of what it was
    # decoupled, not on biases, norms, positions, dictionary, temperatures. Ours.
    weight_decay: Weight = 0.01
    # adam_beta1, adam_beta2, adam_epsilon: of Adam. As in the released fine-tuning.
    adam_beta1: Fraction = 0.9
    adam_beta2: Fraction = 0.98
    adam_epsilon: Positive = 1e-6
    clip_norm: Positive = 1.0  # largest norm of the gradient. As in the released fine-tuning.
    # parts in which a process computes its share of a batch, one after the other; negatives within
    # the batch then come from a part
    accumulate: Count = 1
    # compute layers again in the backward pass instead of keeping what they gave: less memory,
    # about a third more time
    gradient_checkpointing: bool = False
    seed: int = 0  # of everything random
    # "fp32", "bf16" (autocast), or "auto": bf16 where it is measured faster
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    # log_every, eval_every, checkpoint_every: in steps; eval_every 0 evaluates never
    log_every: Count = 20
    eval_every: CountOrNone = 0
    checkpoint_every: Count = 200
    # share of the dictionary's rows in use in a logged interval below which a warning is given; 0
    # for none. Ours.
    dictionary_floor: Fraction = 0.2
    # that the log is also reported to: "tensorboard", "wandb" (both in output/trackers), and what
    # else Accelerate knows and is installed
    trackers: tuple[str, ...] = ()
    prefetch: CountOrNone = 0  # batches that a thread prepares while the step before computes
    workers: CountOrNone = 0  # decoding threads of a process; 0 for its share of the cores
    # of the weights in output/model ("float16" halves the file)
    save_dtype: Literal["float32", "float16", "bfloat16"] = "float32"

    # Fields that came later, with the value of all runs before: `identity` then leaves them out.
    later: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            for bound in getattr(hint, "__metadata__", ()):
                self.require(name, bound.holds(getattr(self, name)), bound.allowed)
        self.require("drop_at", is_rising(self.drop_at), "rising steps, above 0")
        fits = bool(self.drop_at) == (self.schedule == "drops")
        self.require("drop_at", fits, 'given with schedule "drops", and only then')

    def require(self, name: str, holds: bool, allowed: str) -> None:
        """Raise UsageError that field `name` must be `allowed`, unless it `holds`."""
        if not holds:
            raise UsageError(f"training.{name} is {getattr(self, name)!r}; expected {allowed}")

    def identity(self) -> dict[str, Any]:
        """The fields on which the weights depend, as plain values for JSON."""
        values = {k: v for k, v in asdict(self).items() if k not in WITHOUT_EFFECT}
        values = {k: v for k, v in values.items() if k not in self.later or v != self.later[k]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def is_rising(numbers: tuple[int, ...]) -> bool:
    """Whether each number is above the one before, and the first above 0."""
    return all(a < b for a, b in zip((0, *numbers), numbers, strict=False))


@dataclass(frozen=True)
class PretrainConfig(LoopConfig):
    """A pre-training run: the loop's settings, corpora, curriculum and losses.

    "Ours" marks what the paper does not state for pre-training; "paper" what it does.
    """

    # "unimo2"; a peer on the same pairs, "clip" from random weights or "vilt" from those of
    # `vision_tower`, if given; or a single tower, from random weights, which another run then
    # starts from: a ViT on "labels" of `image_sets` or on "views" of them (SimCLR), or RoBERTa on
    # masked "words" of `text_sets`
    trains: Literal["unimo2", "clip", "vilt", "labels", "views", "words"] = "unimo2"
    batch_size: int = 64  # pairs a step over all processes, pseudo pairs among them. Ours.
    # corpora of pairs, folders of the data root. Paper: COCO, Visual Genome, Conceptual Captions,
    # SBU.
    pair_sets: tuple[str, ...] = ("coco",)
    # of Visual Genome: leave out the images that these data sets, "coco" and "flickr30k", validate
    # or test with. Ours; the paper's counts are of the whole set.
    leave_out: tuple[str, ...] = ()
    # corpora of images alone: "imagenet21k", "open_images". Paper: both.
    image_sets: tuple[str, ...] = ()
    # corpora of texts alone: "text", "bookwiki", "openwebtext". Paper: the latter two.
    text_sets: tuple[str, ...] = ()
    # sentences with "[label]" that make pseudo pairs of labelled images. Paper.
    prompts: tuple[str, ...] = ("a photo of [label]",)
    # share of the steps that hold pairs alone, before the other corpora come in. Paper: 20 epochs,
    # of how many it does not say.
    pair_steps: Fraction = 0.5
    # share of the steps, the first ones, that train towers and dictionary by contrast and grounding
    # alone: fusion has little to learn from towers that know nothing of each other, and costs most.
    # Ours; the paper trains all losses throughout.
    contrast_steps: Fraction = 0.0
    prompt_share: BelowOne = 0.25  # share of the pairs of a mixed step that are pseudo pairs. Ours.
    # image_batch, text_batch: images, and blocks of text, of a mixed step. Ours.
    image_batch: int = 32
    text_batch: CountOrNone = 32
    # mlm_weight, itm_weight, contrastive_weight: weights of the losses of pairs. Ours.
    mlm_weight: Weight = 1.0
    itm_weight: Weight = 1.0
    contrastive_weight: Weight = 1.0
    vcl_weight: Weight = 1.0  # of the contrastive loss of views, of images alone. Ours.
    text_weight: Weight = 1.0  # of masked language modelling of texts alone. Ours.
    grounding_weight: Weight = 1.0  # of the grounding loss of each kind. Ours.
    vcl_temperature: Positive = 0.1  # SimCLR's best; the paper does not say
    # vcl_smallest_crop, vcl_rotation, vcl_colour: how much views differ: smallest area of a crop
    # (SimCLR: 0.08), largest angle in degrees (ours), strength of the colours' distortion (SimCLR:
    # 1)
    vcl_smallest_crop: AboveZero = 0.08
    vcl_rotation: float = 15.0
    vcl_colour: Fraction = 1.0
    # pair_crop, pair_colour: how much the images of pairs are varied: smallest area of a square
    # crop (1 for none), strength of the colours' distortion. Ours.
    pair_crop: AboveZero = 1.0
    pair_colour: Fraction = 0.0
    mlm_share: Fraction = (
        1.0  # share of a batch whose texts are also trained with hidden spans. Ours.
    )
    # mask_fraction, mask_geometric_p: share of hidden tokens and span parameter. Paper.
    mask_fraction: AboveZero = 0.15
    mask_geometric_p: AboveZero = 0.2
    mask_max_span: Count = 10  # longest hidden span. As SpanBERT.
    # what spans are counted in. "token": 1 to mask_max_span tokens, ours. "word": 0 to
    # mask_max_span whole words, their share rounded up with special tokens counted. Released.
    mask_unit: Literal["token", "word"] = "token"
    # mask, random or original decided for each span (as SpanBERT) or token (released)
    mask_level: Literal["span", "token"] = "span"
    # share of the negatives for matching that are drawn by the contrastive scores of the batch, the
    # others uniformly. Ours.
    hard_share: Fraction = 1.0
    # share of the pairs of a batch that matching is trained on, spread over it; their negatives
    # come from the whole batch. Ours.
    match_share: Fraction = 1.0
    # 0 for matching as two classes (paper); or pairs of a group: each matched pair meets so many
    # less one that are like it, drawn by `hard_share`, and the true text of each image, and image
    # of each text, is to be found within the group. Ours.
    match_group: int = 0
    # of matching in groups: weight of finding the partner by logit and contrastive score together,
    # against the logit alone: matching then learns what contrast does not know. Ours.
    match_fused: Fraction = 0.0
    # of matching in groups: share of the images that contrast is trained on; matching is trained on
    # the others, where contrast is wrong as often as on new images. Ours.
    contrast_share: AboveZero = 1.0
    # whether matching draws its negatives from the pairs of "all" processes, or of its own
    # "process" (which sends less around). Ours.
    negatives_from: Literal["all", "process"] = "all"
    # batches after which a dictionary row that no input chose is reinitialised from a vector of the
    # batch; 0 for never. Ours.
    restart_unused: CountOrNone = 0
    # batches within which samples are put together by caption length; 1 for plain random batches.
    # Ours.
    length_window: Count = 16
    max_text_length: Tokens = 512  # tokens kept of a caption, special tokens included. Paper: 512.
    text_length: int = 0  # tokens of a block of text; 0 for `max_text_length`
    # "memory" decodes and tokenises everything once; "stream" holds names and captions alone and
    # reads images and texts when they are due
    loading: Literal["memory", "stream"] = "memory"
    # with "stream", items that are shuffled among each other; 0 for all, which jumps about on the
    # disk
    shuffle_buffer: int = 0
    vocab_size: int = 1000  # of the tokenizer that is trained on the corpora, if one is
    # timm name of the ViT that the Visual Transformer starts from ("local-dir:" and a folder for
    # one that `trains` left, mini-vit for the embedded one); empty for random weights. Paper:
    # ViT-B/16.
    vision_tower: str = ""
    vision_weights: str = ""  # file with its weights; empty for timm's own
    # RoBERTa (hub id, folder, or mini-roberta for the embedded one) that the Text Transformer and
    # the Grounded Transformer start from and whose tokenizer is taken; empty for random weights and
    # a tokenizer trained on the corpora. Paper: RoBERTa-base.
    text_tower: str = ""

    later: ClassVar[Mapping[str, Any]] = {"mask_unit": "token", "leave_out": ()}

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

    def located(self, towers: Mapping[str, Path]) -> PretrainConfig:
        """The same with the places of the towers that it names, by the folders of known ones."""
        vision, text = self.vision_tower, self.text_tower
        return replace(
            self,
            vision_tower=f"{TIMM_FOLDER}{towers[vision]}" if vision in towers else vision,
            text_tower=str(towers.get(text, text)),
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        grouped = self.match_group or (self.match_fused == 0 and self.contrast_share == 1)
        self.require("match_group", bool(grouped), "above 0 with match_fused or contrast_share")
        alone = self.contrast_steps == 0 or self.contrastive_weight > 0
        self.require("contrast_steps", alone, "0 if contrastive_weight is 0")
        self.require("match_group", self.match_group in (0, *range(2, 65)), "0 or 2 to 64")
        some = self.text_length == 0 or self.text_length >= 3
        self.require("text_length", some, "0 or at least 3")
        self.require("batch_size", self.batch_size >= 2, "at least 2: negatives come from it")
        self.require(
            "image_batch", self.image_batch == 0 or self.image_batch > 1, "0 or at least 2"
        )
        some = self.mlm_weight > 0 or self.itm_weight > 0 or self.contrastive_weight > 0
        self.require("itm_weight", some, "above 0 if mlm is 0")
        self.require("vcl_rotation", 0 <= self.vcl_rotation <= 180, "between 0 and 180 degrees")
        known = set(self.leave_out) <= {"coco", "flickr30k"}
        self.require("leave_out", known, '"coco", "flickr30k" or both')
        needed = {"labels": "image_sets", "views": "image_sets", "words": "text_sets"}.get(
            self.trains, "pair_sets"
        )
        self.require(needed, len(getattr(self, needed)) >= 1, "at least one corpus")
        both = bool(self.vision_tower) == bool(self.text_tower)
        if self.trains in ("clip", "vilt"):
            self.require("text_tower", not self.text_tower, "empty: a peer's is its own")
            some = self.trains == "vilt" or not self.vision_tower
            self.require("vision_tower", some, "empty: CLIP starts from random weights")
        else:
            self.require("text_tower", both, "given together with vision_tower")
        written = all("[label]" in prompt for prompt in self.prompts)
        self.require("prompts", bool(self.prompts) and written, 'sentences with "[label]" in them')
