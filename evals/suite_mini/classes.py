"""The classes of the labelled images: what belongs to each, and what it is called.

Every class is a `Mention`, so it says which things are of it, and no thing is of two classes.
Classes of the twelve shapes that captions name can be recognised by what captions teach; classes
of rare shapes and rare colours occur in no caption, only in the labelled images.
"""

from __future__ import annotations

from dataclasses import dataclass

from evals.suite_mini import lexicon
from evals.suite_mini.meaning import Mention
from evals.suite_mini.world import COLOURS, SHAPES, SIZES, TEXTURES, colours_on

RARE_SHAPES = tuple(lexicon.RARE_NOUNS)
RARE_COLOURS = tuple(lexicon.RARE_COLOUR_WORDS)

_RARE_COLOUR_CLASHES: dict[str, tuple[str, ...]] = {
    "brown": ("bricks", "planks"),
    "turquoise": ("sea",),
}

_TEXTURED = ("circle", "square", "triangle", "star", "heart", "house", "fish", "tree")
_SIZED = ("star", "cross", "ring", "moon", "flower", "house")
_COLOURED_RARE = ("boat", "butterfly", "car", "crown", "mushroom", "umbrella")
_RARE_COLOUR_SHAPES = {"brown": ("square", "house", "fish"), "turquoise": ("star", "heart", "fish")}
_FIRST_NUMBER, _NUMBER_STEP = 90_000_000, 37  # far above those of WordNet


@dataclass(frozen=True)
class ThingClass:
    """One class of labelled images."""

    wnid: str
    """In the form of a WordNet id; none of these is one of WordNet."""
    names: tuple[str, ...]
    """Synonyms, the usual one first."""
    kind: Mention
    """What things of the class have in common."""
    captioned: bool
    """Whether captions name such things."""


def can_be_seen(colour: str, background: str) -> bool:
    """Whether a colour, rare or not, can be seen well on the background."""
    if colour in RARE_COLOURS:
        return background not in _RARE_COLOUR_CLASHES[colour]
    return colour in colours_on(background)


def noun_words(shape: str) -> lexicon.Words:
    """Singular nouns for a shape, the usual one first."""
    if shape in lexicon.RARE_NOUNS:
        return lexicon.RARE_NOUNS[shape]
    return tuple(dict.fromkeys(singular for singular, _ in lexicon.NOUNS[shape]))


def colour_words(colour: str) -> lexicon.Words:
    """Adjectives for a colour, the usual one first."""
    return lexicon.RARE_COLOUR_WORDS.get(colour) or lexicon.COLOUR_WORDS[colour]


def _rank(shape: int, colour: int) -> int:
    """From 0 to 8, another one for each colour of a shape; every colour gets every rank."""
    return (colour + 4 * shape) % len(COLOURS)


def _ranked(shapes: tuple[str, ...], ranks: tuple[int, ...]) -> list[Mention]:
    """The shapes in those colours that have one of the ranks."""
    return [
        Mention(shape, colour)
        for number, shape in enumerate(SHAPES + RARE_SHAPES)
        if shape in shapes
        for index, colour in enumerate(COLOURS)
        if _rank(number, index) in ranks
    ]


def _imagenet_kinds() -> list[Mention]:
    textured = [
        Mention(kind.shape, kind.colour, texture=texture)
        for kind in _ranked(_TEXTURED, (4,))
        for texture in TEXTURES
    ]
    sized = [
        Mention(kind.shape, kind.colour, size) for kind in _ranked(_SIZED, (5,)) for size in SIZES
    ]
    uncoloured = [Mention(shape) for shape in RARE_SHAPES if shape not in _COLOURED_RARE]
    oddly_coloured = [
        Mention(shape, colour) for colour, shapes in _RARE_COLOUR_SHAPES.items() for shape in shapes
    ]
    return [
        *_ranked(SHAPES, (0, 1, 2, 3)),
        *textured,
        *sized,
        *_ranked(_COLOURED_RARE, (0, 1, 2, 3)),
        *uncoloured,
        *oddly_coloured,
    ]


def _further_kinds() -> list[Mention]:
    return [*_ranked(SHAPES, (6, 7)), *_ranked(_COLOURED_RARE, (4, 5))]


def _names(kind: Mention) -> tuple[str, ...]:
    """Up to three names, built of the words that captions use."""
    nouns = noun_words(kind.shape)
    colours = ("",) if kind.colour is None else colour_words(kind.colour)
    before: tuple[str, ...] = ("",)
    if kind.texture is not None:
        before = lexicon.TEXTURE_WORDS[kind.texture][0]
    elif kind.size is not None:
        before = lexicon.SIZE_WORDS[kind.size]
    names = []
    for number in range(3):
        words = (words[number % len(words)] for words in (before, colours, nouns))
        names.append(" ".join(word for word in words if word))
    if kind.texture is not None:
        after = lexicon.TEXTURE_WORDS[kind.texture][1][0]
        names[2] = f"{colours[0]} {nouns[0]} {after}"
    return tuple(dict.fromkeys(names))


def _classes(kinds: list[Mention], start: int) -> tuple[ThingClass, ...]:
    return tuple(
        ThingClass(
            wnid=f"n{_FIRST_NUMBER + _NUMBER_STEP * number:08d}",
            names=_names(kind),
            kind=kind,
            captioned=kind.shape in SHAPES and kind.colour in COLOURS,
        )
        for number, kind in enumerate(kinds, start=start)
    )


IMAGENET_CLASSES = _classes(_imagenet_kinds(), 0)
"""120 classes, in the order of their numbers."""
FURTHER_CLASSES = _classes(_further_kinds(), len(IMAGENET_CLASSES))
"""36 classes that the large collection has besides."""
ALL_CLASSES = IMAGENET_CLASSES + FURTHER_CLASSES
