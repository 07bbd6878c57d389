"""Suites: the embedded one, `mini`, and real data, `paper`.

A suite is a folder of data sets in their official layouts. One with a `suite.json` says its own
name and fingerprint (the embedded suite is written with one); any other is the user's real data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unimo2.errors import BadData, MissingData, UsageError
from unimo2.files import expanded

MINI, PAPER = "mini", "paper"
SUITES = (MINI, PAPER)
DESCRIPTION = "suite.json"
KEPT = "benchmarks"  # its entry of what benchmarks read from the suite


@dataclass(frozen=True)
class Suite:
    """A data root and what it is called.

    Attributes:
        name: "mini" or "paper"; records and tables never mix the two.
        root: The folder.
        fingerprint: Of a generated suite; None for real data, whose fingerprint is taken from
            the files that a run reads.
        fingerprints: Of each of its data sets by name, so that a change of one leaves what was
            measured on another as it is; empty for real data.
    """

    name: str
    root: Path
    fingerprint: str | None
    fingerprints: Mapping[str, str] = field(default_factory=dict)


def resolve(
    suite: str | None = None, data_root: str | Path | None = None, needs: Sequence[str] | None = ()
) -> Suite:
    """Find the data that a command means.

    Args:
        suite: "mini", "paper", or None for what the data root holds (mini without a data root).
        data_root: A folder of data sets; None for the embedded suite's own place.
        needs: Benchmarks and data sets that the command reads, all if None: what the embedded suite
            lacks of them at its own place is drawn.

    Returns:
        The suite.

    Raises:
        UsageError: An unknown suite; "paper" without a data root; a root that is another suite.
        MissingData: There is no such folder, or the embedded suite has not been made yet and
            nothing of it is needed.
        BadData: A `suite.json` that cannot be read.
    """
    if suite is not None and suite not in SUITES:
        raise UsageError(f"unknown suite '{suite}'; known are {', '.join(SUITES)}")
    if data_root is None:
        if suite == PAPER:
            raise UsageError(
                "suite 'paper' is real data: give its folder with --data-root or UNIMO2_DATA "
                "(a folder that holds flickr30k/, coco/ ... in their official layouts)"
            )
        return _embedded(needs)
    root = expanded(data_root)
    if not root.is_dir():
        raise MissingData(
            f"no data folder at {root}; it should hold flickr30k/, coco/ ... as distributed"
        )
    found = _read(root)
    if suite is not None and suite != found.name:
        raise UsageError(f"{root} holds the suite '{found.name}', not '{suite}'")
    return found


def _embedded(needs: Sequence[str] | None) -> Suite:
    """The embedded suite at its default place, with what is needed of it."""
    from evals import suite_mini
    from evals.datasets.registry import all_data_sets

    root = suite_mini.default_root()
    if needs is None:
        suite_mini.ensure()
    elif needs:
        sets = all_data_sets().values()
        suite_mini.ensure(one.name for one in sets if {one.name, one.benchmark} & {*needs})
    elif not (root / DESCRIPTION).is_file():
        raise MissingData(f"the mini suite is not at {root}; make it with 'unimo2 data make-mini'")
    return _read(root)


def description(root: Path) -> dict[str, Any] | None:
    """The content of a root's `suite.json`; None for real data, which has none.

    Raises:
        BadData: It cannot be read, or describes no suite.
    """
    path = root / DESCRIPTION
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name, fingerprint = content["suite"], content["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(f"{path} cannot be read as a suite's description: {error!r}") from None
    if name not in SUITES or not isinstance(fingerprint, str):
        raise BadData(f"{path} names the suite {name!r}; known are {', '.join(SUITES)}")
    return dict(content)


def _read(root: Path) -> Suite:
    """Description of a data root."""
    content = description(root)
    if content is None:
        return Suite(PAPER, root, None)
    return Suite(content["suite"], root, content["fingerprint"], content.get("fingerprints", {}))
