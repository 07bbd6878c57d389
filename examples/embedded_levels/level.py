"""What a benchmark's metric can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Level:
    """What a benchmark's metric can be: its ceiling and its floors, computed from scene graphs.

    Attributes:
        ideal: of a reader who knows every scene and what every sentence says, exactly.
        chance: of guessing; None where the metric has no such level.
        majority: of always giving the commonest answer of the training split; None likewise.
        one_modality: of the best reader of one modality alone, by name ("text only", "image only",
            "bag of words").

    All in the metric's unit (percent).
    """

    ideal: float
    chance: float | None = None
    majority: float | None = None
    one_modality: Mapping[str, float] = field(default_factory=dict)
