"""Wording: how one annotator turns parts of a statement into phrases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import Mention

T = TypeVar("T")

_HABIT = 0.55
_AFTER_NOUN_CHANCE = 0.4
_MIDDLE_TEXTURE_CHANCE = 0.6


class Speaker:
    """An annotator at work on one sentence."""

    def __init__(self, number: int, dice: Dice) -> None:
        """Start a sentence.

        Args:
            number: which annotator; each has a favourite among the words for every thing.
            dice: for the choices where habit does not decide.
        """
        self._number = number
        self.dice = dice

    def say(self, words: Sequence[T]) -> T:
        """One of several ways to put it: the favourite one, or any."""
        dice = self.dice
        return words[self._number % len(words)] if dice.chance(_HABIT) else dice.pick(words)

    def thing(self, mention: Mention) -> str:
        """A noun phrase with its article or number: "a small red star with stripes"."""
        phrase = self._phrase(mention)
        if mention.count > 1:
            return f"{self.say(lexicon.NUMBERS[mention.count])} {phrase}"
        return with_article(phrase)

    def bare_thing(self, mention: Mention) -> str:
        """The same in note form: "small striped red star", "two red stars"."""
        number = f"{lexicon.NUMBERS[mention.count][0]} " if mention.count > 1 else ""
        return number + self._phrase(mention)

    def _phrase(self, mention: Mention) -> str:
        before, after = self._adjectives(mention)
        noun = self.say(lexicon.NOUNS[mention.shape])[mention.count > 1]
        return " ".join([*before, noun, *after])

    def _adjectives(self, mention: Mention) -> tuple[list[str], list[str]]:
        """Words before and after the noun."""
        before: list[str] = []
        if mention.size is not None:
            before.append(self.say(lexicon.SIZE_WORDS[mention.size]))
        colour = [] if mention.colour is None else [self.say(lexicon.COLOUR_WORDS[mention.colour])]
        if mention.texture is None:
            return before + colour, []
        adjectives, phrases = lexicon.TEXTURE_WORDS[mention.texture]
        if self.dice.chance(_AFTER_NOUN_CHANCE):
            return before + colour, [self.say(phrases)]
        texture = [self.say(adjectives)]
        if self.dice.chance(_MIDDLE_TEXTURE_CHANCE):
            return before + texture + colour, []
        return before + colour + texture, []

    def place(self, region: str) -> str:
        """As in: in the top left corner."""
        return self.say(lexicon.PLACE_WORDS[region])

    def placed(self, mention: Mention) -> str:
        """The noun phrase with its place, if it has one."""
        phrase = self.thing(mention)
        return phrase if mention.region is None else f"{phrase} {self.place(mention.region)}"

    def relation(self, name: str) -> str:
        """As in: to the left of."""
        return self.say(lexicon.RELATION_WORDS[name])

    def background(self, name: str | None) -> list[str]:
        """[] or ["on the grass"]."""
        return [] if name is None else [self.say(lexicon.BACKGROUND_PHRASES[name])]

    def listing(self, phrases: Sequence[str]) -> str:
        """As in: a, b and c."""
        if len(phrases) == 1:
            return phrases[0]
        return f"{', '.join(phrases[:-1])} {self.say(lexicon.JOINTS)} {phrases[-1]}"


def sentence(*parts: str) -> str:
    """Parts joined by spaces, with a capital and a full stop."""
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + "."


def with_article(phrase: str) -> str:
    """As in: an orange star."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
