"""What a training run is asked to do: one frozen configuration, read from a TOML file.

A recipe file holds a `[training]` table (fields of `PretrainConfig`) and a `[model]` table
(`preset`, and fields of `Unimo2Config` that differ from it). Unknown keys are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from unimo2.errors import MissingData, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG_FOLDER = Path(__file__).parent / "configs"

_POSITIVE = (
    "steps",
    "max_text_length",
    "mask_max_span",
    "length_window",
    "log_every",
    "checkpoint_every",
)

# Fields that change what is logged or kept, and no weight: a run may be resumed with others.
_WITHOUT_EFFECT = frozenset({"eval_every", "checkpoint_every", "log_every", "save_dtype"})


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides a pre-training run beside the model and the data.

    "Ours" marks what the paper does not state for pre-training; "paper" what it does.

    Attributes:
        steps: optimiser steps of the whole run; the schedule ends there. Ours.
        batch_size: pairs a step over all processes. Ours.
        learning_rate: at the end of the warm-up. Paper: 5e-5 at base size.
        temperature_learning_rate: the same for the temperatures, at most `learning_rate`. Ours: the
            paper's rate, where the rest learns faster.
        warmup_ratio: share of the steps in which the rate rises linearly. Ours; the paper's 0.06 is
            for fine-tuning (Tables 8 and 9).
        weight_decay: decoupled, not on biases, norms, positions, dictionary, temperatures. Ours.
        adam_beta1, adam_beta2, adam_epsilon: of Adam. As in the released fine-tuning.
        clip_norm: largest norm of the gradient. As in the released fine-tuning.
        mlm_weight, itm_weight, contrastive_weight, grounding_weight: weights of the losses. Ours.
        mlm_share: share of a batch whose texts are also trained with hidden spans. Ours.
        mask_fraction, mask_geometric_p: share of hidden tokens and span parameter. Paper.
        mask_max_span: longest hidden span. As SpanBERT.
        mask_level: mask, random or original decided for each span (as SpanBERT) or token.
        hard_share: share of the negatives for matching that are drawn by the contrastive scores of
            the batch, the others uniformly. Ours.
        length_window: batches within which samples are put together by caption length; 1 for plain
            random batches. Ours.
        pair_sets: corpora of pairs, folders of the data root.
        max_text_length: tokens kept of a text, special tokens included. Paper: 512.
        vocab_size: of the tokenizer that is trained on the corpus, if one is.
        seed: of initial weights, order of samples, masks, negatives and dropout.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where it is measured faster.
        log_every, eval_every, checkpoint_every: in steps; eval_every 0 evaluates never.
        save_dtype: of the weights in output/model ("float16" halves the file).
    """

    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 5e-5
    temperature_learning_rate: float = 5e-5
    warmup_ratio: float = 0.06
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_epsilon: float = 1e-6
    clip_norm: float = 1.0
    mlm_weight: float = 1.0
    itm_weight: float = 1.0
    contrastive_weight: float = 1.0
    grounding_weight: float = 1.0
    mlm_share: float = 1.0
    mask_fraction: float = 0.15
    mask_geometric_p: float = 0.2
    mask_max_span: int = 10
    mask_level: Literal["span", "token"] = "span"
    hard_share: float = 1.0
    length_window: int = 16
    pair_sets: tuple[str, ...] = ("coco",)
    max_text_length: int = 512
    vocab_size: int = 1000
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    log_every: int = 20
    eval_every: int = 0
    checkpoint_every: int = 200
    save_dtype: Literal["float32", "float16", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            UsageError: naming the field, its value and what is allowed.
        """
        for name in _POSITIVE:
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("batch_size", self.batch_size >= 2, "at least 2: negatives come from it")
        for name in ("learning_rate", "temperature_learning_rate", "adam_epsilon", "clip_norm"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("eval_every", "weight_decay"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        weights = ("mlm_weight", "itm_weight", "contrastive_weight", "grounding_weight")
        for name in weights:
            self._require(name, getattr(self, name) >= 0, "at least 0")
        self._require(
            "itm_weight", any(getattr(self, n) > 0 for n in weights[:3]), "above 0 if mlm is 0"
        )
        for name in ("warmup_ratio", "adam_beta1", "adam_beta2", "mlm_share", "hard_share"):
            self._require(name, 0.0 <= getattr(self, name) <= 1.0, "between 0 and 1")
        for name in ("mask_fraction", "mask_geometric_p"):
            self._require(name, 0.0 < getattr(self, name) <= 1.0, "above 0 and at most 1")
        self._require("pair_sets", len(self.pair_sets) >= 1, "at least one corpus")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise UsageError(f"training.{name} is {getattr(self, name)!r}; it must be {allowed}")

    def identity(self) -> dict[str, Any]:
        """The fields on which the weights depend, as plain values for JSON."""
        values = {k: v for k, v in asdict(self).items() if k not in _WITHOUT_EFFECT}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


@dataclass(frozen=True)
class Recipe:
    """A training configuration together with the model it is for.

    Attributes:
        name: of the recipe: "mini", or the file's stem.
        preset: the `Unimo2Config` preset the model starts from ("mini", "base", "released").
        model: fields of `Unimo2Config` that differ from the preset.
        training: the training configuration.
    """

    name: str
    preset: str = "mini"
    model: Mapping[str, Any] = field(default_factory=dict)
    training: PretrainConfig = field(default_factory=PretrainConfig)


def load_recipe(name_or_file: str) -> Recipe:
    """Read a recipe by name (`unimo2/configs/NAME.toml`) or from a file.

    Raises:
        MissingData: there is no such recipe.
        UsageError: the file is no TOML, or has an unknown key or a value of another type.
    """
    shipped = CONFIG_FOLDER / f"{name_or_file}.toml"
    path = shipped if shipped.is_file() else Path(name_or_file)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIG_FOLDER.glob("*.toml")))
        raise MissingData(f"no configuration {name_or_file!r}: give a file, or one of: {known}")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no valid TOML: {error}") from error
    _refuse_unknown(tables, {"model", "training"}, str(path))
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name!r} must be a table, [{name}]")
    model = dict(tables.get("model", {}))
    preset = str(model.pop("preset", "mini"))
    training = _with_values(PretrainConfig(), tables.get("training", {}), str(path))
    return Recipe(path.stem, preset, model, training)


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """Change a recipe by `key=value` texts from the command line.

    A key is a training field (`batch_size=32`) or, with the prefix `model.`, a model field
    (`model.grounded_tokens=16`). Values are TOML (`3e-4`, `true`, `["coco"]`) or plain words.

    Raises:
        UsageError: a text is no assignment, its key is unknown or its value of another type.
    """
    training: dict[str, Any] = {}
    model = dict(recipe.model)
    for text in assignments:
        key, separator, raw = text.partition("=")
        key = key.strip()
        if not separator or not key:
            raise UsageError(f"--set {text!r}: write key=value, for example batch_size=32")
        if key.startswith("model."):
            model[key.removeprefix("model.")] = _parse(raw)
        else:
            training[key.removeprefix("training.")] = _parse(raw)
    return replace(recipe, model=model, training=_with_values(recipe.training, training, "--set"))


def _parse(raw: str) -> Any:
    """A TOML value, or the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {raw.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return raw.strip()


def _refuse_unknown(given: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise UsageError(f"{where}: unknown key {', '.join(unknown)}; known are: {names}")


def _with_values(config: PretrainConfig, values: Mapping[str, Any], where: str) -> PretrainConfig:
    """A copy with the given fields, each checked against the field's type."""
    _refuse_unknown(values, {f.name for f in fields(config)}, where)
    hints = get_type_hints(PretrainConfig)
    return replace(config, **{k: _checked(k, v, hints[k], where) for k, v in values.items()})


def _checked(name: str, value: Any, hint: Any, where: str) -> Any:
    """The value as the field's type; ints pass as floats, lists as tuples."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            allowed = ", ".join(map(str, get_args(hint)))
            raise UsageError(f"{where}: {name} is {value!r}; it must be one of: {allowed}")
        return value
    if get_origin(hint) is tuple:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, hint) and not isinstance(value, bool):
        return value
    wanted = "a list of texts" if get_origin(hint) is tuple else f"of type {hint.__name__}"
    raise UsageError(f"{where}: {name} is {value!r}; it must be {wanted}")
