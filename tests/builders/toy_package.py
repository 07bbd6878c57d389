"""A package of somebody else: a benchmark, a model and a verb, known by entry points alone."""

from pathlib import Path

BENCHMARK = '''
"""Toy: whether a number is even."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from evals.benchmark import option
from evals.metrics.bootstrap import means
from evals.prediction import ItemBenchmark, Results
from evals.samples import columns_of, frame, guesses, subset_means
from evals.scoring import Scored, answered
from evals.splits import Extent, SplitData, fingerprint, first_items

LABELS = {"even": (), "odd": ()}


@dataclass(frozen=True)
class ToyOptions:
    flip: bool = option(False, "Call even numbers odd.", variant="flipped")
    add: int = option(0, "Added to every number.", metavar="N", variant="add-{}")


@dataclass(frozen=True)
class ToyData(SplitData):
    numbers: tuple


def read(path):
    return [int(line) for line in path.read_text().splitlines()]


def truth(numbers):
    return ["odd" if number % 2 else "even" for number in numbers]


def metrics(given, wanted, seed):
    hits = np.array([a == b for a, b in zip(given, wanted)], dtype=float)
    whole = {"accuracy": np.ones(len(hits), dtype=bool)}
    return means(hits, whole, np.arange(len(hits)), seed, chance=0.5)


class Toy(ItemBenchmark):
    """Toy: accuracy of even and odd."""

    name = dataset = "toy_numbers"
    title = "Toy numbers"
    task = "parity"
    capabilities = ("text_classifier",)
    splits = ("train", "dev")
    default_split = "dev"
    main_metric = "accuracy"
    resampled = unit = "numbers"
    Options = ToyOptions

    def read(self, suite, request):
        self.require_split(request.split)
        everything = read(suite.root / "toy" / f"{request.split}.txt")
        numbers = first_items(everything, request.limit, "numbers")
        counts = (len(numbers), len(everything))
        extent = Extent.of(suite, self.dataset, (request.split,), self.unit, *counts)
        return ToyData(extent, fingerprint(request.split, numbers), numbers)

    def details(self, model, request):
        return {"score": "accuracy", "flip": request.options.flip, "add": request.options.add}

    def groups(self, data):
        return data.numbers

    def predictor(self, model, data, request):
        columns = columns_of(model.name, model.text_classes, LABELS)

        def predict(places):
            texts = [str(data.numbers[place] + request.options.add) for place in places]
            return guesses(model.classify_texts(texts, None), columns)

        return predict

    def results(self, model, data, found, request, folder):
        given, wanted = found.column("prediction"), truth(data.numbers)
        if request.options.flip:
            wanted = [("odd", "even")[label == "odd"] for label in wanted]
        scores = [float(a == b) for a, b in zip(given, wanted)]
        samples = frame({"number": list(data.numbers)}, given, wanted, scores)
        return Results(metrics(given, wanted, request.seed), samples)

    def sample_metrics(self, samples):
        return subset_means(samples, "number", "number")

    def score(
        self,
        predictions: Annotated[Path, "A label per line."],
        annotations: Annotated[Path, "A number per line."],
        seed: int = 0,
    ) -> Scored:
        """Toy numbers: accuracy of somebody's labels."""
        given, numbers = predictions.read_text().split(), read(annotations)
        answered(range(len(given)), range(len(numbers)), "numbers", False)
        return Scored(metrics(given, truth(numbers), seed))
'''

MODEL = '''
"""A model that calls every number with an odd last digit odd, but for what it is biased to."""

import torch


class Reader:
    name, weights_sha256, device, dtype = "toy-reader", "0" * 64, "cpu", "float32"
    batch_size, settings, text_classes = 4, {}, ("odd", "even")

    def classify_texts(self, first, second):
        odd = torch.tensor([float(int(text) % 2 and int(text) < 90) for text in first])
        return torch.stack([odd, 1 - odd], dim=1)


def load(device, dtype):
    return Reader()
'''

VERB = """
import typer


def register(app):
    app.command("hello", help="Say hello.")(hello)


def hello() -> None:
    typer.echo("hello")
"""

ENTRY_POINTS = """
[unimo2.benchmarks]
toy = toy_package.benchmark:Toy
broken = toy_package.nothing:Toy

[unimo2.models]
toy-reader = toy_package.model:load

[unimo2.commands]
hello = toy_package.verb
"""


def install(folder: Path) -> Path:
    """Write the package and its metadata as an installer does.

    Args:
        folder: To be put on Python's path.

    Returns:
        The folder.
    """
    package, metadata = folder / "toy_package", folder / "toy_package-1.0.dist-info"
    for path, text in {
        package / "__init__.py": "",
        package / "benchmark.py": BENCHMARK,
        package / "model.py": MODEL,
        package / "verb.py": VERB,
        metadata / "METADATA": "Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n",
        metadata / "entry_points.txt": ENTRY_POINTS,
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    return folder
