"""What a part of the suite is: one data set in its official layout, made of independent jobs.

A part lists jobs; worker processes run them in any order; the parent gives the results back to the
part in the order of its jobs, and the part writes its annotation files. Nothing of this depends on
how many processes there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evals.suite_mini.request import SuiteRequest


class Job(Protocol):
    """A unit of work of about ten milliseconds, for example one picture with its captions.

    A frozen dataclass of plain values at module level, so that it can be sent to a process.
    """

    @property
    def path(self) -> str:
        """Of the picture that it draws, relative to the suite's root; "" if it draws none."""
        ...

    def run(self, root: Path, seed: int) -> Any:
        """Do the work.

        Args:
            root: Folder of the suite; the folders of the part's files exist.
            seed: Of the suite.

        Returns:
            What the part's `finish` needs: plain values that can be sent between processes.
        """
        ...


@dataclass(frozen=True)
class Report:
    """What a part has written."""

    counts: Mapping[str, int]
    """Items by split."""
    unit: str
    """What is counted, for example "images" or "questions"."""
    digests: Sequence[str]
    """sha256 of every item in order: scene, annotations, pixels before encoding."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How often an annotation was left out or changed, by reason."""


class SuitePart(ABC):
    """One data set of the suite; `PARTS` in `suite` lists them."""

    name: str
    """Its name in `unimo2 data list`, and its key in suite.json."""

    def jobs(self, request: SuiteRequest) -> Sequence[Job]:
        """The work, cheap to list (no scene is drawn here); none if nothing is drawn."""
        return ()

    @abstractmethod
    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        """The files that `finish` writes, relative to the suite's root."""

    @abstractmethod
    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Any]) -> Report:
        """Write the annotation files from the results of the jobs, in their order."""

    def files(self, request: SuiteRequest) -> list[str]:
        """Every file that the part leaves, relative to the suite's root: to see what is missing."""
        pictures = (job.path for job in self.jobs(request))
        return [*self.annotations(request), *(path for path in pictures if path)]


def make_folders(root: Path, parts: Sequence[SuitePart], request: SuiteRequest) -> None:
    """Make the folders that the files of the parts lie in."""
    for folder in {path.rpartition("/")[0] for part in parts for path in part.files(request)}:
        (root / folder).mkdir(parents=True, exist_ok=True)
