"""`unimo2 zoo`: which models exist, what is known of each, and conversion of the released one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimo2.cli.console import columns
from unimo2.errors import Unimo2Error

if TYPE_CHECKING:
    from unimo2.released.convert import ConversionReport
    from zoo.cards import Card


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Grounding(str, Enum):
    """How the model that a checkpoint is converted to grounds its inputs."""

    topk = "topk"
    nearest = "nearest"
    none = "none"


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    zoo = typer.Typer(help="Models: list them, show one, convert the released checkpoint.")
    zoo.command("list")(list_models)
    zoo.command("show")(show_model)
    zoo.command("convert")(convert_released)
    app.add_typer(zoo, name="zoo")


def list_models(as_json: AsJson = False) -> None:
    """List every model that has a card."""
    from zoo import cards

    found = list(cards.read_all().values())
    if as_json:
        typer.echo(json.dumps([asdict(card) for card in found], indent=2))
        return
    rows = [
        (card.name, card.family, ", ".join(card.capabilities), card.description) for card in found
    ]
    if not rows:
        raise Unimo2Error("no model has a card: the installation lacks zoo/cards/*.toml")
    for line in columns([("model", "family", "can be", "what it is"), *rows]):
        typer.echo(line)


def show_model(
    name: Annotated[str, typer.Argument(help="A model's name, as `unimo2 zoo list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Show everything that a model's card says."""
    from zoo import cards

    card = cards.find(name)
    if as_json:
        typer.echo(json.dumps(asdict(card), indent=2))
        return
    lines = _card_lines(card)
    width = max(len(label) for label, _ in lines)
    for label, value in lines:
        typer.echo(f"{label:<{width}}  {value}")


def convert_released(
    released_dir: Annotated[Path, typer.Argument(help="The unpacked released checkpoint.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist, or be empty.")],
    config: Annotated[
        Path | None,
        typer.Option(help="JSON of the released code's fields, for other sizes than base."),
    ] = None,
    grounding: Annotated[
        Grounding,
        typer.Option(help="topk as released, nearest (the 1-to-1 map), none (the baseline)."),
    ] = Grounding.topk,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER_OR_ID",
            help="Tokenizer of the weights, RoBERTa's for the release: writes the processor too, which "
            "eval and finetune need.",
        ),
    ] = None,
    image_size: Annotated[
        int, typer.Option(metavar="N", help="With --tokenizer: images are resized to N x N pixels.")
    ] = 384,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial", help="Missing parameters keep initial values, and are listed."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of those initial values.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Convert the authors' released checkpoint to a folder that `from_pretrained` loads."""
    from unimo2.modeling.configuration import Unimo2Config
    from unimo2.released.config import (
        BASE_FIELDS,
        config_from_released,
        read_config_file,
        unknown_fields,
    )
    from unimo2.released.convert import convert
    from unimo2.released.processor import released_processor

    fields = BASE_FIELDS if config is None else read_config_file(config)
    arguments = config_from_released(fields, grounding.value)
    model_config = Unimo2Config.released(**arguments)
    processor = None
    if tokenizer is not None:
        processor = released_processor(tokenizer, model_config, image_size)
    report = convert(released_dir, out, model_config, allow_partial, seed, processor)
    remarks = [f"configuration field not known, ignored: {name}" for name in unknown_fields(fields)]
    if processor is None:
        remarks.append("no processor was written, which eval and finetune need: give --tokenizer")
    else:
        remarks.append(f"images are resized to {image_size} x {image_size} pixels")
    if as_json:
        typer.echo(json.dumps(_report_fields(report, remarks), indent=2))
        return
    for line in _report_lines(report, remarks):
        typer.echo(line)


def _card_lines(card: Card) -> list[tuple[str, str]]:
    """A card as label and value, without what it does not say."""
    source = f"{card.source.kind}: {card.source.location}"
    if card.source.revision:
        source += f" at {card.source.revision}"
    lines = []
    for label, value in asdict(card).items():
        text = source if label == "source" else value
        if isinstance(value, (list, tuple)):
            text = ", ".join(value)
        if text:
            lines.append((label.replace("_", " "), str(text)))
    return lines


def _report_fields(report: ConversionReport, remarks: Sequence[str]) -> dict[str, Any]:
    return {
        "out": str(report.out),
        "loaded": list(report.loaded),
        "unused": list(report.unused),
        "missing": list(report.missing),
        "notes": [*report.notes, *remarks],
    }


def _report_lines(report: ConversionReport, remarks: Sequence[str]) -> list[str]:
    """The report in words: every unused and missing name, a count of the rest."""
    lines = [f"{len(report.loaded)} parameters converted to {report.out}"]
    if report.unused:
        lines.append(
            f"{len(report.unused)} known parameters that grounding={report.config.grounding} "
            "does not use:"
        )
        lines += [f"  {name}" for name in report.unused]
    if report.missing:
        lines.append(f"{len(report.missing)} parameters missing, left at initial values:")
        lines += [f"  {name}" for name in report.missing]
    return lines + [f"note: {note}" for note in (*report.notes, *remarks)]
