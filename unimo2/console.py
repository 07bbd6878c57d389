"""Terminal output: lines, notes, tables, JSON, and the progress of long work.

Nothing here takes text for markup. Names, captions and paths come from files that anybody may have
written: what a terminal would obey or hide is written as an escape.

Progress is a bar on a terminal, a line every half minute in a file or a pipe. The command line opens
the display with `showing`. Whatever takes long says what it does with `stage` or `tracked`, wherever it
stands: without a display, in a library, they cost nothing.

    with showing():
        for path in tracked(paths, "reading images", "images"):
            ...
        with stage("METEOR in Java"):  # nobody knows how far it is: the seconds are shown
            ...
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import threading
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

# Everything that a terminal acts upon and that reorders or hides text.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """A text in one line, with characters that a terminal obeys or hides as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _UNSEEN
        else letter
        for letter in text
    )


def say(text: str, err: bool = False) -> None:
    """Print lines; all that a terminal would obey but their line breaks is escaped.

    Args:
        text: One or more lines; a name in them that may hold line breaks goes through `visible`.
        err: On standard error.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # closed by the parent process
        return
    shown = "\n".join(map(visible, text.split("\n"))) + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:  # a full disk behind a pipe or a file
        error.filename = "standard error" if err else "standard output"
        raise


def note(text: str, err: bool = False) -> None:
    """Print a remark about what was measured, in one line."""
    say(f"note    {visible(text)}", err)


def print_json(content: Any) -> None:
    """Print what a program reads; see `json_text`."""
    say(json_text(content))


def json_text(content: Any) -> str:
    """JSON with letters as they are and invisible characters as escapes.

    Raises:
        ValueError: A number that JSON has no form for.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return "\n".join(_escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    """A line of JSON that stays JSON: what is not seen stands within its strings."""
    if line.isascii() and line.isprintable():
        return line
    pairs = ((letter, letter.encode("utf-16-be", "surrogatepass").hex()) for letter in line)
    return "".join(
        "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))
        if unicodedata.category(letter) in _UNSEEN
        else letter
        for letter, code in pairs
    )


def terminal_width() -> int | None:
    """Columns of standard output; None for a file or a pipe, whose lines are never folded."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def print_table(
    title: str,
    heads: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]],
    numbers: Collection[int] = (),
) -> None:
    """Print a table, folded to the terminal's width; see `table_lines`."""
    width = terminal_width()
    lines = wrapped(visible(title), width) if title else []
    say("\n".join([*lines, *table_lines(heads, groups, numbers, width)]))


def table_lines(
    heads: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]],
    numbers: Collection[int] = (),
    width: int | None = None,
) -> list[str]:
    """Aligned columns, two spaces apart; a group's name on a line of its own.

    Args:
        heads: Headings of the columns, that of the row labels first.
        groups: Name and rows of each; groups without a name are parted by a rule.
        numbers: Places of the columns that are set to the right.
        width: Columns of the terminal. A wider table is folded: the columns that do not fit follow
            beneath the others, each part with the row labels. None never folds; no cell is ever cut.
    """
    heads = list(map(visible, heads))
    shown = [(visible(name), [list(map(visible, row)) for row in rows]) for name, rows in groups]
    every = [heads, *(row for _, rows in shown for row in rows)]
    widths = [max(map(cell_width, column)) for column in zip(*every, strict=True)]

    def line(cells: Sequence[str], places: Sequence[int]) -> str:
        padded = []
        for place in places:
            space = " " * (widths[place] - cell_width(cells[place]))
            padded.append(space + cells[place] if place in numbers else cells[place] + space)
        return "  ".join(padded).rstrip()

    lines: list[str] = []
    for places in _folds(widths, width):
        rule = "-" * (sum(widths[place] for place in places) + 2 * (len(places) - 1))
        lines += [*([""] if lines else []), rule, line(heads, places), rule]
        for position, (name, rows) in enumerate(shown):
            if name:
                lines += wrapped(name, width)
            elif position:
                lines.append(rule)
            lines += [line(row, places) for row in rows]
        lines.append(rule)
    return lines


def _folds(widths: Sequence[int], width: int | None) -> list[list[int]]:
    """Columns shown side by side: the row labels and as many others as fit."""
    parts, used = [[0]], widths[0]
    for at in range(1, len(widths)):
        if width is not None and len(parts[-1]) > 1 and used + 2 + widths[at] > width:
            parts.append([0])
            used = widths[0]
        parts[-1].append(at)
        used += 2 + widths[at]
    return parts


def wrapped(text: str, width: int | None) -> list[str]:
    """A text in lines of at most `width` columns; one line without a width."""
    return [text] if width is None else textwrap.wrap(text, width) or [text]


def cell_width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    hidden = sum(unicodedata.category(letter) in ("Mn", "Me") for letter in text)
    return len(text) + wide - hidden


Item = TypeVar("Item")

LONG_RUN_SECONDS = 60.0
_FIRST_SECONDS = 5.0  # until the first line where there is no terminal: short work prints nothing
_LINE_SECONDS = 30.0  # between two lines
_TICK_SECONDS = 0.5
_MEASURE_SECONDS = 1.0  # pace is told after this long; the first calls of a model are slow


@dataclass(frozen=True)
class Progress:
    """How far a stage of the work is.

    Attributes:
        stage: Name of the counted units, for example "images" or "pairs".
        done: Finished so far, in earlier sessions too.
        total: Total number of units; None if unknown.
        seconds_left: Estimated by who does the work; None to estimate it from the pace.
        hint: A faster alternative, shown if the work takes long.
        estimated: Nothing was done yet: the time left is that of a first batch, for all.
        doing: Current activity, "reading captions"; "" where `stage` says enough.
        news: Further figures of the moment, such as losses.
    """

    stage: str
    done: int
    total: int | None
    seconds_left: float | None = None
    hint: str | None = None
    estimated: bool = False
    doing: str = ""
    news: str = ""


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Progress that is not shown."""


class Advance:
    """Tells the display how far a stage is."""

    def __init__(self, report: Report, doing: str, unit: str, total: int | None) -> None:
        self._report, self._doing, self._unit, self._total = report, doing, unit, total

    def __call__(self, done: int, total: int | None = None, news: str = "") -> None:
        """Show that `done` are finished, of `total` if it is known by now."""
        self._total = self._total if total is None else total
        self._report(Progress(self._unit, done, self._total, doing=self._doing, news=news))


# The display of this process, which the command line opens.
_shown: list[Display] = []


@contextmanager
def showing(quiet: bool = False, advice: str = "") -> Iterator[Report]:
    """Show progress on standard error while the block runs; within another display, on that one.

    Args:
        quiet: Write nothing.
        advice: Said of work that will take over a minute, after its cost.

    Yields:
        What is called with the progress; `stage` and `tracked` reach it by themselves.
    """
    if _shown:
        yield _shown[-1]
        return
    if quiet or sys.stderr is None:
        yield silent
        return
    display = Bars(advice) if sys.stderr.isatty() else Lines(advice)
    _shown.append(display)
    try:
        with display:
            yield display
    finally:
        _shown.remove(display)


def announce(text: str) -> None:
    """Print a line on standard error, above the bar if there is one."""
    if _shown:
        _shown[-1].line(text)
    else:
        say(text, err=True)


@contextmanager
def stage(doing: str, unit: str = "", total: int | None = None) -> Iterator[Advance]:
    """A stage of the work that may take long.

    Args:
        doing: Activity, "drawing the suite".
        unit: Name of the counted units, in the plural; "" where nothing can be.
        total: Number of units; None if unknown (yet).

    Yields:
        Called with how many are done.
    """
    display = _shown[-1] if _shown else None
    advance = Advance(display or silent, doing, unit, total)
    before = display.current if display else None
    advance(0)
    try:
        yield advance
    finally:
        if display:
            display.end(before)


def tracked(
    items: Iterable[Item], doing: str, unit: str, total: int | None = None
) -> Iterator[Item]:
    """The same items, with their number on the display; arguments as of `stage`."""
    count = len(items) if total is None and isinstance(items, Sized) else total
    with stage(doing, unit, count) as advance:
        for done, item in enumerate(items, 1):
            yield item
            advance(done)


class Display:
    """Keeps the pace of the stage that is under way, and tells the cost of a long run once.

    Draws twice a second from a thread of its own, because the work may wait for one long call.
    """

    def __init__(self, advice: str = "") -> None:
        self.current: Progress | None = None
        self._advice = advice
        self._begun: dict[tuple[str, str], tuple[int, float]] = {}
        self._cost_told = False
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Display:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the thread."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_TICK_SECONDS):
            with self._lock:
                self.tick()

    def tick(self) -> None:
        """Draw how far the stage is that is under way."""

    def __call__(self, progress: Progress) -> None:
        """Take in how far the work is."""
        if not progress.estimated:
            with self._lock:
                self._begun.setdefault(_key(progress), (progress.done, time.monotonic()))
                self.current = progress
            if self.elapsed(progress) < _MEASURE_SECONDS:
                return
        self._tell_cost(progress)

    def end(self, before: Progress | None) -> None:
        """Remove a finished stage.

        Args:
            before: What was under way when it began.
        """
        with self._lock:
            if self.current is not None:
                self._begun.pop(_key(self.current), None)
            self.current = before

    def line(self, text: str) -> None:
        """Print a line of its own."""
        say(text, err=True)

    def elapsed(self, progress: Progress) -> float:
        """Seconds since a stage began."""
        return time.monotonic() - self._begun[_key(progress)][1]

    def words(self, progress: Progress) -> str:
        """How far a stage is: count, rate, time left; or the seconds that it has taken."""
        begun, _ = self._begun[_key(progress)]
        elapsed, made = self.elapsed(progress), progress.done - begun
        left = self._left(progress, made, elapsed)
        counted = f"{progress.done:,} {progress.stage}"
        if progress.total is not None:
            counted = f"{progress.done:,} of {progress.total:,} {progress.stage}"
        parts = [
            *([counted] if progress.stage else []),
            *([rate(made / elapsed, progress.stage)] if made > 0 and elapsed > 0 else []),
            *([progress.news] if progress.news else []),
            *([f"{duration(left)} left"] if left is not None else []),
        ]
        if not progress.stage or (left is None and made == 0):
            parts.append(f"{duration(elapsed)} so far")
        text = ", ".join(parts)
        return f"{progress.doing}: {text}" if progress.doing else text

    def _left(self, progress: Progress, made: int, elapsed: float) -> float | None:
        if progress.seconds_left is not None or progress.total is None or made <= 0:
            return progress.seconds_left
        measured = elapsed >= _MEASURE_SECONDS
        return (progress.total - progress.done) * elapsed / made if measured else None

    def _tell_cost(self, progress: Progress) -> None:
        """Say what a long run will take, while there is still time to choose a shorter one."""
        left = progress.seconds_left
        if left is None or progress.total is None or self._cost_told:
            return
        self._cost_told = True
        if left >= LONG_RUN_SECONDS:
            told = f"{progress.total - progress.done:,} {progress.stage} are left, about "
            more = [part for part in (self._advice, progress.hint) if part]
            self.line("; ".join([told + duration(left), *more]))


class Lines(Display):
    """A line after five seconds and every half minute, whatever the work waits for."""

    def __init__(self, advice: str = "") -> None:
        super().__init__(advice)
        self._due = time.monotonic() + _FIRST_SECONDS

    def tick(self) -> None:
        """Print how far the work is if a line is due."""
        current = self.current
        if current is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _LINE_SECONDS
        self.line(self.words(current))


class Bars(Display):
    """A bar for the stage that is under way, gone when the work is done."""

    def __init__(self, advice: str = "", console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Drawn

        super().__init__(advice)
        words = TextColumn("{task.description}", markup=False)
        where = console or Console(stderr=True)
        self._drawn = Drawn(BarColumn(bar_width=20), words, console=where, transient=True)
        self._bar: tuple[Any, tuple[str, str]] | None = None  # the task, and of which stage

    def __enter__(self) -> Bars:
        self._drawn.start()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the bar."""
        super().__exit__(*error)
        self._drawn.stop()

    def tick(self) -> None:
        """Draw the bar of the stage that is under way."""
        progress = self.current
        if self._bar is not None and (progress is None or self._bar[1] != _key(progress)):
            self._drawn.remove_task(self._bar[0])
            self._bar = None
        if progress is None:
            return
        if self._bar is None:
            self._bar = self._drawn.add_task("", total=progress.total), _key(progress)
        text = visible(self.words(progress))
        self._drawn.update(
            self._bar[0], description=text, total=progress.total, completed=progress.done
        )

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._drawn.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


def _key(progress: Progress) -> tuple[str, str]:
    return progress.doing, progress.stage


def rate(per_second: float, unit: str) -> str:
    """A pace as people say it: "250 pairs/s", "1.4 images/s", "12 s for one of the images"."""
    if per_second >= 10:
        return f"{per_second:,.0f} {unit}/s"
    if per_second >= 0.1:
        return f"{per_second:.2g} {unit}/s"
    return f"{duration(1 / per_second)} for one of the {unit}"


def duration(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
