"""`unimo2 bench`: speed of the model's parts on this machine.

`evals.cli.bench` registers the verb, with the speed of the retrieval protocol added.
"""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from unimo2.cli.guard import OneOf
from unimo2.cli.options import AsJson, Device, Dtypes, add_commands
from unimo2.console import print_json, say

if TYPE_CHECKING:
    import torch

    from unimo2.bench.captioning import CaptionSpeed
    from unimo2.bench.fusion import FusionSpeed


def group() -> typer.Typer:
    """The verb with the commands of this package."""
    verb = typer.Typer(help="Measure the speed of the model's parts on this machine.")
    commands = (
        (fusion, "fusion", "--layers 2 --repeats 3"),
        (caption, "caption", "--size mini --images 4"),
        (train, "train", "--config mini --repeats 3"),
        (scale, "scale", ""),
    )
    add_commands(verb, "bench", commands)
    return verb


def fusion(
    visual: Annotated[int, typer.Option(help="Visual rows (577: 384 pixels).", min=1)] = 577,
    grounded: Annotated[int, typer.Option(help="Grounded rows, K.", min=1)] = 100,
    text: Annotated[int, typer.Option(help="Text rows.", min=1)] = 40,
    layers: Annotated[int, typer.Option(help="Layers of the forward pass.", min=1)] = 12,
    batch_size: Annotated[int, typer.Option(help="Pairs at once.", min=1)] = 4,
    dtype: Dtypes = None,
    device: Device = "auto",
    repeats: Annotated[int, typer.Option(help="Rounds, timed alternately.", min=1)] = 7,
    as_json: AsJson = False,
) -> None:
    """Time the Grounded Transformer at base size against dense masked attention and matmuls."""
    from unimo2.bench.fusion import measure
    from unimo2.devices import find_device, find_dtype
    from unimo2.modeling.configuration import Unimo2Config

    config = Unimo2Config.base(grounded_tokens=grounded, fusion_layers=layers)
    where = find_device(device)
    figures = [
        measure(config, visual, text, batch_size, find_dtype(name), where, repeats)
        for name in dtype or ["float32", "bfloat16"]
    ]
    if as_json:
        print_json([asdict(figure) for figure in figures])
        return
    say(
        f"base size, {layers} layers, {visual} visual + {grounded} grounded + {text} text rows, "
        f"batch {batch_size}, {describe(where)}, medians of {repeats} rounds timed in turn"
    )
    for figure in figures:
        say(_sentences(figure))


class Size(str, Enum):
    """Sizes of model that retrieval and captioning are timed at."""

    mini = "mini"
    base = "base"


# Images that are captioned each round by default.
_CAPTIONED = {Size.mini: 16, Size.base: 1}


def caption(
    size: Annotated[list[Size] | None, typer.Option(help="mini, base; both by default.")] = None,
    images: Annotated[int | None, typer.Option(help="Images per call.", min=1)] = None,
    beams: Annotated[int, typer.Option(help="Beams per image.", min=1)] = 5,
    tokens: Annotated[int, typer.Option(help="Tokens of every caption.", min=2)] = 20,
    dtype: Dtypes = None,
    device: Device = "auto",
    repeats: Annotated[int, typer.Option(help="Rounds, timed alternately.", min=1)] = 3,
    as_json: AsJson = False,
) -> None:
    """Time our beam search against transformers' generate, with decoders of equal size."""
    from unimo2.bench.captioning import measure
    from unimo2.devices import find_device, find_dtype
    from unimo2.modeling.configuration import Unimo2Config

    where = find_device(device)
    configs = {Size.mini: Unimo2Config.mini(), Size.base: Unimo2Config.base()}
    figures = {
        f"{chosen.value}, {name}": measure(
            configs[chosen],
            images or _CAPTIONED[chosen],
            beams,
            tokens,
            find_dtype(name),
            where,
            repeats,
        )
        for chosen in size or list(Size)
        for name in dtype or ["float32"]
    }
    if as_json:
        print_json({name: asdict(speed) for name, speed in figures.items()})
        return
    say(f"{describe(where)}, medians of {repeats} rounds timed in turn")
    for name, speed in figures.items():
        say(_caption_lines(name, speed))


def _caption_lines(name: str, speed: CaptionSpeed) -> str:
    lines = [
        f"\n{name}: {speed.images} images at once, {speed.beams} beams, {speed.tokens} tokens each, "
        f"{speed.image_rows} rows of an image",
        f"  {'':<46}captions/s  parameters of the decoder     time",
    ]
    lines += [
        f"  {way.name:<46}{way.captions_per_second:>10.2f}  {way.parameters:>25,} {way.slower:>7.2f}x"
        for way in speed.ways
    ]
    return "\n".join(lines)


def train(
    config: Annotated[str, typer.Option(help="Configuration name or TOML file.")] = "mini",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change it: batch_size=32 ...")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="float32, bfloat16 (autocast); both by default."),
        OneOf("float32", "bfloat16"),
    ] = None,
    device: Device = "auto",
    repeats: Annotated[int, typer.Option(help="Rounds, timed alternately.", min=1)] = 5,
    as_json: AsJson = False,
) -> None:
    """Time a training step of each kind of batch against the machine's matrix products."""
    from unimo2.bench.training import measure
    from unimo2.devices import find_device, find_dtype
    from unimo2.training.pretraining import model_config
    from unimo2.training.recipes import load_recipe, override

    recipe, where = override(load_recipe(config), set_ or []), find_device(device)
    figures = [
        figure
        for name in dtype or ["float32", "bfloat16"]
        for figure in measure(
            recipe.training, model_config(recipe), find_dtype(name), where, repeats
        )
    ]
    if as_json:
        print_json([asdict(figure) for figure in figures])
        return
    say(
        f"{recipe.name}, {describe(where)}, medians of {repeats} rounds timed in turn; samples of "
        "images are two views each\n"
        "dtype     kind     samples   ms a step  samples/s  TFLOP/s  of matmul rate"
    )
    for speed in figures:
        say(
            f"{speed.dtype:<9} {speed.kind:<7} {speed.samples:>8} {speed.step_ms:>11.1f} "
            f"{speed.samples_per_second:>10.1f} {speed.rate:>8.3f} {100 * speed.share:>8.0f} % of "
            f"{speed.matmul_rate:.3f}"
        )


def scale(
    peak: Annotated[
        float,
        typer.Option(
            help="Peak of a GPU, 10^12 operations per second (A100 bf16: 312).", min=0.001
        ),
    ] = 312.0,
    share: Annotated[
        float, typer.Option(help="Share of the peak that training reaches.", min=0.001, max=1)
    ] = 0.4,
    cards: Annotated[list[int] | None, typer.Option(help="Numbers of GPUs.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the cost of the paper's recipes: operations, hours by number of GPUs, memory."""
    from unimo2.bench.scale import markdown, table

    numbers = list(dict.fromkeys(cards or [1, 8, 64]))
    rows = table(numbers, peak, share)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for line in markdown(rows):
        say(line)


def _sentences(figure: FusionSpeed) -> str:
    return (
        f"{figure.dtype}: one layer {figure.layer_ms:.1f} ms by blocks, {figure.dense_ms:.1f} ms with "
        f"a dense boolean mask: {figure.speedup:.2f} times as fast; attention forward and backward "
        f"{figure.matmul_path_ratio:.2f} times as fast by plain products as by the fused kernel\n"
        f"  whole forward: {figure.forward_tflop:.3f} TFLOP at {figure.forward_rate:.3f} TFLOP/s, "
        f"{100 * figure.share:.0f} % of the {figure.matmul_rate:.3f} TFLOP/s of plain matrix products "
        "of the same shapes"
    )


def describe(device: torch.device) -> str:
    """Name of a device in headings."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
