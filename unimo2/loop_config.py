"""What every training has in common: steps, optimiser, schedule, precision, logging."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from unimo2.errors import UsageError

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
