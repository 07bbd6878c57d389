"""The same statement in different words: genres, each with its own way to put things."""

from __future__ import annotations

from collections.abc import Callable

from evals.suite_mini import lexicon
from evals.suite_mini.meaning import Mention, Statement
from evals.suite_mini.speaker import Speaker, sentence
from examples.embedded_text.everyday import HE, SHE
from examples.embedded_text.narrator import definite


def worded(statement: Statement, genre: str, speaker: Speaker) -> str:
    """The statement as one or two sentences of this genre.

    Args:
        statement: at most one link, and that between the first two mentions, which then have no
            region.
        genre: a key of `GENRES`.
        speaker: chooses the words.
    """
    return GENRES[genre](statement, speaker)


def _number(statement: Statement, speaker: Speaker) -> str:
    assert statement.total is not None
    return f"{speaker.say(lexicon.NUMBERS[statement.total])} {speaker.say(lexicon.THINGS)}"


def _linked(statement: Statement, speaker: Speaker, verb: str) -> tuple[str, list[Mention]]:
    """The clause of the link, if there is one, and the mentions that are not in it."""
    if not statement.links:
        return "", list(statement.mentions)
    first, second, *rest = statement.mentions
    relation = speaker.relation(statement.links[0].relation)
    return f"{speaker.thing(first)} {verb} {relation} {speaker.thing(second)}", rest


def _be(mention: Mention) -> str:
    return "are" if mention.count > 1 else "is"


def _placed(mentions: list[Mention], speaker: Speaker) -> str:
    return speaker.listing([speaker.placed(mention) for mention in mentions])


def _captions(statement: Statement, speaker: Speaker) -> str:
    """As in: A star is above a ring, with two moons, on the sand."""
    where = speaker.background(statement.background)
    clause, rest = _linked(statement, speaker, speaker.say(lexicon.STANDING))
    if clause:
        tail = (
            f", {speaker.say(('with', 'and also', 'plus'))} {_placed(rest, speaker)}"
            if rest
            else ""
        )
        body = clause + tail
    else:
        body = f"there {_be(rest[0])} {_placed(rest, speaker)}"
    if statement.total is not None:
        return sentence(" ".join([_number(statement, speaker), *where]) + ":", body)
    return sentence(body, *where)


def _catalogue(statement: Statement, speaker: Speaker) -> str:
    """As in: The drawing shows a star and a ring; the star is above the ring."""
    where = speaker.background(statement.background)
    number = f"{_number(statement, speaker)}, namely" if statement.total is not None else ""
    shows = speaker.say(
        ("the drawing shows", "this picture shows", "we see", "the artist has drawn")
    )
    said = [shows, *where[:1], number, _placed(list(statement.mentions), speaker)]
    if not statement.links:
        return sentence(*said)
    first, second = (definite(speaker.thing(mention)) for mention in statement.mentions[:2])
    relation = speaker.relation(statement.links[0].relation)
    return sentence(
        *said, "-", f"{first} {speaker.say(lexicon.HANGING)} {relation} {second}"
    ).replace(" - ", "; ")


def _stories(statement: Statement, speaker: Speaker) -> str:
    """As in: Anna drew a star. Above it she put a ring. The rest ..."""
    name, he = (
        (speaker.dice.pick(SHE), "she")
        if speaker.dice.chance(0.5)
        else (speaker.dice.pick(HE), "he")
    )
    where = speaker.background(statement.background)
    verb = speaker.say(("drew", "painted", "put"))
    told = []
    if statement.links:
        first, second, *rest = statement.mentions
        relation = speaker.relation(statement.links[0].relation)
        told.append(
            sentence(name, verb, speaker.thing(first), relation, speaker.thing(second), *where)
        )
    else:
        first, *rest = statement.mentions
        told.append(sentence(name, verb, speaker.placed(first), *where))
    if rest:
        told.append(sentence(f"then {he} added", _placed(rest, speaker)))
    if statement.total is not None:
        number = lexicon.NUMBERS[statement.total][0]
        things = speaker.say(lexicon.THINGS)
        told.append(sentence(f"in the end there were exactly {number} {things}"))
    return " ".join(told)


def _letters(statement: Statement, speaker: Speaker) -> str:
    """As in: Dear Tom, on the picture that you sent me I found a star ..."""
    where = speaker.background(statement.background)
    opening = speaker.say(
        ("I have bought a picture of", "you asked what my drawing shows:", "guess what I saw:")
    )
    clause, rest = _linked(statement, speaker, "")
    phrases = [" ".join(clause.split())] if clause else []
    phrases += [speaker.placed(mention) for mention in rest]
    body = [opening, speaker.listing(phrases), *where]
    text = f"Dear {speaker.dice.pick(SHE + HE)}, " + " ".join(body) + "."
    if statement.total is not None:
        text += f" That makes {lexicon.NUMBERS[statement.total][0]} {speaker.say(lexicon.THINGS)} in all."
    return text


def _notes(statement: Statement, speaker: Speaker) -> str:
    """As in: star above ring, two moons top left, beach."""
    phrases = []
    rest = list(statement.mentions)
    if statement.links:
        relation = speaker.relation(statement.links[0].relation)
        phrases.append(f"{speaker.bare_thing(rest[0])} {relation} {speaker.bare_thing(rest[1])}")
        rest = rest[2:]
    phrases += [
        speaker.bare_thing(mention) + (f" {mention.region}" if mention.region else "")
        for mention in rest
    ]
    if statement.background is not None:
        phrases.append(speaker.say(lexicon.BACKGROUND_NAMES[statement.background]))
    if statement.total is not None:
        phrases.append(
            f"{lexicon.NUMBERS[statement.total][0]} {speaker.say(lexicon.THINGS)} in all"
        )
    return ", ".join(phrases)


def _telephone(statement: Statement, speaker: Speaker) -> str:
    """As in: well, you know, there's a star, and it's above a ring."""
    where = speaker.background(statement.background)
    filler = speaker.say(("well,", "so,", "okay,", "you know,", "let me see,"))
    if statement.links:
        first, second, *rest = statement.mentions
        relation = speaker.relation(statement.links[0].relation)
        body = f"there's {speaker.thing(first)}, and it's {relation} {speaker.thing(second)}"
    else:
        first, *rest = statement.mentions
        there = "there are" if first.count > 1 else "there's"
        body = (
            f"there {'are' if first.count > 1 else 'is'} {speaker.placed(first)}"
            if speaker.dice.chance(0.3)
            else f"{there} {speaker.placed(first)}"
        )
    if where:
        body = f"it's all {where[0]}, and {body}"
    if rest:
        body += f", and then {_placed(rest, speaker)}"
    if statement.total is not None:
        body += f", so that's {lexicon.NUMBERS[statement.total][0]} {speaker.say(lexicon.THINGS)} and no more"
    return sentence(filler, body)


GENRES: dict[str, Callable[[Statement, Speaker], str]] = {
    "captions": _captions,
    "catalogue": _catalogue,
    "stories": _stories,
    "letters": _letters,
    "notes": _notes,
    "telephone": _telephone,
}
