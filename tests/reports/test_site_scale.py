"""How long a large site takes: 100 runs of 5,000 items each, with questions, answers and pictures."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from builders.item_fakes import write_vqa
from evals import records
from evals.datasets.suites import resolve
from evals.metrics.ranking import Metric
from reports.examples import read_split

RUNS, ITEMS = 100, 5_000
SECONDS, MEBIBYTES = 60, 1024  # of processor time and resident memory, at most
SAID = ("red", "blue", "green", "yes", "no", "two")


def write_runs(folder, make_record):
    """The runs, and the data root that they are of."""
    root = write_vqa(folder / "data", "test-dev2015", questions=ITEMS, server=True)
    data = read_split("vqa", resolve(None, root), "test-dev")  # a split of Table 1
    rng = np.random.default_rng(0)
    ids = {
        "question_id": [one.id for one in data.questions],
        "image_id": [one.image_id for one in data.questions],
        "answer_type": "other",
        "question_type": "what",
        "target": [data.truth[one.id].most_common for one in data.questions],
    }
    for number in range(RUNS):
        score = rng.choice([0.0, 0.3, 0.6, 1.0], ITEMS)
        samples = pd.DataFrame({**ids, "prediction": rng.choice(SAID, ITEMS), "score": score})
        value = 100 * float(score.mean())
        metric = Metric(value, ITEMS, (value - 1, value + 1), None, False)
        made = make_record(f"model-{number:03d}", None, zero_shot=False, suite="paper")
        about = {**data.summary(), "note": None}
        made = replace(made, benchmark="vqa", data=about, metrics={"accuracy": metric})
        run = folder / "runs" / "paper" / "vqa" / made.model / "a"
        records.write(made, run)
        records.write_samples(samples, run)
    return folder / "runs", root


@pytest.mark.slow
@pytest.mark.timeout(1800)  # by the clock, of a machine that may be busy
def test_a_hundred_runs_of_five_thousand_items_make_a_site_in_a_minute(tmp_path, make_record):
    """Against processor time and resident memory of the command, and the items it wrote."""
    runs, root = write_runs(tmp_path, make_record)
    command = [
        *(sys.executable, "-m", "unimo2", "report", "--html", tmp_path / "site", "--runs", runs),
        *("--data-root", root, "--embed-images"),
    ]
    start = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    used, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    size = sum(path.stat().st_size for path in (tmp_path / "site").rglob("*") if path.is_file())
    print(
        f"{used:.1f} s of processor time, {time.perf_counter() - start:.1f} s by the clock, "
        f"{memory:.0f} MiB, {size / 1e6:.0f} MB on disk"
    )
    assert status == 0
    written = list((tmp_path / "site" / "data").glob("*.js"))
    assert len(written) == RUNS
    assert all(path.read_text("utf-8").count('"annotators: ') == ITEMS for path in written)
    table = (tmp_path / "site" / "table-1.html").read_text("utf-8")
    assert table.count(", paired)") == RUNS - 1
    assert used < SECONDS and memory < MEBIBYTES
