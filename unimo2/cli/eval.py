"""`unimo2 eval`: measure a model on a benchmark by its official protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimo2.cli.console import find_data_root
from unimo2.cli.eval_options import (
    AsJson,
    AutoDtype,
    BatchSize,
    ContrastiveWeight,
    DataRoot,
    Device,
    Dtype,
    Features,
    Fresh,
    ImageSize,
    Limit,
    Model,
    ObjectTags,
    Options,
    Output,
    Rerank,
    Seed,
    SuiteName,
    ZeroShot,
)
from unimo2.errors import UsageError

if TYPE_CHECKING:
    from evals.records import Record

PRETRAINED, FINETUNED = "mini", "finetuned"
# Benchmarks without options of their own: help, and the splits there are.
PLAIN = {
    "vqa": (
        "VQA v2: official accuracy, overall, by answer type and by question type; the results file "
        "that the evaluation server takes.",
        "val, test-dev, test-std or train; test-dev by default.",
    ),
    "snli-ve": ("SNLI-VE: accuracy, overall and by gold label.", "dev, test or train; test."),
    "sst2": ("SST-2: accuracy.", "dev, test (a file for the server) or train; dev by default."),
    "mnli": (
        "MNLI: accuracy, matched and mismatched.",
        "dev, dev_matched, dev_mismatched, the same of test (files for the server), or train.",
    ),
    "cola": ("CoLA: Matthews correlation.", "dev, test (a file for the server) or train."),
    "stsb": ("STS-B: Pearson and Spearman correlation.", "dev, test or train; dev by default."),
}
RUNS = Path("runs")


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    verb = typer.Typer(help="Measure a model on a benchmark of the paper.")
    verb.command("flickr")(flickr)
    verb.command("coco")(coco)
    verb.command("imagenet")(imagenet)
    for name, (text, splits) in PLAIN.items():
        verb.command(name, help=text)(_plain(name, splits))
    verb.command("snli_ve", hidden=True)(_plain("snli-ve", PLAIN["snli-ve"][1]))
    verb.command("all")(everything)
    app.add_typer(verb, name="eval")


def flickr(
    zero_shot: ZeroShot = False,
    model: Model = None,
    data_root: DataRoot = None,
    suite: SuiteName = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    limit: Limit = None,
    contrastive_weight: ContrastiveWeight = None,
    rerank: Rerank = None,
    image_size: ImageSize = None,
    device: Device = "auto",
    dtype: AutoDtype = None,
    batch_size: BatchSize = None,
    features: Features = None,
    seed: Seed = 0,
    output: Output = RUNS,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Flickr30k retrieval: score every image with every caption, recall both ways.

    With --rerank K a contrastive shortlist chooses the pairs, which a long run may need.
    """
    options = Options(
        zero_shot=zero_shot,
        model=model,
        data_root=find_data_root(data_root, suite),
        suite=suite,
        split=split,
        limit=limit,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        features=features,
        seed=seed,
        contrastive_weight=contrastive_weight,
        rerank=rerank,
        image_size=image_size,
        output=output,
        fresh=fresh,
    )
    _one("flickr", options, as_json)


def coco(
    model: Model = None,
    data_root: DataRoot = None,
    suite: SuiteName = None,
    split: Annotated[str, typer.Option(help="train, restval, val or test.")] = "test",
    limit: Limit = None,
    beam_size: Annotated[int, typer.Option(help="Beams of an image.")] = 5,
    object_tags: ObjectTags = None,
    device: Device = "auto",
    dtype: Dtype = None,
    batch_size: BatchSize = None,
    features: Features = None,
    seed: Seed = 0,
    output: Output = RUNS,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """COCO captions, Karpathy's split: BLEU, METEOR, ROUGE-L, CIDEr; SPICE where its models are.

    The run folder holds the results file that the caption server takes.
    """
    options = Options(
        model=model,
        data_root=find_data_root(data_root, suite),
        suite=suite,
        split=split,
        limit=limit,
        beam_size=beam_size,
        object_tags=object_tags,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        features=features,
        seed=seed,
        output=output,
        fresh=fresh,
    )
    _one("coco", options, as_json)


def imagenet(
    zero_shot: ZeroShot = False,
    model: Model = None,
    data_root: DataRoot = None,
    suite: SuiteName = None,
    split: Annotated[str, typer.Option(help="val or train.")] = "val",
    limit: Limit = None,
    score: Annotated[
        str, typer.Option(help="Zero-shot: fused, or contrastive for that score alone.")
    ] = "fused",
    templates: Annotated[
        int, typer.Option(help="Zero-shot: 1, 'a photo of [label]', or CLIP's 80 for ImageNet.")
    ] = 1,
    contrastive_weight: ContrastiveWeight = None,
    rerank: Rerank = None,
    image_size: ImageSize = None,
    device: Device = "auto",
    dtype: Dtype = None,
    batch_size: BatchSize = None,
    features: Features = None,
    seed: Seed = 0,
    output: Output = RUNS,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """ImageNet: accuracy of the first guess, by a fine-tuned classifier or with --zero-shot.

    Zero-shot, every image is scored with a sentence for every class by the retrieval score.
    """
    options = Options(
        zero_shot=zero_shot,
        model=model,
        data_root=find_data_root(data_root, suite),
        suite=suite,
        split=split,
        limit=limit,
        score=score,
        templates=templates,
        contrastive_weight=contrastive_weight,
        rerank=rerank,
        image_size=image_size,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        features=features,
        seed=seed,
        output=output,
        fresh=fresh,
    )
    _one("imagenet", options, as_json)


def _plain(benchmark: str, splits: str) -> Callable[..., None]:
    """The command of a benchmark without options of its own."""

    def command(
        model: Model = None,
        data_root: DataRoot = None,
        suite: SuiteName = None,
        split: Annotated[str | None, typer.Option(help=splits)] = None,
        limit: Limit = None,
        device: Device = "auto",
        dtype: Dtype = None,
        batch_size: BatchSize = None,
        features: Features = None,
        seed: Seed = 0,
        output: Output = RUNS,
        fresh: Fresh = False,
        as_json: AsJson = False,
    ) -> None:
        options = Options(
            model=model,
            data_root=find_data_root(data_root, suite),
            suite=suite,
            split=split,
            limit=limit,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            features=features,
            seed=seed,
            output=output,
            fresh=fresh,
        )
        _one(benchmark, options, as_json)

    # Typer evaluates annotations in this module; `splits` is this function's own.
    command.__annotations__["split"] = Annotated[str | None, typer.Option(help=splits)]
    return command


def everything(
    model: Annotated[
        str,
        typer.Option(
            help="A card's name or a model folder: every benchmark that it can do. 'finetuned': each "
            "benchmark by the embedded weights fine-tuned for it, and retrieval and ImageNet "
            "zero-shot by 'mini'."
        ),
    ] = FINETUNED,
    data_root: DataRoot = None,
    suite: SuiteName = None,
    limit: Limit = None,
    device: Device = "auto",
    dtype: Dtype = None,
    batch_size: BatchSize = None,
    features: Features = None,
    seed: Seed = 0,
    output: Output = RUNS,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Every benchmark that the model can do, and one table of all; a line for each that it cannot."""
    rows: list[tuple[str, Record | str]] = []
    for benchmark, zero_shot in _all_ways():
        named = PRETRAINED if model == FINETUNED and zero_shot else model
        label = f"{benchmark}, zero-shot" if zero_shot else benchmark
        try:
            options = Options(
                zero_shot=zero_shot,
                model=named,
                data_root=find_data_root(data_root, suite),
                suite=suite,
                split=None,
                limit=limit,
                device=device,
                dtype=dtype,
                batch_size=batch_size,
                features=features,
                seed=seed,
                output=output,
                fresh=fresh,
            )
            record = _run(benchmark, options, quiet=as_json)
        except UsageError as error:
            rows.append((label, str(error)))
        else:
            rows.append((label, record))
    _report(rows, as_json)


def _report(rows: list[tuple[str, Record | str]], as_json: bool) -> None:
    from evals.distributed import launched
    from unimo2.cli.eval_show import as_content, console_for_tables, summary

    if not launched().first:
        return
    if all(isinstance(found, str) for _, found in rows):
        reasons = "; ".join(dict.fromkeys(str(found) for _, found in rows))
        raise UsageError(f"nothing could be measured: {reasons}")
    if as_json:
        content = {
            "runs": [as_content(found) for _, found in rows if not isinstance(found, str)],
            "not_measured": {name: found for name, found in rows if isinstance(found, str)},
        }
        typer.echo(json.dumps(content, indent=2))
    else:
        summary(rows, console_for_tables())


def _all_ways() -> list[tuple[str, bool]]:
    """Every benchmark, those that have both ways zero-shot first."""
    from evals.registry import benchmarks

    both = ("flickr", "imagenet")
    return [(name, True) for name in both] + [(name, False) for name in benchmarks()]


def _one(benchmark: str, options: Options, as_json: bool) -> None:
    """Run one benchmark and print the result."""
    from evals.distributed import launched
    from unimo2.cli.eval_show import as_text, console_for_tables, show

    record = _run(benchmark, options, quiet=as_json)
    if not launched().first:
        return
    if as_json:
        typer.echo(as_text(record))
    else:
        show(record, console_for_tables())


def _run(benchmark: str, options: Options, quiet: bool) -> Record:
    """Run one benchmark with progress on standard error."""
    from rich.console import Console
    from transformers.utils.logging import disable_progress_bar

    from evals.distributed import launched
    from evals.progress import shown
    from evals.runner import run

    # Of loading weights: --json and a pipe want nothing but results.
    disable_progress_bar()
    share = launched()
    quiet = quiet or not share.first
    console = Console(stderr=True)

    def notice(text: str) -> None:
        if not quiet:
            console.print(f"note    {text}", soft_wrap=True, markup=False, style="yellow")

    with shown(console, quiet=quiet) as report:
        return run(
            benchmark,
            model=options.model or (PRETRAINED if options.zero_shot else FINETUNED),
            zero_shot=options.zero_shot,
            data_root=options.data_root,
            suite=options.suite,
            split=options.split,
            limit=options.limit,
            device=options.device,
            dtype=options.dtype,
            batch_size=options.batch_size,
            seed=options.seed,
            contrastive_weight=options.contrastive_weight,
            rerank=options.rerank,
            score=options.score,
            templates=options.templates,
            beam_size=options.beam_size,
            object_tags=options.object_tags,
            image_size=options.image_size,
            features=options.features,
            output=options.output,
            fresh=options.fresh,
            on_progress=report,
            on_notice=notice,
            share=share,
        )
