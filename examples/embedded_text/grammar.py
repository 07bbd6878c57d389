"""Acceptable sentences, word by word, each word with what it is: CoLA's good ones.

Words are tagged, so that a fault can be put in where it is one (`examples.embedded_text.faults`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.world import SHAPES, Scene
from examples.embedded_text.everyday import HE, SHE

_ONE_WORD_COLOURS = {
    name: tuple(word for word in words if " " not in word)
    for name, words in lexicon.COLOUR_WORDS.items()
}
_MORE_SHAPES = tuple(shape for shape in SHAPES if shape != "fish")
_PLURAL_NAMES = ("the girls", "the boys", "the children", "two painters", "the teachers")
_STATES = {  # singular, plural, past; none of them takes an object
    "sit": ("sits", "sit", "sat"),
    "float": ("floats", "float", "floated"),
    "lie": ("lies", "lie", "lay"),
    "appear": ("appears", "appear", "appeared"),
    "shine": ("shines", "shine", "shone"),
}
_DEEDS = {  # base, singular, past, participle; all of them take an object
    "draw": ("draw", "draws", "drew", "drawn"),
    "paint": ("paint", "paints", "painted", "painted"),
    "see": ("see", "sees", "saw", "seen"),
    "take": ("take", "takes", "took", "taken"),
    "choose": ("choose", "chooses", "chose", "chosen"),
    "forget": ("forget", "forgets", "forgot", "forgotten"),
}
_IRREGULAR = ("draw", "take", "choose", "see", "forget")
_SAYING = ("thinks", "believes", "hopes")  # not "says": one may say whether
_WONDERING = ("wonders", "wondered")  # not "asks": one may ask that something be so
_COMPARATIVES = (
    ("bigger", "big"),
    ("smaller", "small"),
    ("rounder", "round"),
    ("brighter", "bright"),
)


@dataclass(frozen=True)
class Word:
    """A word, or a few that are never taken apart.

    Attributes:
        text: as written in the middle of a sentence.
        tag: its part in the sentence: "article", "the", "number", "adjective", "noun", "be" ...
        plural: of nouns, and of the verbs that agree with them.
        partner: the form that would be wrong here: of a verb its other number, of a noun its
            other number, of a reflexive its other gender ...
    """

    text: str
    tag: str
    plural: bool = False
    partner: str = ""


Words = list[Word]


class Writer:
    """Writes acceptable sentences about things of a scene."""

    def __init__(self, scene: Scene, dice: Dice) -> None:
        """Choose the scene."""
        # "fish" is singular and plural at once: nothing is wrong with "two fish is" to the eye.
        things = [thing for thing in scene.things if thing.shape != "fish"]
        self.shapes = sorted({thing.shape for thing in things} | {dice.pick(_MORE_SHAPES)})
        self.colours = [thing.colour for thing in scene.things]
        self.background = scene.background
        self.dice = dice
        self._last = ""

    def _shape(self) -> str:
        """Another one than in the phrase before: no star is above the star."""
        others = [shape for shape in self.shapes if shape != self._last]
        self._last = self.dice.pick(others or self.shapes)
        return self._last

    def phrase(self, plural: bool, start: Sequence[str] = (), coloured: float = 0.55) -> Words:
        """A noun phrase in the third person.

        Args:
            plural: its number.
            start: what it may begin with, out of "a", "the", "each", "two" ...; anything if empty.
            coloured: how likely it names a colour; 0 where the sentence goes on to say it.
        """
        dice = self.dice
        adjectives: Words = []
        if dice.chance(0.35):
            size = dice.pick(lexicon.SIZE_WORDS[dice.pick(("small", "large"))])
            adjectives.append(Word(size, "adjective"))
        if dice.chance(coloured):
            colour = dice.pick(_ONE_WORD_COLOURS[dice.pick(self.colours)])
            adjectives.append(Word(colour, "adjective"))
        singular, many = dice.pick(lexicon.NOUNS[self._shape()])
        noun = Word(many if plural else singular, "noun", plural, singular if plural else many)
        rest = [*adjectives, noun]
        options = start or (
            ("the", "two", "three", "these", "all", "many")
            if plural
            else ("a", "a", "the", "the", "each", "this")
        )
        return [self._determiner(dice.pick(options), rest[0].text, plural), *rest]

    def _determiner(self, word: str, following: str, plural: bool) -> Word:
        if word == "a":
            right, wrong = ("an", "a") if following[0] in "aeiou" else ("a", "an")
            return Word(right, "article", plural, wrong)
        if word == "the":
            return Word("the", "the", plural)
        return Word(word, "number", plural)

    def either(self) -> bool:
        """A number: plural or not."""
        return self.dice.chance(0.4)

    def be(self, plural: bool, past: bool = False) -> Word:
        """The verb "be" that agrees."""
        forms = ("was", "were") if past else ("is", "are")
        return Word(forms[plural], "be", plural, forms[not plural])

    def state(self, plural: bool) -> Word:
        """A verb without an object that agrees."""
        one, many, _ = _STATES[self.dice.pick(tuple(_STATES))]
        return Word(many if plural else one, "state", plural, one if plural else many)

    def relation(self) -> Word:
        """As in: to the left of."""
        words = lexicon.RELATION_WORDS[self.dice.pick(tuple(lexicon.RELATION_WORDS))]
        return Word(self.dice.pick(words), "relation")

    def place(self) -> Word:
        """As in: in the top left corner."""
        if self.dice.chance(0.4):
            return Word(self.dice.pick(lexicon.BACKGROUND_PHRASES[self.background]), "place")
        words = lexicon.PLACE_WORDS[self.dice.pick(tuple(lexicon.PLACE_WORDS))]
        return Word(self.dice.pick(words), "place")

    def name(self) -> tuple[Word, Word]:
        """A person, and the reflexive that goes with it."""
        if self.dice.chance(0.5):
            return Word(self.dice.pick(SHE), "name"), Word(
                "herself", "reflexive", partner="himself"
            )
        return Word(self.dice.pick(HE), "name"), Word("himself", "reflexive", partner="herself")

    def somebody(self) -> tuple[Word, bool]:
        """A subject that can do things, and whether it is plural."""
        if self.dice.chance(0.3):
            return Word(self.dice.pick(_PLURAL_NAMES), "name", plural=True), True
        return self.name()[0], False

    def deed(self, plural: bool) -> Word:
        """A verb with an object, in the present (it agrees) or the past."""
        base, third, past, _ = _DEEDS[self.dice.pick(tuple(_DEEDS))]
        if self.dice.chance(0.4):
            return Word(past, "past")
        return Word(base if plural else third, "deed", plural, third if plural else base)

    def base(self) -> Word:
        """The bare form after "can" or "did"; its partner is the past."""
        base, third, past, _ = _DEEDS[self.dice.pick(tuple(_DEEDS))]
        return Word(base, "base", partner=self.dice.pick((past, third)))

    def adjective(self) -> Word:
        """A colour as a predicate."""
        return Word(self.dice.pick(_ONE_WORD_COLOURS[self.dice.pick(self.colours)]), "predicate")


def _other(text: str) -> Word:
    return Word(text, "other")


def _clause(writer: Writer) -> Words:
    """A clause with "be": the star is above two rings."""
    plural = writer.either()
    end = writer.dice.below(3)
    subject = writer.phrase(plural, coloured=0.55 if end < 2 else 0.0)
    if writer.dice.chance(0.25):
        subject = [Word("they" if plural else "it", "pronoun", plural)]
    be = [writer.be(plural, past=writer.dice.chance(0.25))]
    if writer.dice.chance(0.25):
        be.append(Word("not", "not"))
    if end == 0:
        return [*subject, *be, writer.relation(), *writer.phrase(writer.either())]
    if end == 1:
        return [*subject, *be, writer.place()]
    return [*subject, *be, writer.adjective()]


def _stative(writer: Writer) -> Words:
    plural = writer.either()
    subject = [*writer.phrase(plural), writer.state(plural)]
    if writer.dice.chance(0.5):
        return [*subject, writer.place()]
    return [*subject, writer.relation(), *writer.phrase(writer.either())]


def _existential(writer: Writer) -> Words:
    plural = writer.either()
    start = ("two", "three", "many") if plural else ("a",)
    return [_other("there"), writer.be(plural), *writer.phrase(plural, start), writer.place()]


def _transitive(writer: Writer) -> Words:
    who, plural = writer.somebody()
    return [who, writer.deed(plural), *writer.phrase(writer.either())]


def _putting(writer: Writer) -> Words:
    who, _ = writer.name()
    verb = Word(writer.dice.pick(("put", "placed")), "put")
    return [who, verb, *writer.phrase(writer.either()), writer.place()]


def _modal(writer: Writer) -> Words:
    who, _ = writer.somebody()
    auxiliary = Word(writer.dice.pick(("can", "will", "did not", "may", "cannot")), "aux")
    if writer.dice.chance(0.4):
        return [who, auxiliary, writer.base(), *writer.phrase(writer.either())]
    other, plural = writer.somebody()
    return [who, auxiliary, writer.base(), _other("what"), other, writer.deed(plural)]


def _where(writer: Writer) -> Words:
    plural = writer.either()
    start = ("the", "these") if plural else ("the", "this")
    subject = writer.phrase(plural, start)
    be = replace(writer.be(plural), tag="asked be")
    if writer.dice.chance(0.5):
        asked = writer.dice.pick(("where", "what colour", "how big"))
        return [Word(asked, "wh"), be, *subject]
    return [be, *subject, writer.relation(), *writer.phrase(writer.either(), ("the",))]


def _reported(writer: Writer) -> Words:
    who, _ = writer.name()
    if writer.dice.chance(0.5):
        verb, joint, wrong = writer.dice.pick(_SAYING), "that", "whether"
    else:
        verb, joint, wrong = writer.dice.pick(_WONDERING), "whether", "that"
    return [who, _other(verb), Word(joint, "complementizer", partner=wrong), *_clause(writer)]


def _relative(writer: Writer) -> Words:
    plural = writer.either()
    inner = writer.be(plural)
    return [
        *writer.phrase(plural, ("the",), coloured=0.0),
        Word("that", "that", plural),
        inner,
        writer.relation(),
        *writer.phrase(not plural, ("the",)),
        writer.be(plural),
        writer.adjective(),
    ]


def _coordinated(writer: Writer) -> Words:
    first, second = (writer.phrase(False, ("the",), coloured=0.0) for _ in range(2))
    return [*first, _other("and"), *second, writer.be(True), writer.adjective()]


def _partitive(writer: Writer) -> Words:
    """A singular subject that ends in a plural noun."""
    first = writer.dice.pick(("each", "one"))
    return [
        _other(first),
        _other("of"),
        *writer.phrase(True, ("the", "these"), coloured=0.0),
        writer.be(False),
        writer.adjective(),
    ]


def _reflexive(writer: Writer) -> Words:
    who, self_word = writer.name()
    verb = writer.dice.pick(("drew", "painted", "saw"))
    return [who, Word(verb, "past"), self_word, writer.place()]


def _comparison(writer: Writer) -> Words:
    plural = writer.either()
    comparative, base = writer.dice.pick(_COMPARATIVES)
    than, as_ = Word("than", "than", partner="as"), Word("as", "than", partner="than")
    compared = writer.dice.pick(
        (
            [Word(comparative, "comparative", partner=base), than],
            [Word("as", "as"), Word(base, "comparative", partner=comparative), as_],
            [Word("more", "more"), _other(writer.dice.pick(("colourful", "interesting"))), than],
        )
    )
    return [
        *writer.phrase(plural, ("the", "these") if plural else ("the", "this")),
        writer.be(plural),
        *compared,
        *writer.phrase(writer.either(), ("the",)),
    ]


def _giving(writer: Writer) -> Words:
    first, second = (Word(name, "name") for name in writer.dice.shuffled(SHE + HE)[:2])
    gave = Word(writer.dice.pick(("gave", "showed", "sent")), "give")
    given = writer.phrase(writer.either())
    if writer.dice.chance(0.5):
        return [first, gave, second, *given]
    return [first, gave, *given, Word("to", "to"), second]


def _passive(writer: Writer) -> Words:
    """With a second clause in the active voice, so that both forms of verbs occur."""
    plural = writer.either()
    first, second = writer.dice.shuffled(_IRREGULAR)[:2]
    doer, other = writer.name()[0], writer.name()[0]
    return [
        *writer.phrase(plural),
        writer.be(plural, past=True),
        Word(_DEEDS[first][3], "participle"),
        _other("by"),
        doer,
        _other("and"),
        other,
        Word(_DEEDS[second][2], "past"),
        _other("them" if plural else "it"),
    ]


def _polarity(writer: Writer) -> Words:
    """Where "any" may stand and where it must be "some"."""
    noun = writer.phrase(True, ("two",))[1:]
    verb = Word(writer.dice.pick(("saw", "drew", "chose", "took")), "past")
    kind = writer.dice.below(4)
    if kind == 0:
        return [Word("nobody", "nobody"), verb, Word("any", "any"), *noun]
    who = Word("somebody", "name") if writer.dice.chance(0.3) else writer.somebody()[0]
    denial = [Word("did not", "aux"), writer.base(), Word("any", "any")]
    if kind == 1:
        return [who, *denial, *noun]
    other = writer.name()[0]
    return [who, verb, Word("some", "some"), *noun, _other("but"), other, *denial]


CONSTRUCTIONS: dict[str, Callable[[Writer], Words]] = {
    "copula": _clause,
    "stative": _stative,
    "existential": _existential,
    "transitive": _transitive,
    "putting": _putting,
    "modal": _modal,
    "question": _where,
    "reported": _reported,
    "relative": _relative,
    "coordinated": _coordinated,
    "partitive": _partitive,
    "reflexive": _reflexive,
    "comparison": _comparison,
    "giving": _giving,
    "passive": _passive,
    "polarity": _polarity,
}


def written(words: Sequence[Word]) -> str:
    """The sentence with a capital and its full stop or question mark."""
    text = " ".join(word.text for word in words)
    asked = words[0].tag in ("wh", "asked be")
    return text[0].upper() + text[1:] + ("?" if asked else ".")
