"""`unimo2 bench`: how fast the model's parts are on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from unimo2.bench_fusion import FusionSpeed


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    verb = typer.Typer(help="Measure how fast the model's parts are on this machine.")
    # Without a callback, Typer takes the only benchmark for the verb itself.
    verb.callback()(lambda: None)
    verb.command("fusion")(fusion)
    app.add_typer(verb, name="bench")


def fusion(
    visual: Annotated[int, typer.Option(help="Visual rows (577: 384 pixels).", min=1)] = 577,
    grounded: Annotated[int, typer.Option(help="Grounded rows, K.", min=1)] = 100,
    text: Annotated[int, typer.Option(help="Text rows.", min=1)] = 40,
    layers: Annotated[int, typer.Option(help="Layers of the forward pass.", min=1)] = 12,
    batch_size: Annotated[int, typer.Option(help="Pairs at once.", min=1)] = 4,
    dtype: Annotated[list[str] | None, typer.Option(help="float32, bfloat16 ...")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    repeats: Annotated[int, typer.Option(help="Rounds, all timed in turn.", min=1)] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Time the Grounded Transformer at base size against dense masked attention and matmuls."""
    from unimo2.bench_fusion import measure
    from unimo2.configuration import Unimo2Config
    from unimo2.devices import find_device, find_dtype

    config = Unimo2Config.base(grounded_tokens=grounded, fusion_layers=layers)
    where = find_device(device)
    figures = [
        measure(config, visual, text, batch_size, find_dtype(name), where, repeats)
        for name in dtype or ["float32", "bfloat16"]
    ]
    if as_json:
        typer.echo(json.dumps([asdict(figure) for figure in figures], indent=2))
        return
    typer.echo(
        f"base size, {layers} layers, {visual} visual + {grounded} grounded + {text} text rows, "
        f"batch {batch_size}, {_describe(where)}, medians of {repeats} rounds timed in turn"
    )
    for figure in figures:
        typer.echo(_sentences(figure))


def _sentences(figure: FusionSpeed) -> str:
    return (
        f"{figure.dtype}: one layer {figure.layer_ms:.1f} ms by blocks, {figure.dense_ms:.1f} ms with "
        f"a dense boolean mask: {figure.speedup:.2f} times as fast; attention forward and backward "
        f"{figure.matmul_path_ratio:.2f} times as fast by plain products as by the fused kernel\n"
        f"  whole forward: {figure.forward_tflop:.3f} TFLOP at {figure.forward_rate:.3f} TFLOP/s, "
        f"{100 * figure.share:.0f} % of the {figure.matmul_rate:.3f} TFLOP/s of plain matrix products "
        "of the same shapes"
    )


def _describe(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
