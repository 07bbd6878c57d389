"""`unimo2 data`: list, verify, fetch and show data sets; make the embedded suite."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimo2.cli.options import (
    VARIABLE,
    AsJson,
    DataRoot,
    SuiteName,
    add_commands,
    find_data_root,
    offering,
)
from unimo2.console import print_json, say, showing, stage, table_lines, terminal_width
from unimo2.errors import MissingData, UsageError
from unimo2.files import PathUse, expanded

if TYPE_CHECKING:
    from evals.datasets.entry import DataSet
    from evals.datasets.suites import Suite
    from evals.datasets.verify import Verdict

# Upper bounds and baselines of a generated suite's benchmarks, as a table.


_HEAD = ("benchmark", "metric", "ideal", "chance", "majority", "one modality alone")
_NUMBERS = (2, 3, 4)

Levels = Mapping[str, Mapping[str, Any]]
"""By metric: "ideal", "chance", "majority" (numbers, or None) and "one_modality" (by name)."""


def level_table(levels: Mapping[str, Levels]) -> Iterator[str]:
    """Table of the upper bounds and baselines of all benchmarks.

    Args:
        levels: by benchmark, as in `suite.json`.

    Yields:
        The lines of a table; none without levels.
    """
    rows = [
        (benchmark, metric, *_numbers(level), _one_modality(level) or "-")
        for benchmark, metrics in levels.items()
        for metric, level in metrics.items()
    ]
    if rows:
        yield from table_lines(_HEAD, [("", rows)], _NUMBERS, terminal_width())


def _numbers(level: Mapping[str, Any]) -> list[str]:
    values = (level.get(name) for name in ("ideal", "chance", "majority"))
    return ["-" if value is None else f"{value:.1f}" for value in values]


def _one_modality(level: Mapping[str, Any]) -> str:
    alone = level.get("one_modality", {})
    return ", ".join(f"{reader} {value:.1f}" for reader, value in alone.items())


# `unimo2 data list` and `unimo2 data verify`: what data there is, and whether it is right.


_WIDTH = 110
_LABEL = 10
_HEADINGS = {
    "benchmark": "Benchmarks",
    "pairs": "Pairs of images and texts, for pre-training",
    "images": "Labelled images, for pre-training",
    "text": "Texts, for pre-training",
}


def _data_sets() -> Iterator[str]:
    """Names of the data sets as on the command line."""
    from evals.datasets.registry import all_data_sets

    yield from (name.replace("_", "-") for name in all_data_sets())


Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Data sets or benchmarks; all if left out.", autocompletion=offering(_data_sets)
    ),
]


def list_data_sets(
    names: Names = None,
    data_root: DataRoot = None,
    suite: SuiteName = None,
    as_json: AsJson = False,
) -> None:
    """List the data sets: description, licence, source, expected files, and what is on disk."""
    from evals.datasets.registry import select
    from evals.datasets.suites import PAPER, resolve

    chosen = select(names)
    root = find_data_root(data_root, suite)
    found: Suite | None = None
    hint = f"no data root: name one with --data-root or {VARIABLE}"
    if root is not None or suite != PAPER:
        try:
            found = resolve(suite, root)
        except MissingData as error:
            if root is not None:
                raise
            hint = str(error)
    written = _written(found)
    if as_json:
        print_json(_listed(chosen, found, written))
        return
    say(f"suite {found.name} at {found.root}" if found else hint)
    role = ""
    for data_set in chosen:
        if data_set.role != role:
            role = data_set.role
            say(f"\n{_HEADINGS[role]}")
        say(f"\n{data_set.name}: {data_set.title}")
        for label, text in _description(data_set, found, written):
            say(_paragraph(label, text))
    measured = {entry.benchmark for entry in chosen}
    levels = {name: own for name, own in written.get("levels", {}).items() if name in measured}
    if levels:
        say(
            "\nUpper bounds and baselines of this suite's benchmarks, from its scene graphs "
            "(percent)\n"
        )
        for line in level_table(levels):
            say(line)


def verify_data_sets(
    names: Names = None,
    data_root: DataRoot = None,
    suite: SuiteName = None,
    images: Annotated[
        bool, typer.Option("--images", help="Also decode every image (minutes to hours).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the data against the official counts; list what is missing, repeated or broken.

    Exit status 1 if there is a problem. Fewer items than the official counts make a sample,
    which is reported but not counted as a problem.
    """
    from evals.datasets.entry import ImageCheck
    from evals.datasets.registry import is_there, select
    from evals.datasets.suites import MINI, resolve
    from evals.datasets.verify import NOT_THERE, verify

    chosen = select(names)
    found = resolve(suite, find_data_root(data_root, suite))
    absent = [data_set for data_set in chosen if not is_there(data_set, found.root)]
    if absent and (names or len(absent) == len(chosen)):
        expected = absent[0].places[0].paths[0]
        raise MissingData(
            f"{absent[0].name} is not in {found.root}: {expected} not found; see 'unimo2 data list "
            f"{absent[0].name}'"
        )
    written = _written(found) if found.name == MINI else None
    work = "decoding" if images else "counting"
    verdicts = []
    with showing():
        for data_set in chosen:
            with stage(f"{work} {data_set.name}", "images" if images else "") as advance:
                check = ImageCheck(images, advance)
                verdicts.append(verify(data_set, found.root, check, written))
    if as_json:
        report = {
            "suite": found.name,
            "root": str(found.root),
            "data_sets": [asdict(verdict) for verdict in verdicts],
            "paper": {entry.name: list(entry.notes) for entry in chosen if entry.notes},
        }
        print_json(report)
    else:
        say(f"suite {found.name} at {found.root}\n")
        shown = [verdict for verdict in verdicts if verdict.state != NOT_THERE]
        notes = _paper_notes(chosen) if written is None else ()
        for line in (*_table(shown), "", *_verdict_lines(verdicts), *notes):
            say(line)
    if any(verdict.problems for verdict in verdicts):
        raise typer.Exit(1)


def _written(suite: Suite | None) -> Mapping[str, Any]:
    """The content of a generated suite's description; nothing for real data."""
    path = suite.root / "suite.json" if suite else None
    if path is None or not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _listed(
    chosen: Sequence[DataSet], suite: Suite | None, written: Mapping[str, Any]
) -> dict[str, Any]:
    """JSON output of `list`."""
    from evals.datasets.registry import presence

    data_sets = []
    for data_set in chosen:
        plain = {
            item.name: getattr(data_set, item.name)
            for item in fields(data_set)
            if item.name not in ("verify", "look_alikes", "places", "official", "samples", "hub")
        }
        places = [
            asdict(place) | {"here": asdict(presence(place, suite.root)) if suite else None}
            for place in data_set.places
        ]
        data_sets.append(
            plain
            | {"places": places, "official": [asdict(row) for row in data_set.official]}
            | {"suite": _of_suite(data_set, written) if written else None}
        )
    where = {"suite": suite.name, "root": str(suite.root)} if suite else {"suite": None}
    return where | {"data_sets": data_sets}


def _of_suite(data_set: DataSet, written: Mapping[str, Any]) -> dict[str, Any]:
    """Counts, upper bounds and baselines of one data set, from the suite's description."""
    levels = written.get("levels", {})
    return {
        "counts": written.get("counts", {}).get(data_set.name, {}),
        "unit": written.get("units", {}).get(data_set.name),
        "levels": levels.get(data_set.benchmark, {}),
    }


def _description(
    data_set: DataSet, suite: Suite | None, written: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Label and text of every paragraph about one data set."""
    from evals.datasets.registry import presence

    yield "what", data_set.about
    yield "licence", data_set.licence
    yield "get it", data_set.source
    for number, place in enumerate(data_set.places):
        here = presence(place, suite.root) if suite else None
        state = "" if here is None else f" [{here.size if here.there else 'not there'}]"
        shown = here.path if here is not None and here.there else " or ".join(place.paths)
        yield "" if number else "layout", f"{shown}: {place.what}{state}"
    by_unit = groupby(data_set.official, key=lambda row: (row.unit, row.source))
    for number, ((unit, source), rows) in enumerate(by_unit):
        counts = ", ".join(
            f"{row.split} {'about ' if row.about else ''}{row.count:,}"
            + (f" (paper: {row.paper})" if row.paper else "")
            for row in rows
        )
        yield "" if number else "official", f"{unit}: {counts} [{source}]"
    for note in data_set.notes:
        yield "note", note
    if written:
        about_suite = _of_suite(data_set, written)
        sizes = ", ".join(f"{split} {count:,}" for split, count in about_suite["counts"].items())
        unit = f"{about_suite['unit']}: " if about_suite["unit"] else ""
        yield "this suite", unit + sizes if sizes else "not part of it"


def _paragraph(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        width=_WIDTH,
        initial_indent=f"  {label:<{_LABEL}}  ",
        subsequent_indent=" " * (_LABEL + 4),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(verdicts: Iterable[Verdict]) -> list[str]:
    """Counts beside the official ones and the paper's."""
    heads = ("data set", "split", "counted", "here", "official", "paper")
    rows = []
    for verdict in verdicts:
        for row in verdict.rows:
            here, official = (
                "-" if count is None else f"{count:,}" for count in (row.here, row.official)
            )
            rows.append((verdict.name, row.split, row.unit, here, official, row.paper))
    return table_lines(heads, [("", rows)], (3, 4), terminal_width())


def _verdict_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A line for each data set, problem and note; one for those that were not looked at."""
    from evals.datasets.verify import COMPLETE, NOT_THERE, PART, READ, SAMPLE, WRONG

    said = {
        COMPLETE: "complete",
        PART: "a complete part of it",
        READ: "read; no official count to compare with",
        SAMPLE: "a sample; results on it are not comparable with published ones",
        WRONG: "has problems",
    }
    for verdict in verdicts:
        if verdict.state in said:
            yield f"{verdict.name}: {said[verdict.state]}"
            yield from (f"  problem: {problem}" for problem in verdict.problems)
            yield from (f"  {note}" for note in verdict.notes)
    absent = [verdict.name for verdict in verdicts if verdict.state == NOT_THERE]
    if absent:
        yield f"{NOT_THERE}: {', '.join(absent)}"


def _paper_notes(chosen: Sequence[DataSet]) -> Iterator[str]:
    """Notes on the paper's tables 6 and 7 for these counts."""
    notes = [(entry.name, note) for entry in chosen for note in entry.notes if "paper" in note]
    if notes:
        yield ""
        yield "about the paper's tables 6 and 7:"
        yield from (f"  {name}: {note}" for name, note in notes)


# `unimo2 data fetch`: text data sets from the Hugging Face hub, as their official files.


def fetch_data_sets(
    names: Annotated[
        list[str], typer.Argument(help="sst2, cola, stsb, mnli or text (WikiText-2).")
    ],
    data_root: Annotated[
        Path | None,
        typer.Option("--data-root", help=f"Folder of real data sets; {VARIABLE} by default."),
        PathUse.WRITES_FOLDER,
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Another hub repository or a local folder with the same layout."),
    ] = None,
) -> None:
    """Download text data sets from the hub and write their official files.

    Files that are there are left alone.
    """
    from evals.datasets.hub import HUB_FORMS, fetch
    from evals.datasets.registry import select

    root = find_data_root(data_root, None)
    if root is None:
        raise UsageError(f"say where to put the data with --data-root or {VARIABLE}")
    # "glue/sst2" is how the hub's own users call it.
    chosen = select([name.removeprefix("glue/") for name in names])
    unknown = [entry.name for entry in chosen if entry.name not in HUB_FORMS]
    if unknown:
        raise UsageError(
            f"{unknown[0]} cannot be fetched, only {', '.join(HUB_FORMS)}; see 'unimo2 data list "
            f"{unknown[0]}' for where to get it"
        )
    for entry in chosen:
        fetch(entry.name, expanded(root), source, say)


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    verb = typer.Typer(help="List, verify, fetch and show data sets; make the embedded suite.")
    commands = (
        (list_data_sets, "list", "flickr coco"),
        (verify_data_sets, "verify", "flickr --data-root /data"),
        (fetch_data_sets, "fetch", "sst2 cola --data-root /data"),
        (make_mini, "make-mini", "--root small/ --scale 0.1"),
        (show, "show", "flickr --n 6 --output sheet.png"),
    )
    add_commands(verb, "data", commands)
    app.add_typer(verb, name="data")


def make_mini(
    root: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; the user's cache folder by default."),
        PathUse.WRITES_FOLDER,
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the suite; another seed draws another suite.")
    ] = 0,
    scale: Annotated[
        float,
        typer.Option(min=0, max=1000, help="Factor for all sizes except Flickr30k's test split."),
    ] = 1.0,
    flickr_test: Annotated[
        int,
        typer.Option(
            min=1, max=100_000, help="Images in Flickr30k's test split; the official one has 1,000."
        ),
    ] = 300,
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Worker processes; one per processor by default."),
    ] = None,
) -> None:
    """Draw the embedded suite: a scale model of the data sets, in their official formats."""
    from evals.registry import keep_fingerprints
    from evals.suite_mini import SuiteRequest, default_root, make_suite

    request = SuiteRequest(seed=seed, scale=scale, flickr_test=flickr_test)
    place = default_root(seed, scale) if root is None else expanded(root)
    began = time.perf_counter()
    with showing(), stage("drawing", "parts") as advance:
        content = make_suite(place, request, processes, advance)
        keep_fingerprints(place)
    for line in (*_summary(content), *request.notices()):
        say(line)
    say(f"{place} ({time.perf_counter() - began:.1f} s)")


def _summary(content: Mapping[str, Any]) -> Iterator[str]:
    """Counts, upper bounds, baselines and fingerprints of a suite."""
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
        str,
        typer.Argument(
            help="A data set with images: flickr, coco, visual-genome, vqa ...",
            autocompletion=offering(_data_sets),
        ),
    ],
    n: Annotated[int, typer.Option("--n", min=1, max=1000, help="How many images.")] = 12,
    output: Annotated[Path, typer.Option(help="Image file to write."), PathUse.WRITES_FILE] = Path(
        "sheet.png"
    ),
    data_root: DataRoot = None,
    suite: SuiteName = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, val, test ...; by default the first that the data set has."),
    ] = None,
) -> None:
    """Write a contact sheet: images of a data set with their annotations."""
    from evals.datasets.contact_sheet import CaptionedPicture, choose, contact_sheet
    from evals.datasets.suites import resolve
    from unimo2.formats.images import load_image

    found = resolve(suite, find_data_root(data_root, suite), [dataset.replace("-", "_")])
    chosen = choose(dataset, found.root, split, n)
    for line in chosen.skipped:
        say(f"left out: {line}", err=True)
    if not chosen.samples:
        raise MissingData(f"{chosen.data_set}: no image of split {chosen.split} is on disk")
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
    say(f"{output}: {what}")
