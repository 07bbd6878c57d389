"""`unimo2 data`: what data there is and what it should be, the embedded suite, and its pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unimo2.cli.data_catalogue import list_data_sets, verify_data_sets
from unimo2.cli.data_fetch import fetch_data_sets
from unimo2.cli.data_levels import level_table
from unimo2.cli.data_root import VARIABLE, find_data_root
from unimo2.cli.progress_bar import progress_bar
from unimo2.errors import MissingData, UsageError


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    verb = typer.Typer(help="Data: what there is and what it should be, and the embedded suite.")
    verb.command("list")(list_data_sets)
    verb.command("verify")(verify_data_sets)
    verb.command("fetch")(fetch_data_sets)
    verb.command("make-mini")(make_mini)
    verb.command("show")(show)
    app.add_typer(verb, name="data")


def make_mini(
    root: Annotated[
        Path | None, typer.Option(help="Where to write it; the user's cache folder by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws another suite.")] = 0,
    scale: Annotated[
        float, typer.Option(help="Multiplies all sizes but that of Flickr's test split.")
    ] = 1.0,
    flickr_test: Annotated[
        int, typer.Option(help="Images of Flickr's test split; the official one has 1,000.")
    ] = 300,
    processes: Annotated[
        int | None, typer.Option(min=1, help="As many as there are processors by default.")
    ] = None,
) -> None:
    """Draw the embedded suite: a scale model of the data sets, in their official formats."""
    from evals.suite_mini import SuiteRequest, default_root, make_suite

    request = SuiteRequest(seed=seed, scale=scale, flickr_test=flickr_test)
    place = default_root(seed, scale) if root is None else root.expanduser()
    began = time.perf_counter()
    with progress_bar("drawing") as advance:
        content = make_suite(place, request, processes, advance)
    for line in _summary(content):
        typer.echo(line)
    typer.echo(f"{place} ({time.perf_counter() - began:.1f} s)")


def _summary(content: Mapping[str, Any]) -> Iterator[str]:
    """Counts, levels and fingerprints of a suite."""
    for dataset, splits in content["counts"].items():
        held = ", ".join(f"{split} {count:,}" for split, count in splits.items())
        yield f"{dataset}: {sum(splits.values()):,} {content['units'][dataset]} ({held})"
        for reason, count in content["folded"].get(dataset, {}).items():
            yield f"  {reason}: {count:,}"
    yield ""
    yield from level_table(content["levels"])
    yield ""
    for dataset, fingerprint in content["fingerprints"].items():
        yield f"fingerprint of {dataset}: {fingerprint}"
    yield f"fingerprint {content['fingerprint']}"


def show(
    dataset: Annotated[
        str, typer.Argument(help="A data set with pictures: flickr, coco, visual-genome, vqa ...")
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="How many images.")] = 12,
    output: Annotated[Path, typer.Option(help="The picture to write.")] = Path("sheet.png"),
    data_root: Annotated[
        Path | None,
        typer.Option(help=f"Folder of data sets; {VARIABLE} by default."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="mini or paper; by default what the data root holds.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val, test ...; the first of them that it has.")
    ] = None,
) -> None:
    """Write a contact sheet: images of a data set with what it says of them."""
    from evals.data_sets.sampling import choose
    from evals.suites import resolve
    from reports.contact_sheet import CaptionedPicture, contact_sheet
    from unimo2.formats.images import load_image

    chosen = choose(dataset, resolve(suite, find_data_root(data_root, suite)).root, split, n)
    for line in chosen.skipped:
        typer.echo(f"left out: {line}", err=True)
    if not chosen.samples:
        raise MissingData(f"{chosen.data_set}: no image of split {chosen.split} is there")
    sheet = contact_sheet(
        [
            CaptionedPicture(load_image(sample.path), sample.title, sample.lines)
            for sample in chosen.samples
        ]
    )
    try:
        sheet.save(output)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {output}: {error}") from error
    what = f"{len(chosen.samples):,} of the {chosen.total:,} images of {dataset} {chosen.split}"
    typer.echo(f"{output}: {what}")
