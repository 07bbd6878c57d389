"""Independent readers of the mini suite's GLUE sentences, to check labels with.

They look at the finished text only, by rules of their own, and know nothing of how it was made.
"""

from __future__ import annotations

import re

from evals.suite_mini import lexicon
from examples.embedded_text import opinions
from examples.embedded_text.everyday import HE, SHE

GOOD = {*opinions.GOOD_ADJECTIVES, *opinions.GOOD_NOUNS, *opinions.GOOD_FEELINGS}
GOOD |= {word for pair in opinions.GOOD_VERBS for word in pair}
BAD = {*opinions.BAD_ADJECTIVES, *opinions.BAD_NOUNS, *opinions.BAD_FEELINGS}
BAD |= {word for pair in opinions.BAD_VERBS for word in pair}

# What a sentence comes to: the part in brackets decides.
_DECISIVE = (
    r"(?:although|even though) .+? , (.+)",
    r"(.+) , (?:although|even if) .+",
    r"it is true that .+? , and yet (.+)",
    r".+ , but (.+)",
    r"(?:despite|for all|in spite of) its .+? , (.+)",
    r"(.+) (?:despite|for all|in spite of) its .+",
    r"(?:there is|it shows) .+? , and (.+)",
    r"(.+) : .+ and little else",
)
_SAME = (
    r"if the .+ were less (\w+) , .+",
    r".+ would be \w+ if the .+ were not so (\w+)",
    r"\w+ who call .+ (\w+) are right",
    r"it is right to call .+ (\w+)",
    r"i expected .+ and found an? (\w+)",
    r"what was announced .+ turns out to be an? (\w+)",
    r"it is an? (\w+) where .+",
    r"(?:i|we|children|visitors) (\w+) (?:the|this) .+",
    r".+ (?:is|are) too (\w+) to be \w+",
    r".+ (?:is|are) more (\w+) than \w+",
    r".+ never fails? to (\w+) .+",
    r".+ (?:is|are) (?:truly |simply |quite |nothing but |really )?(?:an? )?(\w+)",
)
_OPPOSITE = (
    r"\w+ who call .+ (\w+) are mistaken",
    r"it is wrong to call .+ (\w+)",
    r"(?:nobody could|i do not|we cannot|who could ever) (\w+) .+",
    r".+ (?:is|are) (?:not|never|hardly|anything but|far from|by no means|no)(?: an?)? (\w+)",
    r".+ (?:do not|does not|could never|will not) (\w+) .+",
    r".+ fails? to (\w+) .+",
)


def sentiment(text: str) -> bool:
    """Whether the sentence is positive on the whole."""
    text = text.strip().rstrip(".!").strip()
    for pattern in _DECISIVE:
        match = re.fullmatch(pattern, text)
        if match:
            return sentiment(match[1])
    halves = re.fullmatch(r"(.+?) (?:, )?and (.+)", text)
    if halves and not text.startswith("i expected"):
        first, second = sentiment(halves[1]), sentiment(halves[2])
        assert first == second, text
        return first
    for pattern in _SAME[:8] + _OPPOSITE[:3] + _SAME[8:11] + _OPPOSITE[3:] + _SAME[11:]:
        match = re.fullmatch(pattern, text)
        if match and match[1] in GOOD | BAD:
            return (match[1] in GOOD) == (pattern in _SAME)
    words = re.findall(r"\w+", text)
    signs = {word in GOOD for word in words if word in GOOD | BAD}
    assert len(signs) == 1, text
    return signs.pop()


def _any(words: object) -> str:
    assert isinstance(words, (list, tuple, set))
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


def _all(table: dict[str, tuple[str, ...]]) -> list[str]:
    return [word for words in table.values() for word in words]


_NOUNS = [pair for shape, pairs in lexicon.NOUNS.items() for pair in pairs if shape != "fish"]
_ONE, _MANY = _any([one for one, _ in _NOUNS]), _any([many for _, many in _NOUNS])
_COLOUR = _any(_all(lexicon.COLOUR_WORDS))
_ADJECTIVES = f"(?:{_any(_all(lexicon.SIZE_WORDS))} )?(?:{_COLOUR} )?"
_SG = f"(?:a|an|the|each|this) {_ADJECTIVES}{_ONE}"
_PL = f"(?:the|two|three|these|all|many) {_ADJECTIVES}{_MANY}"
_BARE = f"{_ADJECTIVES}{_MANY}"
_NP = f"(?:{_SG}|{_PL})"
_REL = _any(_all(lexicon.RELATION_WORDS))
_PLACE = _any(_all(lexicon.PLACE_WORDS) + _all(lexicon.BACKGROUND_PHRASES))
_ISS, _ARE = "(?:is|was)", "(?:are|were)"
_NAME = _any((*SHE, *HE))
_NAMES = "(?:the girls|the boys|the children|two painters|the teachers)"
_BASE = "(?:draw|paint|see|take|choose|forget)"
_THIRD = "(?:draws|paints|sees|takes|chooses|forgets)"
_PAST = "(?:drew|painted|saw|took|chose|forgot)"
_DONE = "(?:drawn|painted|seen|taken|chosen|forgotten)"
_ACTS = f"(?:{_NAME} (?:{_THIRD}|{_PAST})|{_NAMES} (?:{_BASE}|{_PAST}))"
_SOME = f"(?:{_NAME}|{_NAMES}|somebody)"
_END = f"(?:{_REL} {_NP}|{_PLACE}|{_COLOUR})"
_CLAUSE = f"(?:(?:{_SG}|it) {_ISS} (?:not )?{_END}|(?:{_PL}|they) {_ARE} (?:not )?{_END})"
_MORE = "(?:bigger|smaller|rounder|brighter|more colourful|more interesting)"
_THAN = f"(?:{_MORE} than|as (?:big|small|round|bright) as)"
_AUX = "(?:can|will|did not|may|cannot)"
_GRAMMAR = (
    _CLAUSE,
    f"(?:{_SG} (?:sits|floats|lies|appears|shines)|{_PL} (?:sit|float|lie|appear|shine))"
    f" (?:{_PLACE}|{_REL} {_NP})",
    f"there (?:is {_SG}|are {_PL}) {_PLACE}",
    f"{_ACTS} {_NP}",
    f"{_NAME} (?:put|placed) {_NP} {_PLACE}",
    f"{_SOME} {_AUX} {_BASE} (?:{_NP}|what {_ACTS})",
    f"(?:where|what colour|how big) (?:is {_SG}|are {_PL})",
    f"(?:is {_SG}|are {_PL}) {_REL} {_NP}",
    f"{_NAME} (?:(?:thinks|believes|hopes) that|(?:wonders|wondered) whether) {_CLAUSE}",
    f"{_SG} that is {_REL} {_NP} is {_COLOUR}",
    f"{_PL} that are {_REL} {_NP} are {_COLOUR}",
    f"{_SG} and {_SG} are {_COLOUR}",
    f"(?:each|one) of {_PL} is {_COLOUR}",
    f"{_any(SHE)} {_PAST} herself {_PLACE}",
    f"{_any(HE)} {_PAST} himself {_PLACE}",
    f"(?:{_SG} is|{_PL} are) {_THAN} {_NP}",
    f"{_NAME} (?:gave|showed|sent) (?:{_NP} to {_NAME}|{_NAME} {_NP})",
    f"{_SG} was {_DONE} by {_NAME} and {_NAME} {_PAST} it",
    f"{_PL} were {_DONE} by {_NAME} and {_NAME} {_PAST} them",
    f"nobody {_PAST} any {_BARE}",
    f"{_SOME} did not {_BASE} any {_BARE}",
    f"{_SOME} {_PAST} some {_BARE} but {_NAME} did not {_BASE} any",
)
_RULES = [re.compile(rule) for rule in _GRAMMAR]


def acceptable(text: str) -> bool:
    """Whether the sentence is one that this grammar makes, "a" and "an" by the sound."""
    words = text.rstrip(".?")
    if not re.match(_NAME, words):
        words = words[0].lower() + words[1:]
    if re.search(r"\ba [aeiou]|\ban [^aeiou]", words):
        return False
    return any(rule.fullmatch(words) for rule in _RULES)
