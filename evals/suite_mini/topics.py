"""What can be asked about a scene, with the answer: the meaning of questions, without their words.

A topic is askable of a scene only where its answer is plain to see: a phrase with "the" points out
one thing and no other, and relations that are half true are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import NamedTuple

from evals.suite_mini.looks import CELLS, EDGES, Look, referents
from evals.suite_mini.meaning import related
from evals.suite_mini.world import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    Thing,
)

_DIRECTIONS = ("left", "right", "above", "below")


class Topic(NamedTuple):
    """A question's meaning."""

    kind: str
    """A key of `KINDS`."""
    looks: tuple[Look, ...] = ()
    detail: str = ""
    """A background, a relation or a line of the grid, where the kind needs one."""

    def form(self) -> tuple[object, ...]:
        """What topics of one pattern share: which properties their looks give."""
        return (*(look.form() for look in self.looks), self.kind)


Answered = Iterator[tuple[Topic, str]]
"""Topics that are askable of a scene, each once, with their canonical answers."""


# The topics that are askable of every scene, or of many.
_LOOKS = {
    "shape": tuple(Look(shape=shape) for shape in SHAPES),
    "colour": tuple(Look(colour=colour) for colour in COLOURS),
    "size": tuple(Look(size=size) for size in SIZES),
    "texture": tuple(Look(texture=texture) for texture in TEXTURES),
    "region": tuple(Look(region=edge) for edge in EDGES),
}
_EXISTS = [Topic("exists", (look,)) for look in (*_LOOKS["shape"], *_LOOKS["texture"][1:])]
_EXISTS_IN_COLOUR = [Topic("exists-in-colour", (look,)) for look in _LOOKS["colour"]]
_COUNT = [Topic("count", (look,)) for look in (Look(), *sum(_LOOKS.values(), ()))]
_MORE = [
    (Topic("more", (Look(shape=first), Look(shape=second))), first, second)
    for first, second in permutations(SHAPES, 2)
]
_IS: tuple[tuple[tuple[tuple[str, ...], ...], tuple[Look, ...]], ...] = (
    ((("shape",), ("size",), ("region",), ("size", "shape")), _LOOKS["colour"]),
    ((("shape",), ("colour",), ("region",), ("colour", "shape")), _LOOKS["size"]),
    ((("shape",), ("colour",), ("region",)), _LOOKS["texture"]),
    ((("shape",), ("colour",)), _LOOKS["region"]),
)


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _exists(scene: Scene) -> Answered:
    """Is there a star, a striped thing?"""
    shapes = {thing.shape for thing in scene.things}
    textures = {thing.texture for thing in scene.things}
    for topic in _EXISTS:
        (look,) = topic.looks
        yield topic, _yes(look.shape in shapes or look.texture in textures)


def _exists_in_colour(scene: Scene) -> Answered:
    """Is there a red thing?"""
    colours = {thing.colour for thing in scene.things}
    for topic in _EXISTS_IN_COLOUR:
        yield topic, _yes(topic.looks[0].colour in colours)


def _is(scene: Scene) -> Answered:
    """Is the star red? Is the small thing striped? Is the fish at the top?"""
    for forms, properties in _IS:
        for look, thing in referents(scene, forms):
            for value in properties:
                yield Topic("is", (look, value)), _yes(value.fits(thing))


def _pairs(scene: Scene, form: str) -> list[tuple[tuple[Look, Thing], tuple[Look, Thing]]]:
    return list(permutations(referents(scene, ((form,),)), 2))


def _relation(scene: Scene) -> Answered:
    """Is the star to the left of the house? Not asked if it is more above than to the left."""
    for form in ("shape", "colour"):
        for (first, thing), (second, other) in _pairs(scene, form):
            for name in _DIRECTIONS:
                truth = related(name, thing, other)
                if truth or not _leans(name, thing, other):
                    yield Topic("relation", (first, second), name), _yes(truth)


def _leans(name: str, first: Thing, second: Thing) -> bool:
    """Whether the first thing is at least a little to that side of the second."""
    right, down = second.column - first.column, second.row - first.row
    return {"left": right, "right": -right, "above": down, "below": -down}[name] > 0


def _bigger(scene: Scene) -> Answered:
    """Is the star bigger than the house? Which is bigger? Asked where their sizes differ."""
    for (first, thing), (second, other) in _pairs(scene, "shape"):
        if thing.size != other.size:
            large = thing if thing.size == "large" else other
            yield Topic("bigger", (first, second)), _yes(large is thing)
            yield Topic("which-bigger", (first, second)), large.shape


def _same(scene: Scene) -> Answered:
    """Are the star and the house of the same colour, of the same size?"""
    for (first, thing), (second, other) in _pairs(scene, "shape"):
        yield Topic("same-colour", (first, second)), _yes(thing.colour == other.colour)
        yield Topic("same-size", (first, second)), _yes(thing.size == other.size)


def _more(scene: Scene) -> Answered:
    """Are there more stars than houses? Asked where there is one or the other."""
    numbers = Counter(thing.shape for thing in scene.things)
    for topic, first, second in _MORE:
        if first in numbers or second in numbers:
            yield topic, _yes(numbers[first] > numbers[second])


def _alike(scene: Scene) -> Answered:
    """Are there two things of one shape?"""
    shapes = {thing.shape for thing in scene.things}
    yield Topic("alike"), _yes(len(shapes) < len(scene.things))


def _on(scene: Scene) -> Answered:
    """Is it night? Are these things on the beach?"""
    for background in BACKGROUNDS:
        yield Topic("on", (), background), _yes(background == scene.background)


def _count(scene: Scene) -> Answered:
    """How many stars, red things, striped things, things at the top, things are there?"""
    for topic in _COUNT:
        yield topic, str(sum(map(topic.looks[0].fits, scene.things)))


def _colour(scene: Scene) -> Answered:
    """What colour is the star, the thing in the middle; what colour are the stars?"""
    forms = (("shape",), ("size", "shape"), ("size",), ("texture",), ("region",))
    for look, thing in referents(scene, forms):
        yield Topic("colour", (look,)), thing.colour
    for shape in SHAPES:
        colours = [thing.colour for thing in scene.things if thing.shape == shape]
        if len(colours) > 1 and len(set(colours)) == 1:
            yield Topic("colours-of", (Look(shape=shape),)), colours[0]


def _shape(scene: Scene) -> Answered:
    """What is the red thing, the striped thing; what is in the middle?"""
    for look, thing in referents(scene, (("colour",), ("size",), ("texture",), ("colour", "size"))):
        yield Topic("shape", (look,)), thing.shape
    for look, thing in referents(scene, (("region",),)):
        yield Topic("shape-at", (look,)), thing.shape
    for edge in EDGES:
        things = Look(region=edge).among(scene)
        if len(things) == 1:
            yield Topic("shape-at", (Look(region=edge),)), things[0].shape


def _neighbour(scene: Scene) -> Answered:
    """What is above the house? Asked where one thing only is to that side of it at all."""
    for look, thing in referents(scene, (("shape",),)):
        for name in _DIRECTIONS:
            others = [other for other in scene.things if _leans(name, other, thing)]
            if len(others) == 1 and related(name, others[0], thing):
                yield Topic("neighbour", (look,), name), others[0].shape


def _place(scene: Scene) -> Answered:
    """Where is the star? Is it on the left or on the right, at the top or at the bottom?"""
    for look, thing in referents(scene, (("shape",), ("colour",), ("colour", "shape"))):
        yield Topic("place", (look,)), CELLS[thing.cell]
        if thing.column != 1:
            yield Topic("left-or-right", (look,)), "left" if thing.column == 0 else "right"
        if thing.row != 1:
            yield Topic("top-or-bottom", (look,)), "top" if thing.row == 0 else "bottom"


def _side(scene: Scene) -> Answered:
    """Is the star left or right of the house, above or below it?"""
    for (first, thing), (second, other) in _pairs(scene, "shape"):
        for kind, names in (("side", ("left", "right")), ("height", ("above", "below"))):
            for name in names:
                if related(name, thing, other):
                    yield Topic(kind, (first, second)), name


def _texture(scene: Scene) -> Answered:
    """Is the star plain, striped or dotted?"""
    for look, thing in referents(scene, (("shape",), ("colour",), ("region",))):
        yield Topic("texture", (look,)), thing.texture


def _size(scene: Scene) -> Answered:
    """What size is the star?"""
    for look, thing in referents(scene, (("shape",), ("colour",), ("region",))):
        yield Topic("size", (look,)), thing.size


def _background(scene: Scene) -> Answered:
    """What is in the background?"""
    yield Topic("background"), scene.background


def _two_colours(scene: Scene) -> Answered:
    """Which two colours do the things have? Asked where there are two."""
    colours = {thing.colour for thing in scene.things}
    if len(colours) == 2:
        first, second = sorted(colours, key=COLOURS.index)
        yield Topic("two-colours"), f"{first} and {second}"


def _empty(scene: Scene) -> Answered:
    """Which row or column is empty? Asked where there is one."""
    for line, names, used in (
        ("row", ("top", "middle", "bottom"), {thing.row for thing in scene.things}),
        ("column", ("left", "middle", "right"), {thing.column for thing in scene.things}),
    ):
        free = [name for number, name in enumerate(names) if number not in used]
        if len(free) == 1:
            yield Topic("empty", (), line), free[0]


_ASKERS: tuple[Callable[[Scene], Answered], ...] = (
    _exists,
    _exists_in_colour,
    _is,
    _relation,
    _bigger,
    _same,
    _more,
    _alike,
    _on,
    _count,
    _colour,
    _shape,
    _neighbour,
    _place,
    _side,
    _texture,
    _size,
    _background,
    _two_colours,
    _empty,
)

KINDS: dict[str, int] = {
    "exists": 6,
    "exists-in-colour": 16,
    "is": 10,
    "relation": 2,
    "bigger": 1,
    "same-colour": 1,
    "same-size": 1,
    "more": 1,
    "alike": 1,
    "on": 6,
    "count": 15,
    "colour": 22,
    "colours-of": 3,
    "shape": 9,
    "shape-at": 2,
    "neighbour": 1,
    "place": 2,
    "left-or-right": 3,
    "top-or-bottom": 3,
    "which-bigger": 1,
    "side": 1,
    "height": 1,
    "texture": 3,
    "size": 5,
    "background": 6,
    "two-colours": 2,
    "empty": 1,
}
"""How often each kind is asked, roughly.

Yes/no, number and other come near VQA v2's shares. Most questions are about one property of one
thing: a model of a few million parameters has to learn each kind anew from tens of thousands of them.
"""


def topics(scene: Scene) -> Answered:
    """Everything that can be asked about the scene.

    Args:
        scene: what the picture shows.

    Yields:
        Each topic once, with its canonical answer: "yes", a number in digits, or a word of the
        world ("red", "star", "striped", "top left", "meadow", "above").
    """
    for asker in _ASKERS:
        yield from asker(scene)
