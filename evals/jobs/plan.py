"""Jobs of a plan: their order, their states, their costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from unimo2.console import duration
from unimo2.training import LOG


class State(str, Enum):
    """How far a job is."""

    DONE = "done"
    INTERRUPTED = "interrupted"  # resumes where it stopped
    TO_DO = "to do"


class Cost(NamedTuple):
    """An estimate of what a job takes, and what it rests on."""

    seconds: float | None  # None where nothing is known
    basis: str = ""

    def part(self, share: float) -> Cost:
        """Of what is left, a share of 0 to 1."""
        return self if self.seconds is None else self._replace(seconds=share * self.seconds)

    def __str__(self) -> str:
        """For a reader."""
        return "not known" if self.seconds is None else f"about {duration(self.seconds)}"


NOTHING = Cost(0.0)


@dataclass(frozen=True)
class PlannedJob:
    """A training or an evaluation.

    Attributes:
        name: For a reader, and unique in a plan: "full: fine-tune coco".
        work: Does it, or what is left of it; a module's function with its arguments, so that another
            process can call it.
        needs: Names of the jobs that must be done before.
        state: How far it is.
        cost: Estimated, of what is not done.
    """

    name: str
    work: Callable[[], object]
    needs: tuple[str, ...] = ()
    state: State = State.TO_DO
    cost: Cost = NOTHING

    def as_json(self) -> dict[str, Any]:
        """The job without its work, as plain values."""
        return {
            "name": self.name,
            "state": self.state.value,
            "seconds": self.cost.seconds,
            "basis": self.cost.basis,
            "needs": list(self.needs),
        }


def last_logged(folder: Path) -> Mapping[str, Any]:
    """The last line of losses that a training in a folder has logged: "step", "seconds" ...; or nothing."""
    path = folder / LOG
    for text in reversed(path.read_text(encoding="utf-8").splitlines() if path.is_file() else ()):
        try:
            line = json.loads(text)
        except ValueError:  # cut off by a kill
            continue
        if "seconds" in line and line.get("step"):
            found: Mapping[str, Any] = line
            return found
    return {}


def unique(jobs: Iterable[PlannedJob]) -> list[PlannedJob]:
    """The jobs, each name once, in order."""
    return list({job.name: job for job in reversed(list(jobs))}.values())[::-1]


def remaining(jobs: Sequence[PlannedJob], things: str = "jobs") -> str:
    """What is left of a plan and what it will cost, in a sentence."""
    left = [job for job in jobs if job.state is not State.DONE]
    if not left:
        return f"All {things} are done."
    known = [job.cost for job in left if job.cost.seconds is not None]
    text = f"{len(left)} of {len(jobs)} {things} remain"
    if known:
        bases = ", ".join(dict.fromkeys(cost.basis for cost in known if cost.basis))
        text += f", about {duration(sum(cost.seconds or 0.0 for cost in known))}"
        text += f" (estimated from {bases})" if bases else ""
    unknown = len(left) - len(known)
    if unknown:
        text += f"{'; ' if known else ', '}the cost of {unknown} of them is not known"
    return f"{text}."
