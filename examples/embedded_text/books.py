"""Paragraphs of the corpus of books and encyclopedia articles: descriptions, stories, lessons."""

from __future__ import annotations

from collections.abc import Callable

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.speaker import sentence
from evals.suite_mini.world import Scene
from examples.embedded_text.everyday import HE, SHE, everyday_paragraph
from examples.embedded_text.lessons import lesson_paragraph
from examples.embedded_text.narrator import OPPOSITES, Narrator, indefinite

_REASONS = (
    "it felt lonely there",
    "the view is better there",
    "it wanted to see the others",
    "it was tired of the same old place",
    "a friend had asked it to",
)
_ENDINGS = (
    "And there it has stayed ever since.",
    "Everybody was content.",
    "That was the end of the story.",
    "Nobody ever found out why.",
    "The next day everything was as before.",
    "They all laughed and went home.",
)


def book_paragraph(scene: Scene, dice: Dice) -> str:
    """A paragraph about a scene, or a lesson, or general English."""
    point = dice.below(20)
    if point < 3:
        return lesson_paragraph(dice)
    if point < 5:
        return everyday_paragraph(dice)
    return dice.pick(_KINDS)(Narrator(scene, dice))


def _description(teller: Narrator) -> str:
    """What there is, and then a few facts."""
    dice = teller.dice
    opening = dice.pick(("this picture shows", "in this drawing there are", "here we see"))
    return " ".join(
        [
            sentence(opening, f"{teller.counted()}: {teller.everything()}"),
            *teller.facts(2 + dice.below(3)),
        ]
    )


def _drawing_lesson(teller: Narrator) -> str:
    """Somebody draws the scene, thing by thing."""
    dice = teller.dice
    if len(teller.named) < 2:
        return _description(teller)
    name, he, his = _somebody(dice)
    first, *others = teller.named
    background = teller.speaker.say(lexicon.BACKGROUND_PHRASES[teller.scene.background])
    told = [
        dice.pick(
            (
                f"{name} wanted to draw something {background}.",
                f"One day {name} painted a picture.",
                f"{name} took {his} pencils and began to draw.",
            )
        ),
        sentence(f"first {he} drew {teller.introduced(first)} {teller.place(first)}"),
    ]
    for thing in others:
        then = dice.pick(("then", "next", "after that", "a little later"))
        told.append(sentence(f"{then} {he} added {teller.introduced(thing)} {teller.place(thing)}"))
    relation = teller.relation()
    if relation is not None:
        subject, link, other = relation
        said = f"{teller.the(subject)} was {teller.speaker.relation(link)} {teller.the(other)}"
        told.append(sentence(f"when {he} had finished, {said}"))
    return " ".join(told)


def _journey(teller: Narrator) -> str:
    """A thing goes to another place, so that the relation is turned round."""
    dice = teller.dice
    relation = teller.relation()
    if relation is None:
        return _drawing_lesson(teller)
    subject, link, other = relation
    hero, friend = teller.the(subject), teller.the(other)
    there = teller.speaker.background(teller.scene.background)[0]
    said, back = (teller.speaker.relation(name) for name in (link, OPPOSITES[link]))
    again = teller.speaker.relation(link)
    return " ".join(
        [
            f"Once upon a time there was {teller.introduced(subject)} {there}.",
            sentence(f"it lived {said} {friend}"),
            dice.pick(
                (
                    sentence(f"but it wanted to be {back} {friend}, because {dice.pick(_REASONS)}"),
                    sentence(f"one morning {hero} had enough of that"),
                    sentence(f"it thought that it would be happier {back} {friend}"),
                )
            ),
            sentence(f"so {hero} moved, and now it was {back} {friend}, no longer {again} it"),
            dice.pick(_ENDINGS),
        ]
    )


def _search(teller: Narrator) -> str:
    """Somebody looks for a thing and finds it, or does not."""
    dice = teller.dice
    if not teller.named:
        return _description(teller)
    name, he, _ = _somebody(dice)
    helper = dice.pick([other for other in SHE + HE if other != name])
    where = teller.speaker.background(teller.scene.background)[0]
    absent = teller.noun(teller.absent_shape())
    thing = dice.pick(teller.named)
    found = teller.the(thing)
    told = [sentence(f"{name} was looking for {indefinite(absent)} {where}")]
    for other in dice.shuffled(teller.named)[:2]:
        told.append(sentence(f"{he} saw {teller.introduced(other)} {teller.place(other)}"))
    told.append(sentence(f"but there was no {absent}, wherever {he} looked"))
    told.append(f'"Will {found} do as well?" asked {helper}.')
    told.append(
        dice.pick(
            (
                f'"It must," said {name} and took it home.',
                f'"No, thank you," said {name}.',
                f"{name} did not answer.",
                f'"Yes," said {name}, "if you can tell me where it is." '
                f'"It is {teller.place(thing)}," said {helper}.',
            )
        )
    )
    return " ".join(told)


def _article(teller: Narrator) -> str:
    """An entry on one thing of the scene, as in a catalogue of an exhibition."""
    dice = teller.dice
    if not teller.named:
        return _description(teller)
    thing = dice.pick(teller.named)
    noun = teller.noun(thing.shape)
    year = 1900 + dice.below(120)
    painter = dice.pick(SHE + HE)
    title = f"{indefinite(noun)} {teller.speaker.background(teller.scene.background)[0]}"
    return " ".join(
        [
            f'"{title[0].upper()}{title[1:]}" is a picture by {painter} from the year {year}.',
            sentence(f"its subject is {teller.introduced(thing)} {teller.place(thing)}"),
            *teller.facts(2 + dice.below(2)),
        ]
    )


def _somebody(dice: Dice) -> tuple[str, str, str]:
    """A name, and the words "she" and "her" or "he" and "his"."""
    if dice.chance(0.5):
        return dice.pick(SHE), "she", "her"
    return dice.pick(HE), "he", "his"


_KINDS: tuple[Callable[[Narrator], str], ...] = (
    _description,
    _description,
    _drawing_lesson,
    _journey,
    _search,
    _article,
)
