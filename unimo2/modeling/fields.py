"""Sizes and switches of a UNIMO-2 model, without torch: what a recipe or a record holds of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unimo2.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

TIMM_FOLDER = "local-dir:"  # timm's prefix of a model's name that is a folder

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "grounding": ("topk", "nearest", "none"),
    "grounding_scores": ("summed", "standard"),
    "attention": ("grounded", "dense"),
    "itm_input": ("product", "concat"),
    "head_input": ("product", "concat", "both", "towers", None),
    "loss_reduction": ("mean", "sum"),
    "padding": ("masked", "counted"),
}


@dataclass(init=False, repr=False)
class ModelFields:
    """Every size, and every choice where paper and code differ.

    `Unimo2Config` adds what transformers needs, and with it two seconds of imports.
    """

    image_size: int = 224
    """Side of the square image that the position embeddings belong to, in pixels. Other sizes are
    interpolated."""
    patch_size: int = 16
    """Side of a patch, in pixels."""
    patch_padding: int = 0
    """Zero padding of the patch convolution, in pixels: 0, or (patch_size - 1) // 2 as in the
    released code, which shifts every patch by that much."""
    hidden_size: int = 768
    """Width D of all three towers and of the dictionary."""
    intermediate_size: int = 3072
    """Width of the feed-forward layers."""
    num_attention_heads: int = 12
    """Attention heads of the Grounded Transformer's layers."""
    vision_attention_heads: int | None = None
    """Of the Visual Transformer's layers; None for the same number."""
    text_attention_heads: int | None = None
    """Of the Text Transformer's layers; None for the same number."""
    vision_layers: int = 12
    """Layers of the Visual Transformer."""
    text_layers: int = 12
    """Layers of the Text Transformer."""
    fusion_layers: int = 12
    """Layers of the Grounded Transformer."""
    vocab_size: int = 50265
    """Entries of the tokenizer."""
    max_position_embeddings: int = 514
    """Rows of the text position table (RoBERTa: longest text + 2)."""
    pad_token_id: int = 1
    """Id of the padding token; RoBERTa counts positions from pad_token_id + 1."""
    bos_token_id: int = 0
    """Id of the token that starts every text."""
    eos_token_id: int = 2
    """Id of the token that ends every text."""
    vision_layer_norm_eps: float = 1e-6
    """Epsilon of the vision tower's layer norms (timm 1e-6, released 1e-12)."""
    layer_norm_eps: float = 1e-5
    """Epsilon of all other layer norms."""
    hidden_dropout: float = 0.1
    """Dropout of the text tower, the Grounded Transformer and before the matching head (the
    vision tower has none)."""
    grounding: str = "topk"
    """"topk" (paper, equations 1-3), "nearest" (the 1-to-1 map) or "none" (no dictionary)."""
    attention: str = "grounded"
    """"grounded" (visual and text rows meet only through grounded tokens) or "dense" (the paper's
    "w/o G.T.")."""
    dictionary_size: int = 2048
    """C, rows of the grounded dictionary."""
    grounded_tokens: int = 100
    """K, rows chosen for one input."""
    beta: float = 0.25
    """Weight of the commitment term in equation 3."""
    grounding_temperature: float = 100.0
    """Initial value of the learned temperature in equation 1."""
    grounding_threshold: float = 0.0
    """What a similarity of equation 1 must reach for the sigmoid to be a half; 0 in paper and
    released code."""
    grounding_scores: str = "summed"
    """Rows with the largest "summed" similarities are chosen (equation 2), or those with the
    largest in "standard" units: tokens without their kind's mean, of length 1, and sums against a
    row's usual ones (`unimo2.modeling.token_statistics`). Ours."""
    contrastive_temperature: float = 0.07
    """Initial value of the learned temperature of the contrastive loss."""
    contrastive_projection: bool | None = False
    """Whether the contrastive score is taken between ReLU projections, both normalised, instead
    of the towers' first outputs; None for projections just where there is no dictionary, as the
    released code runs its baseline (see `projects_contrast`)."""
    normalize_text: bool = True
    """Whether the text side of the contrastive score is L2-normalised when there is no projection
    (released code: it is not; the image side always is)."""
    itm_input: str = "concat"
    """What the matching head reads: the "product" of the pooled outputs (released code) or their
    "concat" (paper, section 3.2)."""
    head_input: str | None = None
    """Input of the VQA and SNLI-VE heads: the "product", the "concat", or "both" side by
    side; "towers" for both, and both of the towers' contrastive features beside them; None for
    the same as `itm_input`. The released code has no such heads."""
    loss_reduction: str = "sum"
    """Grounding loss as the "sum" over tokens and dimensions, averaged over the batch (paper,
    equation 3), or the "mean" over all elements (released code)."""
    padding: str = "masked"
    """"masked" leaves padded tokens out everywhere; "counted" repeats the released code, where
    they enter the similarity sums and their rows attend to everything."""
    contrastive_weight: float = 0.3
    """Weight w of retrieval's score, itm_logit[1] + w * contrastive score."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights."""
    patch_position_range: float = 0.02
    """Standard deviation of the initial position embeddings of the patches; 0.02 is timm's. They
    are added to patch embeddings that nothing normalises before."""
    task: str | None = None
    """Name of the benchmark that the weights are fine-tuned for ("vqa", "snli_ve", ...), which
    tells what kind of task model the folder holds; None for pre-trained weights."""

    def __init__(self, **values: Any) -> None:
        """Store the fields and check them.

        Raises:
            UsageError: A value that is not possible, with the field's name.
        """
        for name, default in self.own_fields().items():
            setattr(self, name, values.pop(name, default))
        if values:
            raise TypeError(f"a model has no field {', '.join(values)}")
        self.check()

    @classmethod
    def own_fields(cls) -> dict[str, Any]:
        """The names and defaults of the fields declared here, without those of transformers."""
        return {name: getattr(cls, name) for name in ModelFields.__annotations__}

    @property
    def patch_grid(self) -> int:
        """Patches along one side of an image of `image_size`."""
        return self.image_size // self.patch_size

    @property
    def projects_contrast(self) -> bool:
        """Whether the contrastive score is taken between projections."""
        if self.contrastive_projection is None:
            return self.grounding == "none"
        return self.contrastive_projection

    @property
    def pair_head_input(self) -> str:
        """Input of the VQA and SNLI-VE heads, `head_input` or `itm_input`."""
        return self.head_input or self.itm_input

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            UsageError: The first such value, with its field's name and what is allowed.
        """
        for field, allowed in _CHOICES.items():
            value = getattr(self, field)
            if value not in allowed:
                names = ", ".join(str(choice) for choice in allowed)
                raise UsageError(f"Unimo2Config: {field}={value!r} is not one of {names}")
        for field in _POSITIVE:
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"Unimo2Config: {field}={value!r} must be a positive integer")
        for field in ("num_attention_heads", "vision_attention_heads", "text_attention_heads"):
            heads = getattr(self, field)
            if heads is not None and (heads < 1 or self.hidden_size % heads):
                raise UsageError(
                    f"Unimo2Config: hidden_size={self.hidden_size} is not a multiple of "
                    f"{field}={heads}"
                )
        if self.image_size % self.patch_size:
            raise UsageError(
                f"Unimo2Config: image_size={self.image_size} is not a multiple of "
                f"patch_size={self.patch_size}"
            )
        if self.patch_padding not in (0, (self.patch_size - 1) // 2):
            raise UsageError(
                f"Unimo2Config: patch_padding={self.patch_padding} must be 0 or "
                f"{(self.patch_size - 1) // 2}, so that the number of patches stays the same"
            )
        if self.grounding == "topk" and self.grounded_tokens > self.dictionary_size:
            raise UsageError(
                f"Unimo2Config: grounded_tokens (K) = {self.grounded_tokens} is more than "
                f"dictionary_size (C) = {self.dictionary_size}"
            )

    @classmethod
    def base(cls, **overrides: Any) -> Self:
        """The paper's base model (section 4), in the paper's own words."""
        return cls(**overrides)

    @classmethod
    def released(cls, **overrides: Any) -> Self:
        """The base model with every quirk of the released code (its checkpoint loads into this)."""
        quirks: dict[str, Any] = {
            "patch_padding": 7,
            "vision_layer_norm_eps": 1e-12,
            "contrastive_projection": None,
            "normalize_text": False,
            "itm_input": "product",
            "loss_reduction": "mean",
            "padding": "counted",
            "contrastive_weight": 0.3,
        }
        return cls(**{**quirks, **overrides})

    @classmethod
    def mini(cls, **overrides: Any) -> Self:
        """A model of about 2.4 million parameters for the embedded suite, trained in an hour on two cores."""
        sizes: dict[str, Any] = {
            "image_size": 48,
            "patch_size": 16,  # as the cells that the suite's scenes are drawn in
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_attention_heads": 4,
            "vision_layers": 4,
            "text_layers": 3,  # fusion starts from them, as many
            "fusion_layers": 3,  # with two, matching learns nothing that contrast does not know
            "vocab_size": 1200,
            "max_position_embeddings": 130,
            "hidden_dropout": 0.0,
            # About 1 / sqrt(hidden_size). Wide models' 0.02 started more slowly: contrastive loss
            # 4.03 against 3.84 after 60 steps, one seed each.
            "initializer_range": 0.08,
            # As large as the patch embeddings. From 0.02, a twenty-fifth of them, the model did not
            # learn in 4,000 steps where things are: masked words of place in held-out captions were
            # right in 51 % of the cases, and in 49 % with the picture of another caption.
            "patch_position_range": 0.5,
            "dictionary_size": 256,
            "grounded_tokens": 16,
            "itm_input": "product",
            "loss_reduction": "mean",
        }
        return cls(**{**sizes, **overrides})


_POSITIVE = (
    "image_size",
    "patch_size",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "vision_layers",
    "text_layers",
    "fusion_layers",
    "vocab_size",
    "max_position_embeddings",
    "dictionary_size",
    "grounded_tokens",
)
