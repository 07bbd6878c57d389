"""The words of the mini world, from `words.toml`: several for everything, as people would choose them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unimo2.files import parse_toml

Words = tuple[str, ...]


def _tuples(value: Any) -> Any:
    """Lists as tuples, in tables of any depth: words are compared, and kept between choices."""
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


TABLES: dict[str, Any] = _tuples(
    parse_toml(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
)
"""Everything that the file holds; the tables below have types."""

NOUNS: dict[str, tuple[tuple[str, str], ...]] = TABLES["nouns"]
"""(singular, plural)."""
COLOUR_WORDS: dict[str, Words] = TABLES["colours"]
SIZE_WORDS: dict[str, Words] = TABLES["sizes"]
TEXTURE_WORDS: dict[str, tuple[Words, Words]] = TABLES["textures"]
"""(before the noun, after the noun)."""
RELATION_WORDS: dict[str, Words] = TABLES["relations"]
PLACE_WORDS: dict[str, Words] = TABLES["places"]
BACKGROUND_PHRASES: dict[str, Words] = TABLES["backgrounds"]
BACKGROUND_NAMES: dict[str, Words] = TABLES["background_names"]
NUMBERS: dict[int, Words] = {int(count): words for count, words in TABLES["numbers"].items()}
RARE_NOUNS: dict[str, Words] = TABLES["rare_nouns"]
RARE_COLOUR_WORDS: dict[str, Words] = TABLES["rare_colours"]
THINGS: Words = TABLES["things"]
OPENINGS: Words = TABLES["openings"]
STANDING: Words = TABLES["standing"]
HANGING: Words = TABLES["hanging"]
JOINTS: Words = TABLES["joints"]
QUESTIONS: dict[str, Any] = TABLES["questions"]
"""By kind of topic: "weight" and "words"."""
CLAIMS: dict[str, Any] = TABLES["claims"]
"""By kind of topic: "weight", and "yes" and "no", or "words"."""
