"""Captions from the web: files of captions beside addresses (Conceptual Captions, SBU), and shards.

Conceptual Captions is a TSV, `caption<TAB>address` without a header; SBU is either two text files
of which line n belongs to line n, or one JSON object of lists of the same length. Both list
addresses on the web, many of which are dead, so that pairs whose image is not on disk are counted
where the caller gives a `Skips`, and an error where it does not.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from unimo2.errors import BadData, MissingData
from unimo2.formats.layout import ConceptualCaptionsFiles, SbuFiles
from unimo2.formats.parsing import (
    BROKEN_ROW,
    IMAGE_SUFFIXES,
    Listings,
    Skips,
    decoded,
    numbered_lines,
    raw_lines,
    read_json,
    refuse,
    refuse_lost,
    whole,
)
from unimo2.formats.shards import SHARD_SUFFIX, PairColumns, one_by_one, shard_columns
from unimo2.formats.shards import WebPair as WebPair  # of this module too

CC_FILES, CC_FOLDERS = ConceptualCaptionsFiles.CAPTIONS, ConceptualCaptionsFiles.IMAGES
SBU_JSON, SBU_URLS, SBU_CAPTIONS = SbuFiles.JSON, SbuFiles.URLS, SbuFiles.CAPTIONS

Locate = Callable[[str], Sequence[Path]]
"""Candidate paths for the image of an address, the likeliest first."""


def captioned_rows(path: Path, broken: Skips | None = None) -> Iterator[tuple[int, str, str]]:
    """Stream a TSV of captions and addresses: line number from 1, caption, address (or image path).

    There is no header and no quoting: a `"` is part of the caption. `broken` counts rows that have
    not exactly two columns, or an empty one.
    """
    for number, line in numbered_lines(path, broken):
        columns = line.split("\t")
        if len(columns) != 2:
            fault = f"{len(columns)} columns, expected caption<TAB>address"
            refuse(BROKEN_ROW, f"{path}:{number}: {fault}", broken)
            continue
        caption, source = (column.strip() for column in columns)
        if not caption or not source:
            fault = "no caption" if not caption else "no address"
            refuse(BROKEN_ROW, f"{path}:{number}: {fault}", broken)
            continue
        yield number, caption, source


def conceptual_captions(
    folder: Path, split: str, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[WebPair]:
    """Stream the pairs of Conceptual Captions whose image is on disk, in the order of the file.

    Args:
        folder: Holds the TSV (`CC_FILES`) and, for the images, `CC_FOLDERS`. The image of an
            address is `training/<CRC-32 of the address>`, as the downloader of ViLBERT names it,
            with or without ".jpg"; a second column that is not an address is the image's path, from
            `folder` or from `training/`. Where `training/` holds what img2dataset wrote (folders
            `00000/` or shards `*.tar`), the pairs are those of `sidecar_pairs` and no TSV is read.
        split: "train" or "val".
        lost: Counts pairs whose image is not on disk; see `Skips`.
        broken: Counts rows that cannot be read.
    """
    return one_by_one(conceptual_captions_columns(folder, split, lost, broken))


def conceptual_captions_columns(
    folder: Path, split: str, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[PairColumns | WebPair]:
    """As `conceptual_captions`, in columns where they are in shards."""
    tsv = folder / CC_FILES[split]
    images = folder / CC_FOLDERS[split]
    if in_shards(images):
        return sidecar_columns(images, lost, broken)

    def locate(source: str) -> Sequence[Path]:
        if is_address(source):
            stem = str(zlib.crc32(source.encode("utf-8")))
            return images / stem, images / f"{stem}.jpg"
        return folder / source, images / source

    rows = (
        (f"{tsv}:{number}", text, source) for number, text, source in captioned_rows(tsv, broken)
    )
    return _on_disk(rows, locate, lost, broken)


def sbu(folder: Path, lost: Skips | None = None, broken: Skips | None = None) -> Iterator[WebPair]:
    """Stream the pairs of the SBU Captioned Photo Dataset whose image is on disk, in file order.

    Args:
        folder: Holds `sbu-captions-all.json`, or the two text files (they are unpacked into
            `dataset/`, where they are looked for too). Images lie beside the file or in `images/`,
            each named by the last part of its address. Where `images/` holds what img2dataset
            wrote, the pairs are those of `sidecar_pairs` and no other file is read.
        lost: Counts pairs whose image is not on disk; see `Skips`.
        broken: Counts rows that cannot be read; lists or files of different lengths are an error.
    """
    return one_by_one(sbu_columns(folder, lost, broken))


def sbu_columns(
    folder: Path, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[PairColumns | WebPair]:
    """As `sbu`, in columns where the pairs are in shards."""
    if in_shards(folder / SbuFiles.IMAGES):
        return sidecar_columns(folder / SbuFiles.IMAGES, lost, broken)
    home, rows = _sbu_rows(folder, broken)
    places = [folder / SbuFiles.IMAGES, home, folder]

    def locate(source: str) -> Sequence[Path]:
        name = PurePosixPath(source.split("?")[0].split("#")[0]).name
        return [place / name for place in places]

    return _on_disk(rows, locate, lost, broken)


def sbu_file(folder: Path) -> Path | None:
    """The file that `sbu` reads captions from; None if there is none."""
    candidates = (folder / SBU_JSON, folder / SbuFiles.UNPACKED / SBU_URLS, folder / SBU_URLS)
    return next((path for path in candidates if path.is_file()), None)


def _sbu_rows(folder: Path, broken: Skips | None) -> tuple[Path, Iterator[tuple[str, str, str]]]:
    """The folder of the caption files, and (place, caption, address) of every row."""
    path = sbu_file(folder)
    if path is None:
        raise MissingData(
            f"SBU captions not found in {folder}: neither {SBU_JSON} nor {SBU_URLS} with "
            f"{SBU_CAPTIONS}"
        )
    reader = _sbu_json_rows if path.name == SBU_JSON else _sbu_text_rows
    return path.parent, reader(path, broken)


def _sbu_text_rows(path: Path, broken: Skips | None) -> Iterator[tuple[str, str, str]]:
    captions = path.with_name(SBU_CAPTIONS)
    for address, caption in zip_longest(raw_lines(path), raw_lines(captions)):
        if address is None or caption is None:
            shorter, longer = (path, captions) if address is None else (captions, path)
            raise BadData(
                f"{shorter} has fewer lines than {longer}: line n of one belongs to line n of "
                "the other, so a part of one of them is missing"
            )
        number = address[0]
        source = decoded(address[1], path, number, broken)
        text = decoded(caption[1], captions, number, broken) if source is not None else None
        if source is None or text is None:
            continue
        if not source.strip():
            refuse(BROKEN_ROW, f"{path}:{number}: no address", broken)
        elif not text.strip():
            refuse(BROKEN_ROW, f"{captions}:{number}: no caption", broken)
        else:
            yield f"{captions}:{number}", text.strip(), source.strip()


def _sbu_json_rows(path: Path, broken: Skips | None) -> Iterator[tuple[str, str, str]]:
    """The official JSON is one object of three lists; it has to be read whole (about 0.2 GB)."""
    content: Any = read_json(path, "SBU captions")
    fields = content if isinstance(content, dict) else {}
    sources, captions = fields.get("image_urls"), fields.get("captions")
    if not isinstance(sources, list) or not isinstance(captions, list):
        raise BadData(f"{path}: expected an object with the lists 'image_urls' and 'captions'")
    if len(sources) != len(captions):
        raise BadData(
            f"{path}: {len(sources):,} image_urls, but {len(captions):,} captions: they belong "
            "together one by one"
        )
    for index, (source, caption) in enumerate(zip(sources, captions, strict=True)):
        place = f"{path}: captions[{index}]"
        if not (isinstance(source, str) and isinstance(caption, str)):
            refuse(BROKEN_ROW, f"{place}: caption and address must be strings", broken)
        elif not source.strip() or not caption.strip():
            fault = "no caption" if source.strip() else "no address"
            refuse(BROKEN_ROW, f"{place}: {fault}", broken)
        else:
            try:
                pair = whole(caption.strip(), place), whole(source.strip(), place)
            except BadData as error:
                refuse(BROKEN_ROW, str(error), broken)
                continue
            yield place, *pair


def sidecar_pairs(
    folder: Path, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[WebPair]:
    """Stream pairs downloaded by img2dataset with `--output_format files` or `webdataset`.

    Args:
        folder: Holds folders `00000/`, `00001/` ... with `000000007.jpg` and, beside each image,
            its caption in `000000007.txt`; or shards `*.tar` of such files. They come by name.
        lost: Counts captions without an image; see `Skips`.
        broken: Counts captions that are empty or not UTF-8, and shards that are cut off.
    """
    return one_by_one(sidecar_columns(folder, lost, broken))


def sidecar_columns(
    folder: Path, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[PairColumns | WebPair]:
    """As `sidecar_pairs`, in columns."""
    for shard in sorted_entries(folder):
        if shard.suffix == SHARD_SUFFIX:
            yield from shard_columns(shard, lost, broken)
        elif shard.is_dir():
            yield _beside(shard, lost, broken)


def _beside(folder: Path, lost: Skips | None, broken: Skips | None) -> PairColumns:
    """The images of a folder that have captions beside them."""
    found = PairColumns(Path(os.path.abspath(folder)), [], [])
    with os.scandir(folder) as entries:
        files = {entry.name: entry.is_file() for entry in entries}
    for name in sorted(files):
        path, stem = f"{folder}{os.sep}{name}", name[: -len(".txt")]
        if not stem or not name.endswith(".txt"):
            continue
        text = _caption_in(path, broken) if files[name] else _caption_by_lines(path, broken)
        if not text:
            continue
        if not _stays_below(stem):
            fault = f"{path}: image {stem!r} is not a plain relative path"
            refuse(BROKEN_ROW, fault, broken)
            continue
        candidates = (stem + suffix for suffix in IMAGE_SUFFIXES)
        image = next((one for one in candidates if files.get(one)), None)
        if image is not None:
            found.names.append(image)
            found.texts.append(text)
        else:
            expected = f"expected at {folder / stem}{IMAGE_SUFFIXES[0]}"
            refuse_lost(f"{path}: image not on disk, {expected}", f"{path} ({expected})", lost)
    return found


def _caption_in(path: str, broken: Skips | None) -> str:
    """The caption in a file, on one line, "" for none; read at once, since there are millions."""
    with open(path, "rb", buffering=0) as stream:
        content = stream.read()
    if content.isascii() and not content.startswith(b"version"):  # of a git-LFS pointer
        text = " ".join(content.decode().split())
        if text:
            return text
    return _caption_by_lines(path, broken)


def _caption_by_lines(path: str, broken: Skips | None) -> str:
    lines = [line for _, line in numbered_lines(Path(path), broken)]
    text = " ".join(" ".join(lines).split())
    if lines and not text:
        refuse(BROKEN_ROW, f"{path}: no caption", broken)
    return text


def in_shards(folder: Path) -> bool:
    """Whether a folder of images has shards, or folders as img2dataset writes them."""
    if not folder.is_dir():
        return False
    if (folder / "00000").is_dir():
        return True
    with os.scandir(folder) as entries:
        return any(entry.name.endswith(SHARD_SUFFIX) for entry in entries)


def is_address(source: str) -> bool:
    """Whether the second column is an address on the web and not the path of an image."""
    return source.lower().startswith(("http://", "https://"))


def sorted_entries(folder: Path) -> list[Path]:
    """Entries of a folder, by name; MissingData if it does not exist."""
    if not folder.is_dir():
        raise MissingData(f"folder not found: {folder}")
    return sorted(folder.iterdir())


def _on_disk(
    rows: Iterable[tuple[str, str, str]], locate: Locate, lost: Skips | None, broken: Skips | None
) -> Iterator[WebPair]:
    """The pairs whose image is there; the path of a row must not lead out of the data root."""
    listings = Listings()
    for place, text, source in rows:
        if not is_address(source) and not _stays_below(source):
            fault = f"{place}: image {source!r} is not a plain relative path"
            refuse(BROKEN_ROW, fault, broken)
            continue
        candidates = locate(source)
        path = listings.first_file(candidates)
        if path is not None:
            yield WebPair(place, text, source, Path(path))
            continue
        expected = f"expected at {candidates[0]}"
        refuse_lost(f"{place}: image not on disk, {expected}", f"{place} ({expected})", lost)


def _stays_below(source: str) -> bool:
    parts = PurePosixPath(source).parts
    return not (source.startswith("/") or ".." in parts or "\\" in source or "\0" in source)
