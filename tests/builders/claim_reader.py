"""An independent judge of the suite's hypotheses: English and a scene in, a label out.

Sentences are taken apart by patterns of its own; phrases and geometry are those of
`question_reader`. A clause that speaks of nothing visible counts as unknown, and the clauses are
put together by three-valued logic.
"""

import re
from collections.abc import Callable

from builders.question_reader import (
    COLUMNS,
    GROUNDS,
    REL,
    RELATIONS,
    ROWS,
    direction,
    matching,
    stands,
    the,
    understand,
)
from evals.suite_mini.world import Scene, Thing

UNSEEN = re.compile(
    r"made|drew|drawn|belongs|favourite|added|wanted|one more thing here|wiped|looked different|"
    r"written|sold|music|dreamed|watching|counted|prize|hoped|painted|took an hour|present for|"
    r"fall down|loved|moved|gone|meant for|was bigger|another color|"
    r"as (?:yesterday|last week|always|planned|promised|every day|in the other picture)$|"
    r"or (?:tomorrow|later|last week|yesterday|elsewhere|on the back)$",
    re.IGNORECASE,
)
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4}


def _at(phrase: str, scene: Scene) -> list[Thing]:
    """The things that a phrase with "a" or a place may mean."""
    return matching(phrase, scene)


def _value(subject: str, value: str, scene: Scene) -> bool:
    ((name, wanted),) = understand(value).items()
    things = matching(subject, scene)
    assert things
    return all(
        stands(thing, wanted) if name == "place" else getattr(thing, name) == wanted
        for thing in things
    )


def _related(scene: Scene, subject: str, relation: str, other: str) -> bool:
    centre = the(other, scene)
    found = matching(subject, scene)
    if subject.startswith("the "):
        assert len(found) == 1
    return any(RELATIONS[relation] in direction(thing, centre) for thing in found)


def _bigger(scene: Scene, first: str, second: str) -> bool:
    sizes = [the(phrase, scene).size for phrase in (first, second)]
    assert set(sizes) == {"large", "small"}
    return sizes[0] == "large"


def _equal(field: str, scene: Scene, first: str, second: str) -> bool:
    return bool(getattr(the(first, scene), field) == getattr(the(second, scene), field))


def _empty(scene: Scene, name: str, line: str) -> bool:
    names = ROWS if line == "row" else COLUMNS
    wanted = names.index(name)
    used = {thing.cell // 3 if line == "row" else thing.cell % 3 for thing in scene.things}
    return wanted not in used


def _different_shapes(scene: Scene) -> bool:
    return len({thing.shape for thing in scene.things}) == len(scene.things)


RULES: list[tuple[str, Callable[..., bool] | None]] = [
    (
        r"there are (no|not) more (.+) than (.+)",
        lambda s, n, a, b: len(_at(a, s)) <= len(_at(b, s)),
    ),
    (
        r"(?:there are|you can see) more (.+) than (.+)",
        lambda s, a, b: len(_at(a, s)) > len(_at(b, s)),
    ),
    (
        r"(?:there (?:is|are)|you can see) exactly (one|two|three|four) (.+)",
        lambda s, n, a: len(_at(a, s)) == NUMBERS[n],
    ),
    (
        r"(?:two of the things have the same shape|a shape appears more than once)",
        lambda s: not _different_shapes(s),
    ),
    (r"(?:all the things have different shapes|no shape appears twice)", _different_shapes),
    (
        rf"(?:the things are|everything is|this is) ({'|'.join(GROUNDS)})",
        lambda s, g: GROUNDS[g] == s.background,
    ),
    (
        rf"(?:the things are|this is) not ({'|'.join(GROUNDS)})",
        lambda s, g: GROUNDS[g] != s.background,
    ),
    (r"the (top|middle|bottom|left|right) (row|column) is empty", _empty),
    (r"nothing stands in the (top|middle|bottom|left|right) (row|column)", _empty),
    (r"(the .+) and (the .+) have the same color", lambda s, a, b: _equal("colour", s, a, b)),
    (r"(the .+) is the same color as (the .+)", lambda s, a, b: _equal("colour", s, a, b)),
    (r"(the .+) and (the .+) have different colors", lambda s, a, b: not _equal("colour", s, a, b)),
    (r"(the .+) is not the same color as (the .+)", lambda s, a, b: not _equal("colour", s, a, b)),
    (r"(the .+) and (the .+) have the same size", lambda s, a, b: _equal("size", s, a, b)),
    (r"(the .+) is as big as (the .+)", lambda s, a, b: _equal("size", s, a, b)),
    (r"(the .+) and (the .+) have different sizes", lambda s, a, b: not _equal("size", s, a, b)),
    (r"(the .+) is not the same size as (the .+)", lambda s, a, b: not _equal("size", s, a, b)),
    (r"(the .+) is (?:bigger|larger) than (the .+)", _bigger),
    (r"(the .+) is smaller than (the .+)", lambda s, a, b: _bigger(s, b, a)),
    (r"(the .+) is not bigger than (the .+)", lambda s, a, b: not _bigger(s, a, b)),
    (r"(the .+) is not smaller than (the .+)", lambda s, a, b: not _bigger(s, b, a)),
    (
        rf"(the .+?) (?:is not|does not stand) ({REL}) (the .+)",
        lambda s, a, r, b: not _related(s, a, r, b),
    ),
    (rf"(the .+?) (?:is|stands|can be seen) ({REL}) (the .+)", _related),
    (rf"there is (an? .+?) ({REL}) (the .+)", _related),
    (rf"(an? .+?) stands ({REL}) (the .+)", _related),
    (r"there are no (.+)|no (.+) can be seen|there is no (.+)|the picture shows no (.+)", None),
    (r"(the .+) has the shape of (.+)", lambda s, a, b: _value(a, b, s)),
    (r"(?:all )?(the .+) are (.+)", lambda s, a, b: _value(a, b, s)),
    (r"(the .+) is not (.+)", lambda s, a, b: not _value(a, b, s)),
    (r"(the .+?) (?:is|stands) (.+)", lambda s, a, b: _value(a, b, s)),
    (r"you can see (the .+)", None),
    (r"(?:there is|the picture shows|you can see) (an? .+)", lambda s, a: bool(_at(a, s))),
    (r"(an? .+?) (?:can be seen|is in the picture)", lambda s, a: bool(_at(a, s))),
    (r"(an? .+?) is (.+)", lambda s, a, p: bool(_at(f"{a} {p}", s))),
]


def _none(scene: Scene, phrase: str) -> bool:
    return not _at(phrase, scene)


def _seen_at(scene: Scene, phrase: str) -> bool:
    """You can see the star at the top: the star is one and only, and stands there."""
    for cut in (match.start() for match in re.finditer(" ", phrase)):
        try:
            return _value(phrase[:cut], phrase[cut + 1 :], scene)
        except (AssertionError, ValueError):
            continue
    raise AssertionError(phrase)


def truth(clause: str, scene: Scene) -> bool | None:
    """Whether the clause is true of the scene; None if no picture can tell."""
    clause = clause[0].lower() + clause[1:]
    if UNSEEN.search(clause):
        return None
    for pattern, rule in RULES:
        match = re.fullmatch(pattern, clause)
        if match is None:
            continue
        groups = [group for group in match.groups() if group is not None]
        if rule is not None:
            return bool(rule(scene, *groups))
        return (_seen_at if clause.startswith("you can") else _none)(scene, *groups)
    raise AssertionError(f"no rule for {clause!r}")


def _conjunction(values: list[bool | None]) -> bool | None:
    if False in values:
        return False
    return None if None in values else True


def _disjunction(values: list[bool | None]) -> bool | None:
    if True in values:
        return True
    return None if None in values else False


def _clauses(sentence: str) -> tuple[str, list[str]]:
    """How the clauses are joined, and the clauses."""
    shapes = (
        ("or", r"(.+), (?:either )?((?:now|today|here|on this side) or .+)"),
        ("and", r"(.+), ((?:just |exactly )?as .+)"),
        ("and", r"it is true that (.+) and that (.+)"),
        ("or", r"it is true that (.+) or that (.+)"),
        ("or", r"either (.+) or (.+)"),
        ("or", r"(.+), or else (.+)"),
        ("or", r"(.+), or (.+)"),
        ("and", r"(.+), (?:and|but|while) (.+)"),
    )
    for joint, pattern in shapes:
        match = re.fullmatch(pattern, sentence, re.IGNORECASE)
        if match:
            return joint, list(match.groups())
    relative = re.fullmatch(r"(the [^,]+), which ([^,]+), ?(.+)", sentence, re.IGNORECASE)
    if relative:
        subject, unseen, rest = relative.groups()
        return "and", [f"{subject} {rest}", f"it {unseen}"]
    return "and", [sentence]


def label(hypothesis: str, scene: Scene) -> str:
    """What the scene says of the hypothesis."""
    assert hypothesis.endswith(".") and hypothesis[0].isupper()
    joint, clauses = _clauses(hypothesis[:-1])
    values = [truth(clause, scene) for clause in clauses]
    found = (_conjunction if joint == "and" else _disjunction)(values)
    return {True: "entailment", False: "contradiction", None: "neutral"}[found]
