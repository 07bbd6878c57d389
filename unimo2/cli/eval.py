"""`unimo2 eval`: measure a model on a benchmark by its official protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimo2.cli.data_root import VARIABLE, find_data_root
from unimo2.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from evals.records import Record


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    verb = typer.Typer(help="Measure a model on a benchmark of the paper.")
    # Without a callback, Typer takes the only benchmark for the verb itself.
    verb.callback()(lambda: None)
    verb.command("flickr")(flickr)
    app.add_typer(verb, name="eval")


def flickr(
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="Take a pre-trained model as it is.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="A card's name or a model folder; with --zero-shot 'mini' by default."),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(help=f"Folder that holds flickr30k/; {VARIABLE} by default."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="mini or paper; by default what the data root holds.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first images of the split.")] = None,
    contrastive_weight: Annotated[
        float | None,
        typer.Option(help="w of itm + w * contrastive; the model's own by default."),
    ] = None,
    rerank: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Fuse only the K best candidates of each query by contrastive score; else all.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16, float16, or auto: bfloat16 where a sample is faster with the "
            "same ranks; the model's own by default."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Pairs in one call; the model's own by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals' resampling.")] = 0,
    output: Annotated[Path, typer.Option(help="The runs folder.")] = Path("runs"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew even if such a run was interrupted.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Flickr30k retrieval: score every image with every caption, recall both ways.

    With --rerank K a contrastive shortlist chooses the pairs, which a long run may need.
    """
    if model is None and not zero_shot:
        raise UsageError(
            "say which model: --zero-shot for the pre-trained one, or --model FOLDER for one that "
            "is fine-tuned for Flickr30k"
        )
    from rich.console import Console
    from transformers.utils.logging import disable_progress_bar

    from evals.progress import shown
    from evals.runner import run

    # Of loading weights: --json and a pipe want nothing but results.
    disable_progress_bar()

    with shown(Console(stderr=True), quiet=as_json) as report:
        record = run(
            "flickr",
            model=model or "mini",
            zero_shot=zero_shot,
            data_root=find_data_root(data_root, suite),
            suite=suite,
            split=split,
            limit=limit,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            seed=seed,
            contrastive_weight=contrastive_weight,
            rerank=rerank,
            output=output,
            fresh=fresh,
            on_progress=report,
        )
    if as_json:
        typer.echo(as_text(record))
    else:
        show(record, Console())


def as_text(record: Record) -> str:
    """What `--json` prints.

    Args:
        record: Of the run.

    Returns:
        JSON: the metrics as in the record, the record's path, and what was measured on what.
    """
    content = record.to_dict()
    shown = ("metrics", "suite", "benchmark", "model", "variant", "data", "notes")
    return json.dumps(
        {**{key: content[key] for key in shown}, "record": str(record.path)}, indent=2
    )


def show(record: Record, console: Console) -> None:
    """Print a run's table and what is needed to judge it.

    Args:
        record: Of the run.
        console: A rich console on standard output.
    """
    from evals.progress import duration

    data, pace = record.data, record.throughput["pairs_per_second"]
    console.print(_table(record))
    weight = record.protocol["contrastive_weight"]
    score = "the model's own" if weight is None else f"ITM logit + {weight:g} x contrastive score"
    facts = {
        "score": score,
        "pairs": record.protocol["pairs"],
        "data": f"{data['root_name']}, {data['images']:,} images x {data['captions']:,} captions",
        "time": f"{duration(record.seconds)}, {pace:,.0f} pairs/s",
        "memory": f"{record.peak_memory_mb:,.0f} MiB at most",
        "device": f"{record.device}, {record.dtype}",
        "record": str(record.path),
    }
    for name, fact in facts.items():
        # No wrapping or markup: a path must come out in one piece.
        console.print(f"{name:<8}{fact}", soft_wrap=True, markup=False, highlight=False)
    ties = max(metric.ties for metric in record.metrics.values())
    notes = [*record.notes, *([f"ties: {ties} queries"] if ties else [])]
    for note in notes:
        console.print(f"note    {note}", soft_wrap=True, markup=False, style="yellow")


def _table(record: Record) -> Table:
    """Recall both ways; the parts of the score alone are left to the record."""
    from rich.table import Table

    how = "zero-shot" if record.protocol["zero_shot"] else "fine-tuned"
    table = Table(
        title=f"Flickr30k retrieval, {how}: model {record.model}, suite {record.suite}, "
        f"{record.data['split']} split",
        title_justify="left",
    )
    table.add_column("retrieval of")
    for name in ("recall", "%", "95 % interval", "chance", "n"):
        table.add_column(name, justify="right")
    table.add_column("")
    for name, metric in record.metrics.items():
        if "[" in name:
            continue
        direction, recall = name.split("/")
        table.add_row(
            {"image_retrieval": "images", "text_retrieval": "texts"}[direction],
            recall,
            f"{metric.value:.2f}",
            f"{metric.ci95[0]:.2f} to {metric.ci95[1]:.2f}",
            f"{metric.chance:.2f}",
            f"{metric.n:,}",
            "at chance" if metric.at_chance else "",
            end_section=recall == "R@10",
        )
    return table
