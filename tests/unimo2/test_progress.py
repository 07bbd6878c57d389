"""Progress: bars on a terminal, few lines elsewhere, and nothing where nobody looks."""

import io

import pytest
from rich.console import Console

from unimo2 import progress
from unimo2.progress import Progress


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in place of the machine's, and no thread that draws by itself."""
    monkeypatch.setattr(progress, "_TICK_SECONDS", 3600.0)
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 5.0)
    return Clock(monkeypatch)


@pytest.mark.parametrize("kind", ["bars", "lines"])
def test_rate_and_time_left_are_told(clock: Clock, kind: str, capsys) -> None:
    """Truth: 2,500 pairs in ten seconds, so that as many again take as long."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200)
    display = progress.Bars(console=console) if kind == "bars" else progress.Lines()
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
    with progress.showing(advice="--limit measures a sample sooner") as report:
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
        with progress.showing(quiet) as report, progress.stage("counting"):
            report(Progress("pairs", 0, 10))
            clock.now += seconds
            report(Progress("pairs", 5, 10, seconds))
    assert capsys.readouterr() == ("", "")


def test_a_file_gets_its_first_line_soon_and_one_every_half_minute(clock: Clock, capsys) -> None:
    """Truth: 100 seconds are a line after five, and three half minutes after it."""
    display = progress.Lines()
    for step in range(101):
        clock.now = float(step)
        display(Progress("pairs", step, 100))
        display.tick()
    found = capsys.readouterr().err.splitlines()
    assert [line.split(" of ")[0] for line in found] == ["5", "35", "65", "95"]
    assert found[1] == "35 of 100 pairs, 1 pairs/s, 65 s left"


def test_work_that_waits_for_one_long_call_says_so(clock: Clock, capsys) -> None:
    """Truth: a program that says nothing for 40 seconds; then the stage around it goes on."""
    with progress.showing() as display, progress.stage("scoring captions", "metrics", 5) as advance:
        advance(2)
        with progress.stage("METEOR in Java"):
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
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_TICK_SECONDS", 0.01)
    said = progress.threading.Event()
    monkeypatch.setattr(progress.Lines, "line", lambda display, text: said.set())
    with progress.showing(), progress.stage("waiting"):
        assert said.wait(10)


def test_items_are_counted_as_they_come_and_cost_nothing_without_a_display(clock, capsys) -> None:
    """Truth: the items themselves; the third of four after ten seconds."""
    assert list(progress.tracked(iter("abc"), "reading", "files")) == ["a", "b", "c"]
    with progress.showing() as display:
        for item in progress.tracked([1, 2, 3, 4], "reading", "files"):
            if item == 4:
                clock.now = 10.0
                display.tick()
    assert capsys.readouterr().err == ("reading: 3 of 4 files, 0.3 files/s, 3 s left\n")


def test_a_name_in_a_stage_is_text_on_a_terminal(clock: Clock) -> None:
    """Truth: a name that rich would take for markup and for an emoji, and that moves the cursor."""
    stream = io.StringIO()
    bars = progress.Bars(console=Console(file=stream, force_terminal=True, width=200))
    with bars:
        bars(Progress("", 0, None, doing="counting run[final] :100: \x1b[2J"))
        bars.tick()
    assert "counting run[final] :100: \\x1b[2J" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "1 h 30 min")]
)
def test_times_are_written_as_people_say_them(seconds: float, text: str) -> None:
    """Truth: by hand."""
    assert progress.duration(seconds) == text
