"""COCO captions: PTB tokens, BLEU-1 to 4, METEOR, ROUGE-L, CIDEr and SPICE by pycocoevalcap.

The figures are pycocoevalcap's, times 100. Images are tokenised and scored in the order of the
annotation file, as its own evaluation does: the tokenizer reads all captions as one text.

Intervals resample images. BLEU and METEOR of a resample are computed from its summed statistics,
exactly as of a corpus; ROUGE-L, CIDEr and SPICE are means over images. CIDEr's document frequencies
stay those of all scored images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evals import items, meteor
from evals.benchmark import Outcome, Report, Request, SampleMetric
from evals.captions import Tokens, tokenise
from evals.coco_data import CocoData, captions_of, notices, read
from evals.item_samples import frame
from evals.items import Work
from evals.java import java_on_path, quiet
from evals.metrics import RESAMPLES, Floats, Metric
from evals.processes import ALL, Share
from evals.resampling import of_draws, resampled_sums
from evals.scoring import Scored, answered, missing_note
from evals.spice import spice, why_no_spice
from unimo2.errors import BadData, IncompatibleModel, UsageError
from unimo2.files import write_text
from unimo2.formats.coco import read_captions, read_results
from unimo2.formats.object_tags import read_object_tags
from zoo.protocols import TagReader

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import Captioner, Model

__all__ = [
    "CAPABILITY",
    "SPLIT",
    "caption_scores",
    "corpus_bleu",
    "measure",
    "notices",
    "predict",
    "protocol",
    "read",
    "sample_metrics",
    "score",
]

CAPABILITY = "captioner"
SPLIT = "test"
_CHUNK = 32  # images
_ORDER = 4  # the longest n-grams of BLEU
_SMALL, _TINY = 1e-9, 1e-15  # added by the program below and above the fraction bar
_CORPUS = ("bleu", "meteor")  # metrics of a corpus that are no means; columns of their sums


def protocol(model: Model, request: Request) -> dict[str, Any]:
    """How captions are made and measured: the record's "protocol".

    Raises:
        UsageError: A search without beams.
        IncompatibleModel: A model that reads no object tags, asked to.
        MissingData: No file of object tags.
        BadData: A broken file of object tags.
    """
    if request.beam_size < 1:
        raise UsageError(f"--beam-size {request.beam_size}: at least 1 beam is needed")
    tags = None
    if request.object_tags is not None:
        if not isinstance(model, TagReader):
            raise IncompatibleModel(
                f"model '{model.name}' reads no object tags: leave --object-tags out"
            )
        tags = read_object_tags(request.object_tags).describe()
    return {
        "task": "image captioning",
        "zero_shot": request.zero_shot,
        "score": "pycocoevalcap after PTB tokenisation",
        "beam_size": request.beam_size,
        "object_tags": tags,
        "interval": f"percentile bootstrap over images, {RESAMPLES:,} resamples",
    }


def predict(
    model: Captioner,
    data: CocoData,
    request: Request,
    folder: Path,
    report: Report,
    share: Share = ALL,
) -> items.Store:
    """Caption the images that are left, and keep the captions in `folder`."""

    def captions(numbers: Sequence[int]) -> list[items.Prediction]:
        texts = captions_of(model, data, numbers, request.beam_size)
        return [{"prediction": text} for text in texts]

    work = Work.of(range(len(data.images)), "images", model.batch_size, _CHUNK)
    return items.predict(model, work, captions, folder, report, share)


def measure(
    model: Captioner, data: CocoData, request: Request, folder: Path, report: Report
) -> Outcome:
    """Caption all images and score the captions.

    Args:
        model: Writes captions.
        data: From `read`.
        request: Gives the beam size and the seed.
        folder: Keeps finished chunks, and receives the results file that the caption server takes.
        report: Called as the work goes on.

    Returns:
        BLEU, METEOR, ROUGE-L, CIDEr and where it can be measured SPICE; one sample an image, whose
        score is its CIDEr.
    """
    store = predict(model, data, request, folder, report)
    found = store.assemble()
    captions = [str(caption) for caption in found.column("prediction")]
    entries = [
        {"image_id": image, "caption": caption}
        for image, caption in zip(data.ids, captions, strict=True)
    ]
    name = f"captions_karpathy-{data.extent.split}_{model.name}_results.json"
    write_text(folder / name, json.dumps(entries, ensure_ascii=False))
    references = data.references
    scores = caption_scores(dict(zip(data.ids, captions, strict=True)), references, request.seed)
    columns: dict[str, Any] = {"image_id": data.ids, **scores.samples}
    for metric, statistics in scores.statistics.items():
        columns |= {f"{metric}:{place}": column for place, column in enumerate(statistics.T)}
    samples = frame(columns, captions, list(references.values()), scores.samples["CIDEr"])
    notes = [f"{name} in the run folder has the form that the caption server takes", *scores.notes]
    return items.outcome(store, found, scores.metrics, samples, "images", notes)


def sample_metrics(samples: pd.DataFrame) -> dict[str, SampleMetric]:
    """The metrics of a run's samples, for paired comparisons."""
    ids = samples["image_id"].to_numpy()
    sums = {name: samples.filter(regex=f"^{name}:").to_numpy(dtype=np.float64) for name in _CORPUS}
    found = {
        f"Bleu_{n}": SampleMetric(ids, ids, sums["bleu"], partial(_bleu_in_percent, n))
        for n in range(1, _ORDER + 1)
    }
    found["METEOR"] = SampleMetric(ids, ids, sums["meteor"], _meteor_in_percent)
    for name in ("ROUGE_L", "CIDEr", "SPICE"):
        if name in samples:
            found[name] = SampleMetric.mean(ids, ids, samples[name])
    return found


def _bleu_in_percent(longest: int, sums: Floats) -> Floats:
    values: Floats = 100.0 * corpus_bleu(sums)[:, longest - 1]
    return values


def _meteor_in_percent(sums: Floats) -> Floats:
    return 100.0 * meteor.corpus_score(sums)


@dataclass(frozen=True)
class CaptionScores:
    """What captions are worth.

    Attributes:
        metrics: "Bleu_1" ... "CIDEr", and "SPICE" where it can be measured; in percent.
        images: `[images]`, their ids.
        samples: By metric, the score of each image alone, `[images]`, 0 to 1 (CIDEr: to 10).
        statistics: "bleu" `[images, 10]` for `corpus_bleu` and "meteor" `[images, 23]` for
            `meteor.corpus_score`, which sum them.
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
    names = [f"Bleu_{n}" for n in range(1, _ORDER + 1)]
    values = {**dict(zip(names, bleu, strict=True)), "METEOR": meteor_value}
    drawn = {
        **dict(zip(names, corpus_bleu(bleu_sums).T, strict=True)),
        "METEOR": meteor.corpus_score(meteor_sums),
    }
    for name, column in zip(means, mean_sums.T, strict=True):
        values[name] = float(np.mean(means[name]))
        drawn[name] = column / len(images)
    return CaptionScores(
        metrics={name: of_draws(values[name], drawn[name], len(images)) for name in values},
        images=tuple(images),
        samples={**dict(zip(names, bleus, strict=True)), "METEOR": meteors, **means},
        statistics=dict(zip(_CORPUS, columns, strict=False)),
        notes=(f"SPICE is not measured: {reason}",) if reason else (),
    )


def score(results: Path, annotations: Path, allow_missing: bool = False, seed: int = 0) -> Scored:
    """Score somebody's captions.

    Args:
        results: JSON as the caption server takes it.
        annotations: For example `captions_val2014.json`.
        allow_missing: Score the images that have a caption; CIDEr's document frequencies then come
            from these alone.
        seed: Of the bootstrap.

    Returns:
        The metrics.

    Raises:
        MissingData: A file is not there, or no Java.
        BadData: A broken file, or an image that is unknown or has no caption.
    """
    references = {image.id: image.captions for image in read_captions(annotations)}
    captions = read_results(results)
    chosen = answered(captions, list(references), "images", allow_missing)
    scores = caption_scores(captions, {key: references[key] for key in chosen}, seed)
    return Scored(
        metrics=scores.metrics,
        missing=len(references) - len(chosen),
        notes=(*missing_note(len(chosen), len(references), "images"), *scores.notes),
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
    guessed, right = sums[:, 2 : 2 + _ORDER], sums[:, 2 + _ORDER :]
    precision = np.cumprod((right + _TINY) / (guessed + _SMALL), axis=1)
    ratio = (words + _TINY) / (reference_words + _SMALL)
    brevity = np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1.0)
    result: Floats = precision ** (1 / np.arange(1, _ORDER + 1)) * brevity[:, None]
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

    scorer = BleuScorer(n=_ORDER)
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
    return total, np.array(each), meteor.parse(lines)


def _means(truth: Tokens, given: Tokens) -> dict[str, Floats]:
    """The scores of each image that are averaged over images."""
    from pycocoevalcap.rouge.rouge import Rouge

    rouge = np.asarray(Rouge().compute_score(truth, given)[1], dtype=np.float64)
    return {"ROUGE_L": rouge, "CIDEr": cider(truth, given)}
