"""Classes as sentences, for zero-shot classification.

One template is the paper's (section 5.2). The 80 are those that CLIP's authors published for
ImageNet (Radford et al., 2021, section 3.1.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from unimo2.errors import UsageError

ONE = ("a photo of {}",)
_EIGHTY = Path(__file__).parent / "templates" / "imagenet80.txt"


def templates(count: int) -> tuple[str, ...]:
    """The templates of an ensemble.

    Args:
        count: 1 or 80.

    Returns:
        Sentences with "{}" where the class's name goes.

    Raises:
        UsageError: Another number.
    """
    if count == 1:
        return ONE
    if count == 80:
        return _eighty()
    raise UsageError(f"--templates {count}: there are 1 (the paper's) and 80 (CLIP's)")


@cache
def _eighty() -> tuple[str, ...]:
    return tuple(_EIGHTY.read_text(encoding="utf-8").splitlines())


def prompts(names: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """All sentences, class by class: `[classes x templates]`.

    Args:
        names: Of the classes.
        chosen: Templates.

    Returns:
        The sentences; those of class i are at i * len(chosen) and after.
    """
    return [template.format(name) for name in names for template in chosen]
