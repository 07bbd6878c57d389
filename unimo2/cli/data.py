"""`unimo2 data`: what data there is and what it should be, the embedded suite, and its pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimo2.cli.data_catalogue import list_data_sets, verify_data_sets
from unimo2.cli.data_fetch import fetch_data_sets
from unimo2.cli.data_levels import level_table
from unimo2.cli.data_root import VARIABLE, find_data_root
from unimo2.cli.progress_bar import progress_bar
from unimo2.errors import UsageError

if TYPE_CHECKING:
    from unimo2.formats.karpathy import KarpathyImage


class Captioned(str, Enum):
    """Data sets that `show` can show."""

    flickr = "flickr"
    coco = "coco"


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
    dataset: Annotated[Captioned, typer.Argument(help="Which data set.")],
    n: Annotated[int, typer.Option("--n", min=1, help="How many images.")] = 12,
    output: Annotated[Path, typer.Option(help="The picture to write.")] = Path("sheet.png"),
    data_root: Annotated[
        Path | None,
        typer.Option(help=f"Folder of data sets; {VARIABLE} by default."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="mini or paper; by default what the data root holds.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, restval, val or test.")] = "test",
) -> None:
    """Write a contact sheet: images of a data set with their captions."""
    from evals.suites import resolve
    from reports.contact_sheet import CaptionedPicture, contact_sheet
    from unimo2.formats.images import load_image

    images = _images(dataset, resolve(suite, find_data_root(data_root, suite)).root, split)
    count = min(n, len(images))
    chosen = [images[number * len(images) // count] for number in range(count)]
    sheet = contact_sheet(
        [
            CaptionedPicture(
                load_image(image.path),
                f"{image.filename} ({image.split})",
                tuple(caption.text for caption in image.captions),
            )
            for image in chosen
        ]
    )
    try:
        sheet.save(output)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {output}: {error}") from error
    typer.echo(f"{output}: {count:,} of the {len(images):,} images of {dataset.value} {split}")


def _images(dataset: Captioned, root: Path, split: str) -> list[KarpathyImage]:
    from unimo2.formats.karpathy import read_karpathy

    if dataset is Captioned.flickr:
        folder = root / "flickr30k"
        return read_karpathy(
            folder / "dataset_flickr30k.json", folder / "flickr30k-images", (split,)
        )
    folder = root / "coco"
    return read_karpathy(folder / "dataset_coco.json", folder, (split,))
