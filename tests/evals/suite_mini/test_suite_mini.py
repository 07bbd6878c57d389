"""The embedded suite on disk: deterministic, disjoint, whole, in the official formats."""

import json
import multiprocessing
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evals.datasets.registry import all_data_sets
from evals.suite_mini import SuiteRequest, default_root, ensure, make_suite, read_suite
from evals.suite_mini.captioned import coco_entries, flickr_entries, scene_and_descriptions
from evals.suite_mini.dice import Dice
from evals.suite_mini.render import render
from evals.suite_mini.suite import NEEDS, results_by_part
from evals.suite_mini.suite import PARTS as ALL_PARTS
from evals.suite_mini.world import make_scene
from examples.embedded_levels.__main__ import kept_levels
from unimo2.errors import MissingData, UsageError
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import KarpathyImage, read_karpathy

TINY = SuiteRequest(seed=0, scale=0.01, flickr_test=12)
SMALLEST = SuiteRequest(seed=0, scale=0.001, flickr_test=4)
PARTS = ["coco", "flickr30k"]
QUICK_PARTS = ["flickr30k", "sbu"]
"""What these tests need; other parts have tests of their own."""
WHOLE_FINGERPRINT = "eb9b3fbe1b77abdc4f0729f8e273d75e92de4bc40aa3d2323c50825ec1dcf6d2"
TINY_FINGERPRINTS = {
    "coco": "e29ddcfe8abefbff975f0804aec95097b3368c2bb8093ca575a7d5ed47583417",
    "flickr30k": "a629cee09982073509cf28fc113fd26ca96ddc16744848cc1b358ca1eecdba34",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of a few dozen pictures, written by one process."""
    root = tmp_path_factory.mktemp("suites") / "tiny"
    make_suite(root, TINY, processes=1, parts=PARTS)
    return root


def read_flickr(root: Path) -> list[KarpathyImage]:
    return read_karpathy(
        root / "flickr30k" / "dataset_flickr30k.json", root / "flickr30k" / "flickr30k-images"
    )


def read_coco(root: Path) -> list[KarpathyImage]:
    return read_karpathy(root / "coco" / "dataset_coco.json", root / "coco")


def test_fingerprint_is_the_same_on_every_machine(tiny: Path) -> None:
    """Against the fingerprints noted above; a wanted change of the data needs a new VERSION."""
    content = read_suite(tiny)
    assert content is not None and content["fingerprints"] == TINY_FINGERPRINTS


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_fingerprint_of_the_whole_suite(tmp_path: Path) -> None:
    """Against the one noted above, of which every level and every record of the package speaks."""
    content = make_suite(tmp_path / "whole", SuiteRequest())
    assert content["fingerprint"] == WHOLE_FINGERPRINT
    assert {entry["fingerprint"] for entry in kept_levels()} <= {*content["fingerprints"].values()}
    assert set(content["levels"]) >= {"flickr", "vqa", "coco", "imagenet", "mnli"}


def test_number_of_processes_does_not_matter(tiny: Path, tmp_path: Path) -> None:
    """Every file of a suite written by two processes equals that of one process."""
    two = tmp_path / "two"
    make_suite(two, TINY, processes=2, parts=PARTS)
    files = sorted(path.relative_to(tiny) for path in tiny.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    assert all((tiny / name).read_bytes() == (two / name).read_bytes() for name in files)


def test_a_process_that_is_killed_ends_the_drawing() -> None:
    """Truth: one line, and no process that lives on or is waited for without end."""
    # `exec(code, root, seed)`: a job of another process that needs no module of the tests there
    dies = SimpleNamespace(
        run=partial(exec, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    )
    with pytest.raises(UsageError, match="was killed, perhaps for want of memory"):
        list(results_by_part({}, {}, [[dies] * 120], 2))  # type: ignore[arg-type, list-item]
    assert not multiprocessing.active_children()


def test_another_seed_gives_other_data(tiny: Path, tmp_path: Path) -> None:
    """The captions of the two suites have next to nothing in common."""
    request = SuiteRequest(seed=1, scale=0.01, flickr_test=12)
    other = make_suite(tmp_path / "other", request, 1, parts=PARTS)
    first = read_suite(tiny)
    assert first is not None and other["fingerprint"] != first["fingerprint"]
    assert other["counts"] == first["counts"]
    ours, theirs = (
        {caption.text for image in read_coco(root) for caption in image.captions}
        for root in (tiny, tmp_path / "other")
    )
    assert len(ours & theirs) < 0.02 * len(ours)


def test_written_in_karpathys_layouts(tiny: Path) -> None:
    """Against the real files' fields, and through the same reader as the real files."""
    content = json.loads((tiny / "coco" / "dataset_coco.json").read_text())
    assert content["dataset"] == "coco"
    image = content["images"][0]
    assert set(image) == {
        *("filepath", "filename", "imgid", "sentids", "split", "sentences", "cocoid")
    }
    assert image["filename"] == f"COCO_train2014_{image['cocoid']:012d}.jpg"
    assert image["sentids"] == [sentence["sentid"] for sentence in image["sentences"]]
    assert set(image["sentences"][0]) == {"tokens", "raw", "imgid", "sentid"}
    suite = read_suite(tiny)
    assert suite is not None
    for name, images in (("flickr30k", read_flickr(tiny)), ("coco", read_coco(tiny))):
        assert Counter(image.split for image in images) == suite["counts"][name]
        assert {len(image.captions) for image in images} == {5}
    folders = {image.split: image.path.parent.name for image in read_coco(tiny)}
    assert folders == dict(train="train2014", restval="val2014", val="val2014", test="val2014")


def test_tokens_are_the_words_of_the_sentence(tiny: Path) -> None:
    """Against splitting the sentence at spaces and stripping punctuation."""
    for image in read_flickr(tiny):
        for caption in image.captions:
            words = [word.strip(".,:").lower() for word in caption.text.split()]
            assert list(caption.tokens) == words


def test_files_show_what_was_drawn(tiny: Path) -> None:
    """The decoded JPEG is the rendered picture up to the coder's loss of a few levels."""
    images = read_flickr(tiny)
    for entry, image in zip(flickr_entries(TINY), images, strict=True):
        scene, descriptions = scene_and_descriptions(0, entry)
        drawn = render(scene, Dice(0, entry.collection, entry.world, entry.index, "picture"))
        decoded = np.asarray(load_image(image.path)).astype(int)
        assert decoded.shape == (48, 48, 3)
        assert np.abs(decoded - drawn).mean() < 4
        assert [caption.text for caption in image.captions] == [d.text for d in descriptions]


def test_worlds_are_disjoint_even_up_to_rearrangement() -> None:
    """No set of shapes, colours and background of a test or val scene occurs in training."""
    families = {
        split: {
            make_scene(0, collection, split, index).family()
            for collection in collections
            for index in range(400)
        }
        for split, collections in {
            "train": ("flickr30k", "coco-train", "coco-restval"),
            "val": ("flickr30k", "coco-val"),
            "test": ("flickr30k", "coco-test"),
        }.items()
    }
    assert len(families["train"]) > 800
    assert not families["train"] & (families["val"] | families["test"])
    assert not families["val"] & families["test"]


def test_ids_are_unique_at_full_size() -> None:
    """File names and COCO ids over all splits of the full suite."""
    entries = coco_entries(SuiteRequest())
    assert len({entry.cocoid for entry in entries}) == len(entries) == 12_600
    assert len({entry.path for entry in entries}) == 12_600
    names = [entry.filename for entry in flickr_entries(SuiteRequest(flickr_test=1_000))]
    assert len(set(names)) == len(names) == 3_300


def test_flickr_test_grows_without_changing_the_other_splits() -> None:
    """A larger test split begins with the smaller one; train and val stay the same."""
    small, large = (flickr_entries(SuiteRequest(flickr_test=size)) for size in (300, 1_000))
    assert [entry for entry in large if entry.split != "test"] == [
        entry for entry in small if entry.split != "test"
    ]
    assert large[: len(small)] == small


def test_finished_suite_is_left_alone_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    """Against the file's inode, which a rewrite changes."""
    root = tmp_path / "suite"
    content = make_suite(root, SMALLEST, processes=1, parts=QUICK_PARTS)
    picture = next((root / "sbu" / "images").iterdir())
    inode = picture.stat().st_ino
    assert make_suite(root, SMALLEST, processes=1, parts=QUICK_PARTS) == content
    assert picture.stat().st_ino == inode
    picture.unlink()
    assert make_suite(root, SMALLEST, processes=1, parts=QUICK_PARTS) == content
    assert picture.is_file()


def test_the_catalogue_knows_every_part() -> None:
    """Against the data sets that the project reads, and the parts that others speak of."""
    names = list(ALL_PARTS)
    assert len(names) == 16 and names == sorted(names)
    assert set(names) <= set(all_data_sets())
    assert {*NEEDS, *NEEDS.values()} <= set(names)


def test_part_that_is_missing_makes_the_suite_incomplete(tmp_path: Path) -> None:
    """A suite of one part is added to when two are asked for, and then left alone."""
    root = tmp_path / "suite"
    one = make_suite(root, SMALLEST, 1, None, QUICK_PARTS[:1])
    assert list(one["counts"]) == ["flickr30k"]
    two = make_suite(root, SMALLEST, 1, None, QUICK_PARTS)
    assert list(two["counts"]) == ["flickr30k", "sbu"]
    assert two["fingerprints"]["flickr30k"] == one["fingerprints"]["flickr30k"]
    assert make_suite(root, SMALLEST, 1, None, QUICK_PARTS[:1]) == two


def bytes_of(root: Path) -> dict[str, bytes]:
    """Every file by its path."""
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of a small suite with all parts."""
    root = tmp_path_factory.mktemp("suites") / "all"
    make_suite(root, SMALLEST, processes=1)
    return bytes_of(root)


def test_parts_one_by_one_are_the_same_as_all_at_once(
    at_once: dict[str, bytes], tmp_path: Path
) -> None:
    """Against every file, the description too; parts share folders, so their order is turned round."""
    root = tmp_path / "suite"
    for name in reversed(ALL_PARTS):
        assert name in make_suite(root, SMALLEST, 1, None, [name])["fingerprints"]
    assert bytes_of(root) == at_once
    assert [path.name for path in tmp_path.iterdir()] == ["suite"]


def test_ensure_draws_what_is_needed_and_missing(
    at_once: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of VQA its pictures as well, of the size that the suite there has; once."""
    root = tmp_path / "suite"
    make_suite(root, SMALLEST, 1, None, ["flickr30k"])
    assert ensure(["vqa", "no part of the suite"], root) == root
    assert "drawing coco, vqa of the mini suite in" in capsys.readouterr().err
    content = read_suite(root)
    assert content is not None and list(content["fingerprints"]) == ["coco", "flickr30k", "vqa"]
    found = bytes_of(root)
    assert all(at_once[name] == text for name, text in found.items() if name != "suite.json")
    ensure(["flickr30k", "vqa"], root)
    assert capsys.readouterr().err == "" and bytes_of(root) == found


def test_ensure_says_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A file is where the cache folder should be."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(MissingData, match="cannot be drawn in .*XDG_CACHE_HOME"):
        ensure(["sst2"], tmp_path / "cache" / "suite")


@pytest.mark.parametrize("moves", range(6))
def test_whoever_is_stopped_leaves_no_half_part(
    moves: int, at_once: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while parts get their place: the description speaks of whole parts; then all is drawn."""
    root, calls = tmp_path / "suite", [0]
    first = make_suite(root, SMALLEST, 1, None, ["vqa", "mnli"])
    replace = Path.replace

    def stopped(source: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] > moves:
            raise KeyboardInterrupt
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_suite(root, SMALLEST, 1, None, ["coco", "cola", "sst2", "bookwiki"])
    monkeypatch.setattr(Path, "replace", replace)
    assert read_suite(root) == first
    found = bytes_of(root)
    assert all(at_once[name] == text for name, text in found.items() if name != "suite.json")
    make_suite(root, SMALLEST, 1)
    assert bytes_of(root) == at_once


SCRIPT = """
import sys
from pathlib import Path
from evals.suite_mini import SuiteRequest, make_suite
request = SuiteRequest(seed=0, scale=0.001, flickr_test=4)
make_suite(Path(sys.argv[1]), request, 2, None, sys.argv[2:])
"""
"""Not guarded by its name, as processes that are spawned usually need."""


def test_processes_that_draw_at_once_do_not_disturb_each_other(
    at_once: dict[str, bytes], tmp_path: Path
) -> None:
    """Two draw the same parts and a third another one, each with two processes of its own."""
    script, root = tmp_path / "draw.py", tmp_path / "suite"
    script.write_text(SCRIPT)
    runs = [
        subprocess.Popen([sys.executable, script, root, *names], cwd=Path(__file__).parents[3])
        for names in (["flickr30k", "coco"], ["flickr30k", "coco"], ["vqa", "sbu"])
    ]
    assert [run.wait() for run in runs] == [0, 0, 0]
    content = read_suite(root)
    assert content is not None
    assert list(content["fingerprints"]) == ["coco", "flickr30k", "sbu", "vqa"]
    found = bytes_of(root)
    assert all(at_once[name] == text for name, text in found.items() if name != "suite.json")
    assert make_suite(root, SMALLEST, 1, None, content["fingerprints"]) == content


def test_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    """The run is interrupted after its first pictures; afterwards the parent folder is empty."""

    def interrupt(done: int, total: int) -> None:
        assert 0 < done < total
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_suite(tmp_path / "suite", SMALLEST, 1, interrupt, QUICK_PARTS)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    """The last call says that all of the counted pictures are done."""
    calls: list[tuple[int, int]] = []
    content = make_suite(
        *(
            tmp_path / "suite",
            SMALLEST,
            1,
            lambda done, total: calls.append((done, total)),
            QUICK_PARTS,
        )
    )
    total = sum(sum(splits.values()) for splits in content["counts"].values())
    assert calls[-1] == (total, total)
    assert calls == sorted(calls)


def test_other_peoples_folders_are_refused(tmp_path: Path) -> None:
    """A folder with anything else in it stays as it is."""
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "a.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no mini suite"):
        make_suite(foreign, SMALLEST, processes=1, parts=QUICK_PARTS)
    assert [path.name for path in foreign.iterdir()] == ["a.txt"]
    make_suite(tmp_path / "suite", SMALLEST, processes=1, parts=QUICK_PARTS)
    with pytest.raises(UsageError, match="holds another mini suite .*seed 0"):
        make_suite(
            tmp_path / "suite", SuiteRequest(seed=3, scale=0.001, flickr_test=4), 1, None, PARTS
        )
    (tmp_path / "empty").mkdir()
    make_suite(tmp_path / "empty", SMALLEST, processes=1, parts=QUICK_PARTS)
    assert read_suite(tmp_path / "empty") is not None


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_impossible_sizes_are_refused(scale: float) -> None:
    """Sizes that make no suite."""
    with pytest.raises(UsageError, match="scale must be"):
        SuiteRequest(scale=scale)
    with pytest.raises(UsageError, match="2 images or more"):
        SuiteRequest(flickr_test=1)


def test_default_root_respects_the_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Against the XDG rule: XDG_CACHE_HOME if absolute, else ~/.cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "unimo2" / "mini-v5-seed0"
    assert default_root(5, 0.5) == tmp_path / "unimo2" / "mini-v5-seed5-scale0.5"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_root(2) == tmp_path / "home" / ".cache" / "unimo2" / "mini-v5-seed2"
