"""What a terminal shows: text as it is, escapes for what it would obey, figures whole; progress."""

import io
import json
import sys

import pytest
from rich.console import Console

from unimo2 import console
from unimo2.console import Progress

HOSTILE = "run[final].tsv :100: [red]x[/red] \x1b[2J\x9b31m\u202egpj.exe\x07"
SHOWN = r"run[final].tsv :100: [red]x[/red] \x1b[2J\x9b31m\u202egpj.exe\x07"


def test_marks_are_shown_and_control_characters_escaped(capsys):
    """Truth: the escapes of Python's own strings; line breaks of ours stay."""
    console.say(f"first\n{HOSTILE}")
    console.note(f"a\nb {HOSTILE}", err=True)
    assert capsys.readouterr() == (f"first\n{SHOWN}\n", f"note    a\\nb {SHOWN}\n")


def test_json_stays_json(capsys):
    """Truth: json reads what was given, and no byte of it moves a cursor."""
    content = {"model": HOSTILE + "\U000e0001\ud83d", "letters": "größe 図"}
    console.print_json(content)
    out = capsys.readouterr().out
    assert json.loads(out) == content and "größe 図" in out
    assert all(letter.isprintable() for letter in out.replace("\n", ""))
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.print_json(float("nan"))


def test_a_stream_that_cannot_write_a_letter_or_is_closed_loses_nothing_else(monkeypatch):
    """Truth: an ASCII terminal; and the streams of a detached program, which are None."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console.say("größe 67.27")
    assert raw.getvalue() == b"gr\\xf6\\xdfe 67.27\n"
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console.say("nobody hears this")
    console.note("nor this", err=True)
    assert console.terminal_width() is None


@pytest.mark.parametrize("width", [200, 60, 40, 24, 10, 1])
def test_no_figure_is_cut_however_narrow(width):
    """Truth: every cell, whole, in a line that begins with its row's name."""
    heads = ("metric", "%", "95 % interval", "chance", "n", "")
    rows = [
        ("accuracy", "66.67", "0.00 to 100.00", "50.00", "1,234,567", "at chance"),
        (HOSTILE, "5.00", "1.00 to 9.00", "", "3", ""),
    ]
    lines = console.table_lines(heads, [("", rows)], numbers=range(1, 5), width=width)
    for label, row in ((rows[0][0], rows[0]), (SHOWN, rows[1])):
        own = " ".join(line for line in lines if line.startswith(label))
        assert all(cell in own for cell in row[1:])
    fits = max(map(len, heads)) + 2 + max(map(len, rows[0][1:])) + len(SHOWN)
    assert width < fits or all(len(line) <= width for line in lines)


def test_groups_and_numbers_are_set_as_by_hand():
    """Truth: a table typed by hand."""
    groups = [("of images", [("R@1", "7.25")]), ("", [("R@10", "100.00")])]
    assert console.table_lines(("recall", "%"), groups, numbers=(1,)) == [
        "--------------",
        "recall       %",
        "--------------",
        "of images",
        "R@1       7.25",
        "--------------",
        "R@10    100.00",
        "--------------",
    ]


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(console.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in place of the machine's, and no thread that draws by itself."""
    monkeypatch.setattr(console, "_TICK_SECONDS", 3600.0)
    monkeypatch.setattr(console, "_FIRST_SECONDS", 5.0)
    return Clock(monkeypatch)


@pytest.mark.parametrize("kind", ["bars", "lines"])
def test_rate_and_time_left_are_told(clock: Clock, kind: str, capsys) -> None:
    """Truth: 2,500 pairs in ten seconds, so that as many again take as long."""
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=200)
    display = console.Bars(console=terminal) if kind == "bars" else console.Lines()
    with display:
        display(Progress("pairs", 0, 5000))
        clock.now = 10.0
        display(Progress("pairs", 2500, 5000))
        display.tick()
    shown = stream.getvalue() + capsys.readouterr().err
    assert "2,500 of 5,000 pairs, 250 pairs/s, 10 s left" in shown


@pytest.mark.parametrize("estimated", [False, True])
def test_a_long_run_tells_its_cost_once(clock: Clock, capsys, estimated: bool) -> None:
    """Truth: 2,500 pairs are left, which take 7,200 seconds by the run's own estimate."""
    with console.showing(advice="--limit measures a sample sooner") as report:
        report(Progress("pairs", 0, 5000))
        clock.now = 0.0 if estimated else 2.0
        report(Progress("pairs", 2500, 5000, 7200.0, "a hint", estimated))
        report(Progress("pairs", 2600, 5000, 3600.0))
    assert capsys.readouterr().err == (
        "2,500 pairs are left, about 2 h 00 min; --limit measures a sample sooner; a hint\n"
    )


def test_a_short_run_and_a_quiet_one_write_nothing(clock: Clock, capsys) -> None:
    """Truth: empty streams."""
    for quiet, seconds in ((False, 4.0), (True, 7200.0)):
        with console.showing(quiet) as report, console.stage("counting"):
            report(Progress("pairs", 0, 10))
            clock.now += seconds
            report(Progress("pairs", 5, 10, seconds))
    assert capsys.readouterr() == ("", "")


def test_a_file_gets_its_first_line_soon_and_one_every_half_minute(clock: Clock, capsys) -> None:
    """Truth: 100 seconds are a line after five, and three half minutes after it."""
    display = console.Lines()
    for step in range(101):
        clock.now = float(step)
        display(Progress("pairs", step, 100))
        display.tick()
    found = capsys.readouterr().err.splitlines()
    assert [line.split(" of ")[0] for line in found] == ["5", "35", "65", "95"]
    assert found[1] == "35 of 100 pairs, 1 pairs/s, 65 s left"


def test_work_that_waits_for_one_long_call_says_so(clock: Clock, capsys) -> None:
    """Truth: a program that says nothing for 40 seconds; then the stage around it goes on."""
    with console.showing() as display, console.stage("scoring captions", "metrics", 5) as advance:
        advance(2)
        with console.stage("METEOR in Java"):
            clock.now = 40.0
            display.tick()
        clock.now = 80.0
        display.tick()
    assert capsys.readouterr().err.splitlines() == [
        "METEOR in Java: 40 s so far",
        "scoring captions: 2 of 5 metrics, 40 s for one of the metrics, 2 min left",
    ]


def test_the_thread_speaks_while_the_work_is_silent(monkeypatch, capsys) -> None:
    """Truth: nothing is reported between the beginning of the stage and the line."""
    monkeypatch.setattr(console, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(console, "_TICK_SECONDS", 0.01)
    said = console.threading.Event()
    monkeypatch.setattr(console.Lines, "line", lambda display, text: said.set())
    with console.showing(), console.stage("waiting"):
        assert said.wait(10)


def test_items_are_counted_as_they_come_and_cost_nothing_without_a_display(clock, capsys) -> None:
    """Truth: the items themselves; the third of four after ten seconds."""
    assert list(console.tracked(iter("abc"), "reading", "files")) == ["a", "b", "c"]
    with console.showing() as display:
        for item in console.tracked([1, 2, 3, 4], "reading", "files"):
            if item == 4:
                clock.now = 10.0
                display.tick()
    assert capsys.readouterr().err == ("reading: 3 of 4 files, 0.3 files/s, 3 s left\n")


def test_a_name_in_a_stage_is_text_on_a_terminal(clock: Clock) -> None:
    """Truth: a name that rich would take for markup and for an emoji, and that moves the cursor."""
    stream = io.StringIO()
    bars = console.Bars(console=Console(file=stream, force_terminal=True, width=200))
    with bars:
        bars(Progress("", 0, None, doing="counting run[final] :100: \x1b[2J"))
        bars.tick()
    assert "counting run[final] :100: \\x1b[2J" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "1 h 30 min")]
)
def test_times_are_written_as_people_say_them(seconds: float, text: str) -> None:
    """Truth: by hand."""
    assert console.duration(seconds) == text
