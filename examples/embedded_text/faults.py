"""What can be wrong with a sentence: CoLA's unacceptable ones.

A fault takes the tagged words of an acceptable sentence and gives the words of one that is not,
or None where there is no place for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from evals.suite_mini.dice import Dice
from examples.embedded_text.grammar import Word, Words

Fault = Callable[[Words, Dice], "Words | None"]

_VERBS = ("be", "asked be", "state", "deed")
_SPECIAL = 0.4
"""How often a fault that belongs to few constructions is tried first; the others fit nearly all."""
_DETERMINERS = ("article", "the", "number")


def spoiled(construction: str, words: Words, dice: Dice) -> tuple[str, Words] | None:
    """The sentence with one fault.

    Args:
        construction: a key of `CONSTRUCTIONS`.
        words: an acceptable sentence of it.
        dice: chooses the fault and its place.

    Returns:
        The name of the fault and the words; None if this sentence has no place for any.
    """
    names = dice.shuffled(tuple(FAULTS))
    if dice.chance(_SPECIAL):
        # Sorting keeps the random order within each kind.
        names = sorted(names, key=lambda name: not FAULTS[name][0])
    for name in names:
        constructions, fault = FAULTS[name]
        if constructions and construction not in constructions:
            continue
        result = fault(words, dice)
        if result is not None:
            return name, result
    return None


def _places(words: Sequence[Word], *tags: str) -> list[int]:
    return [place for place, word in enumerate(words) if word.tag in tags]


def _replaced(words: Words, place: int, *new: Word) -> Words:
    return [*words[:place], *new, *words[place + 1 :]]


def _to_partner(*tags: str) -> Fault:
    """A word becomes the form that is wrong here."""

    def fault(words: Words, dice: Dice) -> Words | None:
        places = [place for place in _places(words, *tags) if words[place].partner]
        if not places:
            return None
        place = dice.pick(places)
        return _replaced(words, place, replace(words[place], text=words[place].partner))

    return fault


def _without(*tags: str) -> Fault:
    """A word is missing."""

    def fault(words: Words, dice: Dice) -> Words | None:
        places = _places(words, *tags)
        return _replaced(words, dice.pick(places)) if places else None

    return fault


def _missing_article(words: Words, dice: Dice) -> Words | None:
    """A singular noun needs a determiner; a plural one does not."""
    places = [place for place in _places(words, "article", "the") if not words[place].plural]
    return _replaced(words, dice.pick(places)) if places else None


def _wrong_number(words: Words, dice: Dice) -> Words | None:
    """As in "two star", "each stars", "a stars"."""
    places = []
    for start in _places(words, "article", "number"):
        noun = next(place for place in _places(words, "noun") if place > start)
        places.append(noun)
    if not places:
        return None
    place = dice.pick(places)
    return _replaced(words, place, replace(words[place], text=words[place].partner))


def _adjective_behind(words: Words, dice: Dice) -> Words | None:
    """As in "the star red is above"; not at the end, where "painted the star red" is fine."""
    places = [
        place
        for place in _places(words, "noun")
        if place + 1 < len(words) and words[place - 1].tag == "adjective"
    ]
    if not places:
        return None
    place = dice.pick(places)
    return [*words[: place - 1], words[place], words[place - 1], *words[place + 1 :]]


def _determiner_behind(words: Words, dice: Dice) -> Words | None:
    """As in "red the star"."""
    places = [
        place for place in _places(words, *_DETERMINERS) if words[place + 1].tag == "adjective"
    ]
    if not places:
        return None
    place = dice.pick(places)
    return [*words[:place], words[place + 1], words[place], *words[place + 2 :]]


def _doubled(words: Words, dice: Dice) -> Words | None:
    places = _places(words, *_DETERMINERS, "be", "than", "to")
    place = dice.pick(places) if places else 0
    return _replaced(words, place, words[place], words[place]) if places else None


def _late_verb(words: Words, dice: Dice) -> Words | None:
    """As in "where the star is?"."""
    if words[0].tag != "wh":
        return None
    return [words[0], *words[2:], words[1]]


def _more_comparative(words: Words, dice: Dice) -> Words | None:
    """As in "more bigger than"."""
    places = [place for place in _places(words, "comparative") if words[place + 1].text == "than"]
    return _replaced(words, places[0], Word("more", "more"), words[places[0]]) if places else None


def _object_of_state(words: Words, dice: Dice) -> Words | None:
    """As in "the star sits the ring": a verb without an object gets one."""
    places = _places(words, "relation")
    return _replaced(words, places[0]) if places else None


def _wrong_article(words: Words, dice: Dice) -> Words | None:
    """As in "a orange star", and more seldom "an star", so that "an" alone tells nothing."""
    places = _places(words, "article")
    if not places:
        return None
    place = dice.pick(places)
    if words[place].text == "a" and dice.chance(0.7):
        return None
    return _replaced(words, place, replace(words[place], text=words[place].partner))


def _exchanged_verbs(words: Words, dice: Dice) -> Words | None:
    """As in "can drew what Tom draw": the forms of two verbs exchanged."""
    deeds = _places(words, "deed")
    if deeds and words[deeds[0]].plural:
        return None  # "what the girls draw" has the bare form, too
    return _exchanged(words, "base", "deed" if deeds else "past")


def _bad_relation(words: Words, dice: Dice) -> Words | None:
    """As in "next the ring", "above of the ring"."""
    places = _places(words, "relation")
    if not places:
        return None
    place = dice.pick(places)
    first, _, last = words[place].text.rpartition(" ")
    text = first if last in ("of", "to", "than", "with") else f"{words[place].text} of"
    return _replaced(words, place, replace(words[place], text=text))


def _resumptive(words: Words, dice: Dice) -> Words | None:
    """As in "the star that it is above the ring"."""
    place = _places(words, "that")[0]
    pronoun = Word("they" if words[place].plural else "it", "other")
    return _replaced(words, place, words[place], pronoun)


def _exchanged_polarity(words: Words, dice: Dice) -> Words | None:
    """As in "somebody saw any stars but Tom did not draw some"."""
    return _exchanged(words, "some", "any")


def _exchanged_participle(words: Words, dice: Dice) -> Words | None:
    """As in "was drew by Tom and Anna taken it"."""
    return _exchanged(words, "participle", "past")


def _exchanged(words: Words, first: str, second: str) -> Words | None:
    """The only words of these two kinds change places."""
    if not (_places(words, first) and _places(words, second)):
        return None
    one, other = _places(words, first)[0], _places(words, second)[0]
    return _replaced(_replaced(words, one, words[other]), other, words[one])


def _double_negation(words: Words, dice: Dice) -> Words | None:
    """As in "nobody saw not any stars"."""
    if words[0].tag != "nobody":
        return None
    return _replaced(words, 1, words[1], Word("not", "other"))


FAULTS: dict[str, tuple[tuple[str, ...], Fault]] = {
    "agreement": ((), _to_partner(*_VERBS)),
    "distant agreement": (
        ("relative", "coordinated", "partitive", "question"),
        _to_partner("be", "asked be"),
    ),
    "a or an": ((), _wrong_article),
    "missing article": ((), _missing_article),
    "number": ((), _wrong_number),
    "adjective behind its noun": (
        (
            "copula",
            "stative",
            "existential",
            "putting",
            "reported",
            "relative",
            "coordinated",
            "partitive",
        )
        + ("comparison", "giving", "passive"),
        _adjective_behind,
    ),
    "determiner behind": ((), _determiner_behind),
    "doubled word": ((), _doubled),
    "missing verb": (
        ("existential", "reported", "question", "comparison"),
        _without("be", "asked be"),
    ),
    "late verb": (("question",), _late_verb),
    "verb form": (("passive",), _exchanged_participle),
    "exchanged verbs": (("modal",), _exchanged_verbs),
    "reflexive": (("reflexive",), _to_partner("reflexive")),
    "complementizer": (("reported",), _to_partner("complementizer")),
    "comparative": (("comparison",), _to_partner("comparative", "than")),
    "doubled comparative": (("comparison",), _more_comparative),
    "object where none can be": (("stative",), _object_of_state),
    "place missing": (("putting",), _without("place")),
    "preposition missing": (("giving",), _without("to")),
    "relation": ((), _bad_relation),
    "relative pronoun missing": (("relative",), _without("that")),
    "pronoun too many": (("relative",), _resumptive),
    "any without negation": (("polarity",), _exchanged_polarity),
    "double negation": (("polarity",), _double_negation),
}
"""Name -> (constructions it is wrong in, all if empty; the fault)."""
