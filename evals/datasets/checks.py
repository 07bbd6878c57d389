"""Checks shared by the verifiers of several data sets."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from evals.datasets.entry import ImageCheck, Sample, VerificationReport
from unimo2.formats.karpathy import KarpathyImage, read_karpathy, survey_karpathy
from unimo2.formats.parsing import BROKEN_ROW, Skips, numbered_lines
from unimo2.formats.plain_text import text_files
from unimo2.formats.web_captions import WebPair


def check_karpathy(
    json_path: Path, image_root: Path, name: str, splits: Sequence[str], images: ImageCheck
) -> VerificationReport:
    """Count a Karpathy file, and look for what is missing, repeated or broken.

    Args:
        json_path: The JSON file.
        image_root: Folder of the images, as for `read_karpathy`.
        name: What the file should call itself.
        splits: Those it should have; they are counted even if nothing is in them.
        images: Is shown every image that is there.
    """
    broken = Skips()
    called, found = survey_karpathy(json_path, image_root, broken)
    findings = VerificationReport(problems=broken.lines())
    findings.counts.update(_karpathy_counts(found, splits))
    findings.problems += check_files(None, (image.path for image in found), images)
    if called is not None and called != name:
        findings.notes.append(f"{json_path.name} calls itself {called!r}, not {name!r}")
    extra = _unnamed(found)
    if extra:
        findings.notes.append(f"{extra:,} files in the image folders are in no split")
    return findings


def karpathy_samples(annotations: Path, images: Path, split: str) -> Iterator[Sample]:
    """The images of one of Karpathy's splits with their captions, to be shown."""
    for image in read_karpathy(annotations, images, (split,)):
        yield Sample(image.path, image.filename, tuple(caption.text for caption in image.captions))


def check_files(split: str | None, paths: Iterable[Path], images: ImageCheck) -> list[str]:
    """Show the images of a split (None for a whole data set) that are on disk.

    Returns:
        A line about those that are not; none if all are.
    """
    # One listing a folder: a stat for each of COCO's 200,000 files takes far longer.
    listed: dict[Path, frozenset[str]] = {}
    count, lost, first = 0, 0, ""
    for path in paths:
        count += 1
        folder = path.parent
        if folder not in listed:
            listed[folder] = frozenset(os.listdir(folder) if folder.is_dir() else ())
        if path.name in listed[folder]:
            images.see(path)
        else:
            lost += 1
            first = first or str(path)
    where = f"{split}: " if split else ""
    return [f"{where}{lost:,} of {count:,} images not on disk, first {first}"] if lost else []


def _karpathy_counts(
    found: Iterable[KarpathyImage], splits: Sequence[str]
) -> dict[tuple[str, str], int]:
    images: Counter[str] = Counter(dict.fromkeys(splits, 0))
    captions: Counter[str] = Counter(dict.fromkeys(splits, 0))
    for image in found:
        images[image.split] += 1
        captions[image.split] += len(image.captions)
    return {(split, "images"): count for split, count in images.items()} | {
        (split, "captions"): count for split, count in captions.items()
    }


def _unnamed(found: Iterable[KarpathyImage]) -> int:
    """Files beside the images that no entry names."""
    folders: dict[Path, set[str]] = {}
    for image in found:
        folders.setdefault(image.path.parent, set()).add(image.path.name)
    return sum(
        sum(1 for name in os.listdir(folder) if name not in names)
        for folder, names in folders.items()
        if folder.is_dir()
    )


def web_samples(pairs: Iterable[WebPair]) -> Iterator[Sample]:
    """Pairs from the web, to be shown."""
    return (Sample(pair.path, pair.path.name, (pair.text,)) for pair in pairs)


def by_image(lines: Iterable[tuple[Path, str]]) -> Iterator[Sample]:
    """Merge the texts of the same image, in order of first occurrence."""
    grouped: dict[Path, list[str]] = {}
    for path, line in lines:
        grouped.setdefault(path, []).append(line)
    for path, own in grouped.items():
        yield Sample(path, path.name, tuple(own))


def check_web_pairs(
    pairs: Iterator[WebPair], split: str, lost: Skips, broken: Skips, images: ImageCheck
) -> VerificationReport:
    """Count a web corpus, of which some images are always lost.

    Args:
        pairs: The corpus; it counts into `lost` and `broken`.
        split: Its name.
        lost: Pairs without an image: a note, unless no image is there at all.
        broken: Rows that cannot be read: a problem.
        images: Is shown every image that is there.
    """
    there, repeated = 0, 0
    seen: set[int] = set()
    for pair in pairs:
        there += 1
        images.see(pair.path)
        key = hash(pair.source)
        repeated += key in seen
        seen.add(key)
    rows = there + lost.total
    findings = VerificationReport(problems=broken.lines())
    findings.counts = {(split, "pairs"): rows, (split, "images on disk"): there}
    if rows and not there:
        findings.problems.append(
            f"{split}: none of the {rows:,} images is on disk, {first_of(lost)}"
        )
    elif lost.total:
        findings.notes.append(f"{split}: {there:,} of {rows:,} images on disk, {first_of(lost)}")
    if repeated:
        findings.notes.append(f"{split}: {repeated:,} pairs have an image that came before")
    return findings


def first_of(lost: Skips) -> str:
    """Where the first item lies that was left out, as in "first a.txt"."""
    return lost.lines()[0].split(", ", 1)[1]


def merge(parts: Iterable[VerificationReport]) -> VerificationReport:
    """The findings about the splits of one data set together."""
    whole = VerificationReport()
    for part in parts:
        whole.counts.update(part.counts)
        whole.problems += part.problems
        whole.notes += part.notes
    return whole


def check_text(folder: Path) -> VerificationReport:
    """Count a plain-text corpus: files, lines that are not blank, words between white space, MB."""
    broken = Skips()
    files, lines, words, size = 0, 0, 0, 0
    for path in text_files(folder):
        files += 1
        size += path.stat().st_size
        for _, line in numbered_lines(path, broken):
            count = len(line.split())
            words += count
            lines += count > 0
    findings = VerificationReport(problems=broken.lines())
    findings.counts = {
        ("all", "files"): files,
        ("all", "lines"): lines,
        ("all", "words"): words,
        ("all", "MB"): round(size / 1e6),
    }
    if not words:
        findings.problems.append(f"no text in {folder}: {BROKEN_ROW if broken.total else 'empty'}")
    return findings
