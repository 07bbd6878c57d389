"""Generate the texts of the embedded suite: what `evals/suite_mini/texts/` holds.

    python -m examples.embedded_text FOLDER                       as they come with the package
    python -m examples.embedded_text FOLDER --seed 1 --scale 2    others
    python -m examples.embedded_text FOLDER --only cola mnli      some of them

A row a line, cells between tabs, compressed: the rows of a task's splits one after the other, as many
as the split has and 15 % more, because those that occur twice are left out when the suite is drawn.
Texts of another seed take the place of those in the package and need another `VERSION` of the suite,
and texts of another scale need other sizes in `evals/suite_mini/texts.py`.
"""

from __future__ import annotations

import argparse
import lzma
from collections.abc import Iterator
from pathlib import Path

from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.texts import CORPORA, TASKS, GluePart, TextPart
from examples.embedded_text import cola, mnli, sst2, stsb
from examples.embedded_text.corpora import make_paragraph

_MAKE = {
    "cola": cola.make_row,
    "mnli": mnli.make_row,
    "sst2": sst2.make_row,
    "stsb": stsb.make_row,
}
_WORLDS = {"train": "train", "dev": "val", "test": "test"}


def corpus_lines(part: TextPart, request: SuiteRequest) -> Iterator[str]:
    """The paragraphs of a corpus."""
    for index in range(request.scaled(part.paragraphs)):
        yield make_paragraph(request.seed, part.name, index)


def task_lines(part: GluePart, split: str, request: SuiteRequest) -> Iterator[str]:
    """The rows of a split, those that occur twice included."""
    world = _WORLDS[split.partition("_")[0]]
    for index in range(part.stored(split, request)):
        row = _MAKE[part.name](request.seed, f"{part.name}-{split}", world, index)
        yield "\t".join(row.cells())


def lines_of(part: TextPart | GluePart, request: SuiteRequest) -> list[str]:
    """All lines of a part's file."""
    if isinstance(part, TextPart):
        return list(corpus_lines(part, request))
    return [line for split in part.splits for line in task_lines(part, split, request)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = {part.name: part for part in (*CORPORA, *TASKS)}
    parser.add_argument("folder", type=Path, help="where to write <part>.xz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", nargs="+", choices=sorted(parts), default=list(parts))
    asked = parser.parse_args()
    request = SuiteRequest(seed=asked.seed, scale=asked.scale)
    asked.folder.mkdir(parents=True, exist_ok=True)
    for name in asked.only:
        text = "".join(f"{line}\n" for line in lines_of(parts[name], request))
        packed = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
        (asked.folder / f"{name}.xz").write_bytes(packed)
        print(f"{name}: {len(text):,} characters, {len(packed):,} bytes")


if __name__ == "__main__":
    main()
