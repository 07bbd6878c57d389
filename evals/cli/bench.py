"""`unimo2 bench`: the commands of `unimo2.cli.bench`, and the speed of the retrieval protocol."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from unimo2.cli.bench import Size, describe, group
from unimo2.cli.options import AsJson, Device, Dtypes, add_commands
from unimo2.console import print_json, say
from unimo2.errors import UsageError

if TYPE_CHECKING:
    from evals.bench.retrieval import RetrievalSpeed
    from evals.bench.towers import TowerSpeed

# Images and captions that are timed each round by default: a few seconds a round on two cores.
_GRIDS = {Size.mini: (100, 4), Size.base: (4, 2)}
_BASE_IMAGE_SIZE = 384  # zero-shot retrieval too (released code)


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    verb = group()
    commands = (
        (retrieval, "retrieval", "--size mini --images 20"),
        (towers, "towers", "--images 16 --texts 32"),
    )
    add_commands(verb, "bench", commands)
    app.add_typer(verb, name="bench")


def retrieval(
    size: Annotated[list[Size] | None, typer.Option(help="mini, base; both by default.")] = None,
    images: Annotated[int | None, typer.Option(help="Images timed per round.", min=1)] = None,
    captions: Annotated[int | None, typer.Option(help="Captions, each with all.", min=1)] = None,
    text: Annotated[int, typer.Option(help="Text rows per caption.", min=2)] = 16,
    rerank: Annotated[int, typer.Option(metavar="K", help="Shortlist's size.", min=1)] = 64,
    dtype: Dtypes = None,
    device: Device = "auto",
    batch_size: Annotated[
        int | None, typer.Option(help="Pairs per call; chosen by model size if left out.", min=1)
    ] = None,
    repeats: Annotated[int, typer.Option(help="Rounds, timed alternately.", min=1)] = 3,
    as_json: AsJson = False,
) -> None:
    """Time the retrieval protocol against the released algorithm and dense masked fusion.

    A few images and captions are timed; what they mean for Flickr30k's 1,000 x 5,000 is printed.
    """
    from evals.bench.retrieval import measure
    from unimo2.devices import find_device, find_dtype
    from unimo2.modeling.configuration import Unimo2Config

    where = find_device(device)
    configs = {
        Size.mini: Unimo2Config.mini(),
        Size.base: Unimo2Config.base(image_size=_BASE_IMAGE_SIZE),
    }
    figures = {}
    for chosen in size or list(Size):
        grid = (images or _GRIDS[chosen][0], captions or _GRIDS[chosen][1], text)
        dtypes = [find_dtype(name) for name in dtype or ["float32", "bfloat16"]]
        for speed in measure(configs[chosen], *grid, dtypes, where, repeats, batch_size, rerank):
            figures[f"{chosen.value}, {speed.dtype}"] = speed
    if as_json:
        print_json({name: asdict(speed) for name, speed in figures.items()})
        return
    say(f"{describe(where)}, medians of {repeats} rounds timed in turn")
    exact = next(iter(figures.values())).dtype
    for name, speed in figures.items():
        say(_retrieval_lines(name, speed, exact))


def _retrieval_lines(name: str, speed: RetrievalSpeed, exact: str) -> str:
    lines = [
        f"\n{name}: {speed.pairs} pairs a round, {speed.batch_size} in a call; "
        f"{speed.image_ms:.1f} ms an image, {speed.text_ms:.1f} ms a caption, "
        f"{speed.pair_ms:.2f} ms a pair; projections of an image {speed.projection_mib:.2f} MiB; "
        f"matrix products {speed.matmul_tflops:.3f} TFLOP/s",
        "  1,000 images x 5,000 captions              pairs/s     hours  GFLOP a pair: towers fusion"
        "  of matmul rate     time",
    ]
    lines += [
        f"  {method.name:<42}{method.pairs_per_second:>8,.1f} {method.hours:>9.2f}  "
        f"{method.tower_gflop:>20.4f} {method.fusion_gflop:>6.2f}  "
        f"{100 * method.share:>12.0f} % {method.slower:>8.2f}x"
        for method in speed.methods
    ]
    if speed.dtype != exact:
        lines.append(
            f"  the released algorithm in {exact} takes {speed.released_ratio:.2f} times as long as "
            f"this project, exhaustive, in {speed.dtype}"
        )
    return "\n".join(lines)


def towers(
    images: Annotated[int, typer.Option(help="Images timed per round.", min=1)] = 32,
    texts: Annotated[int, typer.Option(help="Captions timed per round.", min=1)] = 64,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A transformers CLIP or SigLIP; random weights by default."
        ),
    ] = None,
    device: Device = "auto",
    repeats: Annotated[int, typer.Option(help="Rounds, timed alternately.", min=1)] = 5,
    as_json: AsJson = False,
) -> None:
    """Time a CLIP's towers (ViT-B/32) against a plain loop over transformers.

    What eval flickr takes besides the towers is timed at Flickr30k's 1,000 x 5,000.
    """
    from transformers import CLIPConfig

    import zoo
    from evals.bench.towers import measure, random_clip
    from unimo2.devices import find_device
    from zoo.families.clip import ClipEncoder

    where = find_device(device)
    if model is None:
        encoder = random_clip(CLIPConfig(), where)
    else:
        loaded = zoo.load(model, device)
        if not isinstance(loaded, ClipEncoder):
            raise UsageError(f"--model {model}: expected a transformers CLIP or SigLIP")
        encoder = loaded
    speed = measure(encoder, images, texts, repeats)
    if as_json:
        print_json(asdict(speed))
        return
    say(f"{describe(where)}, medians of {repeats} rounds timed in turn")
    say(_tower_lines(encoder.name, speed))


def _tower_lines(name: str, speed: TowerSpeed) -> str:
    return (
        f"{name}: {speed.images_per_second:,.1f} images/s, a plain loop over transformers "
        f"{speed.plain_images_per_second:,.1f}: {speed.images_ratio:.2f} times as many\n"
        f"{speed.texts_per_second:,.1f} captions/s, the plain loop "
        f"{speed.plain_texts_per_second:,.1f}: {speed.texts_ratio:.2f} times as many\n"
        f"1,000 images x 5,000 captions: products, ranks, intervals and files take "
        f"{speed.rest_seconds:.1f} s, {speed.rest_share:.1f} % of the time; "
        f"vectors differ by at most {speed.largest_difference:.1e}"
    )
