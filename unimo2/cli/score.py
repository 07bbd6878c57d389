"""`unimo2 score`: the official metrics of predictions that somebody else made; no model is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evals.scoring import Scored

GLUE = {
    "sst2": "SST-2: accuracy.",
    "mnli": "MNLI: accuracy, of the matched or the mismatched file.",
    "cola": "CoLA: Matthews correlation.",
    "stsb": "STS-B: Pearson and Spearman correlation.",
}

AllowMissing = Annotated[
    bool,
    typer.Option("--allow-missing", help="Score what is there, and say how many are missing."),
]
Seed = Annotated[int, typer.Option(help="Of the intervals' resampling.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    verb = typer.Typer(
        help="Score predictions that somebody else made, by the official metrics. "
        "docs/prediction-formats.md shows every format."
    )
    verb.command("coco")(coco)
    verb.command("vqa")(vqa)
    verb.command("snli-ve")(snli_ve)
    verb.command("flickr")(flickr)
    verb.command("imagenet")(imagenet)
    for task, text in GLUE.items():
        verb.command(task, help=text)(_glue(task))
    app.add_typer(verb, name="score")


def coco(
    results: Annotated[Path, typer.Argument(help='JSON: [{"image_id", "caption"}, ...].')],
    annotations: Annotated[Path, typer.Option(help="captions_*.json.")],
    allow_missing: AllowMissing = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """COCO captions: BLEU, METEOR, ROUGE-L, CIDEr; SPICE where its models are there."""
    from evals.benchmarks.coco import Coco

    scored = Coco().score(results, annotations, allow_missing, seed)
    _show("COCO captions", results, scored, as_json)


def vqa(
    results: Annotated[Path, typer.Argument(help='JSON: [{"question_id", "answer"}, ...].')],
    questions: Annotated[list[Path], typer.Option(help="v2_OpenEnded_*_questions.json, or more.")],
    annotations: Annotated[list[Path], typer.Option(help="v2_*_annotations.json, or more.")],
    allow_missing: AllowMissing = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """VQA v2: official accuracy, overall, by answer type and by question type."""
    from evals.benchmarks.vqa import Vqa

    scored = Vqa().score(results, questions, annotations, allow_missing, seed)
    _show("VQA v2", results, scored, as_json)


def snli_ve(
    predictions: Annotated[Path, typer.Argument(help='jsonl: {"pairID", "prediction"}.')],
    annotations: Annotated[Path, typer.Option(help="snli_ve_*.jsonl.")],
    allow_missing: AllowMissing = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """SNLI-VE: accuracy, overall and by gold label."""
    from evals.benchmarks.snli_ve import SnliVe

    scored = SnliVe().score(predictions, annotations, allow_missing, seed)
    _show("SNLI-VE", predictions, scored, as_json)


def flickr(
    scores: Annotated[Path, typer.Argument(help=".npy: [images, captions], higher is better.")],
    annotations: Annotated[Path, typer.Option(help="dataset_flickr30k.json.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Flickr30k retrieval: recall both ways from a score matrix."""
    from evals.benchmarks.flickr import Flickr

    scored = Flickr().score(scores, annotations, split, seed)
    _show(f"Flickr30k retrieval, {split} split", scores, scored, as_json)


def imagenet(
    predictions: Annotated[Path, typer.Argument(help="csv: image,prediction; synset ids.")],
    annotations: Annotated[
        Path, typer.Option(help="The folder val/, with <wnid>/*.JPEG, or LOC_val_solution.csv.")
    ],
    synsets: Annotated[
        Path | None,
        typer.Option(help="LOC_synset_mapping.txt; by default the one beside the images."),
    ] = None,
    allow_missing: AllowMissing = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """ImageNet: accuracy of the first guess."""
    from evals.benchmarks.imagenet import ImageNet

    scored = ImageNet().score(predictions, annotations, synsets, allow_missing, seed)
    _show("ImageNet", predictions, scored, as_json)


def _glue(task: str) -> Callable[..., None]:
    """The command of one GLUE task."""

    def command(
        predictions: Annotated[Path, typer.Argument(help="TSV: index<TAB>prediction.")],
        annotations: Annotated[Path, typer.Option(help="dev.tsv as GLUE distributes it.")],
        allow_missing: AllowMissing = False,
        seed: Seed = 0,
        as_json: AsJson = False,
    ) -> None:
        from evals.registry import get_benchmark

        score = get_benchmark(task).score
        assert score is not None
        scored = score(predictions, annotations, allow_missing, seed)
        _show(GLUE[task].partition(":")[0], predictions, scored, as_json)

    return command


def as_text(scored: Scored) -> str:
    """What `--json` prints.

    Args:
        scored: The result.

    Returns:
        JSON: the metrics in the layout of `eval --json`, the number of items without prediction,
        and what a reader must know.
    """
    metrics = {name: asdict(metric) for name, metric in scored.metrics.items()}
    content = {"metrics": metrics, "missing": scored.missing, "notes": list(scored.notes)}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _show(benchmark: str, predictions: Path, scored: Scored, as_json: bool) -> None:
    """Print the metrics, as JSON or as a table with its notes."""
    if as_json:
        typer.echo(as_text(scored))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{benchmark}: {predictions.name}", title_justify="left", box=box.SIMPLE)
    table.add_column("metric", overflow="fold")
    for name in ("%", "95 % interval", "chance", "n"):
        table.add_column(name, justify="right")
    table.add_column("")
    for name, metric in scored.metrics.items():
        table.add_row(
            # A question type in brackets is no markup.
            name.replace("[", r"\["),
            f"{metric.value:.2f}",
            f"{metric.ci95[0]:.2f} to {metric.ci95[1]:.2f}",
            "" if metric.chance is None else f"{metric.chance:.2f}",
            f"{metric.n:,}",
            metric.mark,
        )
    console.print(table)
    for note in scored.notes:
        console.print(f"note    {note}", soft_wrap=True, markup=False, style="yellow")
