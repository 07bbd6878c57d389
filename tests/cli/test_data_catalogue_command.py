"""`unimo2 data list` and `unimo2 data verify`: what they print, as JSON, and their exit status."""

import json
from pathlib import Path

import pytest

from examples.embedded_levels.__main__ import main as compute_levels
from unimo2.cli import main
from unimo2.cli.options import VARIABLE

SMALL = ["--scale", "0.001", "--flickr-test", "6", "--processes", "1"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny embedded suite, with the levels of its retrieval test."""
    root = tmp_path_factory.mktemp("data") / "mini"
    assert main(["data", "make-mini", "--root", str(root), *SMALL]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["embedded_levels", str(root), "--only", "flickr30k"])
        compute_levels()
    return root


def printed_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    """What a command prints with --json."""
    assert main(["data", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_shows_what_the_suite_holds_with_ceilings_and_chance(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against suite.json and the files of the suite."""
    assert main(["data", "list", "--data-root", str(suite)]) == 0
    output = capsys.readouterr().out
    content = json.loads((suite / "suite.json").read_text())
    levels = content["levels"]["flickr"]
    assert f"suite mini at {suite}" in output
    image, text = (levels[f"{kind}_retrieval/R@1"]["ideal"] for kind in ("image", "text"))
    table = [line.split() for line in output.split("Upper bounds and baselines")[1].splitlines()]
    rows = [row[:5] for row in table]
    assert ["flickr", "image_retrieval/R@1", f"{image:.1f}", "16.7", "-"] in rows
    assert ["flickr", "text_retrieval/R@1", f"{text:.1f}", "16.7", "-"] in rows
    assert "images with 5 captions each: train 8, val 8, test 6" in output
    assert "[22 entries]" in output
    assert "not part of it" in output and "[not there]" in output
    assert "swaps the heads test-dev and test-std" in " ".join(output.split())
    for heading in ("Benchmarks", "Pairs of images and texts", "Labelled images", "Texts"):
        assert f"\n{heading}" in output


def test_list_as_json_says_the_same(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against suite.json, the layout on disk, and the official count of the test split."""
    content = printed_json(capsys, "list", "flickr", "vqa", "--data-root", str(suite))
    flickr, vqa = content["data_sets"]
    assert (flickr["name"], vqa["name"]) == ("flickr30k", "vqa")
    assert flickr["suite"]["counts"] == {"train": 8, "val": 8, "test": 6}
    assert [place["here"]["there"] for place in flickr["places"]] == [True, True]
    assert all(place["here"]["there"] for place in vqa["places"])
    test = [row for row in flickr["official"] if (row["split"], row["unit"]) == ("test", "images")]
    assert test[0]["count"] == 1_000 and test[0]["source"] and flickr["licence"]


def test_list_needs_no_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a machine without any data: the list says how to make or name some."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(["data", "list"]) == 0
    assert "make it with 'unimo2 data make-mini'" in capsys.readouterr().out
    assert main(["data", "list", "sbu", "--suite", "paper"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("no data root: name one with --data-root or UNIMO2_DATA")
    assert "1,000,000" in output and "not there" not in output
    assert main(["data", "list", "--data-root", str(tmp_path / "none")]) == 2
    assert main(["data", "list", "sbus"]) == 2
    assert "unknown data set 'sbus'" in capsys.readouterr().err


def test_verify_finds_the_suite_whole(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against a suite that was just written: every count as in suite.json, every image decodes."""
    assert main(["data", "verify", "--data-root", str(suite), "--images"]) == 0
    lines = capsys.readouterr().out.splitlines()
    written = json.loads((suite / "suite.json").read_text())["counts"]
    assert [name for name in written if f"{name}: complete" not in lines] == []
    assert any(line.split() == ["flickr30k", "test", "images", "6", "6"] for line in lines)
    content = printed_json(capsys, "verify", "snli-ve", "vqa", "--data-root", str(suite))
    assert [verdict["state"] for verdict in content["data_sets"]] == ["complete", "complete"]
    for verdict in content["data_sets"]:
        official = {row["split"]: row["here"] for row in verdict["rows"] if row["official"]}
        assert official == written[verdict["name"]] and verdict["problems"] == []


def test_verify_names_what_is_wrong_and_fails(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against a copy of the suite with a truncated image and an image taken away."""
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(suite, root)
    first, second = sorted((root / "flickr30k" / "flickr30k-images").iterdir())[:2]
    first.write_bytes(first.read_bytes()[:200])
    second.unlink()
    assert main(["data", "verify", "flickr", "--data-root", str(root)]) == 1
    output = capsys.readouterr().out
    assert "flickr30k: has problems" in output
    assert f"  problem: 1 of 22 images not on disk, first {second}\n" in output
    assert "cannot be read" not in output
    assert main(["data", "verify", "flickr", "--images", "--data-root", str(root)]) == 1
    assert "  problem: 1 of 21 images cannot be read, first: " in capsys.readouterr().out


def test_verify_of_real_samples_calls_them_samples(
    real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against the README of the real samples; the paper's slips stand below the table.

    The one problem is SST-2's dev file there, a tenth of the official training rows.
    """
    assert main(["data", "verify", "--data-root", str(real_data)]) == 1
    output = capsys.readouterr().out
    assert output.count("problem: ") == 1 and "  problem: dev: 6,735 rows: these are" in output
    assert "\ncola: a complete part of it\n  not there: train, test\n" in output
    assert "flickr30k: a sample; results on it are not comparable with published ones" in output
    assert "\n  test: 60 of 1,000 images\n" in output
    assert "flickr30k  test           images         60      1,000  1K" in output
    table, below = output.split("about the paper's tables 6 and 7:")
    assert "data set" in table and "swaps the heads test-dev and test-std" in below
    assert "counts SNLI-VE's image-sentence pairs as images" in below


def test_verify_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against an empty root, a name that nothing has, and no root at all."""
    for arguments, message in (
        (["--data-root", str(tmp_path)], "not found; see 'unimo2 data list "),
        (["vqa", "--data-root", str(tmp_path)], "vqa is not in "),
        (["nothing", "--data-root", str(tmp_path)], "unknown data set 'nothing'"),
        (["--data-root", str(tmp_path / "none")], "none: not found, expected a folder"),
        (["--suite", "maxi"], "option --suite got 'maxi'"),
    ):
        assert main(["data", "verify", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
