"""Runs a model on a benchmark and leaves a record; takes up a run that was interrupted."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import zoo
from evals import batch_sizes, environment, image_sizes, prediction, records, suites, workspace
from evals.benchmark import Benchmark, Data, Outcome, Report, Request, silent
from evals.distributed import ALL, Share
from evals.records import Record
from evals.registry import canonical, get_benchmark, required
from unimo2.errors import IncompatibleModel, UsageError
from zoo import cards, protocols

if TYPE_CHECKING:
    from evals.metrics.ranking import Metric
    from evals.suites import Suite
    from zoo.cards import Card
    from zoo.protocols import Model

AUTO = "auto"  # of a dtype: measured
FINETUNED = "finetuned"  # of a model: the embedded weights fine-tuned for the benchmark
FAST_DTYPE = "bfloat16"

Notice = Callable[[str], None]


def run(
    benchmark: str,
    *,
    model: str | Path | Model = "mini",
    zero_shot: bool = False,
    data_root: str | Path | None = None,
    suite: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    contrastive_weight: float | None = None,
    rerank: int | None = None,
    score: str = "fused",
    templates: int = 1,
    beam_size: int = 5,
    object_tags: str | Path | None = None,
    image_size: int | None = None,
    features: str | Path | None = None,
    output: str | Path = "runs",
    fresh: bool = False,
    variant: str | None = None,
    on_progress: Report | None = None,
    on_notice: Notice | None = None,
    share: Share = ALL,
) -> Record:
    """Measure a model on a benchmark.

    Args:
        benchmark: "flickr", "vqa", "snli_ve", "coco", "imagenet", "sst2", "mnli", "cola", "stsb".
        model: A card's name, a model folder, or a model that is loaded already (`device`, `dtype`
            and `image_size` are its own then); "finetuned" for the embedded one of the benchmark.
        zero_shot: Take a pre-trained model as it is; otherwise it must be fine-tuned for the
            benchmark.
        data_root: Folder of data sets in their official layouts; None for the embedded suite.
        suite: "mini", "paper", or None for what the data root holds.
        split: Of the data; None for the one that the benchmark is usually measured on.
        limit: Only the first items of the split.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: "float32", "bfloat16", "float16"; "auto" for bfloat16 where a sample is faster with
            the same ranks; None for the model's own choice.
        batch_size: None for the model's own choice, which a long run may replace by a faster one.
        seed: Of the bootstrap.
        contrastive_weight: w of itm + w * contrastive, instead of the model's own.
        rerank: Fuse only the pairs of a contrastive shortlist of K candidates a query.
        score: Of zero-shot classification: "fused", or "contrastive" for that score alone.
        templates: Sentences a class of zero-shot classification, 1 or 80.
        beam_size: Of captioning.
        object_tags: A file of object tags that captions are written with.
        image_size: Side of the square that images are resized to; None for the model's own.
        features: A folder: what the towers give of each image, and of each text of retrieval, is
            kept there by content, and later runs of the same weights read it.
        output: The runs folder.
        fresh: Begin anew even if a run of the same kind was interrupted.
        variant: Names these runs beside the model's others.
        on_progress: Called as the work goes on.
        on_notice: Called beforehand with what the user should know of the run.
        share: Of this process, where several measure together (`evals.distributed.launched`).

    Returns:
        The record, which is on disk too.

    Raises:
        UsageError: Or one of its kinds (MissingData, BadData, IncompatibleModel, BadCheckpoint).
    """
    given = None if isinstance(model, (str, Path)) else model
    name = canonical(benchmark)
    named = str(model) if given is None else getattr(given, "name", type(given).__name__)
    if named == FINETUNED:
        named = _finetuned(name)
    request = Request(
        benchmark=name,
        model=named,
        zero_shot=zero_shot,
        data_root=None if data_root is None else Path(data_root),
        suite=suite,
        split=split or get_benchmark(name).default_split,
        limit=limit,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        seed=seed,
        contrastive_weight=contrastive_weight,
        rerank=rerank,
        score=score,
        templates=templates,
        beam_size=beam_size,
        object_tags=None if object_tags is None else Path(object_tags),
        image_size=image_size,
        features=None if features is None else Path(features),
        output=Path(output),
        fresh=fresh,
    )
    request = replace(request, variant=variant or _variant(request))
    return evaluate(request, given, on_progress, on_notice, share)


def _finetuned(benchmark: str) -> str:
    """The card of the embedded weights that are fine-tuned for a benchmark."""
    name = f"mini-{benchmark.replace('_', '-')}"
    if name not in cards.read_all():
        raise UsageError(
            f"there are no embedded weights that are fine-tuned for {benchmark} (no card '{name}'): "
            f"say which model with --model FOLDER; 'unimo2 finetune {benchmark.replace('_', '-')}' "
            "makes one"
        )
    return name


def _variant(request: Request) -> str | None:
    """Names runs whose numbers must not pass for the model's own under the whole protocol."""
    usual = Request(request.benchmark, request.model)
    parts = []
    for name in ("contrastive_weight", "rerank", "image_size"):
        if getattr(request, name) is not None:
            parts.append(f"{name.replace('_', '-')}-{getattr(request, name):g}")
    if request.score != usual.score:
        parts.append(request.score)
    if request.templates != usual.templates:
        parts.append(f"templates-{request.templates}")
    if request.beam_size != usual.beam_size:
        parts.append(f"beam-{request.beam_size}")
    if request.object_tags is not None:
        parts.append("object-tags")
    return "-".join(parts) or None


def evaluate(
    request: Request,
    model: Model | None = None,
    on_progress: Report | None = None,
    on_notice: Notice | None = None,
    share: Share = ALL,
) -> Record:
    """As `run`, for a request that is put together already.

    Args:
        request: What is to be measured.
        model: A loaded model, instead of the request's.
        on_progress: Called as the work goes on.
        on_notice: Called beforehand with what the user should know of the run.
        share: Of this process, where several measure together.

    Returns:
        The record.
    """
    ready = _prepare(request, model, on_notice, share)
    home = workspace.home(
        request.output, ready.suite.name, request.benchmark, ready.model.name, request.variant
    )
    report = on_progress or silent
    with ExitStack() as stack:
        stack.enter_context(prediction.batch_size(ready.model, request.batch_size))
        _keep_features(ready.model, request.features, stack)
        folder = None
        if share.first:
            opened = workspace.opened(home, _identity(ready), request.fresh)
            folder = stack.enter_context(opened).folder
            source = batch_sizes.GIVEN if request.batch_size else batch_sizes.ESTIMATED
            batch_sizes.begin(folder, ready.model.batch_size, source)
        folder = cast(Path, share.tell(folder))
        if share.count > 1:
            ready.benchmark.predict(ready.model, ready.data, request, folder, report, share)
            share.wait()
        if share.first:
            outcome = ready.benchmark.measure(ready.model, ready.data, request, folder, report)
            records.write_samples(outcome.samples, folder)
            size = batch_sizes.read(folder)
            records.write(_record(ready, outcome, [] if size is None else size.notes()), folder)
            outcome.clean_up()
        share.wait()
        return records.read(folder)


@dataclass(frozen=True)
class _Ready:
    """A run before it begins: everything is there and fits.

    Attributes:
        benchmark: Of the request.
        request: What is to be measured.
        suite: The data root.
        model: Loaded.
        protocol: The record's.
        data: Read.
        notes: How it is run.
    """

    benchmark: Benchmark
    request: Request
    suite: Suite
    model: Model
    protocol: Mapping[str, Any]
    data: Data
    notes: Sequence[str]


def _prepare(
    request: Request, given: Model | None, on_notice: Notice | None, share: Share
) -> _Ready:
    """Load the model, refuse what it cannot do, then read the data."""
    benchmark = get_benchmark(request.benchmark)
    if request.batch_size is not None and request.batch_size < 1:
        raise UsageError(f"--batch-size {request.batch_size}: at least 1 is needed")
    alternatives = benchmark.alternatives(request)
    suite = suites.resolve(request.suite, request.data_root)
    card = None
    if given is None:
        card = zoo.resolve(request.model)
        capability = required(alternatives, card.capabilities.__contains__)
        cards.require(card, capability)
        _check_tuning(card, request)
        _check_dtype(benchmark, request, capability)
        exact = "float32" if request.dtype == AUTO else request.dtype
        model = image_sizes.load(card, request, share, exact)
    else:
        model = given
        capability = required(
            alternatives, lambda name: isinstance(given, protocols.CAPABILITIES[name])
        )
    protocols.require(model, capability)
    protocol = {**benchmark.protocol(model, request), **image_sizes.in_protocol(model, capability)}
    data = benchmark.read(suite, request)
    if on_notice is not None:
        for notice in benchmark.notices(request):
            on_notice(notice)
    notes = []
    if card is not None and request.dtype == AUTO:
        model, note = _choose_dtype(benchmark, card, model, data, request, share)
        notes.append(note)
    if share.count > 1:
        notes.append(f"{share.count} processes; the seconds are those of all together")
    return _Ready(benchmark, request, suite, model, protocol, data, notes)


def _keep_features(model: Model, folder: Path | None, stack: ExitStack) -> None:
    """Let the model keep features while the stack is open."""
    if folder is None:
        return
    if not isinstance(model, protocols.FeatureKeeper):
        raise UsageError(f"model '{model.name}' keeps no features: leave --features out")
    model.keep_features(folder)
    stack.callback(model.keep_features, None)


def _check_tuning(card: Card, request: Request) -> None:
    """Refuse a model that is fine-tuned for something else, or a pre-trained one unasked.

    A folder that does not say what it is fine-tuned for is taken at its word.
    """
    tuned = [canonical(name) for name in card.finetuned_for]
    if request.benchmark in tuned or (request.zero_shot and not tuned):
        return
    if card.source.kind == "folder" and not tuned:
        return
    if tuned and not request.zero_shot:
        raise IncompatibleModel(
            f"model '{card.name}' is fine-tuned for {', '.join(tuned)}, not for {request.benchmark}"
        )
    if not tuned:
        raise UsageError(
            f"model '{card.name}' is not fine-tuned for {request.benchmark}: add --zero-shot, "
            "or give the folder of a fine-tuned model with --model"
        )


def _check_dtype(benchmark: Benchmark, request: Request, capability: str) -> None:
    """Refuse `--dtype auto` where the benchmark has no way to measure it."""
    if request.dtype == AUTO and not (benchmark.auto_dtype and capability == "pair_scorer"):
        raise UsageError(
            f"--dtype auto is measured where pairs are scored, which {request.benchmark} does not do "
            f"with these options: choose float32 or {FAST_DTYPE}"
        )


def _choose_dtype(
    benchmark: Benchmark, card: Card, exact: Model, data: Data, request: Request, share: Share
) -> tuple[Model, str]:
    """The model in the dtype that a sample of the data speaks for, and the reason."""
    fast = image_sizes.load(card, request, share, FAST_DTYPE)
    choice = share.tell(benchmark.choose_dtype(exact, fast, data))
    return (fast if choice.fast else exact), choice.note(exact.dtype, fast.dtype)


def _plain(value: object) -> Any:
    """A value as JSON will give it back."""
    return json.loads(json.dumps(value, default=str))


def _identity(ready: _Ready) -> dict[str, Any]:
    """Everything that the numbers depend on; an interrupted run of another identity is left."""
    request, model = ready.request, ready.model
    return {
        "benchmark": request.benchmark,
        "suite": ready.suite.name,
        "protocol": ready.protocol,
        "data": ready.data.fingerprint,
        "weights_sha256": model.weights_sha256,
        "config": _plain(model.settings),
        "device": environment.device_name(model.device),
        "dtype": model.dtype,
        "batch_size": request.batch_size or model.batch_size,
        "seed": request.seed,
        "versions": environment.versions(),
    }


def _record(ready: _Ready, outcome: Outcome, notes: Sequence[str]) -> Record:
    """The record of a finished run; `notes` are further ones of how it was run."""
    commit, dirty = environment.commit()
    request, model, data = ready.request, ready.model, ready.data
    how = [*ready.notes, *notes]
    return Record(
        status="done",
        suite=ready.suite.name,
        benchmark=request.benchmark,
        model=model.name,
        variant=request.variant,
        protocol=ready.protocol,
        data=data.summary(),
        metrics=outcome.metrics,
        weights_sha256=model.weights_sha256,
        config=_plain(model.settings),
        seed=request.seed,
        versions=environment.versions(),
        commit=commit,
        dirty=dirty,
        device=environment.device_name(model.device),
        dtype=model.dtype,
        seconds=outcome.seconds,
        throughput=outcome.throughput,
        peak_memory_mb=environment.peak_memory_mb(model.device),
        command=command(request),
        notes=[*data.notes(), *outcome.notes, *how, *_chance_notes(outcome.metrics)],
        created=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
    )


def _chance_notes(metrics: Mapping[str, Metric]) -> Sequence[str]:
    """Says which of the main metrics cannot be told from guessing; parts in brackets are not."""
    main = {name: metric for name, metric in metrics.items() if "[" not in name}
    below = [name for name, metric in main.items() if metric.below_chance]
    chance = [name for name, metric in main.items() if metric.at_chance and name not in below]
    said = (
        (chance, "at chance", "it cannot be told from guessing"),
        (below, "below chance", "are labels or columns swapped?"),
    )
    return [
        f"the result is {how} in "
        f"{'every metric' if len(names) == len(main) else ', '.join(names)}: {meaning}"
        for names, how, meaning in said
        if names
    ]


def command(request: Request) -> str:
    """The command line that measures the same; options at their defaults are left out.

    Args:
        request: What was measured.

    Returns:
        One line for a shell.
    """
    usual = get_benchmark(request.benchmark).default_split
    default = Request(request.benchmark, "mini", split=usual)
    words = ["unimo2", "eval", request.benchmark.replace("_", "-")]
    if request.zero_shot:
        words.append("--zero-shot")
    names = (
        "model", "data_root", "suite", "split", "limit", "device", "dtype", "batch_size", "seed",
        "contrastive_weight", "rerank", "score", "templates", "beam_size", "object_tags", "image_size",
        "features", "output",
    )  # fmt: skip
    for name in names:
        value = getattr(request, name)
        if value != getattr(default, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
