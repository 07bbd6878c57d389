"""A progress bar for training runs."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from unimo2.training_log import Evaluated, Progress

_LOSSES = (
    "loss",
    "mlm",
    "itm",
    "contrastive",
    "circle",
    "caption",
    "grounding",
    "vcl",
    "text_mlm",
)


class TrainingBar:
    """Shows steps, losses, speed, dictionary use and remaining time on standard error.

    Where standard error is no terminal, a line is printed now and then instead.
    """

    def __init__(self, lines: int = 20, shown: bool = True) -> None:
        """Prepare the bar.

        Args:
            lines: about how many lines a whole run prints where there is no terminal.
            shown: whether anything is drawn: of several processes one speaks.
        """
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
        """Start to draw."""
        if self._shown and self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop to draw; the last state stays visible."""
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
