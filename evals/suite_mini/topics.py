"""What can be asked about a scene, with the answer: the meaning of questions, without their words.

A topic is askable of a scene only where its answer is plain to see: a phrase with "the" points out
one thing and no other, and relations that are half true are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import NamedTuple

from evals.suite_mini.lexicon import QUESTIONS
from evals.suite_mini.looks import CELLS, EDGES, Look, referents
from evals.suite_mini.meaning import lead, related
from evals.suite_mini.world import BACKGROUNDS, COLOURS, SHAPES, SIZES, TEXTURES, Scene, Thing

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
_EXISTS = [
    *(Topic("exists", (look,)) for look in (*_LOOKS["shape"], *_LOOKS["texture"][1:])),
    *(Topic("exists-in-colour", (look,)) for look in _LOOKS["colour"]),
]
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
    """Is there a star, a striped thing, a red thing?"""
    for topic in _EXISTS:
        yield topic, _yes(any(map(topic.looks[0].fits, scene.things)))


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
                if truth or lead(name, thing, other) <= 0:
                    yield Topic("relation", (first, second), name), _yes(truth)


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


def _property(kind: str, forms: Sequence[tuple[str, ...]], scene: Scene) -> Answered:
    """What colour is the star, what is the red thing, what size is it?"""
    for look, thing in referents(scene, forms):
        yield Topic(kind, (look,)), getattr(thing, kind)


def _colours_of(scene: Scene) -> Answered:
    """What colour are the stars?"""
    for shape in SHAPES:
        colours = [thing.colour for thing in scene.things if thing.shape == shape]
        if len(colours) > 1 and len(set(colours)) == 1:
            yield Topic("colours-of", (Look(shape=shape),)), colours[0]


def _shape_at(scene: Scene) -> Answered:
    """What is in the middle, at the top?"""
    for look, thing in referents(scene, (("region",),)):
        yield Topic("shape-at", (look,)), thing.shape
    for look in _LOOKS["region"]:
        things = look.among(scene)
        if len(things) == 1:
            yield Topic("shape-at", (look,)), things[0].shape


def _neighbour(scene: Scene) -> Answered:
    """What is above the house? Asked where one thing only is to that side of it at all."""
    for look, thing in referents(scene, (("shape",),)):
        for name in _DIRECTIONS:
            others = [other for other in scene.things if lead(name, other, thing) > 0]
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


_PLAIN_FORMS = (("shape",), ("colour",), ("region",))
_COLOUR_FORMS = (("shape",), ("size", "shape"), ("size",), ("texture",), ("region",))
_SHAPE_FORMS = (("colour",), ("size",), ("texture",), ("colour", "size"))
_ASKERS: tuple[Callable[[Scene], Answered], ...] = (
    *(_exists, _is, _relation, _bigger, _same, _more, _alike, _on, _count),
    *(partial(_property, "colour", _COLOUR_FORMS), _colours_of),
    *(partial(_property, "shape", _SHAPE_FORMS), _shape_at),
    *(_neighbour, _place, _side),
    partial(_property, "texture", _PLAIN_FORMS),
    partial(_property, "size", _PLAIN_FORMS),
    *(_background, _two_colours, _empty),
)
KINDS: dict[str, int] = {kind: entry["weight"] for kind, entry in QUESTIONS.items()}
"""How often each kind is asked, roughly."""


def topics(scene: Scene) -> Answered:
    """Everything that can be asked about the scene: each topic once, with its canonical answer.

    That is "yes" or "no", a number in digits, or a word of the world ("red", "star", "striped",
    "top left", "meadow", "above").
    """
    for asker in _ASKERS:
        yield from asker(scene)
