"""`unimo2 inspect`: the contents of a model's grounded dictionary."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimo2.cli.guard import Needs, OneOf
from unimo2.cli.options import AsJson, DataRoot, Device, find_data_root, offering
from unimo2.console import print_json, print_table, say, showing, stage
from zoo.cli import model_names

if TYPE_CHECKING:
    from evals.inspection.dictionary_rows import DictionaryRows
    from evals.inspection.interventions import Interventions
    from unimo2.formats.karpathy import KarpathyImage
    from zoo.families.unimo2 import Unimo2Scorer

_SHOWN = 16  # rows of the table


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    verb = typer.Typer(help="Inspect a model's grounded dictionary.")
    verb.callback()(_several)
    example = "Example: unimo2 inspect dictionary --model mini --limit 100"
    verb.command("dictionary", epilog=example)(dictionary)
    app.add_typer(verb, name="inspect")


def _several() -> None:
    """Inspect a model's grounded dictionary."""


def dictionary(
    model: Annotated[
        str,
        typer.Option(help="A card's name or a model folder.", autocompletion=offering(model_names)),
    ] = "mini",
    interventions: Annotated[
        bool, typer.Option("--interventions", help="Also match with rows chosen in other ways.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="Of Flickr30k: val or test."), OneOf("train", "val", "test")
    ] = "val",
    limit: Annotated[int | None, typer.Option(help="Use only the first N images.", min=8)] = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    seed: Annotated[
        int,
        typer.Option(help="Seed for random rows and resampling.", min=0),
        Needs("interventions"),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show which inputs choose each dictionary row and what is near it, or if the choice matters."""
    from evals.datasets.suites import resolve
    from evals.inspection.dictionary_rows import inspect
    from evals.inspection.interventions import measure
    from evals.suite_mini.patches import flickr_scenes

    scorer = _scorer(model, device)
    root = resolve(None, find_data_root(data_root, None), ["flickr30k"]).root
    images = _images(root, split, limit)
    content: dict[str, Any] = {"model": scorer.name, "split": split}
    if interventions:
        with showing(quiet=as_json) as report:
            measured = measure(scorer, images, report, seed=seed)
        content["interventions"] = asdict(measured)
    else:
        with showing(quiet=as_json), stage("looking up rows"):
            found = inspect(scorer, images, flickr_scenes(root))
        content["dictionary"] = asdict(found)
    if as_json:
        print_json(content)
    elif interventions:
        _show(measured, scorer.name, split)
    else:
        _show_rows(found, scorer.name, split)


def _scorer(name: str, device: str) -> Unimo2Scorer:
    """The model, which must be one of ours for retrieval."""
    import zoo
    from unimo2.errors import IncompatibleModel
    from zoo.families.unimo2 import Unimo2Scorer

    found = zoo.load(name, device=device)
    if not isinstance(found, Unimo2Scorer):
        raise IncompatibleModel(
            f"model '{name}' is not a UNIMO-2 that is pre-trained or fine-tuned for retrieval"
        )
    return found


def _images(root: Path, split: str, limit: int | None) -> list[KarpathyImage]:
    """A split of Flickr30k with its captions."""
    from unimo2.formats.karpathy import read_karpathy
    from unimo2.formats.layout import Flickr30kFiles

    files = Flickr30kFiles(root)
    found = read_karpathy(files.annotations, files.images, [split])
    return found[:limit]


def _show_rows(found: DictionaryRows, model: str, split: str) -> None:
    """Print the rows that are used most, and how alike the patches near a row are."""
    heads = ("row", "images %", "texts %", "both %", "nearest words")
    rows = []
    for row in found.rows[:_SHOWN]:
        shares = (f"{100 * share:.0f}" for share in (row.images, row.texts, row.both))
        alike = sorted(row.purity.values(), key=lambda pair: -pair[1])[:3]
        shown = ", ".join(f"{value} {100 * share:.0f}" for value, share in alike)
        rows.append((str(row.row), *shares, " ".join(row.words), shown))
    patches = "nearest patches, % with the most common value"
    title = f"Dictionary of {model}, the rows used most"
    print_table(title, (*heads, patches), [("", rows)], numbers=range(4))
    used = sum(row.images + row.texts > 0 for row in found.rows)
    say(f"{used} of {len(found.rows)} rows are chosen by an image or a text of {split}.")
    for name, share in found.purity.items():
        chance = 100 * found.chance[name]
        say(f"purity of {name}: {100 * share:.1f} % (all patches of things: {chance:.1f} %)")


def _show(found: Interventions, model: str, split: str) -> None:
    """Print the table of interventions."""
    from evals.inspection.interventions import WAYS

    rows = []
    for row in found.rows:
        lost: tuple[str, ...] = ("-", "-")
        words: tuple[str, ...] = ("-", "-")
        if row.way != "pair":
            lost = (f"{row.loss:.1f}", "{:.1f} to {:.1f}".format(*row.ci95))
            words = (f"{row.words_loss:.3f}", "{:.3f} to {:.3f}".format(*row.words_ci95))
        figures = (f"{row.recall:.1f}", *lost, f"{row.correlation:.3f}", *words)
        rows.append((WAYS[row.way], *figures))
    heads = ("rows", "R@1 %", "lost", "95 % interval", "correlation", "words", "95 % interval")
    print_table(f"Grounded tokens of {model}", heads, [("", rows)], numbers=range(1, 7))
    say(
        f"Flickr30k {split}: each of {found.captions:,} captions with its own image and the "
        f"{found.candidates - 1} of {found.images} that contrast takes for most like it; lost: "
        "points against the rows chosen by the pair; words: extra loss per masked token, in nats, "
        f"over the {found.words:.2f} with those (with another image: {found.wrong_image[0]:.3f}, "
        "{:.3f} to {:.3f}).".format(*found.wrong_image[1])
    )
