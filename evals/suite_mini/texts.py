"""The parts that are text alone: two corpora and four GLUE tasks, as they come with the package.

`texts/<part>.xz` holds what `examples/embedded_text` generated for seed 0 at scale 1: a paragraph a
line, or a row a line. A smaller scale takes the first of them; another seed or a larger scale has no
others.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.request import SuiteRequest

FOLDER = Path(__file__).parent / "texts"
_SURPLUS = 0.15
"""Rows kept beyond a split's size: those that occurred before are left out."""


def read_lines(name: str) -> list[str]:
    """What the package holds for a part, line by line."""
    with lzma.open(FOLDER / f"{name}.xz", "rt", encoding="utf-8", newline="\n") as file:
        return file.read().splitlines()


def size_of(request: SuiteRequest, size: int) -> int:
    """The items of a split at the request's scale; no more than there are at scale 1."""
    return min(size, request.scaled(size))


def _digests(items: Sequence[str]) -> list[str]:
    return [hashlib.sha256(item.encode()).hexdigest() for item in items]


@dataclass(frozen=True)
class TextPart(SuitePart):
    """One plain-text corpus: a folder of files, a paragraph a line."""

    name: str
    paragraphs: int  # at scale 1
    paragraphs_a_file: int
    stem: str  # of the files' names

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[object]) -> Report:
        """Write the files."""
        lines = read_lines(self.name)[: size_of(request, self.paragraphs)]
        for number, name in enumerate(self.annotations(request)):
            start = number * self.paragraphs_a_file
            text = "\n".join(lines[start : start + self.paragraphs_a_file])
            (root / name).write_bytes(f"{text}\n".encode())
        return Report(
            counts={"all": len(lines)},  # as the catalogue calls a corpus without splits
            unit="lines of one paragraph each",
            digests=_digests(lines),
        )

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        """As many as the paragraphs fill."""
        count = -(-size_of(request, self.paragraphs) // self.paragraphs_a_file)
        return [f"{self.name}/{self.stem}{number:03d}.txt" for number in range(count)]


@dataclass(frozen=True)
class GlueRow:
    """One sentence or pair, with its label or score."""

    sentences: tuple[str, ...]
    target: str  # the label as the file writes it, or the score as text
    genre: str = ""  # MNLI's and STS-B's; CoLA's source
    extra: tuple[str, ...] = ()  # MNLI's five annotators' labels; the name of a fault in CoLA

    def cells(self) -> list[str]:
        """All of it in one list."""
        return [*self.sentences, self.target, self.genre, *self.extra]


Layout = Callable[[str, Sequence[GlueRow]], list[list[str]]]
"""(split, rows) -> header, if there is one, and rows of a file, cell by cell."""


@dataclass(frozen=True)
class GluePart(SuitePart):
    """One GLUE task."""

    name: str
    folder: str  # as GLUE's archive calls it
    splits: Mapping[str, int]  # rows of each file at scale 1, the training split first
    sentences: int  # of a row
    layout: Layout

    def stored(self, split: str, request: SuiteRequest) -> int:
        """How many rows of a split are kept for it, those that occur twice included."""
        size = size_of(request, self.splits[split])
        return size + max(8, round(_SURPLUS * size))

    def rows(self, request: SuiteRequest) -> dict[str, list[GlueRow]]:
        """The rows by split; a row whose sentences came before, in whichever split, is left out."""
        lines = iter(read_lines(self.name))
        rows: dict[str, list[GlueRow]] = {}
        seen: set[tuple[str, ...]] = set()
        for split, size in self.splits.items():
            kept: list[GlueRow] = []
            own = [next(lines) for _ in range(self.stored(split, SuiteRequest()))]
            for row in map(self._row, own[: self.stored(split, request)]):
                if row.sentences not in seen:
                    kept.append(row)
                seen.add(row.sentences)
            rows[split] = kept[: size_of(request, size)]
        return rows

    def _row(self, line: str) -> GlueRow:
        cells = line.split("\t")
        sentences, (target, genre, *extra) = cells[: self.sentences], cells[self.sentences :]
        return GlueRow(tuple(sentences), target, genre, tuple(extra))

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[object]) -> Report:
        """Write the files."""
        rows = self.rows(request)
        for split, kept in rows.items():
            text = "".join("\t".join(line) + "\n" for line in self.layout(split, kept))
            (root / self._file(split)).write_bytes(text.encode())
        return Report(
            counts={name: len(kept) for name, kept in rows.items()},
            unit="rows",
            digests=_digests(["\n".join(row.cells()) for kept in rows.values() for row in kept]),
        )

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        """One a split."""
        return [self._file(split) for split in self.splits]

    def _file(self, split: str) -> str:
        return f"glue/{self.folder}/{split}.tsv"


def is_labelled(split: str) -> bool:
    """GLUE keeps the labels of test files on its server."""
    return not split.startswith("test")


def _numbered(rows: Sequence[GlueRow]) -> Iterator[list[str]]:
    """The layout of the test files of tasks on one sentence; official ones end without a space."""
    yield ["index", "sentence"]
    yield from ([str(number), row.sentences[0].strip()] for number, row in enumerate(rows))


def _sst2(split: str, rows: Sequence[GlueRow]) -> list[list[str]]:
    if is_labelled(split):
        return [["sentence", "label"], *([row.sentences[0], row.target] for row in rows)]
    return list(_numbered(rows))


def _cola(split: str, rows: Sequence[GlueRow]) -> list[list[str]]:
    """Source, label, the author's mark, sentence, without header."""
    if is_labelled(split):
        return [
            [row.genre, row.target, "" if row.target == "1" else "*", row.sentences[0]]
            for row in rows
        ]
    return list(_numbered(rows))


def _stsb(split: str, rows: Sequence[GlueRow]) -> list[list[str]]:
    header = ["index", "genre", "filename", "year", "old_index", "source1", "source2"]
    cells = [[*header, "sentence1", "sentence2", "score"]]
    for number, row in enumerate(rows):
        origin = [row.genre, "mini", split, f"{number:04d}", "none", "none"]
        cells.append([str(number), *origin, *row.sentences, row.target])
    return cells if is_labelled(split) else [line[:-1] for line in cells]


def _mnli(split: str, rows: Sequence[GlueRow]) -> list[list[str]]:
    """With a column for each sentence's parses and for each annotator's label."""
    annotators = {"train": 1}.get(split, 5 if is_labelled(split) else 0)
    header = ["index", "promptID", "pairID", "genre"]
    header += ["sentence1_binary_parse", "sentence2_binary_parse"]
    header += ["sentence1_parse", "sentence2_parse", "sentence1", "sentence2"]
    header += [f"label{number + 1}" for number in range(annotators)]
    cells = [[*header, "gold_label"]]
    for number, row in enumerate(rows):
        # An official pairID ends in the first letter of the label.
        letter = row.target[0] if is_labelled(split) else ""
        line = [str(number), str(number), f"{number}{letter}", row.genre]
        line += [_bracketed(text.split()) for text in row.sentences]
        line += [f"(ROOT {text})" for text in row.sentences]
        cells.append([*line, *row.sentences, *row.extra[:annotators], row.target])
    return cells if is_labelled(split) else [line[:-1] for line in cells]


def _bracketed(parts: Sequence[str]) -> str:
    """As in: ( The ( star ( is red. ) ) )."""
    if len(parts) == 1:
        return parts[0]
    return " ".join(f"( {part}" for part in parts[:-1]) + f" {parts[-1]}" + " )" * (len(parts) - 1)


_MNLI_SPLITS = {"train": 8_000, "dev_matched": 900, "dev_mismatched": 900}
_MNLI_SPLITS |= {"test_matched": 500, "test_mismatched": 500}

CORPORA = (
    TextPart("bookwiki", 4_400, 400, "book-"),
    TextPart("openwebtext", 4_800, 200, "urlsf_subset-"),
)
TASKS = (
    GluePart("cola", "CoLA", {"train": 7_000, "dev": 900, "test": 500}, 1, _cola),
    GluePart("mnli", "MNLI", _MNLI_SPLITS, 2, _mnli),
    GluePart("sst2", "SST-2", {"train": 7_000, "dev": 872, "test": 500}, 1, _sst2),
    GluePart("stsb", "STS-B", {"train": 6_000, "dev": 900, "test": 500}, 2, _stsb),
)
