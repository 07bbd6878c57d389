"""The official normalisation of VQA answers: by hand, and against a second implementation."""

import json
import random

import pytest

from builders.vqa_reference import CONTRACTIONS, MARKS, second_opinion
from unimo2.formats.vqa import clean, normalise

# What the official code returns, worked out by hand from its rules.
BY_HAND = [
    # articles go, case goes, spaces shrink
    ("The dog", "dog"), ("a  dog ", "dog"), ("an apple", "apple"), ("THE", ""), ("", ""),
    ("theater", "theater"), ("a", ""), ("dog the a", "dog"), ("Vitamin A", "vitamin"),
    # number words
    ("two dogs", "2 dogs"), ("Ten", "10"), ("none", "0"), ("zero", "0"), ("eleven", "eleven"),
    ("one", "1"), ("twenty one", "twenty 1"), ("NONE", "0"), ("someone", "someone"),
    # a mark inside a word becomes a space, beside a space it goes
    ("black/white", "black white"), ("black / white", "black white"), ("black/ white", "black white"),
    ("black /white", "black white"), ("t-shirt", "t shirt"), ("t- shirt", "t shirt"),
    ("wi-fi x-y", "wi fi x y"), ("wi-fi x -y", "wifi x y"), ("a-b", "b"), ("yes!", "yes"),
    ("what?!", "what"), ("(red)", "red"), ("[red] {blue}", "red blue"), ("x=y", "x y"),
    ("stop_sign", "stop sign"), ("me@home", "me home"), ("back\\slash", "back slash"),
    ('"quoted"', "quoted"), ("<b>", "b"), ("c++", "c"), ("`x`", "x"), ("red;blue", "red blue"),
    ("red,blue", "red blue"), ("red, blue", "red blue"), ("red,blue, green", "redblue green"),
    # a comma between digits makes every mark disappear
    ("1,000", "1000"), ("1,000-2,000", "10002000"), ("1,000 t-shirts", "1000 tshirts"),
    ("1,a", "1"), ("a,1", "1"), ("1, 000", "1 000"), ("1-2", "1 2"), ("12,5 !", "125"),
    # colons, apostrophes and other signs stay
    ("10:30", "10:30"), ("10:30 am", "10:30 am"), ("john's", "john's"), ("50%", "50%"),
    ("$5", "$5"), ("#1", "#1"), ("r&b", "r&b"), ("caf\u00e9", "caf\u00e9"), ("it\u2019s", "it\u2019s"),
    # a full stop stays before a digit only
    ("st. louis", "st louis"), ("3.5", "3.5"), ("3.", "3"), (".5", ".5"), ("u.s.a.", "usa"),
    ("...", ""), ("1.2.3.", "1.2.3"), ("a.m.", "am"), ("10 a.m", "10 am"), ("<=1.x", "1x"),
    # articles are words of the end, so a mark or full stop may make them
    ("a.", ""), ("the!", ""), ("t.h.e", ""), ("the-dog", "dog"),
    # contractions get their apostrophe; with a capital in the table they are never found
    ("dont", "don't"), ("Dont", "don't"), ("dont.", "don't"), ("isnt", "isn't"), ("wont", "won't"),
    ("im", "im"), ("Im", "im"), ("ive", "ive"), ("Ive", "ive"), ("couldnt've", "couldn't've"),
    ("couldn'tve", "couldn't've"), ("couldntve", "couldntve"), ("couldn't've", "couldn't've"),
    ("oclock", "o'clock"), ("5 oclock", "5 o'clock"), ("twas", "'twas"), ("maam", "ma'am"),
    ("somebody'd", "somebodyd"), ("somebodyd", "somebodyd"), ("somebodyd've", "somebody'd've"),
    ("someoned", "someone'd"), ("shes", "shes"), ("she's", "she's"), ("hes", "he's"), ("lets", "lets"),
    ("shed've", "she'd've"), ("ow's'at", "'ow's'at"), ("yall'd've", "y'all'd've"), ("yall", "y'all"),
    ("whats", "what's"), ("thats", "that's"), ("youre", "you're"), ("theyre", "they're"),
    ("its", "its"), ("it'd", "it'd"), ("itd", "it'd"), ("cant", "can't"), ("cannot", "cannot"),
    # other white space separates words
    ("a\u00a0dog", "dog"), ("red\u2003blue", "red blue"), ("red \n blue", "red blue"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), BY_HAND)
def test_normalisation_by_hand(answer, expected):
    """Against results worked out by hand from the official rules."""
    assert normalise(answer) == expected


def test_only_32_full_stops_disappear():
    """Against the official code's count argument, where the flag re.UNICODE (32) stands."""
    assert normalise("." * 32 + "x") == "x"
    assert normalise("." * 35 + "x") == "...x"
    assert normalise("x" + ".1" * 40 + "." * 33) == "x" + ".1" * 40 + "."


def test_two_thousand_random_answers():
    """Against a second implementation, letter by letter; 2,000 answers of marks, digits and words."""
    random_ = random.Random(0)
    pieces = [
        *MARKS,
        *"  ...,,''1290",
        " a ",
        "the",
        "None",
        "two",
        " dog",
        "x",
        ":",
        "\u0663",
        "\n",
    ]
    pieces += list(CONTRACTIONS)
    for number in range(2000):
        answer = "".join(random_.choices(pieces, k=random_.randrange(12)))
        answer += "." * (number % 50 if number % 20 == 0 else 0)
        assert normalise(answer) == second_opinion(answer), answer


def test_the_answers_in_use(real_data):
    """Against the second implementation, on the 3,129 real answers of ../shared/real."""
    content = json.loads((real_data / "vqa" / "trainval_label2ans.json").read_text())
    assert len(content) == 3129
    for answer in content:
        assert normalise(answer) == second_opinion(answer) or "'" in normalise(answer), answer
        assert normalise(normalise(answer)) == normalise(answer)


def test_what_is_done_to_raw_answers():
    """Against the official code: line ends and tabs become spaces, ends are trimmed, no more."""
    assert clean("\tThe\ndog\t ") == "The dog"
    assert clean("A  t-shirt.") == "A  t-shirt."
