"""Import names that other distributions share: `evals`, `zoo` and `reports` are common words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from unimo2.errors import UsageError

OURS = "unimo2"
NAMES = (OURS, "evals", "zoo", "reports")
HOME = Path(__file__).resolve().parents[2]  # where our packages lie
_DISTRIBUTION = re.compile(r"(.+?)(?:-\d[^-]*)?(?:-py[\d.]+)?\.(?:dist|egg)-info")


def require_own(names: Sequence[str] = NAMES) -> None:
    """Refuse to start where a package of ours would be, or is mixed with, another distribution's.

    Raises:
        UsageError: It names both distributions, or the folder in the way.
    """
    found = clashes(names)
    if found:
        raise UsageError(found[0])


def clashes(names: Sequence[str] = NAMES) -> list[str]:
    """Import names with two owners, each as a sentence with what to do; nothing is imported.

    `importlib.metadata.packages_distributions` knows the owners as well, but opens every file of every
    distribution's metadata, which takes seconds; here only those beside our packages are asked.
    """
    found = []
    installed = cache(_installed)  # each folder is read once, and again at the next call
    for name in names:
        place = _place(name)
        if place is not None and place.parent != HOME:
            owner = _owners(name, installed(place.parent))
            found.append(
                f"the import name '{name}' belongs to {OURS} (at {HOME / name}) and to "
                f"{_named(owner) or 'something else'} (at {place}), which comes first; "
                + (_advice(owner) or f"rename {place}, or start {OURS} from another folder")
            )
        elif others := _owners(name, installed(HOME)):
            found.append(
                f"the import name '{name}' belongs to {OURS} and to {_named(others)}: both write into "
                f"{HOME / name}; {_advice(others)}, then 'pip install --force-reinstall --no-deps {OURS}'"
            )
    return found


def _place(name: str) -> Path | None:
    """Path that a package would be imported from; None if it is not found."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.origin is not None and spec.submodule_search_locations is None:
        return Path(spec.origin).resolve()
    places = list(spec.submodule_search_locations or ())
    return Path(places[0]).resolve() if places else None


def _owners(name: str, installed: Iterable[tuple[str, set[str]]]) -> list[str]:
    """Distributions of `_installed` that install that import name."""
    return sorted({owner for owner, names in installed if name in names})


def _installed(folder: Path) -> list[tuple[str, set[str]]]:
    """Other distributions in a folder of packages, with their import names."""
    found = []
    for info in [*folder.glob("*.dist-info"), *folder.glob("*.egg-info")]:
        matched = _DISTRIBUTION.fullmatch(info.name)
        if matched is None or not info.is_dir():
            continue
        owner = re.sub(r"[-_.]+", "-", matched[1]).lower()
        if owner != OURS:
            found.append((owner, _top_level(info)))
    return found


def _top_level(info: Path) -> set[str]:
    """The import names of a distribution."""
    try:
        return set((info / "top_level.txt").read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        pass  # not every build tool writes it
    try:
        record = (info / "RECORD").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return {name for name in NAMES if re.search(rf"^{name}(/__init__)?\.py,", record, re.MULTILINE)}


def _named(owners: Sequence[str]) -> str:
    return " and ".join(f"the distribution '{owner}'" for owner in owners)


def _advice(owners: Sequence[str]) -> str:
    return (
        f"'pip uninstall {' '.join(owners)}', or give {OURS} an environment of its own"
        if owners
        else ""
    )
