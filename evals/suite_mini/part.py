"""What a part of the suite is: one data set in its official layout, made of independent jobs.

A part lists jobs; worker processes run them in any order; the parent gives the results back to the
part in the order of its jobs, and the part writes its annotation files. Nothing of this depends on
how many processes there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evals.suite_mini.request import SuiteRequest


class Job(Protocol):
    """A unit of work of about ten milliseconds, for example one picture with its captions.

    A frozen dataclass of plain values at module level, so that it can be sent to a process.
    """

    def run(self, root: Path, seed: int) -> Any:
        """Do the work.

        Args:
            root: folder of the suite; the folders that the part's `folders` names exist.
            seed: of the suite.

        Returns:
            What the part's `finish` needs: plain values that can be sent between processes.
        """
        ...


@dataclass(frozen=True)
class Report:
    """What a part has written.

    Attributes:
        counts: items by split; what is counted is named in `unit`.
        unit: for example "images" or "questions".
        digests: sha256 of every item in order: scene, annotations, pixels before encoding.
        folded: how often an annotation was left out or changed, by reason, for `make-mini`'s
            summary; empty if nothing was.
    """

    counts: Mapping[str, int]
    unit: str
    digests: Sequence[str]
    folded: Mapping[str, int] = field(default_factory=dict)


class Part(Protocol):
    """One data set of the suite; `PARTS` in `suite` lists them."""

    @property
    def name(self) -> str:
        """Its name in `unimo2 data list`, and its key in suite.json."""
        ...

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        """Folders to be made beforehand, relative to the suite's root."""
        ...

    def jobs(self, request: SuiteRequest) -> Sequence[Job]:
        """The work, cheap to list (no scene is drawn here)."""
        ...

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Any]) -> Report:
        """Write the annotation files from the results of the jobs, in their order."""
        ...

    def files(self, request: SuiteRequest) -> Sequence[str]:
        """Every file that the part leaves, relative to the suite's root: to see what is missing."""
        ...
