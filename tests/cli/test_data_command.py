"""`unimo2 data`: the suite is made and shown through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unimo2.cli import main

SMALL = ["--scale", "0.001", "--flickr-test", "6", "--processes", "1"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "mini"
    assert main(["data", "make-mini", "--root", str(root), *SMALL]) == 0
    return root


def test_make_mini_prints_what_the_suite_says(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against suite.json: counts and fingerprints; and where levels come from that it lacks."""
    assert main(["data", "make-mini", "--root", str(suite), *SMALL]) == 0
    output = capsys.readouterr().out
    content = json.loads((suite / "suite.json").read_text())
    assert f"fingerprint {content['fingerprint']}" in output
    assert "flickr30k: 22 images with 5 captions each (train 8, val 8, test 6)" in output
    assert f"fingerprint of coco: {content['fingerprints']['coco']}" in output
    assert content["levels"] == {} and "R@1" not in output
    assert "'python -m examples.embedded_levels FOLDER'" in output
    assert "the same for every seed" not in output
    assert str(suite) in output


def test_make_mini_refuses_in_one_line(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and one line on stderr."""
    for arguments in (
        ["--root", str(suite), "--seed", "7"],
        ["--root", str(tmp_path / "x"), "--scale", "-1"],
    ):
        assert main(["data", "make-mini", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("unimo2: error: ") and error.count("\n") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("dataset", "split", "count"),
    [
        ("flickr", "test", 6),
        ("coco", "test", 8),
        ("visual-genome", "train", 8),
        ("conceptual-captions", "train", 8),
        ("sbu", "train", 8),
    ],
)
def test_show_writes_a_sheet(
    suite: Path,
    tmp_path: Path,
    dataset: str,
    split: str,
    count: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sheet is a picture with ink on it, and says how much of the split it shows."""
    sheet = tmp_path / "sheet.png"
    arguments = ["data", "show", dataset, "--n", "99", "--data-root", str(suite)]
    assert main([*arguments, "--output", str(sheet)]) == 0
    assert f"{count} of the {count} images of {dataset} {split}" in capsys.readouterr().out
    with Image.open(sheet) as picture:
        assert picture.format == "PNG" and picture.width > 1000
        pixels = np.asarray(picture)
    assert (pixels < 100).all(axis=2).mean() > 0.01


def test_show_refuses_in_one_line(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown split, data that is not there, an output that cannot be written."""
    show = ["data", "show", "flickr"]
    at_suite = ["--data-root", str(suite)]
    for arguments, message in (
        ([*at_suite, "--split", "dev"], "unknown split 'dev'"),
        (["--data-root", str(tmp_path)], "captions not found"),
        ([*at_suite, "--output", str(tmp_path / "no" / "a.png")], "cannot write"),
        ([*at_suite, "--output", str(tmp_path / "a.docx")], "cannot write"),
    ):
        assert main([*show, *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_show_reads_real_photos(real_data: Path, tmp_path: Path) -> None:
    """The same command on the real samples."""
    sheet = tmp_path / "real.png"
    arguments = ["data", "show", "flickr", "--n", "3", "--data-root", str(real_data)]
    assert main([*arguments, "--output", str(sheet)]) == 0
    assert sheet.is_file()
