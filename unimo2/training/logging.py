"""What a training run tells while it goes: averages of an interval, one JSON line each."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from torch import Tensor

from unimo2.files import write_text

# The one entry of an objective's result that is no scalar: how often each dictionary row was chosen.
COUNTS = "dictionary_counts"


@dataclass(frozen=True)
class Evaluated:
    """The latest evaluation, by the value that decides which weights are kept."""

    step: int  # optimiser steps done before it
    name: str  # of the value
    value: float  # that of this evaluation
    best: float  # the highest so far


@dataclass(frozen=True)
class Progress:
    """News from a run."""

    step: int  # optimiser steps done
    steps: int  # of the whole run
    remaining_seconds: float  # estimate from the speed of this start of the run
    # what the line in log.jsonl says: losses, speed, learning rate, dictionary, ..
    values: Mapping[str, float | int | None]
    warning: str | None = None  # what should be seen, in one line; None where all is well
    evaluation: Evaluated | None = None  # the latest one of this start of the run; None before it


class Interval:
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

    Where standard error is no terminal, a line is printed now and then instead.
    """

    def __init__(self, lines: int = 20, shown: bool = True) -> None:
        """Prepare about so many lines where there is no terminal; one process is shown."""
        self._shown = shown
        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[news]}"),
            console=self._console,
        )
        self._task = self._bar.add_task("training", total=None, news="")
        self._lines = lines
        self._printed = 0
        self._evaluated: Evaluated | None = None
        self._warned = False  # a warning is printed once, until all is well again

    def __enter__(self) -> TrainingBar:
        if self._shown and self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Take in news; this is what `pretrain` calls."""
        news = describe(progress)
        if progress.warning and not self._warned:
            text = f"warning, step {progress.step}: {progress.warning}"
            self._console.print(text, highlight=False, soft_wrap=True)
        self._warned = progress.warning is not None
        if self._console.is_terminal:
            self._bar.update(self._task, completed=progress.step, total=progress.steps, news=news)
            return
        part = progress.step * self._lines // progress.steps
        evaluated = progress.evaluation != self._evaluated
        if part > self._printed or progress.step == progress.steps or evaluated:
            self._printed, self._evaluated = part, progress.evaluation
            self._console.print(
                f"step {progress.step}/{progress.steps} {news}", highlight=False, soft_wrap=True
            )


def describe(progress: Progress) -> str:
    """The news in one line: losses, dictionary, development metric, speed, remaining time."""
    values = progress.values
    parts = [f"{name} {values[name]:.3f}" for name in _LOSSES if values.get(name) is not None]
    if "accuracy" in values:
        parts.append(f"accuracy {100 * (values['accuracy'] or 0):.0f} %")
    if "itm_accuracy" in values:
        parts.append(f"itm acc {100 * (values['itm_accuracy'] or 0):.0f} %")
    if "dictionary_used" in values:
        used, even = values["dictionary_used"] or 0, values["dictionary_perplexity"] or 0
        parts.append(f"dictionary {100 * used:.0f} % (perplexity {even:.0f})")
    if progress.evaluation is not None:
        dev = progress.evaluation
        parts.append(f"dev {dev.name} {dev.value:.2f} at step {dev.step} (best {dev.best:.2f})")
    if "samples_per_second" in values:  # not before the first line of the log
        parts.append(f"{values['samples_per_second']:.0f} samples/s")
    minutes, seconds = divmod(round(progress.remaining_seconds), 60)
    return ", ".join([*parts, f"{minutes}:{seconds:02d} left"])
