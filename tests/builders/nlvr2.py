"""What a contributor of NLVR2 writes: three files, and no line in any other.

Two of them are the code of docs/contributing/a-data-set.md.
"""

from pathlib import Path

from builders.toy_package import blocks_of

_READER, _CATALOGUE = blocks_of("a-data-set.md")

FILES = {
    "unimo2/formats/nlvr2.py": _READER,
    "evals/datasets/catalogue/nlvr2.py": _CATALOGUE,
    "evals/benchmarks/nlvr2.py": '''"""NLVR2 accuracy: the two photos stand side by side in one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from evals.benchmark import Request, SampleMetric
from evals.benchmark import ImageOptions
from evals.metrics.bootstrap import means
from evals.prediction import ItemBenchmark, Predict, Prediction, Predictions, Results
from evals.samples import columns_of, frame, guesses, subset_means
from evals.splits import SplitInfo, SplitData, fingerprint, first_items
from evals.datasets.suites import Suite
from unimo2.formats.images import loaded
from unimo2.formats.nlvr2 import LABELS, Example, annotations, read_examples

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import PairClassifier


@dataclass(frozen=True)
class Nlvr2Data(SplitData):
    """Examples of a split with the files of their photos."""

    examples: tuple[Example, ...]
    images: tuple[tuple[Path, Path], ...]


class Nlvr2(ItemBenchmark):
    """NLVR2: accuracy."""

    name = dataset = "nlvr2"
    title = "NLVR2"
    task = "reasoning about two images"
    capabilities = ("pair_classifier",)
    splits = ("dev", "test1")
    default_split = "test1"
    dev_split = "dev"
    main_metric = "accuracy"
    unit = "pairs"
    Options = ImageOptions

    def files(self, split: str) -> Sequence[Path]:
        return (annotations(Path(), split),)

    def read(self, suite: Suite, request: Request) -> Nlvr2Data:
        self.require_split(request.split)
        everything = read_examples(annotations(suite.root, request.split))
        examples = first_items(everything, request.limit, self.unit)
        images = tuple(example.images(suite.root) for example in examples)
        flat = [path for both in images for path in both]
        lines = [[one.id, one.sentence, one.label] for one in examples]
        counts = (len(examples), len(everything), len(set(flat)))
        return Nlvr2Data(
            extent=SplitInfo.of(suite, self.dataset, (request.split,), self.unit, *counts),
            fingerprint=fingerprint(request.split, lines, flat),
            examples=examples,
            images=images,
        )

    def details(self, model: PairClassifier, request: Request) -> dict[str, Any]:
        return {"score": "accuracy", "images": "side by side"}

    def groups(self, data: Nlvr2Data) -> Sequence[tuple[Path, Path]]:
        return data.images

    def predictor(self, model: PairClassifier, data: Nlvr2Data, request: Request) -> Predict:
        columns = columns_of(model.name, model.pair_classes, {label: () for label in LABELS})

        def labels(numbers: Sequence[int]) -> list[Prediction]:
            images = [_beside(*loaded(data.images[number])) for number in numbers]
            texts = [data.examples[number].sentence for number in numbers]
            return guesses(model.classify_pairs(images, texts), columns)

        return labels

    def results(
        self, model: Any, data: Nlvr2Data, found: Predictions, request: Request, folder: Path
    ) -> Results:
        given, truth = found.column("prediction"), [one.label for one in data.examples]
        hits = np.array([a == b for a, b in zip(given, truth, strict=True)], dtype=np.float64)
        whole = {"accuracy": np.ones(len(hits), dtype=np.bool_)}
        metrics = means(hits, whole, np.arange(len(hits)), request.seed, chance=0.5)
        samples = frame({"id": [one.id for one in data.examples]}, given, truth, hits)
        return Results(metrics, samples)

    def sample_metrics(self, samples: pd.DataFrame) -> dict[str, SampleMetric]:
        return subset_means(samples, "id", "id")


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both
''',
}


def write(folder: Path) -> None:
    """Write the three files below a folder, as they would lie in the repository."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
