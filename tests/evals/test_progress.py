"""Progress: bars on a terminal, few lines elsewhere."""

import io

import pytest
from rich.console import Console

from evals import progress
from evals.benchmark import Progress, Request
from evals.retrieval.options import RetrievalOptions
from evals.runner import command


def _show(monkeypatch: pytest.MonkeyPatch, terminal: bool, quiet: bool, left: float) -> str:
    """What is written by a run of which half is done after ten seconds."""
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=200)
    with progress.shown(console, quiet=quiet) as report:
        report(Progress("pairs", 0, 5000, None))
        report(Progress("pairs", 2500, 5000, left))
    return stream.getvalue()


def test_a_terminal_sees_pace_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth: 2,500 pairs in ten seconds; a short run needs no warning."""
    shown = _show(monkeypatch, terminal=True, quiet=False, left=10.0)
    assert "250 pairs/s" in shown
    assert "10 s left" in shown
    assert "--limit" not in shown


def test_a_long_run_tells_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth: 2,500 pairs are left, which take 7,200 seconds."""
    shown = _show(monkeypatch, terminal=True, quiet=False, left=7200.0)
    assert "2,500 pairs are left, about 2 h 00 min; --limit measures a sample sooner" in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_json_sees_nothing(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """Truth: an empty stream."""
    assert _show(monkeypatch, terminal, quiet=True, left=7200.0) == ""


def test_a_file_is_told_the_cost_of_a_long_run_and_a_short_one_prints_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Truth: the same sentence as on a terminal, without a bar."""
    shown = _show(monkeypatch, terminal=False, quiet=False, left=7200.0)
    assert shown.startswith("2,500 pairs are left, about 2 h 00 min; --limit") and len(shown) < 200
    assert _show(monkeypatch, terminal=False, quiet=False, left=10.0) == ""


def test_a_file_gets_a_line_every_twentieth_or_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth: 100 steps of a second each are three half minutes; of ten seconds, twenty parts."""
    for seconds, lines in ((1.0, 3), (10.0, 20)):
        now = [0.0]
        monkeypatch.setattr(progress.time, "perf_counter", lambda now=now: now[0])
        stream = io.StringIO()
        with progress.shown(Console(file=stream, width=200)) as report:
            for step in range(101):
                now[0] = step * seconds
                report(Progress("pairs", step, 100, (100 - step) * 0.5))
        found = stream.getvalue().splitlines()
        assert len(found) == lines
        assert found[-1].endswith("left") and " of 100 pairs, " in found[-1]


def test_a_cost_estimated_beforehand_is_told_at_once_and_once() -> None:
    """Truth: the first batch's estimate; the pace that is measured later says nothing again."""
    stream = io.StringIO()
    with progress.shown(Console(file=stream, width=200)) as report:
        report(Progress("images", 0, 10, None))
        report(Progress("pairs", 0, 5000, 7200.0, "a hint", estimated=True))
        report(Progress("pairs", 0, 5000, 3600.0))
    assert stream.getvalue().count("5,000 pairs are left") == 1
    assert "about 2 h 00 min" in stream.getvalue() and "a hint" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "1 h 30 min")]
)
def test_times_are_written_as_people_say_them(seconds: float, text: str) -> None:
    """Truth: by hand."""
    assert progress.duration(seconds) == text


def test_the_recorded_command_has_what_differs_from_the_defaults() -> None:
    """Truth: the command line as a user would write it."""
    assert command(Request("flickr", "mini", zero_shot=True)) == "unimo2 eval flickr --zero-shot"
    request = Request(
        "flickr",
        "my model",
        limit=60,
        batch_size=8,
        options=RetrievalOptions(contrastive_weight=0.5),
    )
    assert command(request) == (
        "unimo2 eval flickr --model 'my model' --limit 60 --batch-size 8 --contrastive-weight 0.5"
    )
