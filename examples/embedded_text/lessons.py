"""What follows from what, and what the words of the mini world mean."""

from __future__ import annotations

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.speaker import sentence
from evals.suite_mini.world import BACKGROUNDS, COLOURS, SHAPES
from examples.embedded_text.everyday import HE, SHE
from examples.embedded_text.narrator import NUMBER_WORDS, OPPOSITES, indefinite

_TRAITS = {
    "circle": ("is round", "has no corners", "can roll"),
    "square": ("has four sides", "has four corners", "has equal sides"),
    "triangle": ("has three sides", "has three corners", "has a pointed top"),
    "star": ("has five points", "shines at night", "has many corners"),
    "heart": ("stands for love", "has two round halves", "ends in a point below"),
    "cross": ("has four arms", "is made of two bars", "looks like the sign for adding"),
    "ring": ("has a hole in the middle", "is round and hollow", "has no corners"),
    "moon": ("shines at night", "has two thin ends", "looks like a slice of melon"),
    "flower": ("has petals", "grows in a meadow", "smells sweet"),
    "house": ("has a roof", "has a door", "is where people live"),
    "fish": ("lives in the water", "has a tail", "can swim"),
    "tree": ("has a trunk", "has leaves", "grows for many years"),
}
_HOMES = {
    "paper": "people write on it",
    "night": "it is dark and full of stars",
    "sea": "it is full of waves",
    "meadow": "it is green and grows",
    "sand": "it is yellow and dry",
    "bricks": "it is built of many stones",
    "planks": "it is made of boards",
    "tiles": "it is cool and easy to clean",
}


def lesson_paragraph(dice: Dice) -> str:
    """Three to five sentences about meaning and reasoning."""
    lessons = [dice.pick(_LESSONS) for _ in range(3 + dice.below(3))]
    return " ".join(lesson(dice) for lesson in lessons)


def _two_nouns(dice: Dice) -> tuple[str, str]:
    first, second = dice.shuffled(SHAPES)[:2]
    return _noun(first, dice), _noun(second, dice)


def _noun(shape: str, dice: Dice) -> str:
    return dice.pick(lexicon.NOUNS[shape])[0]


def _opposite(dice: Dice) -> str:
    """A relation and the other way round."""
    first, second = _two_nouns(dice)
    name = dice.pick(tuple(OPPOSITES))
    said = dice.pick(lexicon.RELATION_WORDS[name])
    back = dice.pick(lexicon.RELATION_WORDS[OPPOSITES[name]])
    return dice.pick(
        (
            f"If the {first} is {said} the {second}, then the {second} is {back} the {first}.",
            f"The {first} is {said} the {second}. Therefore the {second} is {back} the {first}.",
            f"When the {second} is {back} the {first}, the {first} is not {back} the {second}.",
            f"The {first} cannot be {said} the {second} and {back} it at the same time.",
        )
    )


def _chain(dice: Dice) -> str:
    """A relation that carries over."""
    first, second, third = (_noun(shape, dice) for shape in dice.shuffled(SHAPES)[:3])
    said = dice.pick(lexicon.RELATION_WORDS[dice.pick(tuple(OPPOSITES))])
    return (
        f"If the {first} is {said} the {second}, and the {second} is {said} the {third}, "
        f"the {first} is {said} the {third}, too."
    )


def _corner(dice: Dice) -> str:
    """Places against relations."""
    first, second = _two_nouns(dice)
    return dice.pick(
        (
            f"The {first} is at the top and the {second} is at the bottom, so the {first} is "
            f"higher than the {second}.",
            f"The {first} is on the left and the {second} is on the right; hence the {second} is "
            f"to the right of the {first}.",
            f"A {first} in the top left corner is both at the top and on the left."
            if first[0] not in "aeiou"
            else f"Whatever is in the top left corner, such as an {first}, is at the top.",
            f"What is in the lower right corner cannot be at the top, so the {first} is not there.",
            f"What is in the middle, like this {second}, is in no corner.",
        )
    )


def _synonym(dice: Dice) -> str:
    """Two words for one thing."""
    if dice.chance(0.5):
        shape = dice.pick(SHAPES)
        first, second = dice.shuffled([singular for singular, _ in lexicon.NOUNS[shape]])[:2]
        forms = (
            f"Another word for {indefinite(first)} is {second}.",
            f"What one person calls {indefinite(first)}, another calls {indefinite(second)}.",
            f"{indefinite(first).capitalize()} and {indefinite(second)} are the same thing.",
        )
        return dice.pick(forms)
    words: lexicon.Words = dice.pick([*lexicon.COLOUR_WORDS.values(), *lexicon.SIZE_WORDS.values()])
    first, second = dice.shuffled(words)[:2]
    return dice.pick(
        (
            f"What is {first} is also {second}.",
            f"Some people say {first}, others say {second}.",
            f"{first.capitalize()} and {second} mean nearly the same.",
        )
    )


def _place_synonym(dice: Dice) -> str:
    words = dice.pick([*lexicon.PLACE_WORDS.values(), *lexicon.BACKGROUND_PHRASES.values()])
    first, second = dice.shuffled(words)[:2]
    return f"If something is {first}, it is {second}."


def _kind(dice: Dice) -> str:
    """More exact words imply less exact ones, and not the other way round."""
    colour, shape = dice.pick(COLOURS), dice.pick(SHAPES)
    noun, plural = dice.pick(lexicon.NOUNS[shape])
    whole = indefinite(f"{colour} {noun}")
    other = dice.pick([name for name in COLOURS if name != colour])
    return dice.pick(
        (
            f"Every {colour} {noun} is {indefinite(noun)}, but not every {noun} is {colour}.",
            f"Whoever sees {whole} sees something {colour}.",
            f"If all the {plural} are {colour}, then none of them is {other}.",
            f"{whole.capitalize()} is not {other}.",
            f"There may be {indefinite(noun)} that is neither {colour} nor {other}.",
        )
    )


def _number(dice: Dice) -> str:
    """Counting."""
    first, second = _two_nouns(dice)
    less = 1 + dice.below(2)
    more = less + 1
    singular = dice.pick(SHAPES)
    noun, plural = lexicon.NOUNS[singular][0]
    return dice.pick(
        (
            f"One {first} and one {second} make two things.",
            f"{NUMBER_WORDS[more].capitalize()} {plural} are more than {NUMBER_WORDS[less]}.",
            f"If there are exactly two {plural}, there is not just one {noun}, nor are there three.",
            f"Where there is no {noun}, there are no {plural} to count.",
            f"A pair of {plural} is two of them, and a trio is three.",
        )
    )


def _trait(dice: Dice) -> str:
    shape = dice.pick(SHAPES)
    noun = _noun(shape, dice)
    if dice.chance(0.3):
        name = dice.pick(BACKGROUNDS)
        return sentence(
            f"you know that you are {dice.pick(lexicon.BACKGROUND_PHRASES[name])} because "
            f"{_HOMES[name]}"
        )
    first, second = dice.shuffled(_TRAITS[shape])[:2]
    return dice.pick(
        (
            sentence(indefinite(noun), first),
            sentence(indefinite(noun), first, "and", second),
            sentence("every", noun, first),
        )
    )


def _pupil(dice: Dice) -> str:
    """Somebody says what is right or wrong."""
    first, second = _two_nouns(dice)
    name = dice.pick(tuple(OPPOSITES))
    said = dice.pick(lexicon.RELATION_WORDS[name])
    back = dice.pick(lexicon.RELATION_WORDS[OPPOSITES[name]])
    who = dice.pick(SHE + HE)
    verdict = dice.pick(
        (
            f"{who} is right, for the {second} is {back} the {first}.",
            f"But {who} is wrong, for the {first} is {back} the {second}.",
            f"That cannot be, because the {second} is {said} the {first}.",
        )
    )
    return f"{who} says that the {first} is {said} the {second}. {verdict}"


_LESSONS = (
    _opposite,
    _opposite,
    _chain,
    _corner,
    _synonym,
    _synonym,
    _place_synonym,
    _kind,
    _number,
    _trait,
    _pupil,
)
