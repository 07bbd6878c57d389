"""Paragraphs of the corpus of web pages: reviews, questions and answers, comparisons, notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.speaker import sentence
from evals.suite_mini.world import COLOURS, Scene
from examples.embedded_text import opinions
from examples.embedded_text.everyday import HE, SHE, everyday_paragraph
from examples.embedded_text.lessons import lesson_paragraph
from examples.embedded_text.narrator import (
    NUMBER_WORDS,
    OPPOSITES,
    Narrator,
    definite,
    indefinite,
)


def page_paragraph(scene: Scene, other: Scene, dice: Dice) -> str:
    """A paragraph about one or both scenes, or a lesson, or general English."""
    point = dice.below(20)
    if point < 2:
        return lesson_paragraph(dice)
    if point < 5:
        return everyday_paragraph(dice)
    if point < 9:
        return _comparison(Narrator(scene, dice), Narrator(other, dice))
    return dice.pick(_KINDS)(Narrator(scene, dice))


def _review(teller: Narrator) -> str:
    """Praise or blame throughout; the reasons, the turns and the verdict agree."""
    dice = teller.dice
    good = dice.chance(0.5)
    told = [dice.pick((_opening_praise, _plain_praise))(good, dice)]
    if teller.named:
        thing = dice.pick(teller.named)
        told.append(
            sentence(
                f"{teller.the(thing)} {teller.place(thing)} is {_adjective(good, dice)}",
                dice.pick(("", f"and {_adjective(good, dice)}", "to look at")),
            )
        )
    told.append(dice.pick((_turn, _denial, _feeling))(good, dice))
    told.append(dice.pick((_verdict, _feeling, _turn, _denial))(good, dice))
    return " ".join(told)


def _adjective(good: bool, dice: Dice) -> str:
    return dice.pick(opinions.GOOD_ADJECTIVES if good else opinions.BAD_ADJECTIVES)


def _opening_praise(good: bool, dice: Dice) -> str:
    noun = dice.pick(opinions.GOOD_NOUNS if good else opinions.BAD_NOUNS)
    return sentence(f"this {dice.pick(opinions.SINGULAR_ASPECTS[5:])} is {indefinite(noun)}")


def _plain_praise(good: bool, dice: Dice) -> str:
    return sentence(
        f"the {dice.pick(opinions.PLURAL_ASPECTS)} are {_adjective(good, dice)} and the "
        f"{dice.pick(opinions.SINGULAR_ASPECTS)} is {_adjective(good, dice)}"
    )


def _turn(good: bool, dice: Dice) -> str:
    """The clause that counts agrees with the review, the other one does not."""
    plural, singular = dice.pick(opinions.PLURAL_ASPECTS), dice.pick(opinions.SINGULAR_ASPECTS)
    minor, major = _adjective(not good, dice), _adjective(good, dice)
    return dice.pick(
        (
            sentence(f"although the {plural} are {minor}, the {singular} is {major}"),
            sentence(f"the {plural} may be {minor}, but the {singular} is {major}"),
            sentence(f"even if the {singular} is {minor}, the whole is {major}"),
        )
    )


def _denial(good: bool, dice: Dice) -> str:
    other = _adjective(not good, dice)
    plural, singular = dice.pick(opinions.PLURAL_ASPECTS), dice.pick(opinions.SINGULAR_ASPECTS)
    return dice.pick(
        (
            sentence(f"the {plural} are not {other} at all"),
            sentence(f"there is nothing {other} about the {singular}"),
            sentence(f"the {singular} is anything but {other}"),
            sentence(f"you could not call the {singular} {other}"),
        )
    )


def _feeling(good: bool, dice: Dice) -> str:
    verb = dice.pick(opinions.GOOD_FEELINGS if good else opinions.BAD_FEELINGS)
    many, one = dice.pick(opinions.GOOD_VERBS if good else opinions.BAD_VERBS)
    who = dice.pick(("i", "we", "my friends", "most visitors"))
    what = dice.pick(opinions.SINGULAR_ASPECTS)
    said = dice.pick(
        (
            f"{who} {verb} the {what}",
            f"the {what} {one} everybody who sees it",
            f"the {dice.pick(opinions.PLURAL_ASPECTS)} {many} me",
        )
    )
    return sentence(said)


def _verdict(good: bool, dice: Dice) -> str:
    if good:
        return dice.pick(
            ("Go and see it.", "I would buy it at once.", "Do not miss it.", "Five stars from me.")
        )
    return dice.pick(
        ("Save your money.", "I would not hang it anywhere.", "Do not go.", "One star is too much.")
    )


def _questions(teller: Narrator) -> str:
    """Questions about the scene, with answers."""
    asked = [
        question(teller)
        for question in teller.dice.shuffled(_QUESTIONS)[: 2 + teller.dice.below(3)]
    ]
    opening = sentence(
        teller.dice.pick(("look at", "here we see", "the picture shows")), teller.counted()
    )
    return " ".join([opening, *dict.fromkeys(asked)])


def _ask_colour(teller: Narrator) -> str:
    unique = [
        thing
        for thing in teller.named
        if sum(thing.shape == other.shape for other in teller.scene.things) == 1
    ]
    if not unique:
        return _ask_number(teller)
    thing = teller.dice.pick(unique)
    noun = teller.noun(thing.shape)
    colour = teller.speaker.say(lexicon.COLOUR_WORDS[thing.colour])
    if teller.dice.chance(0.5):
        return f"What colour is the {noun}? {sentence(teller.dice.pick(('it is ', '')) + colour)}"
    guess = teller.dice.pick(COLOURS)
    right = guess == thing.colour
    answer = f"Yes, it is {colour}." if right else f"No, it is {colour}."
    return f"Is the {noun} {guess}? {answer}"


def _ask_place(teller: Narrator) -> str:
    if not teller.named:
        return _ask_number(teller)
    thing = teller.dice.pick(teller.named)
    return f"Where is {teller.the(thing)}? {sentence('it is', teller.place(thing))}"


def _ask_relation(teller: Narrator) -> str:
    relation = teller.relation()
    if relation is None:
        return _ask_number(teller)
    first, name, second = relation
    one, two = teller.the(first), teller.the(second)
    said = teller.speaker.relation(name)
    if teller.dice.chance(0.5):
        return f"Is {one} {said} {two}? Yes, it is."
    back = teller.speaker.relation(OPPOSITES[name])
    return f"Is {one} {back} {two}? No, it is {said} it."


def _ask_number(teller: Narrator) -> str:
    things = teller.speaker.say(lexicon.THINGS)
    return f"How many {things} are there? There are {NUMBER_WORDS[len(teller.scene.things)]}."


def _ask_presence(teller: Narrator) -> str:
    if teller.dice.chance(0.5) or not teller.named:
        noun = teller.noun(teller.absent_shape())
        return f"Can you see {indefinite(noun)}? No, there is none."
    thing = teller.dice.pick(teller.named)
    return f"Can you see {indefinite(teller.noun(thing.shape))}? Yes, {teller.place(thing)}."


def _comparison(first: Narrator, second: Narrator) -> str:
    """Two pictures side by side: what they share and what only one of them has."""
    dice = first.dice
    shapes = [[thing.shape for thing in teller.scene.things] for teller in (first, second)]
    shared = sorted(set(shapes[0]) & set(shapes[1]))
    only = sorted(set(shapes[0]) - set(shapes[1]))
    told = [
        sentence(f"the first picture shows {first.counted()}"),
        sentence(f"the second one shows {second.counted()}"),
    ]
    if shared:
        told.append(sentence(f"both have {indefinite(first.noun(dice.pick(shared)))}"))
    if only:
        noun = first.noun(dice.pick(only))
        told.append(
            sentence(f"only the first has {indefinite(noun)}; there is no {noun} in the second")
        )
    gap = len(shapes[0]) - len(shapes[1])
    if gap:
        told.append(
            f"There are {'more' if gap > 0 else 'fewer'} things in the first than in the second."
        )
    else:
        told.append("They have the same number of things.")
    return " ".join([*told, *dice.pick((first, second)).facts(1)])


def _notice(teller: Narrator) -> str:
    """A thing was lost, or is for sale."""
    dice = teller.dice
    if not teller.named:
        return _questions(teller)
    thing = dice.pick(teller.named)
    where = teller.speaker.background(teller.scene.background)[0]
    price = 5 * (1 + dice.below(20))
    who = dice.pick(SHE + HE)
    plain = replace(teller.mention(thing), colour=thing.colour)
    name = teller.speaker.thing(plain)
    if dice.chance(0.5):
        return (
            f"Lost: {name}. It was last seen {where}, {teller.place(thing)}. "
            f"Whoever finds {definite(teller.speaker.thing(plain))} may keep the picture. Ask for "
            f"{who}."
        )
    return (
        f"For sale: a drawing of {name} {where}, {price} euros or best offer. "
        f"{' '.join(teller.facts(1))} Call {who} in the evening."
    )


def _letter(teller: Narrator) -> str:
    """A letter about a picture that somebody bought."""
    dice = teller.dice
    sender, receiver = dice.shuffled(SHE + HE)[:2]
    feeling = _feeling(dice.chance(0.7), dice)
    return (
        f"Dear {receiver}, yesterday I bought a picture of {teller.counted()}. {' '.join(teller.facts(3))} "
        f"{feeling} Yours, {sender}."
    )


_QUESTIONS: tuple[Callable[[Narrator], str], ...] = (
    _ask_colour,
    _ask_place,
    _ask_relation,
    _ask_number,
    _ask_presence,
)
_KINDS: tuple[Callable[[Narrator], str], ...] = (
    _review,
    _review,
    _review,
    _questions,
    _questions,
    _notice,
    _letter,
)
