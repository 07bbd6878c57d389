"""Runs a model on a benchmark and writes a record; resumes an interrupted run."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

import zoo
from evals import batch_sizes, prediction, records
from evals.benchmark import Benchmark, Data, Outcome, Request
from evals.datasets import suites
from evals.distributed import ALL, ProcessGroup, own_device
from evals.records import Record, environment, provenance, workspace
from evals.registry import get_benchmark, require_one, required, shown
from evals.splits import check_images
from unimo2.console import Report, silent, stage
from unimo2.errors import IncompatibleModel, UsageError
from zoo import cards, protocols

if TYPE_CHECKING:
    from evals.datasets.suites import Suite
    from evals.metrics.ranking import Metric
    from zoo.cards import Card
    from zoo.protocols import Model

AUTO = "auto"  # of a dtype: measured
FINETUNED = "finetuned"  # of a model: the embedded weights fine-tuned for the benchmark
FAST_DTYPE = "bfloat16"

Notice = Callable[[str], None]


def run(
    benchmark: str,
    *,
    model: str | Path | Card | Model = "mini",
    on_progress: Report | None = None,
    on_notice: Notice | None = None,
    share: ProcessGroup = ALL,
    **options: Any,
) -> Record:
    """Measure a model on a benchmark: `run("flickr", model="mini", zero_shot=True, rerank=16)`.

    Args:
        benchmark: Its name, "flickr" or "snli-ve".
        model: A card's name, a card, a model folder, or a model that is loaded already (`device`,
            `dtype` and `image_size` are its own then); "finetuned" for the embedded one of the
            benchmark.
        on_progress: Called as the work progresses.
        on_notice: Called beforehand with what the user should know of the run.
        share: Share of this process, where several measure together (`evals.distributed.launched`).
        options: Fields of `evals.benchmark.Request` (zero_shot, data_root, suite, split, limit,
            device, dtype, batch_size, seed, features, output, fresh, variant), and of the benchmark's
            own `Options`; None for a default. `unimo2 eval BENCHMARK --help` explains each.

    Returns:
        The record, which is on disk too.

    Raises:
        UsageError: Or one of its kinds (MissingData, BadData, IncompatibleModel, BadCheckpoint).
    """
    given = None if isinstance(model, (str, Path)) else model
    named = str(model) if given is None else getattr(given, "name", type(given).__name__)
    request = make_request(benchmark, named, options)
    return evaluate(request, given, on_progress, on_notice, share)


def make_request(name: str, model: str, given: Mapping[str, Any]) -> Request:
    """Put a request together.

    Args:
        name: Of the benchmark.
        model: As for `run`, by its name.
        given: Options by name, the common ones and the benchmark's own; None for a default.

    Returns:
        The request, with the name of its variant.

    Raises:
        UsageError: No such benchmark, or an option that it does not have.
    """
    benchmark = get_benchmark(name)
    common = {one.name for one in fields(Request)} - {"benchmark", "model", "options"}
    own = {one.name for one in fields(benchmark.Options)}
    unknown = sorted(set(given) - common - own)
    if unknown:
        raise UsageError(
            f"{benchmark.title} has no option {', '.join(unknown)}; it has "
            f"{', '.join(sorted(common | own))}"
        )
    said = {"split": benchmark.default_split}
    said |= {key: value for key, value in given.items() if value is not None}
    request = Request(
        benchmark=benchmark.name,
        model=_finetuned(benchmark.name) if model == FINETUNED else model,
        options=benchmark.Options(**_typed(benchmark.Options, said, own)),
        **_typed(Request, said, common),
    )
    return replace(request, variant=request.variant or _variant(request.options))


def _check_options(benchmark: Benchmark, request: Request) -> None:
    """Refuse numbers out of range, and options that this way of measuring would ignore."""
    alternatives = benchmark.alternatives(request)
    for holder in (request, request.options):
        for one in fields(holder):
            value, name = getattr(holder, one.name), f"--{one.name.replace('_', '-')}"
            low, high = one.metadata.get("range") or (None, None)
            if isinstance(value, (int, float)) and low is not None:
                if not (low <= value and (value < math.inf if high is None else value <= high)):
                    wanted = f"{low:,} or more" if high is None else f"{low:,} to {high:,}"
                    raise UsageError(f"{name} {value}: expected {wanted}")
            able = one.metadata.get("capabilities") or alternatives
            if value != one.default and set(able).isdisjoint(alternatives):
                hint = "" if request.zero_shot or not benchmark.zero_shot else "add --zero-shot or "
                raise UsageError(
                    f"{name} does not apply: {benchmark.title} is measured here by a model's "
                    f"{alternatives[0]}; {hint}leave {name} out"
                )


def _typed(kind: type, given: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The values of some fields, paths as paths."""
    hints = get_type_hints(kind)
    return {
        name: Path(value) if Path in (hints[name], *get_args(hints[name])) else value
        for name, value in given.items()
        if name in names
    }


def _finetuned(benchmark: str) -> str:
    """The card of the embedded weights that are fine-tuned for a benchmark."""
    name = f"mini-{shown(benchmark)}"
    if name not in cards.read_all():
        raise UsageError(
            f"there are no embedded weights that are fine-tuned for {benchmark} (no card '{name}'): "
            f"say which model with --model FOLDER; 'unimo2 finetune {shown(benchmark)}' "
            "makes one"
        )
    return name


def _variant(options: Any) -> str | None:
    """Names runs whose numbers must not pass for the model's own under the whole protocol."""
    parts = [
        _worded(one.metadata["variant"], getattr(options, one.name))
        for one in fields(options)
        if one.metadata.get("variant") is not None and getattr(options, one.name) != one.default
    ]
    return "-".join(parts) or None


def _worded(form: str, value: Any) -> str:
    """An option's value in the name of a variant, which is a folder's name too."""
    if not isinstance(value, (str, Path)):
        return form.format(value)
    named = Path(value).resolve().name if Path(value).exists() else str(value)
    return form.format(re.sub(r"[^A-Za-z0-9._]+", "-", named).strip("-."))


def evaluate(
    request: Request,
    model: Card | Model | None = None,
    on_progress: Report | None = None,
    on_notice: Notice | None = None,
    share: ProcessGroup = ALL,
) -> Record:
    """As `run`, for a request that is put together already.

    Args:
        request: What is to be measured.
        model: A card or a loaded model, instead of the request's.
        on_progress: Called as the work progresses.
        on_notice: Called beforehand with what the user should know of the run.
        share: Share of this process, where several measure together.

    Returns:
        The record.
    """
    ready = _prepare(request, model, on_notice, share)
    request = ready.request
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
            opened_at = stack.enter_context(opened)
            folder = opened_at.folder
            prediction.take_over(folder, opened_at.earlier)
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
        notes: What must be known of the model, and how it is run.
    """

    benchmark: Benchmark
    request: Request
    suite: Suite
    model: Model
    protocol: Mapping[str, Any]
    data: Data
    notes: Sequence[str]


def _prepare(
    request: Request, given: Card | Model | None, on_notice: Notice | None, share: ProcessGroup
) -> _Ready:
    """Load the model, refuse what it cannot do, then read the data."""
    benchmark = get_benchmark(request.benchmark)
    _check_options(benchmark, request)
    alternatives = benchmark.alternatives(request)
    asked = (
        _fitting_card(benchmark, request, alternatives, given)
        if given is None or isinstance(given, cards.Card)
        else given
    )
    # Not before: what the embedded suite lacks is drawn.
    suite = suites.resolve(request.suite, request.data_root, [benchmark.name])
    card = asked if isinstance(asked, cards.Card) else None
    model = (
        _loaded(asked, request, share, "float32" if request.dtype == AUTO else request.dtype)
        if isinstance(asked, cards.Card)
        else asked
    )
    capability = require_one(alternatives, model)
    request = benchmark.completed(request, suite, share)
    protocol = {
        **benchmark.protocol(model, request),
        **_size_in_protocol(model, capability),
        "lineage": provenance.facts(card, benchmark, suite),
    }
    with stage(f"reading {benchmark.title}"):
        data = benchmark.read(suite, request)
    if not request.no_check and share.first:
        check_images(getattr(data, "pictures", ()))
    if on_notice is not None:
        for notice in benchmark.notices(request):
            on_notice(notice)
    notes = provenance.note(card, request, benchmark, suite)
    if card is not None and request.dtype == AUTO:
        model, note = _choose_dtype(benchmark, card, model, data, request, share)
        notes.append(note)
    if share.count > 1:
        notes.append(f"{share.count} processes; the seconds are those of all together")
    return _Ready(benchmark, request, suite, model, protocol, data, notes)


def _fitting_card(
    benchmark: Benchmark, request: Request, alternatives: Sequence[str], given: Card | None
) -> Card:
    """The card of the requested model, or the given one; refuses one that cannot be measured so."""
    card = zoo.resolve(request.model) if given is None else given
    wanted = required(alternatives, card.capabilities.__contains__)
    cards.require(card, wanted)
    provenance.check_tuning(card, request)
    _check_dtype(benchmark, request, wanted)
    return card


def _loaded(card: Card, request: Request, share: ProcessGroup, dtype: str | None) -> Model:
    """The model of a card on this process's device, for images of the size that was asked for."""
    device = own_device(request.device, share)
    with stage(f"loading {card.name}"):
        model = zoo.load_card(card, device, dtype, request.trust_remote_code)
    _resize(model, getattr(request.options, "image_size", None))
    return model


def _resize(model: Model, side: int | None) -> None:
    """Let a model that was just loaded take square images of another side; None for its own."""
    if side is None:
        return
    if not isinstance(model, protocols.Resizable):
        raise IncompatibleModel(
            f"model '{model.name}' has a fixed image size: leave --image-size out"
        )
    patch = model.patch_size
    if side < patch or side % patch:
        raise UsageError(
            f"--image-size {side}: expected a multiple of the patch size {patch} of model "
            f"'{model.name}'; use {max(1, round(side / patch)) * patch}"
        )
    model.resize_images(side)


def _size_in_protocol(model: Model, capability: str) -> dict[str, Any]:
    """What a record's "protocol" says of the size: nothing of texts, or where it is the model's own."""
    if capability == "text_classifier" or not isinstance(model, protocols.Resizable):
        return {}
    return {} if model.image_size == model.own_image_size else {"image_size": model.image_size}


def _keep_features(model: Model, folder: Path | None, stack: ExitStack) -> None:
    """Let the model keep features while the stack is open."""
    if folder is None:
        return
    if not isinstance(model, protocols.FeatureKeeper):
        raise UsageError(f"model '{model.name}' cannot cache features: leave --features out")
    model.keep_features(folder)
    stack.callback(model.keep_features, None)


def _check_dtype(benchmark: Benchmark, request: Request, capability: str) -> None:
    """Refuse `--dtype auto` where the benchmark has no way to measure it."""
    if request.dtype == AUTO and not (benchmark.auto_dtype and capability == "pair_scorer"):
        raise UsageError(
            f"--dtype auto is measured where pairs are scored, which {request.benchmark} does not do "
            f"with these options: choose float32 or {FAST_DTYPE}"
        )


def _choose_dtype(
    benchmark: Benchmark,
    card: Card,
    exact: Model,
    data: Data,
    request: Request,
    share: ProcessGroup,
) -> tuple[Model, str]:
    """The model in the dtype chosen on a sample of the data, and the reason."""
    fast = _loaded(card, request, share, FAST_DTYPE)
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
        notes=[
            *data.notes(),
            *outcome.notes,
            *how,
            *_token_notes(model),
            *_chance_notes(outcome.metrics),
        ],
        created=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
    )


def _token_notes(model: Model) -> Sequence[str]:
    """Says how much of the texts the tokenizer has no tokens for, of adapters that count it."""
    read, unknown = (getattr(model, name, 0) for name in ("tokens_read", "unknown_tokens"))
    if not unknown:
        return []
    share = f"{100 * unknown / read:.1f} %"
    return [
        f"the tokenizer knows no token for {unknown:,} of the {read:,} that were read ({share})"
    ]


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
    usual = {"split": get_benchmark(request.benchmark).default_split}
    usual |= {"model": "mini"} if request.zero_shot else {}
    words = ["unimo2", "eval", shown(request.benchmark)]
    words += ["--zero-shot"] if request.zero_shot else []
    for part in (request, request.options):
        for one in fields(part):
            value, name = getattr(part, one.name), f"--{shown(one.name)}"
            declared = "help" in one.metadata and one.name not in ("zero_shot", "fresh")
            if not (declared or one.name == "model") or value == usual.get(one.name, one.default):
                continue
            words += [name] if value is True else [name, str(value)]
    return shlex.join(words)
