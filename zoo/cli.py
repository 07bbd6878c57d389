"""`unimo2 zoo`: list, show and check models, and convert weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimo2.cli.guard import Needs, OneOf
from unimo2.cli.options import AsJson, Device, add_commands, offering
from unimo2.console import print_json, print_table, say
from unimo2.errors import Unimo2Error
from unimo2.files import PathUse

if TYPE_CHECKING:
    from unimo2.released.convert import ConversionReport


def _capabilities() -> Iterator[str]:
    """Capabilities of the models in the cards."""
    from zoo import cards

    yield from {name for card in cards.read_all().values() for name in card.capabilities}


class GroundingChoice(str, Enum):
    """Grounding of the converted model."""

    topk = "topk"
    nearest = "nearest"
    none = "none"


def model_names() -> Iterator[str]:
    """Names of the cards, and of the models that packages register."""
    from zoo import cards, registry

    yield from cards.read_all()
    yield from registry.entry_points()


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    zoo = typer.Typer(help="List, show and check models; convert the released checkpoint.")
    commands = (
        (list_models, "list", "--capability dual_encoder"),
        (show_model, "show", "mini"),
        (check_model, "check", "mini"),
        (convert_released, "convert", "unimo2-checkpoint/ my-unimo2/ --tokenizer roberta-base/"),
        (convert_features, "features", "test2014_resnet101_faster_rcnn_genome.tsv features/"),
    )
    add_commands(zoo, "zoo", commands)
    app.add_typer(zoo, name="zoo")


def list_models(
    capability: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only models with this capability.",
            autocompletion=offering(_capabilities),
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every model that has a card, and those that installed packages register."""
    from zoo import cards, registry

    every = list(cards.read_all().values())
    rows = cards.listing(every, capability)
    if as_json:
        shown = {row[0] for row in rows}
        print_json([asdict(card) for card in every if card.name in shown])
        return
    if not every:
        raise Unimo2Error("no model has a card: the installation lacks zoo/cards/*.toml")
    if capability is None:
        rows += [
            (
                point.name,
                "package",
                "",
                "no" if point.problem else "yes",
                point.problem or point.target,
            )
            for point in registry.entry_points().values()
        ]
    print_table("", ("model", "family", "can be", "runs", "what it is"), [("", rows)])


def show_model(
    name: Annotated[
        str,
        typer.Argument(
            help="A model, as `--model` takes it.", autocompletion=offering(model_names)
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show a model's card, with published numbers by protocol."""
    import zoo
    from zoo import cards
    from zoo.lineage import lineage

    card = zoo.resolve(name)
    if as_json:
        print_json(asdict(card))
        return
    found = lineage(card, cards.read_all())
    rows = cards.lines(card)
    if len(found.models) > 1:
        rows.append(("seen along the way", ", ".join(sorted(found.seen))))
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        say(f"{label:<{width}}  {value}")


def check_model(
    name: Annotated[
        str,
        typer.Argument(
            help="A model, as `--model` takes it.", autocompletion=offering(model_names)
        ),
    ],
    device: Device = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16 or float16; the family's own by default."),
        OneOf("float32", "bfloat16", "float16"),
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code", help="Run the Python code shipped with the model's weights."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Load a model strictly and run one item for each of its capabilities."""
    from zoo.check import check

    found = dict(check(name, device, dtype, trust_remote_code))
    if as_json:
        print_json(found)
        return
    rows = [(key.replace("_", " "), value) for key, value in found.items() if key != "ran"]
    rows += [(f"as {name}", value) for name, value in found["ran"].items()]
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        text = ", ".join(f"{a} {b}" for a, b in value.items()) if isinstance(value, dict) else value
        say(f"{label:<{width}}  {text}")


def convert_features(
    source: Annotated[
        Path,
        typer.Argument(help="TSV file in the format of bottom-up attention or LXMERT."),
        PathUse.READS,
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write."), PathUse.WRITES_FOLDER],
    extractor: Annotated[
        str, typer.Option(help="Name of the feature extractor, for records.")
    ] = "unknown",
    as_json: AsJson = False,
) -> None:
    """Convert features of image regions to one file per image, without pickle."""
    from zoo.region_files import convert

    found = convert(source, out, extractor)
    if as_json:
        print_json(dict(found))
        return
    say(f"{found['images']:,} images with {found['regions']:,} regions written to {out}")


def convert_released(
    released_dir: Annotated[
        Path, typer.Argument(help="The unpacked released checkpoint."), PathUse.READS
    ],
    out: Annotated[
        Path,
        typer.Argument(help="Folder to write; must not exist, or be empty."),
        PathUse.WRITES_FOLDER,
    ],
    config: Annotated[
        Path | None,
        typer.Option(help="JSON of the released code's fields, for other sizes than base."),
        PathUse.READS_FILE,
    ] = None,
    grounding: Annotated[
        GroundingChoice,
        typer.Option(help="topk as released, nearest (the 1-to-1 map), none (the baseline)."),
    ] = GroundingChoice.topk,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER_OR_ID",
            help="Tokenizer of the weights, RoBERTa's for the release: writes the processor too, which "
            "eval and finetune need.",
        ),
    ] = None,
    image_size: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=8192,
            help="With --tokenizer: images are resized to N x N pixels.",
        ),
        Needs("tokenizer"),
    ] = 384,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial", help="Keep initial values for missing parameters, and list them."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed for those initial values."), Needs("allow_partial")
    ] = 0,
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
    from unimo2.released.convert import convert, released_processor

    fields = BASE_FIELDS if config is None else read_config_file(config)
    arguments = config_from_released(fields, grounding.value)
    model_config = Unimo2Config.released(**arguments)
    processor = None
    if tokenizer is not None:
        processor = released_processor(tokenizer, model_config, image_size)
    report = convert(released_dir, out, model_config, allow_partial, seed, processor)
    remarks = [f"unknown configuration field ignored: {name}" for name in unknown_fields(fields)]
    if processor is None:
        remarks.append("no processor was written, but eval and finetune need one: give --tokenizer")
    else:
        remarks.append(f"images are resized to {image_size} x {image_size} pixels")
    if as_json:
        print_json(_report_fields(report, remarks))
        return
    for line in _report_lines(report, remarks):
        say(line)


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
