"""The phrases that questions and statements about a topic are put together from."""

from __future__ import annotations

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.looks import Look, adjective, noun_phrase
from evals.suite_mini.meaning import REGIONS
from evals.suite_mini.speaker import with_article
from evals.suite_mini.topics import Topic

_NUMBER_WORDS = ("no", "one", "two", "three", "four")


def topic_phrases(topic: Topic, dice: Dice) -> dict[str, str]:
    """Words for everything that the topic names.

    Returns:
        For look number n: "the<n>" ("the small star"), "a<n>" ("a small star"), "one<n>" ("small
        star"), "many<n>" ("small stars"), "is<n>" (the look as a predicate: "small", "at the top";
        only if it has a property beside its shape). For the detail: "rel" ("left of"), "on" ("on
        the grass") or "line" ("row").
    """
    phrases: dict[str, str] = {}
    for number, look in enumerate(topic.looks):
        single = noun_phrase(look, dice, plural=False)
        phrases[f"the{number}"] = f"the {single}"
        phrases[f"a{number}"] = with_article(single)
        phrases[f"one{number}"] = single
        phrases[f"many{number}"] = noun_phrase(look, dice, plural=True)
        if look.form() not in ((), ("shape",)):
            phrases[f"is{number}"] = adjective(look, dice)
    if topic.detail in lexicon.RELATION_WORDS:
        phrases["rel"] = dice.pick(lexicon.RELATION_WORDS[topic.detail])
    elif topic.detail in lexicon.BACKGROUND_PHRASES:
        phrases["on"] = dice.pick(lexicon.BACKGROUND_PHRASES[topic.detail])
    elif topic.detail:
        phrases["line"] = topic.detail
    return phrases


def answer_phrase(answer: str, dice: Dice) -> str:
    """Words for a canonical answer within a statement.

    As in: "a hut" for "house", "two" for "2", "scarlet" for "red", "at the upper left" for "top
    left".
    """
    if answer.isdigit():
        return _NUMBER_WORDS[int(answer)]
    if answer in lexicon.NOUNS:
        return with_article(noun_phrase(Look(shape=answer), dice, plural=False))
    if answer in lexicon.TEXTURE_WORDS:
        return dice.pick(lexicon.TEXTURE_WORDS[answer][0])
    if answer in REGIONS:
        return dice.pick(lexicon.PLACE_WORDS[answer])
    return dice.pick((lexicon.COLOUR_WORDS | lexicon.SIZE_WORDS)[answer])
