"""An independent reader of the suite's questions: English in, answer out, by its own rules.

It shares nothing with the generator but the lexicon's words: patterns of sentences, the taking
apart of noun phrases and the geometry are written anew.
"""

import re
from collections.abc import Callable

from evals.suite_mini import lexicon
from evals.suite_mini.world import Scene, Thing

ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "middle", "right")
GROUND = {
    "paper": "paper",
    "night": "night sky",
    "sea": "sea",
    "meadow": "grass",
    "sand": "sand",
    "bricks": "bricks",
    "planks": "wood",
    "tiles": "tiles",
}


def _vocabulary() -> list[tuple[str, str, str]]:
    """(phrase, property, value), the longest first."""
    found = [
        (noun, "shape", shape)
        for shape, nouns in lexicon.NOUNS.items()
        for both in nouns
        for noun in both
    ]
    for name, words in (("colour", lexicon.COLOUR_WORDS), ("size", lexicon.SIZE_WORDS)):
        found += [(word, name, value) for value, own in words.items() for word in own]
    for value, (before, after) in lexicon.TEXTURE_WORDS.items():
        found += [(word, "texture", value) for word in (*before, *after)]
    found += [(word, "place", place) for place, own in lexicon.PLACE_WORDS.items() for word in own]
    found += [(word, "noun", "") for word in "thing things object objects figure figures".split()]
    return sorted(set(found), key=lambda entry: -len(entry[0]))


VOCABULARY = _vocabulary()
RELATIONS = {word: name for name, words in lexicon.RELATION_WORDS.items() for word in words}
REL = "|".join(sorted(RELATIONS, key=len, reverse=True))
GROUNDS = {word: name for name, words in lexicon.BACKGROUND_PHRASES.items() for word in words}


def understand(phrase: str) -> dict[str, str]:
    """The properties that a phrase names; every word of it must be known."""
    known, rest = _taken_apart(phrase)
    assert not rest, f"{phrase!r}: {rest!r} is not understood"
    known.pop("noun", None)
    return known


def _taken_apart(phrase: str) -> tuple[dict[str, str], str]:
    """The properties, "noun" for a mere thing, and the words that are not understood."""
    rest = re.sub(r"^(the|a|an) ", "", phrase)
    known: dict[str, str] = {}
    for words, name, value in VOCABULARY:
        pattern = rf"(?<![\w-]){re.escape(words)}(?![\w-])"
        if name not in known and re.search(pattern, rest):
            rest = re.sub(pattern, "", rest, count=1)
            known[name] = value
    return known, rest.strip()


def stands(thing: Thing, place: str) -> bool:
    row, column = ROWS[thing.cell // 3], COLUMNS[thing.cell % 3]
    if place in ("top", "bottom"):
        return row == place
    if place in ("left", "right"):
        return column == place
    return place == where(thing)


def where(thing: Thing) -> str:
    row, column = ROWS[thing.cell // 3], COLUMNS[thing.cell % 3]
    return "middle" if row == column == "middle" else f"{row} {column}"


def matching(phrase: str, scene: Scene) -> list[Thing]:
    wanted = understand(phrase)
    return [
        thing
        for thing in scene.things
        if all(
            stands(thing, value) if name == "place" else getattr(thing, name) == value
            for name, value in wanted.items()
        )
    ]


def the(phrase: str, scene: Scene) -> Thing:
    """What "the ..." points out: there must be exactly one."""
    (thing,) = matching(phrase, scene)
    return thing


def direction(first: Thing, second: Thing) -> set[str]:
    """Where the first stands as seen from the second; both words on a diagonal."""
    x = first.cell % 3 - second.cell % 3
    y = first.cell // 3 - second.cell // 3
    found = set()
    if abs(x) >= abs(y):
        found.add("left" if x < 0 else "right")
    if abs(y) >= abs(x):
        found.add("above" if y < 0 else "below")
    return found


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _same(field: str, scene: Scene, first: str, second: str) -> str:
    return _yes(getattr(the(first, scene), field) == getattr(the(second, scene), field))


def _one_of(field: str, phrase: str, scene: Scene) -> str:
    (value,) = {getattr(thing, field) for thing in matching(phrase, scene)}
    return str(value)


def _larger(scene: Scene, first: str, second: str) -> Thing:
    things = [the(first, scene), the(second, scene)]
    (large,) = [thing for thing in things if thing.size == "large"]
    return large


def _free(line: str, scene: Scene) -> str:
    taken = {stand.cell // 3 if line == "row" else stand.cell % 3 for stand in scene.things}
    (free,) = {0, 1, 2} - taken
    return (ROWS if line == "row" else COLUMNS)[free]


def _neighbour(scene: Scene, relation: str, phrase: str) -> str:
    centre = the(phrase, scene)
    name = RELATIONS[relation]
    (found,) = [o for o in scene.things if o != centre and name in direction(o, centre)]
    return found.shape


def _predicate(scene: Scene, phrase: str) -> str:
    """The phrase and the value stand side by side: "the star at the top", "the star is red"."""
    (subject, value) = next(
        (phrase[: match.start()], phrase[match.end() :])
        for match in re.finditer(r" is | ", phrase)
        if _is_subject(phrase[: match.start()]) and _is_value(phrase[match.end() :])
    )
    ((name, wanted),) = understand(value).items()
    thing = the(subject, scene)
    return _yes(stands(thing, wanted) if name == "place" else getattr(thing, name) == wanted)


def _is_subject(phrase: str) -> bool:
    known, rest = _taken_apart(phrase)
    return not rest and ("shape" in known or "noun" in known)


def _is_value(phrase: str) -> bool:
    known, rest = _taken_apart(phrase)
    return not rest and len(known) == 1 and not {"shape", "noun"} & set(known)


def _ends(first: str, scene: Scene, names: tuple[str, str]) -> str:
    (found,) = [name for name in names if stands(the(first, scene), name)]
    return found


def _between(first: str, second: str, scene: Scene, names: set[str]) -> str:
    (found,) = direction(the(first, scene), the(second, scene)) & names
    return found


def _number(phrase: str, scene: Scene) -> int:
    return len(matching(phrase, scene))


SIDES, HEIGHTS = {"left", "right"}, {"above", "below"}
RULES: list[tuple[str, Callable[..., str]]] = [
    (
        r"(?:How many|What number of) (.+?) (?:are there|are in the picture|(?:can|do) you see|are shown)",
        lambda s, a: str(_number(a, s)),
    ),
    (
        r"(?:What|Which) color (?:is|are|does) (the .+?)(?: have)?",
        lambda s, a: _one_of("colour", a, s),
    ),
    (r"What is the color of (the .+)", lambda s, a: _one_of("colour", a, s)),
    (
        r"(?:Is|Are) there (?:more|any more) (.+) than (.+)",
        lambda s, a, b: _yes(_number(a, s) > _number(b, s)),
    ),
    (r"Do you see more (.+) than (.+)", lambda s, a, b: _yes(_number(a, s) > _number(b, s))),
    (r"Are there fewer (.+) than (.+)", lambda s, a, b: _yes(_number(a, s) < _number(b, s))),
    (
        r"(?:Are there two things of the same shape|Do any of the objects have the same shape|"
        r"Does a shape appear more than once)",
        lambda s: _yes(len({thing.shape for thing in s.things}) < len(s.things)),
    ),
    (
        r"(?:Is there|Can you see|Do you see|Does the picture show) (an? .+?)(?: in the picture| here)?",
        lambda s, a: _yes(_number(a, s) > 0),
    ),
    (r"Are there any (.+)", lambda s, a: _yes(_number(a, s) > 0)),
    (r"Is (the .+) left or right of (the .+)", lambda s, a, b: _between(a, b, s, SIDES)),
    (
        r"On which side of (the .+) is (the .+), left or right",
        lambda s, b, a: _between(a, b, s, SIDES),
    ),
    (
        r"Is (the .+) (?:above or below|below or above) (the .+)",
        lambda s, a, b: _between(a, b, s, HEIGHTS),
    ),
    (r"Is (the .+) on the left or on the right", lambda s, a: _ends(a, s, ("left", "right"))),
    (
        r"(?:Which|What) side (?:of the picture )?is (the .+) on, left or right",
        lambda s, a: _ends(a, s, ("left", "right")),
    ),
    (
        r"Is (the .+) (?:at the top or at the bottom|at the bottom or at the top)",
        lambda s, a: _ends(a, s, ("top", "bottom")),
    ),
    (r"Which end is (the .+) at, top or bottom", lambda s, a: _ends(a, s, ("top", "bottom"))),
    (
        r"Is (the .+) (?:bigger|larger) than (the .+)",
        lambda s, a, b: _yes(_larger(s, a, b) == the(a, s)),
    ),
    (r"Is (the .+) smaller than (the .+)", lambda s, a, b: _yes(_larger(s, a, b) == the(b, s))),
    (
        r"(?:Which|What)(?: one)? is (?:bigger|larger), (the .+) or (the .+)",
        lambda s, a, b: _larger(s, a, b).shape,
    ),
    (
        r"(?:Are|Do|Is) (the .+?)(?: and|) (the .+?) (?:have )?the same color",
        lambda s, a, b: _same("colour", s, a, b),
    ),
    (r"Is (the .+) the same color as (the .+)", lambda s, a, b: _same("colour", s, a, b)),
    (r"Are (the .+) and (the .+) the same size", lambda s, a, b: _same("size", s, a, b)),
    (
        r"Is (the .+?) (?:as big as|the same size as) (the .+)",
        lambda s, a, b: _same("size", s, a, b),
    ),
    (
        rf"(?:Is|Can you find|Does) (the .+?)(?: stand)? ({REL}) (the .+)",
        lambda s, a, r, b: _yes(RELATIONS[r] in direction(the(a, s), the(b, s))),
    ),
    (
        rf"(?:Are the things|Are the objects|Is this|Is this picture) ({'|'.join(GROUNDS)})",
        lambda s, g: _yes(GROUNDS[g] == s.background),
    ),
    (r"Is (the .+) plain, striped or dotted", lambda s, a: the(a, s).texture),
    (r"What pattern does (the .+) have", lambda s, a: the(a, s).texture),
    (r"What (?:kind of pattern is on|is the pattern of) (the .+)", lambda s, a: the(a, s).texture),
    (r"(?:What size|How big) is (the .+)", lambda s, a: the(a, s).size),
    (r"Is (the .+) small or large", lambda s, a: the(a, s).size),
    (r"Where is (the .+?)(?: in the picture)?", lambda s, a: where(the(a, s))),
    (
        r"(?:Where can you find|In which part of the picture is) (the .+)",
        lambda s, a: where(the(a, s)),
    ),
    (
        r"(?:What is in the background|What is the background|What is behind the things|"
        r"What are the things on|What kind of background is this)",
        lambda s: GROUND[s.background],
    ),
    (
        r"(?:Which two colors do the things have|What two colors are the objects|"
        r"What are the colors of the things|What colors are the figures)",
        lambda s: " and ".join(
            c for c in lexicon.COLOUR_WORDS if c in {t.colour for t in s.things}
        ),
    ),
    (r"(?:Which|What) (row|column) (?:is empty|has nothing in it), .+", lambda s, a: _free(a, s)),
    (rf"What (?:is|shape is|stands) ({REL}) (the .+)", lambda s, r, a: _neighbour(s, r, a)),
    (r"What (?:is|shape is|kind of shape is) (the .+)", lambda s, a: the(a, s).shape),
    (r"What does (the .+) look like", lambda s, a: the(a, s).shape),
    (r"What (?:is|can be seen|shape is|do you see) (.+)", lambda s, a: _one_of("shape", a, s)),
    (r"(?:Is|Would you say|Is it true that) (the .+)", lambda s, a: _predicate(s, a)),
]


def answer(question: str, scene: Scene) -> str:
    """What the question asks, answered from the scene; an error if it cannot be answered."""
    assert question.endswith("?")
    for pattern, rule in RULES:
        match = re.fullmatch(pattern, question[:-1])
        if match:
            return rule(scene, *match.groups())
    raise AssertionError(f"no rule for {question!r}")
