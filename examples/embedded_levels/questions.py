"""Ceiling and floors of the suite's VQA, by the official accuracy."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from evals.metrics.vqa import accuracies
from evals.suite_mini.vqa import QuestionEntry, question_type
from examples.embedded_levels.blind import commonest, habit_guesses
from examples.embedded_levels.level import Level
from unimo2.formats.vqa import Annotation, Answer, normalise

# What a reader of the question alone may go by, in the order of backing off.
_HABITS: dict[str, tuple[Callable[[QuestionEntry], Hashable], ...]] = {
    "wording": (lambda entry: entry.question, lambda entry: question_type(entry.question)),
    "meaning": (lambda entry: entry.topic, lambda entry: entry.topic.form()),
    "pattern": (lambda entry: entry.topic.form(), lambda entry: entry.topic.kind),
    "type": (lambda entry: question_type(entry.question),),
}


def vqa_level(train: Sequence[QuestionEntry], test: Sequence[QuestionEntry]) -> Level:
    """Percent of VQA accuracy on the test questions.

    Args:
        train: the training questions, from which answers are learned.
        test: the questions that are scored.

    Returns:
        "ideal" gives the canonical answer; "chance" any answer that is the commonest of a training
        question; "text only" the best of four readers of the question alone: they give the
        commonest training answer of the same words, of the same meaning (synonyms seen through), of
        the same pattern ("what colour is the <size> <shape>") or of the same first words.
    """
    truth = [_annotation(entry) for entry in test]
    taught = [entry.most_common for entry in train]

    def percent(guesses: Sequence[str]) -> float:
        return 100.0 * float(accuracies(guesses, truth).mean())

    by_text = []
    for keys in _HABITS.values():
        seen = [[key(entry) for key in keys] for entry in train]
        asked = [[key(entry) for key in keys] for entry in test]
        by_text.append(percent(habit_guesses(seen, taught, asked)))
    return Level(
        ideal=percent([entry.answer for entry in test]),
        chance=_chance(sorted(set(taught)), truth),
        majority=percent([commonest(taught)] * len(test)),
        one_modality={"text only": max(by_text)},
    )


def _chance(answers: Sequence[str], truth: Sequence[Annotation]) -> float:
    """Expected percent of an answer picked blindly: only what somebody said can score."""
    known = set(answers)
    guesses: list[str] = []
    asked: list[Annotation] = []
    for annotation in truth:
        said = {normalise(answer.text) for answer in annotation.answers} & known
        guesses += sorted(said)
        asked += [annotation] * len(said)
    return 100.0 * float(accuracies(guesses, asked).sum()) / (len(answers) * len(truth))


def _annotation(entry: QuestionEntry) -> Annotation:
    """The entry as the official reader would give it back."""
    return Annotation(
        question_id=entry.question_id,
        image_id=entry.image_id,
        question_type=None,
        answer_type=None,
        most_common=entry.most_common,
        answers=tuple(
            Answer(answer.text, answer.confidence, number)
            for number, answer in enumerate(entry.answers, 1)
        ),
    )
