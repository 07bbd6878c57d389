"""Sentences of praise and blame, made so that their words alone do not tell which they are.

A sentence has a sign. It is built from clauses whose sign is known: negation turns a word round,
and where two clauses disagree, the one about the picture as a whole decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from evals.suite_mini.dice import Dice
from examples.embedded_text import opinions
from examples.embedded_text.narrator import Narrator, indefinite

_WHOLES = ("picture", "painting", "drawing", "whole", "work", "sketch")
_CALLERS = ("those who call", "critics who call", "people who call")
_SEERS = ("me", "us", "the eye", "my friends", "the visitors")
_RESERVED_QUARTER = 64  # of 256


class Critic:
    """Writes one opinion.

    Attributes:
        teller: names things of a scene.
        dice: for the choices.
        reserved: whether pairs of a construction and a word that are kept for dev and test may be
            used.
    """

    def __init__(self, teller: Narrator, reserved: bool) -> None:
        """Take a seat before a scene."""
        self.teller = teller
        self.dice: Dice = teller.dice
        self.reserved = reserved

    def opinion(self, good: bool) -> str:
        """A sentence that is positive (or negative) on the whole."""
        weights = [weight for weight, _ in _OPINIONS]
        return _OPINIONS[self.dice.weighted(weights)][1](self, good)

    def word(self, construction: str, good: bool, kind: tuple[Sequence[str], Sequence[str]]) -> str:
        """A word of praise or blame that this construction may hold in this split."""
        words = kind[0] if good else kind[1]
        while True:
            word = self.dice.pick(words)
            if self.reserved or not is_reserved(construction, word):
                return word

    def adjective(self, construction: str, good: bool) -> str:
        """Such as: charming."""
        return self.word(construction, good, (opinions.GOOD_ADJECTIVES, opinions.BAD_ADJECTIVES))

    def noun(self, construction: str, good: bool) -> str:
        """Such as: joy."""
        return self.word(construction, good, (opinions.GOOD_NOUNS, opinions.BAD_NOUNS))

    def aspect(self) -> tuple[str, bool]:
        """A detail as the subject of a clause, and whether it is in the plural."""
        if self.teller.named and self.dice.chance(0.45):
            thing = self.dice.pick(self.teller.named)
            name = self.teller.the(thing)
            if self.dice.chance(0.4):
                name += f" {self.teller.place(thing)}"
            return name, False
        if self.dice.chance(0.6):
            return f"the {self.dice.pick(opinions.PLURAL_ASPECTS)}", True
        return f"the {self.dice.pick(('composition', 'background', 'idea', 'style'))}", False

    def whole(self) -> str:
        """The picture as the subject of a clause."""
        if self.dice.chance(0.3):
            return f"this picture {self.teller.speaker.background(self.teller.scene.background)[0]}"
        return f"{self.dice.pick(('the', 'this'))} {self.dice.pick(_WHOLES[:3])}"

    def clause(self, subject: str, plural: bool, good: bool) -> str:
        """A clause about the subject with this sign."""
        weights = [weight for weight, _ in _CLAUSES]
        return _CLAUSES[self.dice.weighted(weights)][1](self, subject, plural, good)


def is_reserved(construction: str, word: str) -> bool:
    """Whether the training split never puts this word into this construction."""
    key = f"sst2|{construction}|{word}"
    return hashlib.sha256(key.encode()).digest()[0] < _RESERVED_QUARTER


def _be(plural: bool) -> str:
    return "are" if plural else "is"


def _plain(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    return f"{subject} {_be(plural)} {critic.adjective('plain', good)}"


def _strong(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    how = critic.dice.pick(("truly", "simply", "quite", "nothing but", "really"))
    return f"{subject} {_be(plural)} {how} {critic.adjective('strong', good)}"


def _negated(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    how = critic.dice.pick(("not", "never", "hardly", "anything but", "far from", "by no means"))
    return f"{subject} {_be(plural)} {how} {critic.adjective('negated', not good)}"


def _named(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    noun = indefinite(critic.noun("named", good))
    return f"{subject} {_be(plural)} {noun}"


def _no_noun(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    noun = critic.noun("no noun", not good)
    how = critic.dice.pick(
        (f"no {noun}", f"not {indefinite(noun)}", f"anything but {indefinite(noun)}")
    )
    return f"{subject} {_be(plural)} {how}"


def _effect(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    many, one = critic.dice.pick(opinions.GOOD_VERBS if good else opinions.BAD_VERBS)
    return f"{subject} {many if plural else one} {critic.dice.pick(_SEERS)}"


def _no_effect(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    many, _ = critic.dice.pick(opinions.BAD_VERBS if good else opinions.GOOD_VERBS)
    how = critic.dice.pick((f"{'do' if plural else 'does'} not", "could never", "will not"))
    return f"{subject} {how} {many} {critic.dice.pick(_SEERS)}"


def _failing(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    """As in "fails to please" against "never fails to please"; nobody says "fails to bore"."""
    many, _ = critic.dice.pick(opinions.GOOD_VERBS)
    fail = "fail" if plural else "fails"
    return f"{subject} {'never ' if good else ''}{fail} to {many} {critic.dice.pick(_SEERS)}"


def _too(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    first, second = critic.adjective("too", good), critic.adjective("to be", not good)
    return f"{subject} {_be(plural)} too {first} to be {second}"


def _rather(critic: Critic, subject: str, plural: bool, good: bool) -> str:
    first, second = critic.adjective("more", good), critic.adjective("than", not good)
    return f"{subject} {_be(plural)} more {first} than {second}"


_CLAUSES: tuple[tuple[int, Callable[[Critic, str, bool, bool], str]], ...] = (
    (6, _plain),
    (4, _strong),
    (4, _named),
    (5, _effect),
    (1, _negated),
    (1, _no_noun),
    (1, _no_effect),
    (1, _failing),
    (1, _too),
    (1, _rather),
)


def _single(critic: Critic, good: bool) -> str:
    if critic.dice.chance(0.5):
        return critic.clause(critic.whole(), False, good)
    return critic.clause(*critic.aspect(), good)


def _agreeing(critic: Critic, good: bool) -> str:
    first = critic.clause(*critic.aspect(), good)
    second = critic.clause(critic.whole(), False, good)
    if critic.dice.chance(0.5):
        first, second = second, first
    return f"{first} {critic.dice.pick(('and', ', and'))} {second}"


def _contrast(critic: Critic, good: bool) -> str:
    """A detail against the whole, in either order: the whole decides."""
    minor = critic.clause(*critic.aspect(), not good)
    major = critic.clause(critic.whole(), False, good)
    return critic.dice.pick(
        (
            f"although {minor} , {major}",
            f"{major} , although {minor}",
            f"{major} , even if {minor}",
            f"even though {minor} , {major}",
            f"{minor} , but {major}",
            f"it is true that {minor} , and yet {major}",
        )
    )


def _despite(critic: Critic, good: bool) -> str:
    aspect = critic.dice.pick(opinions.PLURAL_ASPECTS)
    minor = f"its {critic.adjective('despite', not good)} {aspect}"
    major = critic.clause(critic.whole(), False, good)
    how = critic.dice.pick(("despite", "for all", "in spite of"))
    if critic.dice.chance(0.5):
        return f"{major} {how} {minor}"
    return f"{how} {minor} , {major}"


def _feeling(critic: Critic, good: bool) -> str:
    feelings = opinions.GOOD_FEELINGS if good else opinions.BAD_FEELINGS
    return f"{critic.dice.pick(('i', 'we', 'children', 'visitors'))} {critic.dice.pick(feelings)} {critic.whole()}"


def _no_feeling(critic: Critic, good: bool) -> str:
    feelings = opinions.BAD_FEELINGS if good else opinions.GOOD_FEELINGS
    how = critic.dice.pick(("nobody could", "i do not", "we cannot", "who could ever"))
    return f"{how} {critic.dice.pick(feelings)} {critic.whole()}"


def _expectation(critic: Critic, good: bool) -> str:
    feared = indefinite(critic.noun("expected", not good))
    found = indefinite(critic.noun("found", good))
    return critic.dice.pick(
        (
            f"i expected {feared} and found {found}",
            f"what was announced as {feared} turns out to be {found}",
            f"it is {found} where i had expected {feared}",
        )
    )


def _condition(critic: Critic, good: bool) -> str:
    """As in "would be dull if the lines were not so graceful": it is not dull."""
    aspect = critic.dice.pick(opinions.PLURAL_ASPECTS)
    lost = critic.adjective("would be", not good)
    cause = critic.adjective("were not so", good)
    return critic.dice.pick(
        (
            f"{critic.whole()} would be {lost} if the {aspect} were not so {cause}",
            f"if the {aspect} were less {cause} , {critic.whole()} would be {lost}",
        )
    )


def _verdict_on_others(critic: Critic, good: bool) -> str:
    wrong = critic.dice.chance(0.5)
    said = critic.adjective("called", good != wrong)
    right = "are mistaken" if wrong else "are right"
    if critic.dice.chance(0.5):
        return f"{critic.dice.pick(_CALLERS)} {critic.whole()} {said} {right}"
    return f"it is {'wrong' if wrong else 'right'} to call {critic.whole()} {said}"


def _scenic(critic: Critic, good: bool) -> str:
    """With something about the scene that is neither praise nor blame."""
    teller = critic.teller
    if not teller.named:
        return _single(critic, good)
    thing = teller.introduced(critic.dice.pick(teller.named))
    clause = critic.clause(critic.whole(), False, good)
    return critic.dice.pick(
        (
            f"there is {thing} in it , and {clause}",
            f"it shows {thing} , and {clause}",
            f"{clause} : {thing} and little else",
        )
    )


_OPINIONS: tuple[tuple[int, Callable[[Critic, bool], str]], ...] = (
    (28, _single),
    (28, _agreeing),
    (8, _contrast),
    (3, _despite),
    (12, _feeling),
    (4, _no_feeling),
    (2, _expectation),
    (2, _condition),
    (3, _verdict_on_others),
    (14, _scenic),
)
