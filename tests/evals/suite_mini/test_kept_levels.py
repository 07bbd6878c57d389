"""Ceilings and floors that come with the package, computed anew."""

import json
from pathlib import Path

import pytest

from evals.suite_mini import SuiteRequest, make_suite
from evals.suite_mini.parts import flickr30k
from evals.suite_mini.suite import LEVELS_FILE
from examples.embedded_levels.__main__ import kept_levels, main
from examples.embedded_levels.parts import levels_of

KEPT = kept_levels()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("entry", KEPT, ids=lambda entry: entry["part"])
def test_kept_levels_are_what_the_readers_reach(entry) -> None:
    """Against the readers themselves, on all of the part."""
    computed = levels_of(entry["part"], SuiteRequest(**entry["request"]))
    for benchmark, metrics in entry["levels"].items():
        assert set(computed[benchmark]) == set(metrics)
        for metric, level in metrics.items():
            found = computed[benchmark][metric]
            assert found.pop("one_modality") == pytest.approx(level.pop("one_modality"))
            assert found == pytest.approx(level)


def test_every_benchmark_of_the_suite_has_kept_levels() -> None:
    """Against the parts that have readers; quick ones computed here."""
    default = [entry for entry in KEPT if entry["request"] == vars(SuiteRequest())]
    names = {"coco", "cola", "flickr30k", "imagenet", "mnli", "snli_ve", "sst2", "stsb", "vqa"}
    assert {entry["part"] for entry in default} == names
    for entry in default:
        if entry["part"] in ("cola", "sst2"):
            assert levels_of(entry["part"], SuiteRequest()) == entry["levels"]


def test_levels_are_written_into_a_suite(monkeypatch, tmp_path: Path, capsys) -> None:
    """A suite of another seed has none until they are computed; the package's stay as they are."""
    root, before = tmp_path / "suite", LEVELS_FILE.read_text()
    request = SuiteRequest(seed=4, scale=0.001, flickr_test=5)
    assert make_suite(root, request, 1, None, [flickr30k.PART])["levels"] == {}
    monkeypatch.setattr("sys.argv", ["embedded_levels", str(root)])
    main()
    levels = json.loads((root / "suite.json").read_text())["levels"]
    assert levels == levels_of("flickr30k", request)
    assert levels["flickr"]["image_retrieval/R@1"]["chance"] == 20.0
    assert LEVELS_FILE.read_text() == before
    assert capsys.readouterr().out.startswith("flickr30k")
