"""COCO captions, Karpathy's splits: beam search, scored by `evals.metrics.captions`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np

from evals.benchmark import ImageOptions, Request, SampleMetric, Scored, option
from evals.datasets.suites import Suite
from evals.distributed import Team
from evals.metrics.captions import CORPUS_METRICS, caption_scores, cider, tokenise, why_no_spice
from evals.metrics.java import find_java
from evals.metrics.ranking import Floats
from evals.prediction import ItemBenchmark, Predict, Prediction, Predictions, Results
from evals.samples import answered, frame, scored
from evals.splits import SplitData, SplitInfo, contents_of, fingerprint, first_items
from unimo2.console import silent
from unimo2.errors import BadData, IncompatibleModel
from unimo2.files import PathUse, write_text
from unimo2.formats.coco import read_captions, read_results
from unimo2.formats.images import loaded
from unimo2.formats.karpathy import SPLITS, KarpathyImage, parse_karpathy, select_karpathy
from unimo2.formats.layout import CocoFiles
from unimo2.formats.object_tags import read_object_tags
from unimo2.formats.parsing import first_few
from zoo.protocols import TagReader

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import Captioner, Model


@dataclass(frozen=True)
class CocoData(SplitData):
    """Images and references of one split.

    Object tags are part of the protocol: runs with and without them are on the same data.

    Attributes:
        images: In the order of the annotation file, all with COCO's own id.
        tags: Object tags of each image; None for captions without.
    """

    images: tuple[KarpathyImage, ...]
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
        counts = {"captions": sum(len(image.captions) for image in self.images)}
        if self.tags is not None:
            counts["tagged"] = sum(1 for tags in self.tags if tags)
        return {**super().summary(), **counts}

    def notes(self) -> list[str]:
        """Notes about the data."""
        notes = super().notes()
        bare = 0 if self.tags is None else sum(1 for tags in self.tags if not tags)
        if bare:
            notes.append(f"{bare:,} of {len(self.images):,} images have no object tags")
        return notes


_BEAMS = 5  # of a model that does not say


@dataclass(frozen=True)
class CocoOptions(ImageOptions):
    """How captions are written.

    Attributes:
        beam_size: Beams of an image; None for the model's own.
        object_tags: File of object tags that captions are written with; None for none.
    """

    beam_size: int | None = option(
        None, "Beams of an image; the model's own by default.", range=(1, 100), variant="beam-{}"
    )
    object_tags: Path | None = option(
        None,
        "Names of the objects in each image, which captions are written with: JSON "
        '{"<image id or file name>": ["dog", ...]}, or COCO\'s instances_*.json.',
        metavar="FILE",
        variant="object-tags",
        of=PathUse.READS_FILE,
    )


class Coco(ItemBenchmark):
    """COCO captions, Karpathy's split: BLEU, METEOR, ROUGE-L, CIDEr; SPICE where its models are.

    The run folder holds the results file that the caption server takes.
    """

    name = dataset = "coco"
    title = "COCO captions"
    task = "image captioning"
    capabilities = ("captioner",)
    splits = tuple(SPLITS)
    default_split = "test"
    dev_split = "val"
    main_metric = "CIDEr"
    unit = "images"
    chunk = 32
    Options = CocoOptions

    def files(self, split: str) -> Sequence[Path]:
        """Karpathy's file, which holds all splits."""
        return (CocoFiles(Path()).annotations,)

    def absence(self, root: Path, split: str) -> str | None:
        """Why a split cannot be measured here: no file, or no image of the split in it."""
        return super().absence(root, split) or no_images(CocoFiles(root).annotations, split)

    def read(self, suite: Suite, request: Request) -> CocoData:
        """Read one split; make sure that its image files and Java, which scores, are there."""
        self.require_split(request.split)
        at = CocoFiles(suite.root)
        path = at.annotations
        everything = parse_karpathy(path, at.folder, (request.split,))
        images = first_items(everything, request.limit, "images")
        bare = [image.filename for image in images if image.cocoid is None]
        if bare:
            raise BadData(f"{path}: {len(bare):,} images without a cocoid: {first_few(bare)}")
        find_java()
        lines = [[image.cocoid, *(caption.text for caption in image.captions)] for image in images]
        paths = [image.path for image in images]
        counts = (len(images), len(everything))
        return CocoData(
            extent=SplitInfo.of(suite, self.dataset, (request.split,), self.unit, *counts),
            fingerprint=fingerprint(request.split, lines, paths),
            pictures=paths,
            contents=contents_of(lines, paths),
            images=images,
            tags=_tags(images, request.options.object_tags),
        )

    def details(self, model: Model, request: Request) -> dict[str, Any]:
        """Protocol of captioning; errors for options that the model does not support."""
        tags = None
        if request.options.object_tags is not None:
            if not isinstance(model, TagReader):
                raise IncompatibleModel(
                    f"model '{model.name}' reads no object tags: leave --object-tags out"
                )
            tags = read_object_tags(request.options.object_tags).describe()
        return {
            "score": "pycocoevalcap after PTB tokenisation",
            "beam_size": _beams(model, request),
            "object_tags": tags,
        }

    def notices(self, request: Request) -> list[str]:
        """Advice before the first caption is generated."""
        reason = why_no_spice()
        return [f"SPICE will not be measured: {reason}"] if reason else []

    def groups(self, data: CocoData) -> range:
        """One unit per image."""
        return range(len(data.images))

    def predictor(self, model: Captioner, data: CocoData, request: Request) -> Predict:
        """Writes captions."""

        def captions(numbers: Sequence[int]) -> list[Prediction]:
            texts = captions_of(model, data, numbers, _beams(model, request))
            return [{"prediction": text} for text in texts]

        return captions

    def results(
        self, model: Any, data: CocoData, found: Predictions, request: Request, folder: Path
    ) -> Results:
        """BLEU, METEOR, ROUGE-L, CIDEr and where it can be measured SPICE.

        A sample per image, whose score is its CIDEr.
        """
        captions = [str(caption) for caption in found.column("prediction")]
        entries = [
            {"image_id": image, "caption": caption}
            for image, caption in zip(data.ids, captions, strict=True)
        ]
        name = f"captions_karpathy-{data.extent.split}_{model.name}_results.json"
        write_text(folder / name, json.dumps(entries, ensure_ascii=False))
        references = data.references
        given = dict(zip(data.ids, captions, strict=True))
        scores = caption_scores(given, references, request.seed)
        columns: dict[str, Any] = {"image_id": data.ids, **scores.samples}
        for metric, statistics in scores.statistics.items():
            columns |= {f"{metric}:{place}": column for place, column in enumerate(statistics.T)}
        samples = frame(columns, captions, list(references.values()), scores.samples["CIDEr"])
        note = f"{name} in the run folder has the form that the caption server takes"
        return Results(scores.metrics, samples, [note, *scores.notes])

    def validating(
        self, suite: Suite, request: Request, team: Team
    ) -> Callable[[Captioner], dict[str, float]]:
        """CIDEr alone: METEOR's and SPICE's programs would take longer than the training."""
        data = self.read(suite, request)
        truth = tokenise({image: list(texts) for image, texts in data.references.items()})

        def of(found: Predictions) -> dict[str, float]:
            captions = found.column("prediction")
            given = tokenise({i: [str(one)] for i, one in zip(data.ids, captions, strict=True)})
            return {"CIDEr": 100.0 * float(cider(truth, given).mean())}

        def measured(model: Captioner) -> dict[str, float]:
            with team.workplace() as folder:
                store = self.predict(model, data, request, folder, silent, team.share)
                return team.told(lambda: of(store.assemble()))

        return measured

    def sample_metrics(self, samples: pd.DataFrame) -> dict[str, SampleMetric]:
        """The metrics of a run's samples, for paired comparisons."""
        ids = samples["image_id"].to_numpy()
        found = {}
        for name, corpus in CORPUS_METRICS.items():
            sums = samples.filter(regex=f"^{name}:").to_numpy(dtype=np.float64)
            for metric in corpus(sums[:1]) if sums.shape[1] else ():
                found[metric] = SampleMetric(ids, ids, sums, partial(_in_percent, corpus, metric))
        for name in ("ROUGE_L", "CIDEr", "SPICE"):
            if name in samples:
                found[name] = SampleMetric.mean(ids, ids, samples[name])
        return found

    def score(
        self,
        results: Annotated[Path, 'JSON: [{"image_id", "caption"}, ...].'],
        annotations: Annotated[Path, "captions_*.json."],
        allow_missing: bool = False,
        seed: int = 0,
    ) -> Scored:
        """COCO captions: BLEU, METEOR, ROUGE-L, CIDEr; SPICE where its models are there.

        Args:
            results: JSON as the caption server takes it.
            annotations: For example `captions_val2014.json`.
            allow_missing: Score the images that have a caption; CIDEr's document frequencies then
                come from these alone.
            seed: Seed of the bootstrap.

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
        return scored(scores.metrics, chosen, references, "images", scores.notes)


def no_images(path: Path, split: str) -> str | None:
    """Message for a Karpathy file without images of a split; None if it has some."""
    if select_karpathy(path, path.parent, ())[1][split]:
        return None
    return f"{path} has no image of the split {split}"


def _in_percent(corpus: Callable[[Floats], dict[str, Floats]], metric: str, sums: Floats) -> Floats:
    return 100.0 * corpus(sums)[metric]


def _tags(images: Sequence[KarpathyImage], path: Path | None) -> tuple[tuple[str, ...], ...] | None:
    """The object tags of each image; None without a file."""
    if path is None:
        return None
    return read_object_tags(path).of_images([(one.cocoid, one.filename) for one in images])


def _beams(model: Model, request: Request) -> int:
    """Beams of an image: those that are asked for, the model's own, or as many as in the paper."""
    return int(request.options.beam_size or getattr(model, "beams", _BEAMS))


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
