"""Captions: PTB tokens, BLEU-1 to 4, METEOR, ROUGE-L, CIDEr and SPICE by pycocoevalcap.

The figures are pycocoevalcap's, times 100. Images are tokenised and scored in the order of the
annotation file, as its own evaluation does: the tokenizer reads all captions as one text.

Intervals resample images. BLEU and METEOR of a resample are computed from its summed statistics,
exactly as of a corpus; ROUGE-L, CIDEr and SPICE are means over images. CIDEr's document frequencies
stay those of all scored images.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from evals.metrics import java
from evals.metrics.bootstrap import of_draws, resampled_sums
from evals.metrics.ranking import Floats, Metric
from unimo2.console import tracked
from unimo2.errors import BadData

BLEU_ORDER = 4  # the longest n-grams of BLEU
_SMALL, _TINY = 1e-9, 1e-15  # added by the program below and above the fraction bar


@dataclass(frozen=True)
class CaptionScores:
    """What captions are worth.

    Attributes:
        metrics: "Bleu_1" ... "CIDEr", and "SPICE" where it can be measured; in percent.
        images: `[images]`, their ids.
        samples: By metric, the score of each image alone, `[images]`, 0 to 1 (CIDEr: to 10).
        statistics: "bleu" `[images, 10]` for `corpus_bleu` and, where it is measured, "meteor"
            `[images, 23]` for `corpus_meteor`: their sums give the metrics of a corpus.
        notes: Why METEOR or SPICE is not measured.
    """

    metrics: Mapping[str, Metric]
    images: tuple[int, ...]
    samples: Mapping[str, Floats]
    statistics: Mapping[str, Floats]
    notes: tuple[str, ...]


def caption_scores(
    captions: Mapping[int, str], references: Mapping[int, Sequence[str]], seed: int = 0
) -> CaptionScores:
    """Score one caption an image against what people wrote.

    Args:
        captions: By image.
        references: By image, of at least the same images; the order of its keys is that in which
            images are scored.
        seed: Seed for the bootstrap over images.

    Returns:
        The scores.

    Raises:
        MissingData: No Java.
        BadData: References without any word, or a tokenizer that fails.
    """
    images = [image for image in references if image in captions]
    truth = tokenise({image: list(references[image]) for image in images})
    given = tokenise({image: [captions[image]] for image in images})
    if not any(caption for listed in truth.values() for caption in listed):
        raise BadData("the annotations' captions have no words")
    bleu, bleus, bleu_statistics = _bleu(truth, given)
    names = [f"Bleu_{n}" for n in range(1, BLEU_ORDER + 1)]
    values = dict(zip(names, bleu, strict=True))
    samples: dict[str, Floats] = dict(zip(names, bleus, strict=True))
    statistics = {"bleu": bleu_statistics}
    notes = []
    try:
        values["METEOR"], samples["METEOR"], statistics["meteor"] = _meteor(truth, given)
    except BadData as error:
        notes.append(f"METEOR is not measured: {error}")
    means = _means(truth, given)
    try:
        means["SPICE"] = spice(truth, given)
    except BadData as error:
        notes.append(f"SPICE is not measured: {error}")
    values |= {name: float(scores.mean()) for name, scores in means.items()}
    drawn = _drawn(statistics, means, seed)
    return CaptionScores(
        metrics={name: of_draws(values[name], drawn[name], len(images)) for name in values},
        images=tuple(images),
        samples=samples | means,
        statistics=statistics,
        notes=tuple(notes),
    )


def _drawn(
    statistics: Mapping[str, Floats], means: Mapping[str, Floats], seed: int
) -> dict[str, Floats]:
    """Every metric of the same resamples of images, `[resamples]` each."""
    columns = [*statistics.values(), np.stack(list(means.values()), axis=1)]
    images = len(columns[0])
    sums = resampled_sums(np.concatenate(columns, axis=1), np.arange(images), seed)
    parts = np.split(sums, np.cumsum([part.shape[1] for part in columns])[:-1], axis=1)
    drawn: dict[str, Floats] = {}
    for name, part in zip(statistics, parts, strict=False):
        drawn |= CORPUS_METRICS[name](part)
    for name, column in zip(means, parts[-1].T, strict=True):
        drawn[name] = column / images
    return drawn


def corpus_bleu(sums: Floats) -> Floats:
    """BLEU of summed statistics.

    Args:
        sums: `[corpora, 10]`: words of the captions and of their closest references, n-grams of the
            captions, n-grams that are right; the last two for n = 1 to 4.

    Returns:
        `[corpora, 4]`, 0 to 1.
    """
    words, reference_words = sums[:, 0], sums[:, 1]
    guessed, right = sums[:, 2 : 2 + BLEU_ORDER], sums[:, 2 + BLEU_ORDER :]
    precision = np.cumprod((right + _TINY) / (guessed + _SMALL), axis=1)
    ratio = (words + _TINY) / (reference_words + _SMALL)
    brevity = np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1.0)
    result: Floats = precision ** (1 / np.arange(1, BLEU_ORDER + 1)) * brevity[:, None]
    return result


def cider(truth: Tokens, given: Tokens) -> Floats:
    """CIDEr of each image, as pycocoevalcap computes it; the corpus's CIDEr is their mean.

    Args:
        truth: references; document frequencies are theirs.
        given: one caption an image, of the same images.

    Returns:
        `[images]`, in the order of `truth`, 0 to 10.
    """
    from pycocoevalcap.cider.cider import Cider

    return np.asarray(Cider().compute_score(truth, given)[1], dtype=np.float64)


def _bleu(truth: Tokens, given: Tokens) -> tuple[list[float], list[Floats], Floats]:
    """BLEU of the corpus, of each image, and the statistics of each image."""
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=BLEU_ORDER)
    for image, references in truth.items():
        scorer += (given[image][0], references)
    total, each = scorer.compute_score(option="closest", verbose=0)
    rows = [
        [
            counts["testlen"],
            min((abs(length - counts["testlen"]), length) for length in counts["reflen"])[1],
            *counts["guess"],
            *counts["correct"],
        ]
        for counts in scorer.ctest
    ]
    return total, [np.array(scores) for scores in each], np.array(rows, dtype=np.float64)


def _meteor(truth: Tokens, given: Tokens) -> tuple[float, Floats, Floats]:
    """METEOR of the corpus, of each image, and the statistics of each image.

    The program and what it is told are pycocoevalcap's.

    Raises:
        BadData: The program ended without a score, or took too long.
    """
    from pycocoevalcap.meteor import meteor as package

    command = ["-Xmx2G", "-jar", package.METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm"]
    folder = Path(package.__file__).parent
    with java.conversation("METEOR", command, folder, len(truth)) as program:
        lines = []
        for image, references in tracked(truth.items(), "METEOR in Java", "images"):
            caption = given[image][0].replace("|||", "").replace("  ", " ")
            program.write(" ||| ".join(("SCORE", *references, caption)))
            lines.append(program.read())
        statistics = parse_meteor(lines)
        program.write(" ||| ".join(("EVAL", *lines)))
        each = np.array([program.number() for _ in lines])
        return program.number(), each, statistics


def _means(truth: Tokens, given: Tokens) -> dict[str, Floats]:
    """The scores of each image that are averaged over images."""
    from pycocoevalcap.rouge.rouge import Rouge

    rouge = np.asarray(Rouge().compute_score(truth, given)[1], dtype=np.float64)
    return {"ROUGE_L": rouge, "CIDEr": cider(truth, given)}


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
    lines = [text.translate(_LINE_ENDS) for listed in captions.values() for text in listed]
    # Blank captions at the very end leave no lines, so something must stand below them.
    found = _ptb([*lines, _SENTINEL] if not lines[-1].strip() else lines)
    if len(found) > len(lines) and found.pop() != _SENTINEL:
        found = []
    if len(found) != len(lines):
        raise BadData("the PTB tokenizer did not give back one line for each caption")
    each = iter(found)
    return {image: [next(each) for _ in listed] for image, listed in captions.items()}


def _ptb(lines: Sequence[str]) -> list[str]:
    """Lines through the Penn Treebank tokenizer, with the options and punctuation of pycocoevalcap."""
    from pycocoevalcap.tokenizer import ptbtokenizer as package

    folder = Path(package.__file__).parent
    command = ["-cp", package.STANFORD_CORENLP_3_4_1_JAR, "edu.stanford.nlp.process.PTBTokenizer"]
    options = ["-preserveLines", "-lowerCase"]
    text = "\n".join(lines)
    tokens = java.run("the PTB tokenizer", [*command, *options], folder, text, len(lines))
    dropped = set(package.PUNCTUATIONS)
    return [
        " ".join(word for word in line.rstrip().split(" ") if word not in dropped)
        for line in tokens.removesuffix("\n").split("\n")
    ]


# METEOR of a corpus from its per-caption statistics, so that it can be resampled.
#
# METEOR of a corpus is not a mean over captions: the program (METEOR 1.5, started by pycocoevalcap)
# sums the statistics of all captions and computes one score from the sums. It prints those
# statistics per caption; this is the formula that it applies to them (Denkowski and Lavie, 2014,
# with the program's parameters for English). Tests compare it with the program's own numbers.


STATISTICS = 23  # numbers that the program prints for one caption
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_STAGES = (1.0, 0.6, 0.8, 0.6)  # weights of exact, stem, synonym and paraphrase matches
_FIRST_STAGE = 4


def parse_meteor(lines: Sequence[str]) -> Floats:
    """The program's statistics.

    Args:
        lines: `[captions]`, as it prints them.

    Returns:
        `[captions, 23]`: words and function words of caption and reference; for each stage the
        matched content words of both and function words of both; chunks, matched words of both. A
        caption that is its reference word for word has no chunks: the program counts it so in a sum.

    Raises:
        BadData: A line that is not 23 numbers.
    """
    try:
        rows = np.array([[float(word) for word in line.split()] for line in lines])
    except ValueError:
        rows = np.empty(0)
    if rows.shape != (len(lines), STATISTICS):
        raise BadData("METEOR answers in an unknown form; is its jar version 1.5?")
    words, reference_words = rows[:, 0], rows[:, 1]
    chunks, matched, reference_matched = rows[:, -3:].T
    whole = (chunks == 1) & (matched == words) & (reference_matched == reference_words)
    rows[whole, -3] = 0
    return rows


def corpus_meteor(sums: Floats) -> Floats:
    """METEOR of summed statistics.

    Args:
        sums: `[corpora, 23]`, each row the sum over a corpus' captions.

    Returns:
        `[corpora]`, 0 to 1.
    """
    words, reference_words, function, reference_function = sums[:, :_FIRST_STAGE].T
    stages = sums[:, _FIRST_STAGE:-3].reshape(len(sums), len(_STAGES), 4)
    chunks, matched, reference_matched = sums[:, -3:].T
    weights = np.array(_STAGES)
    found = stages[:, :, 0] @ weights * _DELTA + stages[:, :, 2] @ weights * (1 - _DELTA)
    reference_found = stages[:, :, 1] @ weights * _DELTA + stages[:, :, 3] @ weights * (1 - _DELTA)
    precision = _ratio(found, _weighted(words, function))
    recall = _ratio(reference_found, _weighted(reference_words, reference_function))
    mean = _ratio(precision * recall, _ALPHA * precision + (1 - _ALPHA) * recall)
    fragmentation = _ratio(chunks, (matched + reference_matched) / 2)
    return mean * (1 - _GAMMA * fragmentation**_BETA)


def _weighted(words: Floats, function: Floats) -> Floats:
    """Words with function words counting less."""
    return _DELTA * (words - function) + (1 - _DELTA) * function


def _ratio(above: Floats, below: Floats) -> Floats:
    """A quotient, 0 where nothing is to be divided by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


# SPICE, where Java and the models of its parser are there; pycocoevalcap does not bring the models.


MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


def why_no_spice() -> str | None:
    """Why SPICE cannot be measured; None if it can.

    Returns:
        The reason, with what to do.
    """
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        return "pycocoevalcap is not installed"
    folder = Path(spec.submodule_search_locations[0]) / "spice" / "lib"
    missing = [name for name in MODELS if not (folder / name).is_file()]
    if missing:
        return f"its parser's models are not there ({' and '.join(missing)} in {folder})"
    return None


def spice(truth: Tokens, given: Tokens) -> Floats:
    """SPICE of each image, by pycocoevalcap.

    Args:
        truth: The references.
        given: One caption an image, of the same images.

    Returns:
        `[images]` in the order of `truth`, 0 to 1; the score of a corpus is their mean.

    Raises:
        BadData: Its models are not there; the program ended without a score, or with some that are
            not numbers.
    """
    reason = why_no_spice()
    if reason is not None:
        raise BadData(reason)
    from pycocoevalcap.spice import spice as package

    entries = [
        {"image_id": image, "test": given[image][0], "refs": listed}
        for image, listed in truth.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        asked, answered, cache = (Path(folder) / name for name in ("in.json", "out.json", "cache"))
        cache.mkdir()
        asked.write_text(json.dumps(entries), encoding="utf-8")
        paths = [str(asked), "-cache", str(cache), "-out", str(answered)]
        command = ["-Xmx8G", "-jar", package.SPICE_JAR, *paths, "-subset", "-silent"]
        home = Path(package.__file__).parent
        java.run("SPICE", command, home, items=len(truth), environment=java.opened_environment())
        try:
            scores = json.loads(answered.read_text(encoding="utf-8"))
            by_image = {one["image_id"]: one["scores"]["All"]["f"] for one in scores}
            found = np.array([by_image[image] for image in truth], dtype=np.float64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadData(f"SPICE's program left no scores ({error!r})") from None
    if not np.isfinite(found).all():
        raise BadData(f"SPICE's program gave no score for {np.sum(~np.isfinite(found)):,} images")
    return found


# Metrics of a corpus that are not means over images: names by summed statistics.
CORPUS_METRICS: dict[str, Callable[[Floats], dict[str, Floats]]] = {
    "bleu": lambda sums: {f"Bleu_{n}": s for n, s in enumerate(corpus_bleu(sums).T, start=1)},
    "meteor": lambda sums: {"METEOR": corpus_meteor(sums)},
}
