"""Lists of corpora that are kept in files: the same as read anew, and never older than the data."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from builders import corpora_folders, forked
from unimo2.data import kept_index, listing
from unimo2.data.corpora import (
    CaptionedFolder,
    TrainingImage,
    prompted,
    read_classes,
    read_labelled,
)
from unimo2.data.index import Index, TextFiles
from unimo2.data.kept_index import FileIndex, keep
from unimo2.data.listing import Wanted, keep_all
from unimo2.data.tables import ImageLocations, RepeatedStrings, Strings
from unimo2.errors import BadData, UsageError
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import TarMember
from unimo2.training.pretraining import prepare
from unimo2.training.recipes import Recipe

EARLIER = 1_500_000_000  # a time before the test


@pytest.fixture
def root(tmp_path):
    corpora_folders.everything(tmp_path)
    settle(tmp_path)
    return tmp_path


def settle(folder: Path) -> None:
    """Give everything in a folder a time that is long past."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (EARLIER, EARLIER))


def read(root: Path, name: str, lost: Skips | None = None) -> tuple[FileIndex, list[str]]:
    """A corpus of images by its index, and what was said about listing it."""
    said: list[str] = []

    def find(skips: Skips) -> FileIndex:
        return Index(read_classes(root, [name], skips), repeated=True).found()

    return keep({}, [root / name], find, lost or Skips(), said.append), said


def names(found: FileIndex) -> list[str]:
    index = Index.of(found, repeated=True)
    return [index.sources[number].name for number in range(len(index.sources))]


def test_an_index_from_files_is_the_index_that_was_read(root):
    """Truth: the index in memory; places, texts, counts and fingerprints, one by one."""
    shard = TarMember(root / "a.tar", "c/d.png", 7, 9)
    images = [
        TrainingImage(root / "b.jpg", ("x", "né")),
        TrainingImage(shard, ("z",)),
        CaptionedFolder(root / "f", ("1.jpg", "2.jpg"), ("x", "y")),
    ]
    for repeated in (False, True):
        held = Index(images, repeated)
        found = held.found()
        kept = Index.of(keep({"r": repeated}, [root], lambda _, it=found: it, Skips()), repeated)
        places = [root / "b.jpg", shard, root / "f" / "1.jpg", root / "f" / "2.jpg"]
        for index in (held, kept):
            assert [index.sources[number] for number in range(4)] == places
            assert list(index.texts) == ["x", "né", "z", "x", "y", "x", "y"]
            assert index.counts.tolist() == [2, 1, 2, 2]
        assert kept.fingerprint == held.fingerprint == ImageLocations(places).fingerprint()
        one, two = (index.captions(None, 8, held=False) for index in (held, kept))
        assert one.fingerprint == two.fingerprint
        assert torch.equal(one.lengths, two.lengths) and two.lengths[1] == 3
    assert isinstance(kept.texts._distinct._bytes.obj, np.memmap)  # shared, not copied


def test_repeated_strings_are_strings():
    """Truth: the same strings held one by one, fingerprint included."""
    plain, repeated = Strings(), RepeatedStrings()
    for texts, times in ((["a", "b"], 2), (["b"], 3), (["ü"], 1)):
        plain.extend(texts * times)
        repeated.extend(texts, times)
    assert list(plain) == list(repeated) == ["a", "b", "a", "b", "b", "b", "b", "ü"]
    assert plain.fingerprint() == repeated.fingerprint()
    assert plain.lengths().tolist() == repeated.lengths().tolist()


def test_folders_of_a_class_are_its_images(root):
    """Truth: the images one by one, as supervised training of a tower takes them."""
    folders = Index(prompted(read_classes(root, ["imagenet21k"]), ["a [label]"]), repeated=True)
    images = Index(prompted(read_labelled(root, ["imagenet21k"]), ["a [label]"]))
    assert len(images.sources) == 6 and list(folders.texts) == list(images.texts)
    assert folders.fingerprint == images.fingerprint


def test_a_second_start_lists_nothing(root, monkeypatch):
    """Truth: a reader that must not be called; what it left out is told again."""
    (root / "imagenet21k" / "n00000001" / "readme.txt").write_text("no image")
    settle(root)
    lost, again = Skips(), Skips()
    first, said = read(root, "imagenet21k", lost)
    assert "listing imagenet21k once" in said[0] and lost.total == 1
    monkeypatch.setattr(Index, "found", lambda self: pytest.fail("read again"))
    second, said = read(root, "imagenet21k", again)
    assert names(second) == names(first) and len(names(second)) == 6
    assert not said and again.lines() == lost.lines()


@pytest.mark.parametrize("change", ["image", "folder", "names", "beside"])
def test_a_change_is_seen(root, change):
    """Truth: what lies in the folder after each kind of change."""
    folder = root / "imagenet21k"
    before = names(read(root, "imagenet21k")[0])
    if change == "image":
        (folder / "n00000002" / "n00000002_9.JPEG").write_bytes(b"")
    elif change == "folder":
        (folder / "n00000002").rename(folder / "n00000003")
        (folder / "words.txt").write_text("n00000001\tx\nn00000003\ty\n")
    elif change == "names":
        (folder / "words.txt").write_text("n00000001\tother\nn00000002\tname\n")
    else:  # annotations in a folder of their own, as SBU's archive unpacks
        (folder / "dataset").mkdir()
    found, said = read(root, "imagenet21k")
    assert said
    assert len(names(found)) == len(before) + (change == "image")
    texts = list(Index.of(found, repeated=True).texts)
    assert ("other" in texts) == (change == "names")


def test_a_change_during_the_listing_is_not_kept(root):
    """Truth: a folder that has just been changed: its time would not tell of another change."""
    os.utime(root / "imagenet21k" / "n00000001")
    assert read(root, "imagenet21k")[1] and read(root, "imagenet21k")[1]


def test_the_index_of_other_prompts_or_another_reader_is_another_one(root, monkeypatch):
    """Truth: a start with other prompts, and one of a changed reader, list anew."""
    read(root, "open_images")
    assert not read(root, "open_images")[1]
    monkeypatch.setattr(kept_index, "_readers", lambda: "another version")
    assert read(root, "open_images")[1]


def test_without_a_cache_every_start_lists(root, tmp_path, monkeypatch):
    """Truth: a file where the cache should be; the corpus is read all the same."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(kept_index, "cache_folder", lambda: blocked)
    found, said = read(root, "imagenet21k")
    assert len(names(found)) == 6 and "no index can be kept" in said[-1]


def test_a_text_that_was_changed_in_place_is_refused(root):
    """Truth: a file that grew: its blocks would begin at other places."""
    (path,) = sorted((root / "text").iterdir())[:1]
    files = TextFiles.of(
        keep({}, [root / "text"], lambda _: TextFiles([root / "text"]).found(), Skips())
    )
    files.require_unchanged(0, path.stat().st_size)
    with pytest.raises(BadData, match=r"has 3 bytes, but had .* delete .* and start again"):
        files.require_unchanged(0, 3)


def _read(root: Path, cache: Path) -> None:
    """Prints how often this process said that it lists, and the fingerprint of what it has."""
    kept_index.cache_folder = lambda: cache
    found, said = read(root, "imagenet21k")
    print(json.dumps([len(said), found.facts["sources"]]))


def test_of_several_processes_one_lists(root, tmp_path):
    """Truth: processes that are started together; one of them says that it lists."""
    outs = [tmp_path / name for name in ("one.txt", "two.txt")]
    started = [forked.start(_read, root, tmp_path / "shared", out=out) for out in outs]
    for process in started:
        process.join()
    found = [json.loads(out.read_text()) for out in outs]
    assert sorted(listed for listed, _ in found) == [0, 1]
    assert len({fingerprint for _, fingerprint in found}) == 1


def _images(folder: Path, name: str, lost: Skips) -> Index:
    """Lists a corpus; is sent to other processes."""
    return Index(prompted(read_classes(folder, [name], lost), ["a [label]", "[label]"]), True)


def _killed(_: Skips) -> Index:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _wanted(root: Path) -> list[Wanted]:
    """Two indexes, of which one has two parts."""
    sets = ["imagenet21k", "open_images"]
    return [
        Wanted(
            {}, [root / name for name in sets], [partial(_images, root, one) for one in sets], True
        ),
        Wanted({}, [root / "open_images"], [partial(_images, root, "open_images")], True),
    ]


def test_several_processes_list_what_one_does(root, tmp_path, monkeypatch):
    """Truth: one index of all images, read here; what was left out is told once for each index."""
    (root / "imagenet21k" / "n00000001" / "readme.txt").write_text("no image")
    settle(root)
    whole = Index(
        prompted(
            read_classes(root, ["imagenet21k", "open_images"], Skips()), ["a [label]", "[label]"]
        ),
        repeated=True,
    ).found()
    for cores in (1, 2):
        monkeypatch.setattr(listing, "own_cores", lambda cores=cores: cores)
        monkeypatch.setattr(kept_index, "cache_folder", lambda cores=cores: tmp_path / str(cores))
        lost = Skips()
        first, second = keep_all(_wanted(root), lost, None)
        assert first.facts.items() >= whole.facts.items() and list(first.homes) == list(whole.homes)
        assert sorted(first.columns) == sorted(whole.columns)
        for name, column in whole.columns.items():
            np.testing.assert_array_equal(first.columns[name], column)
        assert len(names(second)) < len(names(first)) and lost.total == 1
    assert not multiprocessing.active_children()


def test_parts_are_begun_in_their_order(root, monkeypatch):
    """Truth: the order asked for, though the later index is looked for and listed first."""
    monkeypatch.setattr(listing, "own_cores", lambda: 2)
    begun, keep, listed = [], listing.keep, listing._listed

    def late(what, folders, *rest):
        time.sleep(0.3 * len(folders))  # the first index is of two folders
        return keep(what, folders, *rest)

    def noted(wanted, *rest):
        begun.append(len(wanted.parts))
        return listed(wanted, *rest)

    monkeypatch.setattr(listing, "keep", late)
    monkeypatch.setattr(listing, "_listed", noted)
    keep_all(_wanted(root), Skips(), None)
    assert begun == [2, 1]
    assert keep_all(_wanted(root), Skips(), None) and begun == [2, 1], "kept: nobody waits"


def test_the_search_for_cycles_goes_on_after_a_listing(root, monkeypatch):
    """Truth: what was set before, whether the listing ends well or not."""
    monkeypatch.setattr(listing, "own_cores", lambda: 1)
    keep_all(_wanted(root)[:1], Skips(), None)
    assert gc.isenabled()
    (root / "open_images" / "class-descriptions-boxable.csv").write_text("/m/1\n")
    with pytest.raises(BadData):
        keep_all(_wanted(root), Skips(), None)
    assert gc.isenabled()


def test_a_process_that_is_killed_or_meets_a_fault_ends_the_listing(root, monkeypatch):
    """Truth: one line, and no process that lives on."""
    monkeypatch.setattr(listing, "own_cores", lambda: 2)
    one, two = _wanted(root)
    with pytest.raises(UsageError, match="was killed, perhaps for want of memory"):
        keep_all([one, two._replace(parts=[_killed])], Skips(), None)
    (root / "open_images" / "class-descriptions-boxable.csv").write_text("/m/1\n")
    with pytest.raises(BadData, match=r"class-descriptions-boxable.csv:1: expected label,name"):
        keep_all([one, two], Skips(), None)
    assert not multiprocessing.active_children()


def test_a_streamed_run_has_the_corpora_of_a_run_without_an_index(root):
    """Truth: the corpora's own fingerprints, read twice, the second time from files."""
    from unimo2.training.config import PretrainConfig

    training = PretrainConfig(
        batch_size=2, pair_sets=("sbu",), image_sets=("open_images",), text_sets=("text",),
        image_batch=2, text_batch=2, vocab_size=300, max_text_length=16, loading="stream",
    )  # fmt: skip
    model = {"image_size": 16, "hidden_size": 32, "num_attention_heads": 2}
    said: list[str] = []
    recipe = Recipe("tiny", "mini", model, training)
    first = prepare(recipe, root, said.append).corpora.describe()
    assert len(said) == 3
    assert prepare(recipe, root, said.append).corpora.describe() == first and len(said) == 3
    changed = replace(recipe, training=replace(training, prompts=("[label]",)))
    prepare(changed, root, said.append)
    assert len(said) == 4
