r"""The official normalisation of VQA answers, with its oddities.

The rules are those of the evaluation code of VQA v2 (GT-Vision-Lab/VQA, vqaEvaluation/vqaEval.py,
as of its last commit). They are odd in places, and numbers are comparable only if they are kept:

- a punctuation mark disappears if the *original* answer has it beside a space, or has a comma
  between digits anywhere; otherwise it becomes a space;
- a full stop disappears unless a digit follows it. The pattern there, "(?!<=\d)(\.)(?!\d)", was
  meant to look behind too, but "?!<=" looks ahead for the characters "<=", which are never there;
- its flag `re.UNICODE` stands where a count belongs and is the number 32: only the first 32 full
  stops disappear;
- digits are those of any script, as in Python 3 (the official code was written for Python 2);
- contractions are looked up after lower-casing, so that those with a capital ("Im", "Ive") are never
  found.
"""

from __future__ import annotations

import re

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_FULL_STOPS_REMOVED = 32
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten".split(),
    )
} | {"none": "0"}

# What people mean; they are found by the same word without one of its apostrophes.
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't
    mightn't've must've mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
    shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
    someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're
    you've
"""


def _without_each_apostrophe(word: str) -> list[str]:
    places = [place for place, letter in enumerate(word) if letter == "'"]
    return [word[:place] + word[place + 1 :] for place in places]


_CONTRACTIONS = {
    written: meant for meant in _CONTRACTED.split() for written in _without_each_apostrophe(meant)
}
# The one entry of the official table that goes the other way.
_CONTRACTIONS["somebody'd"] = "somebodyd"


def clean(answer: str) -> str:
    """What is done to every answer, raw or not: line ends and tabs become spaces, ends are trimmed.

    Args:
        answer: as given.

    Returns:
        The answer on one line.
    """
    return answer.replace("\n", " ").replace("\t", " ").strip()


def normalise(answer: str) -> str:
    """The form in which answers are compared where the ten annotators do not all agree.

    Args:
        answer: from `clean`.

    Returns:
        The answer without articles and most punctuation, in lower case, number words up to ten as
        digits, contractions with their apostrophes.
    """
    words = []
    for word in _without_punctuation(answer).lower().split():
        word = _NUMBERS.get(word, word)
        if word not in _ARTICLES:
            words.append(_CONTRACTIONS.get(word, word))
    return " ".join(words)


def _without_punctuation(answer: str) -> str:
    remove_all = _COMMA_IN_NUMBER.search(answer) is not None
    result = answer
    for mark in _PUNCTUATION:
        beside_a_space = f"{mark} " in answer or f" {mark}" in answer
        result = result.replace(mark, "" if remove_all or beside_a_space else " ")
    return _FULL_STOP.sub("", result, count=_FULL_STOPS_REMOVED)
