"""Training log: averages over an interval, one JSON line each."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from accelerate import Accelerator
from torch import Tensor

from unimo2 import console
from unimo2.files import write_text

# The only non-scalar entry of an objective's result: how often each dictionary row was chosen.
COUNTS = "dictionary_counts"


@dataclass(frozen=True)
class Evaluated:
    """The latest evaluation, by the value that decides which weights are kept."""

    step: int  # optimiser steps done before it
    name: str  # of the value
    value: float  # that of this evaluation
    best: float  # the highest so far


@dataclass(frozen=True)
class TrainingProgress:
    """News from a run."""

    step: int  # optimiser steps done
    steps: int  # of the whole run
    remaining_seconds: float  # estimate from the speed of this start of the run
    # what the line in log.jsonl says: losses, speed, learning rate, dictionary, ..
    values: Mapping[str, float | int | None]
    warning: str | None = None  # what should be seen, in one line; None where all is well
    evaluation: Evaluated | None = None  # the latest one of this start of the run; None before it


class LogInterval:
    """Collects what the steps report, over all processes, and averages it over an interval."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._times: Counter[str] = Counter()
        self._counts: Tensor | None = None
        self.samples: Counter[str] = Counter()

    def add(self, result: Mapping[str, Tensor], samples: Mapping[str, int]) -> None:
        """Take in what the objective returned for a batch, and what the batch held."""
        self.samples.update(samples)
        for name, value in result.items():
            if name != COUNTS:
                self._add(name, value)
        counts = result.get(COUNTS)
        if counts is not None:
            self._counts = counts if self._counts is None else self._counts + counts

    def end_step(self, gradient_norm: Tensor) -> None:
        """Take in the norm of an optimiser step's gradient."""
        self._add("gradient_norm", gradient_norm)

    def _add(self, name: str, value: Tensor) -> None:
        value = value.detach().float()
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._times[name] += 1

    def gather(self, accelerator: Accelerator) -> None:
        """Put the interval's numbers of all processes together, on every process."""
        if accelerator.num_processes == 1:
            return
        for name in sorted(self._sums):
            self._sums[name] = accelerator.reduce(self._sums[name].clone(), "mean")
        if self._counts is not None:
            self._counts = accelerator.reduce(self._counts.clone(), "sum")

    def values(self) -> dict[str, float]:
        """Means over the batches that had a value, and how much of the dictionary was in use."""
        means = {name: float(total) / self._times[name] for name, total in self._sums.items()}
        if self._counts is not None:
            means |= dictionary_use(self._counts)
        return means


def dictionary_use(counts: Tensor) -> dict[str, float]:
    """How evenly the rows of the dictionary are chosen, by counts int64 [C].

    "dictionary_used": share of the rows chosen at all, in [0, 1]; "dictionary_perplexity": exp of
    the entropy of the choices, from 1 (one row) to C (all alike).
    """
    share = counts.double() / counts.sum().clamp_min(1)
    entropy = -torch.special.xlogy(share, share).sum()
    return {
        "dictionary_used": float((counts > 0).double().mean()),
        "dictionary_perplexity": math.exp(float(entropy)),
    }


class LogFile:
    """`log.jsonl`: one line an interval, cut back to the checkpoint when a run is resumed.

    `losses` is the last line of losses among those that stayed; empty where there is none.
    """

    def __init__(self, path: Path, keep_until: int) -> None:
        """Keep the lines up to a step and drop later ones (they are going to be written again)."""
        self.path = path
        kept = [line for line in _lines(path) if _step_of(line) <= keep_until]
        values = [json.loads(line) for line in kept]
        lines = [line for line in values if "loss" in line]
        self.losses: dict[str, float | int | None] = lines[-1] if lines else {}
        write_text(path, "".join(f"{line}\n" for line in kept))

    def write(self, values: Mapping[str, float | int | str | None]) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _step_of(line: str) -> float:
    """The step a line belongs to; a line cut off by a kill belongs to none and is dropped."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


_LOSSES = ("loss", "mlm", "itm", "contrastive", "circle", "caption", "grounding", "vcl", "text_mlm")


class TrainingBar:
    """Shows steps, losses, speed, dictionary use and remaining time on standard error.

    Evaluations, warnings and the last step have a line of their own.
    """

    def __init__(self, shown: bool = True) -> None:
        """Prepare to show the training; of several processes one is shown."""
        self._shown = shown
        self._open = ExitStack()
        self._report: console.Report = console.silent
        self._evaluated: Evaluated | None = None
        self._warned = False  # a warning is printed once, until all is well again

    def __enter__(self) -> TrainingBar:
        self._report = self._open.enter_context(console.showing(quiet=not self._shown))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def __call__(self, now: TrainingProgress) -> None:
        """Take in news; this is what `pretrain` calls."""
        if not self._shown:
            return
        if now.warning and not self._warned:
            console.announce(f"warning, step {now.step}: {now.warning}")
        self._warned = now.warning is not None
        news, left = describe(now), now.remaining_seconds
        self._report(
            console.Progress("steps", now.step, now.steps, left, doing="training", news=news)
        )
        if now.evaluation != self._evaluated or now.step == now.steps:
            self._evaluated = now.evaluation
            console.announce(f"step {now.step:,} of {now.steps:,}: {news}")


def describe(now: TrainingProgress) -> str:
    """The news in one line: losses, dictionary, development metric, speed."""
    values = now.values
    parts = [f"{name} {values[name]:.3f}" for name in _LOSSES if values.get(name) is not None]
    if "accuracy" in values:
        parts.append(f"accuracy {100 * (values['accuracy'] or 0):.0f} %")
    if "itm_accuracy" in values:
        parts.append(f"itm acc {100 * (values['itm_accuracy'] or 0):.0f} %")
    if "dictionary_used" in values:
        used, even = values["dictionary_used"] or 0, values["dictionary_perplexity"] or 0
        parts.append(f"dictionary {100 * used:.0f} % (perplexity {even:.0f})")
    if now.evaluation is not None:
        dev = now.evaluation
        parts.append(f"dev {dev.name} {dev.value:.2f} at step {dev.step} (best {dev.best:.2f})")
    if "samples_per_second" in values:  # not before the first line of the log
        parts.append(f"{values['samples_per_second']:.0f} samples/s")
    return ", ".join(parts)
