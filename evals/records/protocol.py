"""Protocol of a measurement, as enumerations and numbers.

Records of schema 1 said it in sentences ("shortlist of 64 images a caption and ..."). `facts` turns
those into the values of schema 2, `texts` turns the values into sentences for a reader; nothing
compares sentences. Values that are in no enumeration here are a benchmark's own and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Score(str, Enum):
    """The score that ranks candidates."""

    OWN = "own"
    FUSED = "fused"  # itm + contrastive_weight * contrastive
    CONTRASTIVE = "contrastive"
    DOT = "dot"  # of one vector per image and text: the whole score of a dual encoder
    LOGIT = "logit"


class Pairs(str, Enum):
    """Pairs scored by the fusion model; shortlists hold `rerank` candidates per query."""

    EXHAUSTIVE = "exhaustive"
    SHORTLISTS = "shortlists"  # images of each caption, and captions of each image
    CLASS_SHORTLIST = "class_shortlist"  # classes of each image


class Measure(str, Enum):
    """Scoring rule, where the benchmark's name does not determine it."""

    ACCURACY = "accuracy"
    MAJORITY_LABEL = "majority_label_accuracy"
    VQA = "vqa_accuracy"
    CAPTIONS = "pycocoevalcap"
    MATTHEWS = "matthews"
    CORRELATIONS = "pearson_spearman"


class Text(str, Enum):
    """The part of a row that a model reads."""

    HYPOTHESIS = "hypothesis"
    SENTENCE = "sentence"
    SENTENCE_PAIR = "sentence_pair"


class Ties(str, Enum):
    """Treatment of equal scores."""

    EXPECTATION = "expectation"


class ClassNames(str, Enum):
    """The class name used in its sentences."""

    FIRST_OF_SYNSET = "first_synset_name"
    CLIP = "clip"  # as CLIP's authors wrote them for ImageNet


class Ensemble(str, Enum):
    """Combination of a class's sentences."""

    SCORE = "mean_score"
    UNIT_VECTOR = "normalised_mean_vector"  # CLIP's: unit vectors, their mean normalised again


@dataclass(frozen=True)
class BootstrapInterval:
    """A percentile bootstrap.

    Attributes:
        over: Units that are drawn, in the plural: "images", "rows".
        resamples: Number of draws.
        method: The only one.
    """

    over: str
    resamples: int
    method: str = "percentile_bootstrap"


# The sentences of schema 1: by entry and text, the entry and value of schema 2. The tasks say no
# more than the benchmark's name.
_OWN_NAME = (None, "")
_SENTENCES: Mapping[tuple[str, str], tuple[str | None, str]] = {
    ("task", "image-text retrieval"): _OWN_NAME,
    ("task", "image captioning"): _OWN_NAME,
    ("task", "image classification"): _OWN_NAME,
    ("task", "visual entailment"): _OWN_NAME,
    ("task", "visual question answering"): _OWN_NAME,
    ("task", "GLUE SST-2"): _OWN_NAME,
    ("task", "GLUE MNLI"): _OWN_NAME,
    ("task", "GLUE CoLA"): _OWN_NAME,
    ("task", "GLUE STS-B"): _OWN_NAME,
    ("score", "the model's"): ("score", Score.OWN.value),
    ("score", "itm + contrastive_weight * contrastive"): ("score", Score.FUSED.value),
    ("score", "contrastive score alone"): ("score", Score.CONTRASTIVE.value),
    ("score", "accuracy"): ("measure", Measure.ACCURACY.value),
    ("score", "accuracy over pairs with a majority label"): (
        "measure",
        Measure.MAJORITY_LABEL.value,
    ),
    ("score", "official accuracy: min(1, k / 3), each annotator left out in turn"): (
        "measure",
        Measure.VQA.value,
    ),
    ("score", "pycocoevalcap after PTB tokenisation"): ("measure", Measure.CAPTIONS.value),
    ("score", "Matthews correlation"): ("measure", Measure.MATTHEWS.value),
    ("score", "Pearson and Spearman correlation"): ("measure", Measure.CORRELATIONS.value),
    ("text", "the hypothesis alone"): ("text", Text.HYPOTHESIS.value),
    ("text", "the sentence"): ("text", Text.SENTENCE.value),
    ("text", "both sentences, as the tokenizer joins a pair"): ("text", Text.SENTENCE_PAIR.value),
    ("ties", "expectation over a random order of equal scores"): ("ties", Ties.EXPECTATION.value),
    ("class_names", "the first name of each synset"): (
        "class_names",
        ClassNames.FIRST_OF_SYNSET.value,
    ),
    ("class_names", "CLIP's names for ImageNet"): ("class_names", ClassNames.CLIP.value),
}
_BACK = {wanted: (entry, text) for (entry, text), wanted in _SENTENCES.items() if wanted[0]}
_BELOW = "by contrastive score, fused; the others below, by contrastive score"
_BELOW_OTHER = "by the score of {0}, ranked by the model's; the others below, by that of {0}"
_SHORTLISTS = re.compile(r"shortlist of ([\d,]+) images a caption and \1 captions an image ")
_CLASS_SHORTLIST = re.compile(r"shortlist of ([\d,]+) classes an image ")
_INTERVAL = re.compile(r"percentile bootstrap over (\w+), ([\d,]+) resamples")
_ENSEMBLES = {
    "mean score over": Ensemble.SCORE.value,
    "normalised mean vector of": Ensemble.UNIT_VECTOR.value,
}
_ENSEMBLE = re.compile(rf"({'|'.join(_ENSEMBLES)}) \d+ templates")


def facts(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The values of schema 2, of a protocol of either schema.

    Args:
        protocol: A record's "protocol", or what a benchmark module says.

    Returns:
        The same entries with enumerations and numbers for the sentences of schema 1.
    """
    found: dict[str, Any] = {}
    for name, value in protocol.items():
        if isinstance(value, str):
            found |= _fact(name, value)
        else:
            found[name] = value
    return found


def _fact(name: str, text: str) -> dict[str, Any]:
    """Entries of a protocol, from one text of an older record."""
    if (name, text) in _SENTENCES:
        entry, value = _SENTENCES[name, text]
        return {} if entry is None else {entry: value}
    if name == "interval" and (match := _INTERVAL.fullmatch(text)):
        return {name: asdict(BootstrapInterval(match[1], int(match[2].replace(",", ""))))}
    if name == "prompt" and (match := _ENSEMBLE.fullmatch(text)):
        return {"ensemble": _ENSEMBLES[match[1]]}
    if name == "pairs" and _SHORTLISTS.match(text):
        return {name: Pairs.SHORTLISTS.value}
    if name == "pairs" and _CLASS_SHORTLIST.match(text):
        return {name: Pairs.CLASS_SHORTLIST.value}
    return {name: text}


def retrieval_name(protocol: Mapping[str, Any]) -> str:
    """What a protocol of retrieval is called: dot, exhaustive, rerank-K or rerank-K-by-NAME.

    Args:
        protocol: A record's, or what the benchmark says.
    """
    chooser = protocol.get("shortlist_from")
    if protocol.get("pairs") == Pairs.SHORTLISTS:
        name = f"rerank-{protocol.get('rerank')}"
        return f"{name}-by-{chooser['model']}" if isinstance(chooser, Mapping) else name
    return Score.DOT.value if protocol.get("score") == Score.DOT else Pairs.EXHAUSTIVE.value


def texts(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """A protocol of schema 2 with sentences for a reader where it has enumerations."""
    found: dict[str, Any] = {}
    for name, value in protocol.items():
        entry, text = _BACK.get((name, value), (name, value)) if _hashable(value) else (name, value)
        found[entry] = text
    if protocol.get("ensemble"):
        words = {value: words for words, value in _ENSEMBLES.items()}[protocol["ensemble"]]
        found["prompt"] = f"{words} {protocol.get('templates')} templates"
        del found["ensemble"]
    count, chooser = protocol.get("rerank"), protocol.get("shortlist_from")
    if protocol.get("pairs") == Pairs.SHORTLISTS:
        found["pairs"] = f"shortlist of {count} images a caption and {count} captions an image "
        found["pairs"] += _BELOW if chooser is None else _BELOW_OTHER.format(chooser["model"])
    if protocol.get("pairs") == Pairs.CLASS_SHORTLIST:
        found["pairs"] = f"shortlist of {count} classes an image {_BELOW}"
    interval = protocol.get("interval")
    if isinstance(interval, Mapping):
        over, resamples = interval.get("over"), interval.get("resamples")
        found["interval"] = f"percentile bootstrap over {over}, {resamples:,} resamples"
    return found


def _hashable(value: object) -> bool:
    return isinstance(value, (str, int, float, bool, type(None)))
