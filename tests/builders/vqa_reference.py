"""VQA's rules a second time, in other words: letter by letter, and an annotator at a time."""

MARKS = ';/[]"{}()=+\\_-><@`,?!'
CONTRACTIONS = {
    "dont": "don't", "isnt": "isn't", "couldn'tve": "couldn't've", "hes": "he's", "oclock": "o'clock",
    "somebody'd": "somebodyd",
}  # fmt: skip


def second_opinion(answer):
    """The same rules letter by letter, without patterns."""
    digits = [letter.isdecimal() for letter in answer]
    number = any(
        answer[i] == "," and digits[i - 1] and digits[i + 1] for i in range(1, len(answer) - 1)
    )
    letters = ""
    for letter in answer:
        if letter in MARKS:
            loose = f"{letter} " in answer or f" {letter}" in answer
            letter = "" if loose or number else " "
        letters += letter
    kept, removed = "", 0
    for i, letter in enumerate(letters):
        before_digit = i + 1 < len(letters) and letters[i + 1].isdecimal()
        if letter == "." and not before_digit and removed < 32:
            removed += 1
        else:
            kept += letter
    words = []
    for word in kept.lower().split():
        if word == "none":
            word = "0"
        numbers = "zero one two three four five six seven eight nine ten".split()
        word = str(numbers.index(word)) if word in numbers else word
        if word not in ("a", "an", "the"):
            words.append(CONTRACTIONS.get(word, word))
    return " ".join(words)


def accuracy(result, annotators):
    """The official evaluation of one question, in its own structure: a list a left-out annotator.

    `annotators` are dictionaries as in the annotation files; they are not changed.
    """
    annotators = [dict(entry) for entry in annotators]
    for entry in annotators:
        entry["answer"] = entry["answer"].replace("\n", " ").replace("\t", " ").strip()
    result = result.replace("\n", " ").replace("\t", " ").strip()
    if len({entry["answer"] for entry in annotators}) > 1:
        result = second_opinion(result)
        for entry in annotators:
            entry["answer"] = second_opinion(entry["answer"])
    scores = []
    for left_out in annotators:
        others = [entry for entry in annotators if entry != left_out]
        agreeing = [entry for entry in others if entry["answer"] == result]
        scores.append(min(1, len(agreeing) / 3))
    return sum(scores) / len(scores)
