"""Items of runs on the site's pages: cards of a few, and the list of all for the page's script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evals.datasets.suites import MINI
from evals.records import Record
from reports.examples import Example, Examples, confusions, examples
from reports.keeping import Kept
from reports.site_parts import Thumbs, address_of, rounded, script
from unimo2.console import visible

_SHOWN = 8  # examples of a kind on a run's page

Cards = list[tuple[str, list[Example]]]
"""Headings with the items below them."""


class SiteItems:
    """The items of the runs of one site.

    Attributes:
        by_run: Those that were read, by the address of the run's page.
    """

    def __init__(self, folder: Path, images: str, thumbs: Thumbs, kept: Kept) -> None:
        """Nothing is read yet.

        Args:
            folder: Of the site.
            images: As in the request for the site.
            thumbs: Pictures of the site.
            kept: Of the site before.
        """
        self._folder, self._images, self._thumbs, self._kept = folder, images, thumbs, kept
        self.by_run: dict[str, Examples] = {}

    def read(self, record: Record) -> bool:
        """Read the items of a run; False for one that kept none."""
        key = ("items", self._kept.state(record))
        found = self._kept.get(key, lambda: examples(record, self._kept.sources))
        if found is not None:
            self.by_run[address_of(record)] = found
        return found is not None

    def of_page(self, record: Record) -> dict[str, Any] | None:
        """What the page of a run shows of its items; writes the list for its script."""
        address = address_of(record)
        found = self.by_run.get(address)
        if found is None:
            return None
        name, state = address.removesuffix(".html"), self._kept.state(record)
        groups, wrong = self._kept.get(("chosen", state), lambda: _chosen(record, found))
        self._write(record, found, name)
        return {
            "name": name,
            "lead": f"{len(found.items):,} of {found.of:,} items are listed below. {found.note}",
            "groups": [(head, [self.card(record, one) for one in some]) for head, some in groups],
            "words": found.words,
            "confusions": wrong,
        }

    def card(self, record: Record, one: Example) -> dict[str, Any]:
        """An item as the templates show it."""
        verdict = {True: "right", False: "wrong", None: ""}[one.right]
        return {
            "state": verdict,
            "verdict": verdict.capitalize(),
            "score": None if one.score is None else f"{one.score:.3g}",
            "image": self._image(record, one.image),
            "alt": f"picture of item {one.key}",  # a question or hypothesis does not describe it
            **{"key": one.key, "about": one.about, "given": one.given},
            **{"truth": one.truth, "more": one.more},
            "candidates": [
                {
                    **{"text": other.text, "true": other.true, "score": f"{other.score:.3g}"},
                    "image": self._image(record, other.image),
                }
                for other in one.candidates
            ],
        }

    def _image(self, record: Record, path: Path | None) -> str | None:
        """The address of an image of a run's data."""
        embed = self._images == "all" or (self._images == "suite" and record.suite == MINI)
        return self._thumbs.address(path, embed, self._images == "none")

    def _write(self, record: Record, found: Examples, name: str) -> None:
        """The items of a run, for the page's script."""
        pictured = self._images != "suite" or record.suite == MINI
        key = ("rows", name, self._kept.state(record))
        paths, rows = self._kept.get(key, lambda: _rows(found, pictured))
        about = {"words": found.words, "images": [self._image(record, path) for path in paths]}
        text = f"unimo2Rows({script(name)},{script(about)},{rows});\n"
        (self._folder / "data" / f"{name}.js").write_text(text, encoding="utf-8")


def _chosen(record: Record, found: Examples) -> tuple[Cards, list[tuple[str, str, int]]]:
    """The items that a page shows as cards, and the commonest mistakes."""
    cards: Cards = []
    parts = found.parts()
    count = _SHOWN // len(parts)
    for name, part in parts:
        ending = f", {name}" if name else ""
        cards += [
            (f"Worst{ending}", part.worst(count)),
            (f"Best{ending}", part.best(count)),
            (f"Most undecided{ending}", part.undecided(count)),
        ]
    labels = len({one.truth for one in found.items}) < len(found.items) / 2
    wrong = confusions(found.items) if labels and record.benchmark != "flickr" else []
    return [(head, some) for head, some in cards if some], wrong


def _rows(found: Examples, pictured: bool) -> tuple[list[Path], str]:
    """The items as the script reads them, and the images that they name by their place."""
    images: dict[Path, int] = {}

    def place(path: Path | None) -> int | None:
        return images.setdefault(path, len(images)) if path is not None and pictured else None

    rows = [
        [
            visible(one.key),
            visible(one.about),
            visible(one.given),
            visible(one.truth),
            rounded(one.score),
            rounded(one.margin),
            one.right,
            place(one.image),
            list(map(visible, one.more)),
            [[visible(c.text), f"{c.score:.3g}", c.true, place(c.image)] for c in one.candidates],
        ]
        for one in found.items
    ]
    return list(images), script(rows)
