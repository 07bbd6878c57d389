"""The `Benchmark` base class, its requests and its results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.datasets.suites import Suite
from evals.distributed import ProcessGroup, Team
from evals.metrics.ranking import RESAMPLES, Floats, Metric
from unimo2.console import Report, silent
from unimo2.devices import DEVICES, DTYPES
from unimo2.errors import UsageError
from unimo2.files import PathUse

if TYPE_CHECKING:
    import pandas as pd


def option(
    default: Any,
    help: str,  # noqa: A002
    *,
    metavar: str | None = None,
    range: tuple[int, int | None] | None = None,  # noqa: A002
    variant: str | None = None,
    of: Sequence[str] | PathUse | None = None,
    capabilities: Sequence[str] = (),
) -> Any:
    """A field of `Request` or of a benchmark's `Options`, declared once for all its uses.

    It becomes an option of the command line, a keyword argument of `evals.run`, a word of the record's
    command and a part of the variant's name.

    Args:
        default: Value that is left out of command and variant.
        help: Text for `--help`.
        metavar: Placeholder of the value in `--help`.
        range: Smallest and largest value of a number; None for no largest.
        variant: Form of a value other than the default in the name of the runs, "rerank-{:g}"; None
            where such runs are the model's usual ones.
        of: The words that it takes, with wildcards; of a path, what it names.
        capabilities: Where the option applies only to some of the benchmark's alternatives: those
            that a model must be measured as.

    Returns:
        The dataclass field.
    """
    metadata = {"help": help, "metavar": metavar, "range": range, "variant": variant}
    return field(default=default, metadata={**metadata, "of": of, "capabilities": capabilities})


@dataclass(frozen=True)
class NoOptions:
    """Options of a benchmark that has none."""


def image_size_option() -> Any:
    """The field `image_size` of a benchmark's options."""
    return option(
        None,
        "Resize images to N x N pixels, a multiple of the patch size; the model's own by default.",
        metavar="N",
        range=(1, 8192),
        variant="image-size-{:g}",
    )


@dataclass(frozen=True)
class ImageOptions:
    """Of a benchmark with images.

    Attributes:
        image_size: Side of the square that images are resized to; None for the model's own.
    """

    image_size: int | None = image_size_option()


@dataclass(frozen=True)
class Request:
    """What is to be measured and how; built once, at the edge.

    Attributes:
        benchmark: Its name.
        model: A card's name or a model folder.
        zero_shot: The model is taken as pre-trained, not fine-tuned for the benchmark.
        data_root: Folder of the data; None for the embedded suite.
        suite: "mini", "paper" or None for what the data root holds.
        split: For example "test".
        limit: Only the first items (images) of the split; None for all.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: "auto" to measure whether bfloat16 will do; None for the model's own choice.
        trust_remote_code: Whether Python code that lies beside a model's weights may run.
        batch_size: None for the model's own choice, which a long run may replace by a faster one.
        seed: Seed of the bootstrap.
        features: Folder where what towers give is kept by content; None to keep nothing.
        output: The runs folder.
        fresh: Do not take up an interrupted run, nor what it predicted of items that are the same.
        no_check: Do not open all images before the first batch.
        variant: Names these runs beside the model's others; None for a name by the options.
        options: The benchmark's own, an instance of its `Options`.
    """

    benchmark: str
    model: str
    zero_shot: bool = option(False, "Evaluate a pre-trained model without fine-tuning.")
    data_root: Path | None = option(
        None,
        "Folder of data sets in their official layouts; by default UNIMO2_DATA.",
        of=PathUse.READS_FOLDER,
    )
    suite: str | None = option(
        None, "mini or paper; by default what the data root holds.", of=("mini", "paper")
    )
    split: str = option("test", "Split of the data.")
    limit: int | None = option(
        None, "Evaluate only the first N items (ImageNet: images spread evenly).", range=(1, None)
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:1 ...", of=DEVICES)
    dtype: str | None = option(
        None, "float32, bfloat16 or float16; the model's own by default.", of=(*DTYPES, "auto")
    )
    trust_remote_code: bool = option(False, "Run the Python code shipped with the model's weights.")
    batch_size: int | None = option(
        None, "Items or pairs per call; by default a long run times a few sizes.", range=(1, 65_536)
    )
    seed: int = option(0, "Seed for the bootstrap intervals.", range=(0, None))
    features: Path | None = option(
        None,
        "Folder that caches the towers' outputs for images, and for retrieval texts, by content, "
        "for later runs of the same weights.",
        of=PathUse.WRITES_FOLDER,
    )
    output: Path = option(Path("runs"), "Folder for runs.", of=PathUse.WRITES_FOLDER)
    fresh: bool = option(False, "Start over instead of resuming an interrupted run.")
    no_check: bool = option(False, "Skip opening every image before the first batch.")
    variant: str | None = None
    options: Any = NoOptions()


@dataclass(frozen=True)
class Outcome:
    """What measuring gave, before it becomes a record.

    Attributes:
        metrics: By name.
        samples: One row an item.
        seconds: All sessions together.
        throughput: By unit, for example {"pairs_per_second": 612.0}.
        clean_up: Called after the record is written: removes what only a resumed run needs.
        notes: Notes about the measurement.
    """

    metrics: Mapping[str, Metric]
    samples: pd.DataFrame
    seconds: float
    throughput: Mapping[str, float]
    clean_up: Callable[[], None]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Scored:
    """What predictions are worth.

    Attributes:
        metrics: By name, in percent.
        missing: Items without a prediction, which were left out because that was allowed.
        notes: What a reader must know.
    """

    metrics: Mapping[str, Metric]
    missing: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DtypeChoice:
    """What the measurement found.

    Attributes:
        fast: Whether the lower precision is taken.
        speedup: Time of the exact model / time of the fast one, median over the captions.
        changed: Sampled queries of both directions whose truth has another rank.
        queries: Sampled queries.
        images: Images of the sample.
        captions: Its captions.
    """

    fast: bool
    speedup: float
    changed: int
    queries: int
    images: int
    captions: int

    def note(self, exact: str, fast: str) -> str:
        """Note for the record; the arguments are the two dtypes."""
        ranks = "the same ranks" if not self.changed else f"{self.changed} other ranks"
        return (
            f"dtype auto: {fast if self.fast else exact} is used; {fast} took 1/{self.speedup:.2f} "
            f"of the time of {exact} and gave {ranks} for {self.queries} sampled queries "
            f"({self.images} images x {self.captions} captions)"
        )


@dataclass(frozen=True)
class SampleMetric:
    """A metric as a function of sums over items, so that two runs can be compared in pairs.

    Means, correlations and corpus scores such as BLEU all have this form.

    Attributes:
        items: `[items]`, ids that name the same item in every run on the same data.
        units: `[items]`, what is drawn together (an item's image); numbers or strings.
        statistics: `[items, statistics]`.
        value: `[draws, statistics]`, sums over the items of each draw, to `[draws]`.
    """

    items: NDArray[Any]
    units: NDArray[Any]
    statistics: Floats
    value: Callable[[Floats], Floats]

    @classmethod
    def mean(cls, items: ArrayLike, units: ArrayLike, scores: ArrayLike) -> SampleMetric:
        """The mean of a score an item, 0 to 1, in percent; arrays are `[items]`."""
        values = np.asarray(scores, dtype=np.float64)
        statistics = np.stack([values, np.ones_like(values)], axis=1)
        return cls(np.asarray(items), np.asarray(units), statistics, _mean_in_percent)


@dataclass(frozen=True)
class ItemMetric:
    """A metric that is not a function of sums (Spearman's: each resample is ranked again).

    Attributes:
        items: `[items]`, ids; each item is drawn separately.
        given: `[items]`, predictions.
        truth: `[items]`.
        value: Predictions `[draws, items]`, truths `[items]` and how often each item counts,
            `[draws, items]`, to `[draws]`.
    """

    items: NDArray[Any]
    given: Floats
    truth: Floats
    value: Callable[[Floats, Floats, NDArray[np.int64]], Floats]


def _mean_in_percent(sums: Floats) -> Floats:
    """`[draws, 2]`, sums of scores and of ones, to `[draws]`."""
    mean: Floats = 100.0 * sums[:, 0] / sums[:, 1]
    return mean


class Data(Protocol):
    """A benchmark's data, read."""

    @property
    def fingerprint(self) -> str:
        """The sha256 of everything that the model will see and the truth it is judged by."""
        ...

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        ...

    def notes(self) -> Sequence[str]:
        """Notes about the data."""
        ...


class Benchmark(ABC):
    """A benchmark: what it is, and how a model is measured on it.

    A subclass is found by lying in `evals/benchmarks/`, or by an entry point of the group
    `unimo2.benchmarks`. Its docstring is the help of `unimo2 eval NAME`.

    Attributes:
        name: As in records, for example "snli_ve"; the command line writes "snli-ve".
        title: For a reader, "SNLI-VE".
        dataset: Name of the data set in `evals.datasets`.
        task: Measured task, for the record's "protocol".
        capabilities: Keys of `zoo.protocols.CAPABILITIES`; the first that a model has is used.
        splits: Names of the splits.
        default_split: The split that it is usually measured on.
        dev_split: The split that fine-tuning chooses weights on; None where it holds out its own.
        main_metric: Name of the metric that a listing shows.
        validation_metric: Metric by which fine-tuning selects weights; "" for the main metric.
        resampled: Unit that intervals resample, in the plural.
        zero_shot: Whether pre-trained models can be measured without fine-tuning.
        auto_dtype: Whether `choose_dtype` can measure which dtype suffices.
        Options: A frozen dataclass of the benchmark's own options, each an `option`.
        score: Scores prediction files with the same metrics; None where there is
            no such format. Its parameters become the command `unimo2 score NAME`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    dataset: ClassVar[str]
    task: ClassVar[str]
    capabilities: ClassVar[tuple[str, ...]]
    splits: ClassVar[tuple[str, ...]]
    default_split: ClassVar[str]
    main_metric: ClassVar[str]
    dev_split: ClassVar[str | None] = None
    validation_metric: ClassVar[str] = ""
    resampled: ClassVar[str] = "images"
    zero_shot: ClassVar[bool] = False
    auto_dtype: ClassVar[bool] = False
    Options: ClassVar[type] = NoOptions
    score: ClassVar[Callable[..., Scored] | None] = None

    @abstractmethod
    def read(self, suite: Suite, request: Request) -> Data:
        """Read the official files of the request's split; make sure that all inputs are there.

        Raises:
            MissingData: A file is not there.
            BadData: A broken file, or nothing in it that can be measured.
            UsageError: A limit below 1, an unknown split.
        """

    @abstractmethod
    def predict(
        self,
        model: Any,
        data: Any,
        request: Request,
        folder: Path,
        report: Report,
        share: ProcessGroup,
    ) -> Any:
        """Run the model on this process's units and keep what is finished in `folder`."""

    @abstractmethod
    def measure(
        self, model: Any, data: Any, request: Request, folder: Path, report: Report
    ) -> Outcome:
        """Run the model, keeping what is finished in `folder`, and compute the metrics."""

    @abstractmethod
    def sample_metrics(self, samples: pd.DataFrame) -> Mapping[str, SampleMetric | ItemMetric]:
        """The metrics of a run's samples, by the names of its record, for paired comparisons."""

    def details(self, model: Any, request: Request) -> Mapping[str, Any]:
        """What the benchmark adds to the record's "protocol".

        Raises:
            IncompatibleModel: The model cannot do what is asked.
            UsageError: Invalid options.
        """
        return {}

    def protocol(self, model: Any, request: Request) -> dict[str, Any]:
        """Everything about the measurement that its numbers depend on, fit for JSON."""
        return {
            "task": self.task,
            "zero_shot": request.zero_shot,
            **self.details(model, request),
            "interval": f"percentile bootstrap over {self.resampled}, {RESAMPLES:,} resamples",
        }

    def alternatives(self, request: Request) -> tuple[str, ...]:
        """The capabilities of which a model needs one, in order of preference."""
        return self.capabilities

    def completed(self, request: Request, suite: Suite, share: ProcessGroup) -> Request:
        """The request with whatever else is loaded for it, for example a second model."""
        return request

    def tuned(self, request: Request) -> bool:
        """Whether a run that is not zero-shot needs a model that is fine-tuned for the benchmark."""
        return True

    def notices(self, request: Request) -> Sequence[str]:
        """Advice before a long run begins, one sentence each."""
        return ()

    def choose_dtype(self, exact: Any, fast: Any, data: Any) -> DtypeChoice:
        """Compare time and results of a sample in two dtypes."""
        raise UsageError(f"{self.title} cannot compare dtypes: choose one with --dtype")

    def files(self, split: str) -> Sequence[Path]:
        """The annotation files of a split, below the data root."""
        return ()

    def absence(self, root: Path, split: str) -> str | None:
        """Why a split cannot be measured here, before anything is read; None if it can."""
        missing = [name for name in self.files(split) if not (root / name).is_file()]
        return f"{root / missing[0]} is not there" if missing else None

    def measuring(
        self, suite: Suite, request: Request, team: Team | None = None
    ) -> Callable[[Any], dict[str, Metric]]:
        """Read a split once; the function measures models on it, without a record."""
        data, team = self.read(suite, request), team or Team()

        def measured(model: Any) -> dict[str, Metric]:
            self.protocol(model, request)
            with team.workplace() as folder:
                if team.share.count > 1:
                    self.predict(model, data, request, folder, silent, team.share)
                return team.told(
                    lambda: dict(self.measure(model, data, request, folder, silent).metrics)
                )

        return measured

    def validating(
        self, suite: Suite, request: Request, team: Team
    ) -> Callable[[Any], Mapping[str, float]]:
        """As `measuring`: the numbers that are logged in training, one of them `selects_by`."""
        measured = self.measuring(suite, request, team)
        # Without the parts by type of question, class and the like.
        return lambda model: {
            name: float(metric.value) for name, metric in measured(model).items() if "[" not in name
        }

    @property
    def selects_by(self) -> str:
        """Name of the number that fine-tuning chooses weights by; higher is better."""
        return self.validation_metric or self.main_metric

    def require_split(self, split: str) -> None:
        """Refuse a split that the benchmark does not have."""
        if split not in self.splits:
            raise UsageError(f"unknown split '{split}'; {self.title} has {', '.join(self.splits)}")
