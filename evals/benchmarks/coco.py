"""COCO captions, Karpathy's splits: beam search, scored by `evals.metrics.captions`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evals import prediction
from evals.benchmark import Outcome, Report, Request, SampleMetric
from evals.distributed import ALL, Share
from evals.metrics.captions import CORPUS_METRICS, caption_scores, why_no_spice
from evals.metrics.java import find_java
from evals.metrics.ranking import RESAMPLES, Floats
from evals.prediction import Work
from evals.samples import frame
from evals.scoring import Scored, answered, missing_note
from evals.splits import Extent, fingerprint, first_items, known_split
from evals.suites import Suite
from unimo2.errors import BadData, IncompatibleModel, UsageError
from unimo2.files import write_text
from unimo2.formats.coco import read_captions, read_results
from unimo2.formats.images import loaded
from unimo2.formats.karpathy import SPLITS, KarpathyImage, parse_karpathy
from unimo2.formats.object_tags import read_object_tags
from unimo2.formats.parsing import first_few
from zoo.protocols import TagReader

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import Captioner, Model

__all__ = [
    "CAPABILITY",
    "SPLIT",
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
) -> prediction.Store:
    """Caption the images that are left, and keep the captions in `folder`."""

    def captions(numbers: Sequence[int]) -> list[prediction.Prediction]:
        texts = captions_of(model, data, numbers, request.beam_size)
        return [{"prediction": text} for text in texts]

    work = Work.of(range(len(data.images)), "images", model.batch_size, _CHUNK)
    return prediction.predict(model, work, captions, folder, report, share)


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
    return prediction.outcome(store, found, scores.metrics, samples, "images", notes)


def sample_metrics(samples: pd.DataFrame) -> dict[str, SampleMetric]:
    """The metrics of a run's samples, for paired comparisons."""
    ids = samples["image_id"].to_numpy()
    found = {}
    for name, corpus in CORPUS_METRICS.items():
        sums = samples.filter(regex=f"^{name}:").to_numpy(dtype=np.float64)
        if sums.shape[1]:
            for metric in corpus(sums[:1]):
                found[metric] = SampleMetric(ids, ids, sums, partial(_in_percent, corpus, metric))
    for name in ("ROUGE_L", "CIDEr", "SPICE"):
        if name in samples:
            found[name] = SampleMetric.mean(ids, ids, samples[name])
    return found


def _in_percent(corpus: Callable[[Floats], dict[str, Floats]], metric: str, sums: Floats) -> Floats:
    return 100.0 * corpus(sums)[metric]


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


# COCO captions in Karpathy's split, from his JSON and COCO's photos.


ANNOTATIONS = "coco/dataset_coco.json"


@dataclass(frozen=True)
class CocoData:
    """Images and references of one split.

    Attributes:
        images: In the order of the annotation file, all with COCO's own id.
        extent: How many.
        fingerprint: sha256 of ids, references and images. Object tags are part of the protocol:
            runs with and without them are on the same data.
        tags: Object tags of each image; None for captions without.
    """

    images: tuple[KarpathyImage, ...]
    extent: Extent
    fingerprint: str
    tags: tuple[tuple[str, ...], ...] | None = None

    @property
    def ids(self) -> list[int]:
        """`[images]`, COCO's ids."""
        return [image.cocoid for image in self.images if image.cocoid is not None]

    @property
    def paths(self) -> list[Path]:
        """`[images]`, their files."""
        return [image.path for image in self.images]

    @property
    def references(self) -> Mapping[int, Sequence[str]]:
        """The captions that people wrote, by COCO's id."""
        captions = ([caption.text for caption in image.captions] for image in self.images)
        return dict(zip(self.ids, captions, strict=True))

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        captions = sum(len(image.captions) for image in self.images)
        counts = {"captions": captions}
        if self.tags is not None:
            counts["tagged"] = sum(1 for tags in self.tags if tags)
        return {**self.extent.summary(self.fingerprint), **counts}

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        notes = self.extent.notes()
        bare = 0 if self.tags is None else sum(1 for tags in self.tags if not tags)
        if bare:
            notes.append(f"{bare:,} of {len(self.images):,} images have no object tags")
        return notes


def read(suite: Suite, request: Request) -> CocoData:
    """Read one split, and make sure that its image files and Java are there.

    Args:
        suite: The data root.
        request: Gives the split and the limit.

    Returns:
        The data.

    Raises:
        MissingData: A file is not there, or no Java, without which captions cannot be scored.
        BadData: A broken file, a split without images, images without COCO's id, object tags of
            none of them.
        UsageError: A limit below 1, an unknown split.
    """
    known_split(request.split, SPLITS, "COCO")
    path = suite.root / ANNOTATIONS
    everything = parse_karpathy(path, suite.root / "coco", (request.split,))
    images = first_items(everything, request.limit, "images")
    bare = [image.filename for image in images if image.cocoid is None]
    if bare:
        raise BadData(f"{path}: {len(bare):,} images without a cocoid: {first_few(bare)}")
    find_java()
    lines = [[image.cocoid, *(caption.text for caption in image.captions)] for image in images]
    extent = Extent.of(suite, "coco", (request.split,), "images", len(images), len(everything))
    return CocoData(
        images=images,
        extent=extent,
        fingerprint=fingerprint(request.split, lines, [image.path for image in images]),
        tags=_tags(images, request.object_tags),
    )


def _tags(images: Sequence[KarpathyImage], path: Path | None) -> tuple[tuple[str, ...], ...] | None:
    """The object tags of each image; None without a file."""
    if path is None:
        return None
    return read_object_tags(path).of_images([(one.cocoid, one.filename) for one in images])


def captions_of(
    model: Captioner, data: CocoData, numbers: Sequence[int], beam_size: int
) -> list[str]:
    """Caption some images, with their object tags where there are any.

    Args:
        model: Writes captions; with tags also a `TagReader`.
        data: From `read`.
        numbers: Places of the images.
        beam_size: Beams of an image.

    Returns:
        One caption an image.
    """
    images = loaded([data.images[number].path for number in numbers])
    if data.tags is None:
        return model.caption(images, beam_size)
    tags = [data.tags[number] for number in numbers]
    return cast(TagReader, model).caption_with_tags(images, tags, beam_size)


def notices(request: Request) -> list[str]:
    """What the user should know before the first caption is searched for."""
    reason = why_no_spice()
    return [f"SPICE will not be measured: {reason}"] if reason else []
