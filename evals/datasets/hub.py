"""Text data sets from the Hugging Face hub, written once as the files that are officially distributed.

So there is one reader for each data set, wherever its files are from. What the hub's form does not
hold (CoLA's sources, MNLI's parses) stays empty in the files; no reader here uses it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.datasets.entry import HubFile, HubForm
from evals.datasets.registry import catalogue_entries
from unimo2.errors import BadData, MissingData, UsageError
from unimo2.files import expanded, write_atomically
from unimo2.formats.glue import NO_MAJORITY, TASKS, read_rows_of

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

_SECONDS = 15.0  # for the first answer of the hub

Announce = Callable[[str], None]
"""Called with a line about every file that was written or was there already."""

HUB_FORMS: Mapping[str, HubForm] = {
    entry.name: entry.hub for entry in catalogue_entries() if entry.hub is not None
}
"""What `fetch` knows; "text" is WikiText-2."""


def fetch(name: str, root: Path, source: str | None = None, announce: Announce = print) -> None:
    """Write the official files of a data set from what the hub has of it.

    Args:
        name: One of `HUB_FORMS`.
        root: The data root; files that are there are left alone, and nothing is asked for if all are.
        source: Another repository of the same form, or a local folder of that form; the usual
            repository if None.
        announce: See `Announce`.

    Raises:
        UsageError: A data set without a form here, or a root that is a generated suite.
        MissingData: The hub cannot be reached, or has no such data set.
        BadData: What it has is of another form.
    """
    if name not in HUB_FORMS:
        raise UsageError(
            f"{name} cannot be fetched; {', '.join(HUB_FORMS)} can; see 'unimo2 data list {name}'"
        )
    if (root / "suite.json").is_file():
        raise UsageError(f"{root} is a generated suite; real data belongs in another folder")
    form = HUB_FORMS[name]
    folder = root / form.folder
    wanted = [file for file in form.files if not (folder / file.name).is_file()]
    for file in form.files:
        if file not in wanted:
            announce(f"{folder / file.name}: already there")
    if not wanted:
        return
    # The library keeps a copy in a form of its own, which nobody needs once the files are written.
    with tempfile.TemporaryDirectory(prefix="unimo2-fetch-") as copy:
        loaded = _load(form, source or form.source, Path(copy))
        for file in wanted:
            count = _write(name, form, file, _split(loaded, file.split), folder / file.name)
            announce(f"{folder / file.name}: {count:,} rows")


def _load(form: HubForm, source: str, copy: Path) -> DatasetDict:
    """The splits, by the `datasets` library."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    local = expanded(source)
    if not local.is_dir():
        _require_hub(source)
    try:
        return load_dataset(
            str(local) if local.is_dir() else source, form.config, cache_dir=str(copy)
        )
    except (DatasetsError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise MissingData(
            f"cannot load {form.config} of {source} by the datasets library: {reason}"
        ) from error


def _require_hub(source: str) -> None:
    """Find out at once whether the hub can be asked; the library itself tries for half a minute."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        HfApi().dataset_info(source, timeout=_SECONDS)
    except RepositoryNotFoundError as error:
        raise MissingData(f"the hub has no data set {source!r}, and there is no such folder") from (
            error
        )
    except Exception as error:  # whatever the HTTP library in use raises without a network
        reason = str(error).strip().split("\n")[0]
        raise MissingData(
            f"the hub cannot be reached for {source} ({type(error).__name__}: {reason}); give a local "
            "copy with --source, or put the official files in place; see 'unimo2 data list'"
        ) from error


def _split(loaded: DatasetDict, name: str) -> Dataset:
    if name not in loaded:
        raise BadData(f"no split {name!r} in what was loaded; it has {', '.join(map(str, loaded))}")
    return loaded[name]


def _write(name: str, form: HubForm, file: HubFile, rows: Dataset, path: Path) -> int:
    """Write one file; the number of its rows."""
    missing = [column for column in form.texts if column not in rows.column_names]
    if missing:
        raise BadData(
            f"{form.config} {file.split}: no column {' or '.join(missing)}; it has "
            f"{', '.join(rows.column_names)}"
        )
    make = _text_lines(rows) if not file.columns else _tsv_lines(name, form, file, rows)
    lines = [line.encode("utf-8") for line in make]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda stream: stream.writelines(lines))
    if file.columns:
        try:
            read_rows_of(name, path)
        except BadData:
            path.unlink()
            raise
    return len(rows)


def _text_lines(rows: Dataset) -> Iterator[str]:
    for row in rows:
        yield row["text"].rstrip("\n") + "\n"


def _tsv_lines(name: str, form: HubForm, file: HubFile, rows: Dataset) -> Iterator[str]:
    if file.header:
        yield "\t".join(file.columns) + "\n"
    target = TASKS[name].target
    label = _label_writer(name, file, rows) if target in file.columns else None
    for number, row in enumerate(rows):
        # The official files have no quoting: a tab or line end inside a sentence would break them.
        cells = {
            official: " ".join(row[column].replace("\t", "\n").split("\n"))
            for column, official in form.texts.items()
        }
        cells["index"] = str(row.get("idx", number))
        if label is not None:
            cells[target] = label(row["label"])
        yield "\t".join(cells.get(column, "") for column in file.columns) + "\n"


def _label_writer(name: str, file: HubFile, rows: Dataset) -> Callable[[Any], str]:
    """Official spelling of a hub label; classes are matched by name, not by number."""
    from datasets import ClassLabel

    if "label" not in rows.column_names:
        raise BadData(f"{name} {file.split}: no column label")
    labels = TASKS[name].labels
    if labels is None:
        return lambda score: f"{score:.3f}"
    feature = rows.features["label"]
    if labels == ("0", "1"):
        return str
    if not isinstance(feature, ClassLabel) or set(feature.names) != set(labels):
        raise BadData(
            f"{name} {file.split}: the labels have no names; expected {', '.join(labels)}, since "
            "numbers mean other classes elsewhere"
        )
    return lambda number: NO_MAJORITY if number == -1 else str(feature.int2str(number))
