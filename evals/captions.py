"""Captions as tokens: the Penn Treebank tokenizer of pycocoevalcap, held to one line a caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.java import java_on_path, quiet
from unimo2.errors import BadData

Tokens = dict[int, list[str]]
"""By image: captions as tokens between single spaces, in lower case, without punctuation."""

# The tokenizer's lines end at any of these, pycocoevalcap minds only the first: a caption with
# another of them would give all captions after it to the wrong image.
_LINE_ENDS = {ord(letter): " " for letter in "\n\r\v\f\x85\u2028\u2029"}
_SENTINEL = "end"


def tokenise(captions: Mapping[int, Sequence[str]]) -> Tokens:
    """Tokenise all captions of some images in one call, in their order.

    Args:
        captions: By image, at least one each.

    Returns:
        The same captions as tokens.

    Raises:
        MissingData: No Java, which the tokenizer is written in.
        BadData: The tokenizer did not give back one line for each caption.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    records: dict[int | None, list[dict[str, str]]] = {
        image: [{"caption": caption.translate(_LINE_ENDS)} for caption in listed]
        for image, listed in captions.items()
    }
    # Blank captions at the very end leave no lines, so something must stand below them.
    last = next(reversed(records.values()))[-1]["caption"]
    padded = {**records, None: [{"caption": _SENTINEL}]} if not last.strip() else records
    with java_on_path(), quiet():
        found = PTBTokenizer().tokenize(padded)
    if padded is not records and found.pop(None, None) != [_SENTINEL]:
        found = {}
    if {image: len(lines) for image, lines in found.items()} != {
        image: len(listed) for image, listed in captions.items()
    }:
        raise BadData("the PTB tokenizer did not give back one line for each caption")
    return dict(found)
