"""`unimo2 data fetch`: text data sets from the Hugging Face hub, as their official files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unimo2.cli.data_root import VARIABLE, find_data_root
from unimo2.errors import UsageError


def fetch_data_sets(
    names: Annotated[
        list[str], typer.Argument(help="sst2, cola, stsb, mnli or text (WikiText-2).")
    ],
    data_root: Annotated[
        Path | None,
        typer.Option("--data-root", help=f"Folder of real data sets; {VARIABLE} by default."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Another repository of the hub, or a local folder, of the same form."),
    ] = None,
) -> None:
    """Take text data sets from the hub by the datasets library, and write their official files.

    Files that are there are left alone.
    """
    from evals.data_sets.hub import HUB_FORMS, fetch
    from evals.data_sets.registry import select

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
        fetch(entry.name, root.expanduser(), source, typer.echo)
