"""A site that follows a runs folder, and what it says of runs that have not finished."""

import fcntl
import json
import os
import re

import pytest

from evals import records
from reports import keeping, site, site_items, watching
from reports.site import SiteRequest, build
from reports.unfinished import unfinished
from reports.watching import watch
from unimo2.cli import main


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
        watch(tmp_path / "site", SiteRequest(runs=runs), lambda *said: told.append(said), pause)
    assert len(told) == 3 and all(seconds > 0 for _, seconds in told)
    said = (tmp_path / "site" / "runs.html").read_text(encoding="utf-8")
    assert "150 items done" in said and "interrupted" in said
    training = (tmp_path / "site" / "training.html").read_text(encoding="utf-8")
    assert "Not finished" in training and "loss from 1 to 0.5" in training
    assert "samples" not in training


def logged(runs, name, count):
    """A training's log of so many lines."""
    folder = runs / "pretrain" / name
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"step": n, "loss": 1.0 / n}) for n in range(1, count + 1)]
    (folder / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_what_did_not_change_is_not_made_again(tmp_path, vqa, monkeypatch):
    """Against what is read and drawn by a second, a third and a fourth writing, and a fresh site."""
    runs, root, _ = vqa
    done = []

    def counted(home, name):
        made = getattr(home, name)
        monkeypatch.setattr(home, name, lambda *given: done.append(name) or made(*given))

    counted(site.figures, "training_picture")
    counted(site, "compare")
    counted(site_items, "examples")
    request = SiteRequest(runs=runs, data_root=root, images="all")
    logged(runs, "one", 2)
    logged(runs, "two", 2)
    kept = keeping.Kept(root)

    def written():
        done.clear()
        build(tmp_path / "site", request, kept=kept)
        return sorted(done)

    assert written() == ["compare", *["examples"] * 2, *["training_picture"] * 2]
    assert written() == []
    logged(runs, "two", 3)
    assert written() == ["training_picture"]
    page = (tmp_path / "site" / "training.html").read_text(encoding="utf-8")
    assert "loss from 1 to 0.333" in page and "loss from 1 to 0.5" in page
    folder = next(path.parent for path in runs.rglob("samples.parquet"))
    samples = records.read_samples(folder)
    records.write_samples(samples.assign(prediction="changed"), folder)
    assert written() == ["compare", "examples"]
    build(tmp_path / "fresh", request)
    names = {path.relative_to(tmp_path / "fresh") for path in (tmp_path / "fresh").rglob("*")}
    assert {p.relative_to(tmp_path / "site") for p in (tmp_path / "site").rglob("*")} == names
    for name in names:
        if (tmp_path / "fresh" / name).is_file():
            old, new = (tmp_path / site / name for site in ("site", "fresh"))
            assert old.read_bytes() == new.read_bytes(), name


def test_the_command_says_what_it_watches_and_each_writing(tmp_path, capsys, monkeypatch):
    """Against the lines of standard error: one at the start, one for each of two writings."""
    runs = tmp_path / "runs"
    runs.mkdir()
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 1:
            logged(runs, "one", 2)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching, "_sleep", sleep)
    place = runs / "site"  # within the folder that is watched: no change by itself
    assert main(["report", "--html", str(place), "--runs", str(runs), "--watch"]) == 130
    first, *written = [line for line in capsys.readouterr().err.splitlines() if str(place) in line]
    assert first.startswith(f"watching {runs}") and "Ctrl-C stops" in first
    assert len(written) == 2
    assert all(re.match(rf"wrote {place}/index.html in [\d.]+ s \(", line) for line in written)
    assert all(pause >= watching.EVERY for pause in pauses)
