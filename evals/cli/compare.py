"""`unimo2 compare`: the paired difference of two runs on the same data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimo2.cli.guard import OneOf
from unimo2.cli.options import AsJson
from unimo2.console import print_json, print_table, say, visible
from unimo2.files import Place

if TYPE_CHECKING:
    from evals.compare import Comparison
    from evals.records import Record


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    example = "Example: unimo2 compare runs/mini/flickr/a runs/mini/flickr/b"
    app.command("compare", epilog=example)(compare)


def compare(
    run_a: Annotated[
        Path, typer.Argument(help="A run folder, or a model's folder of runs."), Place.READS
    ],
    run_b: Annotated[Path, typer.Argument(help="Likewise; the difference is B - A."), Place.READS],
    part_a: Annotated[
        str | None,
        typer.Option(help="Compare with a part of A's score alone: itm or contrastive."),
        OneOf("itm", "contrastive"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of resampling and exchanging.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare two runs item by item: difference of every metric, its interval and p-value."""
    from evals.compare import compare as compare_runs
    from unimo2.progress import showing, stage

    with showing(quiet=as_json), stage("comparing item by item"):
        found = compare_runs(run_a, run_b, seed, part_a)
    if as_json:
        print_json(as_content(found))
    else:
        show(found)


def as_content(found: Comparison) -> dict[str, Any]:
    """What `--json` prints.

    Args:
        found: The comparison.

    Returns:
        The runs, what differs between them, and the metrics by name.
    """
    from evals.compare import PERMUTATIONS
    from evals.metrics.ranking import RESAMPLES

    runs = {
        letter: {"record": str(run.path), "model": run.model, "variant": run.variant}
        for letter, run in (("a", found.a), ("b", found.b))
    }
    return {
        "runs": runs,
        "part_a": found.part_a,
        "benchmark": found.a.benchmark,
        "suite": found.a.suite,
        "data": dict(found.a.data),
        "differs": {name: list(pair) for name, pair in found.differs.items()},
        "resamples": RESAMPLES,
        "permutations": PERMUTATIONS,
        "seed": found.seed,
        "metrics": {name: asdict(metric) for name, metric in found.metrics.items()},
    }


def show(found: Comparison) -> None:
    """Print the comparison as a table."""
    from evals.compare import PERMUTATIONS
    from evals.metrics.ranking import RESAMPLES

    rows = [
        (
            name,
            f"{metric.a:.2f}",
            f"{metric.b:.2f}",
            f"{metric.difference:+.2f}",
            f"{metric.ci95[0]:+.2f} to {metric.ci95[1]:+.2f}",
            f"{metric.p_value:.4f}",
            f"{metric.n:,}",
            "tied" if metric.tied else "",
        )
        for name, metric in found.metrics.items()
    ]
    heads = ("metric", "A", "B", "B - A", "95 % interval", "p", "n", "")
    title = f"{found.a.benchmark}, suite {found.a.suite}: B - A"
    print_table(title, heads, [("", rows)], numbers=range(1, 7))
    part = "" if found.part_a is None else f", the {found.part_a} part of its score alone"
    lines = [f"A  {_name(found.a)}{part}: {found.a.path}", f"B  {_name(found.b)}: {found.b.path}"]
    lines += [f"{name}: A {ours}, B {theirs}" for name, (ours, theirs) in found.differs.items()]
    units = next(iter(found.metrics.values())).units
    lines.append(
        f"interval: {RESAMPLES:,} resamples of {units:,} units, the same for both runs; p: "
        f"{PERMUTATIONS:,} random exchanges of the runs' units, two-sided, each metric by itself"
    )
    for line in lines:
        say(visible(line))


def _name(run: Record) -> str:
    return run.model if run.variant is None else f"{run.model}+{run.variant}"
