"""A site that follows a runs folder, and what it says of runs that have not finished."""

import fcntl
import json
import os

import pytest

from reports.site import SiteRequest
from reports.unfinished import unfinished
from reports.watching import watch


def partial(runs):
    """An interrupted run with 150 predictions."""
    folder = runs / "mini" / "vqa" / "mini" / "20260101T000000Z-abcdef"
    (folder / "predictions").mkdir(parents=True)
    (folder / "run.json").write_text("{}", encoding="utf-8")
    for name in ("0-100.json", "100-150.json", "notes.txt"):
        (folder / "predictions" / name).write_text("{}", encoding="utf-8")
    return folder


def test_partial_runs_say_how_far_they_are_and_whether_they_go_on(tmp_path):
    """Against two chunks of predictions, and the lock that a living process holds."""
    folder = partial(tmp_path)
    (found,) = unfinished(tmp_path)
    assert (found.done, found.going_on) == (150, False) and "150 items done" in str(found)
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert unfinished(tmp_path)[0].going_on
    os.close(handle)
    (folder / "record.json").write_text("{}", encoding="utf-8")
    assert unfinished(tmp_path) == []


def test_a_watched_site_is_written_again_after_a_change(tmp_path):
    """Against a site that is looked at three times: nothing new, a run, a training's log."""
    runs, told = tmp_path / "runs", []
    runs.mkdir()
    steps = iter((lambda: None, lambda: partial(runs), lambda: log(runs)))

    def log(folder):
        lines = [json.dumps({"step": n, "loss": 1.0 / n, "samples/pairs": 5}) for n in (1, 2)]
        (folder / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def pause(seconds):
        assert seconds > 0
        try:
            next(steps)()
        except StopIteration:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        watch(tmp_path / "site", SiteRequest(runs=runs), told.append, pause)
    assert len(told) == 3
    said = (tmp_path / "site" / "runs.html").read_text(encoding="utf-8")
    assert "150 items done" in said and "interrupted" in said
    training = (tmp_path / "site" / "training.html").read_text(encoding="utf-8")
    assert "Not finished" in training and "loss from 1 to 0.5" in training
    assert "samples" not in training
