"""Tar shards of images and captions: read in place, and whatever is wrong with one is named."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evals.datasets.catalogue import conceptual_captions as cc_entry
from evals.datasets.catalogue import sbu as sbu_entry
from evals.datasets.entry import ImageCheck
from evals.datasets.registry import is_there, presence
from unimo2.errors import BadData, MissingData
from unimo2.formats.images import load_image
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import TarMember, shard_pairs
from unimo2.formats.web_captions import conceptual_captions, sbu

File = tuple[str, bytes]


def picture(level: int) -> bytes:
    """A gray PNG."""
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), (level, level, level)).save(stream, format="PNG")
    return stream.getvalue()


def write_shard(path: Path, files: Iterable[File], layout: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=layout) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def sample(number: int, caption: str = "a caption") -> list[File]:
    """As img2dataset writes it: three files of one stem."""
    stem = f"{number:09d}"
    fields = {"caption": caption, "url": "http://x/y.jpg", "status": "success"}
    return [
        (f"{stem}.jpg", picture(number)),
        (f"{stem}.json", json.dumps(fields).encode()),
        (f"{stem}.txt", caption.encode()),
    ]


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_pairs_are_those_that_were_packed(tmp_path: Path, layout: int) -> None:
    """Against what went into the tar, in each of its three formats; pixels come back exactly."""
    long = "f" * 60 + "/" + "g" * 80
    files = [
        *sample(7, "first\ncaption "),
        *((f"{long}/{name}", content) for name, content in sample(9, "zweite Überschrift")),
    ]
    shard = write_shard(tmp_path / "00000.tar", files, layout)
    pairs = list(shard_pairs(shard))
    assert [pair.text for pair in pairs] == ["first caption", "zweite Überschrift"]
    assert [pair.source for pair in pairs] == ["000000007", f"{long}/000000009"]
    for pair, level in zip(pairs, (7, 9), strict=True):
        np.testing.assert_array_equal(np.asarray(load_image(pair.path)), np.full((4, 5, 3), level))
        assert pair.path.read() == picture(level)


@pytest.mark.parametrize("at_once", [1, 2, 3, 4096])
@pytest.mark.parametrize("odd", ["none", "prefix", "long", "size", "checksum"])
def test_members_are_those_of_tarfile(
    tmp_path: Path, at_once: int, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against tarfile: names and places, with headers of broken seconds, however many at once.

    In the middle stands a header that only tarfile reads: a long name, a size or a checksum that is
    written in another way.
    """
    monkeypatch.setattr("unimo2.formats.shards._AT_ONCE", at_once)
    shard = tmp_path / "a.tar"
    names = {"prefix": "f" * 60 + "/" + "g" * 60, "long": "h" * 180}
    with tarfile.open(shard, "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(7):
            name = names.get(odd, "0000") if number == 3 else f"{number:04d}"
            for suffix, content in ((".jpg", b"x" * 700 * number), (".txt", b"words")):
                member = tarfile.TarInfo(name + suffix)
                member.size, member.mtime = len(content), number + (0.5 if number % 2 else 0)
                archive.addfile(member, io.BytesIO(content))
    with tarfile.open(shard) as archive:
        wanted = [(one.name, one.offset_data, one.size) for one in archive]
    if odd in ("size", "checksum"):
        content = bytearray(shard.read_bytes())
        start = wanted[6][1] - 512
        if odd == "size":  # without the zeros before it
            digits = content[start + 124 : start + 135].lstrip(b"0")
            content[start + 124 : start + 135] = digits.rjust(11)
            content[start + 148 : start + 156] = b" " * 8
            total = sum(content[start : start + 512])
            content[start + 148 : start + 156] = b"%06o\0 " % total
        else:
            content[start + 148 : start + 156] = content[start + 148 : start + 154].rjust(7) + b"\0"
        shard.write_bytes(content)
        with tarfile.open(shard) as archive:
            assert [(one.name, one.offset_data, one.size) for one in archive] == wanted
    images = [one for one in wanted if one[0].endswith(".jpg")]
    found = [(one.path.name, one.path.offset, one.path.size) for one in shard_pairs(shard)]
    assert found == images and len(found) == 7


def test_headers_of_further_fields_alone_end(tmp_path: Path) -> None:
    """Against the end of the file: thousands of headers in a row that belong to no file."""
    shard = write_shard(tmp_path / "a.tar", [("1.jpg", b"x"), ("1.txt", b"a")])
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 20
    block = header.tobuf(tarfile.USTAR_FORMAT) + b"20 mtime=1234567.50\n".ljust(512, b"\0")
    shard.write_bytes(shard.read_bytes()[:2048] + block * 5_000)
    assert [pair.text for pair in shard_pairs(shard, Skips(), Skips())] == ["a"]


def test_stems_end_at_the_first_dot_of_the_name(tmp_path: Path) -> None:
    """Against WebDataset's convention; folders are part of the stem, directories no samples."""
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "w") as archive:
        folder = tarfile.TarInfo("v1.0")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in [
            ("v1.0/a.seg.png", b"-"),
            ("v1.0/a.JPG", picture(1)),
            ("v1.0/a.txt", b"one"),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (pair,) = shard_pairs(shard)
    assert (pair.source, pair.path.name) == ("v1.0/a", "v1.0/a.JPG")


def test_caption_of_the_json_where_there_is_no_text_file(tmp_path: Path) -> None:
    """Against the field that img2dataset fills."""
    files = [file for file in sample(3, "from the json") if not file[0].endswith(".txt")]
    (pair,) = shard_pairs(write_shard(tmp_path / "a.tar", files))
    assert pair.text == "from the json"


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ([("1.jpg", b"x")], "1: no caption"),
        ([("1.jpg", b"x"), ("1.txt", b" \n")], "1: no caption"),
        ([("1.jpg", b"x"), ("1.txt", b"caf\xe9")], "1: the caption is not UTF-8"),
        ([("1.jpg", b"x"), ("1.json", b"{")], "1: malformed JSON"),
        ([("1.jpg", b"x"), ("1.json", b"[1]")], "1: no caption"),
        ([("1.jpg", b"x"), ("1.json", b'{"caption": null}')], "1: no caption"),
        ([("1.jpg", b"x"), ("1.jpg", b"x"), ("1.txt", b"a")], "1.jpg occurs twice"),
    ],
)
def test_broken_samples_are_named_or_counted(tmp_path: Path, files: list[File], fault: str) -> None:
    """Between two good ones: the error is one line that names shard and sample."""
    shard = write_shard(tmp_path / "a.tar", [*sample(5), *files, *sample(6)])
    with pytest.raises(BadData, match=fault) as caught:
        list(shard_pairs(shard))
    assert str(shard) in str(caught.value) and "\n" not in str(caught.value)
    broken = Skips()
    keys = [pair.source for pair in shard_pairs(shard, broken=broken)]
    assert broken.total == 1
    assert [key for key in keys if key != "1"] == ["000000005", "000000006"]


def test_captions_without_an_image(tmp_path: Path) -> None:
    """An error, or counted: never silent."""
    shard = write_shard(tmp_path / "a.tar", [*sample(5), ("1.txt", b"no picture"), *sample(6)])
    with pytest.raises(MissingData, match=r"a\.tar:1: a caption, but no image"):
        list(shard_pairs(shard))
    lost = Skips()
    assert len(list(shard_pairs(shard, lost))) == 2
    assert lost.counts == {"image not on disk": 1}


@pytest.mark.parametrize("where", ["in a header", "in a file", "between two files"])
def test_a_cut_shard_is_named_and_read_up_to_the_cut(tmp_path: Path, where: str) -> None:
    """Against the first half of the bytes of a good one; only the last sample can be lost."""
    shard = write_shard(tmp_path / "00000.tar", [*sample(1), *sample(2), ("3.txt", b"x" * 2_000)])
    with tarfile.open(shard) as archive:
        last = archive.getmember("3.txt")
    cut = {
        "in a header": last.offset + 100,
        "in a file": last.offset_data + 700,
        "between two files": last.offset,
    }[where]
    shard.write_bytes(shard.read_bytes()[:cut])
    with pytest.raises(BadData, match=r"00000\.tar"):
        list(shard_pairs(shard, lost=Skips()))
    broken = Skips()
    keys = [pair.source for pair in shard_pairs(shard, Skips(), broken)]
    assert keys == ["000000001", "000000002"]
    assert broken.counts["shard that is cut off"] == 1


def test_a_file_that_ends_with_the_shard_is_read(tmp_path: Path) -> None:
    """Against the caption that went in; the cut is right behind its last byte."""
    files = [*sample(1), ("2.jpg", picture(2)), ("2.txt", b"the last words")]
    shard = write_shard(tmp_path / "00000.tar", files)
    with tarfile.open(shard) as archive:
        last = archive.getmember("2.txt")
    shard.write_bytes(shard.read_bytes()[: last.offset_data + last.size])
    broken = Skips()
    texts = [pair.text for pair in shard_pairs(shard, broken=broken)]
    assert texts == ["a caption", "the last words"]
    assert broken.counts == {"shard that is cut off": 1}


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    """A compressed tar, a text file, nothing at all: one line each, and no count hides it."""
    good = write_shard(tmp_path / "a.tar", sample(1))
    (tmp_path / "zipped.tar").write_bytes(gzip.compress(good.read_bytes()))
    (tmp_path / "text.tar").write_text("<html>not found</html>" * 100)
    for name in ("zipped.tar", "text.tar"):
        with pytest.raises(BadData, match=f"{name} is not an uncompressed tar"):
            list(shard_pairs(tmp_path / name, Skips(), Skips()))
    with pytest.raises(MissingData, match="shard not found"):
        list(shard_pairs(tmp_path / "none.tar", Skips(), Skips()))


def test_images_that_cannot_be_decoded_are_named_with_their_shard(tmp_path: Path) -> None:
    """A page of HTML under an image's name; a shard that was shortened, or deleted, meanwhile."""
    files = [("1.jpg", b"<html>"), ("1.txt", b"a"), *sample(2)]
    shard = write_shard(tmp_path / "a.tar", files)
    first, second = (pair.path for pair in shard_pairs(shard))
    with pytest.raises(BadData, match=r"cannot be decoded: .*a\.tar:1\.jpg"):
        load_image(first)
    shard.write_bytes(shard.read_bytes()[: second.offset + 10])
    with pytest.raises(BadData, match=r"a\.tar:000000002\.jpg is cut off after 10 of"):
        load_image(second)
    shard.unlink()
    with pytest.raises(MissingData, match="shard not found"):
        load_image(second)


def test_shards_take_the_place_of_the_lists(tmp_path: Path) -> None:
    """Two shards each, whatever they are called, give their pairs in order, verified and decoded."""
    for folder, stem in (("conceptual_captions/training", "0000"), ("sbu/images", "sbu-train-")):
        write_shard(tmp_path / folder / f"{stem}1.tar", [*sample(3, "three")])
        write_shard(tmp_path / folder / f"{stem}0.tar", [*sample(1, "one"), *sample(2, "two")])
        (tmp_path / folder / "00000_stats.json").write_text("{}")
    for pairs in (
        list(conceptual_captions(tmp_path / "conceptual_captions", "train")),
        list(sbu(tmp_path / "sbu")),
    ):
        assert [pair.text for pair in pairs] == ["one", "two", "three"]
        assert all(isinstance(pair.path, TarMember) for pair in pairs)
        assert [np.asarray(load_image(pair.path))[0, 0, 0] for pair in pairs] == [1, 2, 3]
    for entry in (cc_entry.DATA_SET, sbu_entry.DATA_SET):
        assert is_there(entry, tmp_path) and not is_there(entry, tmp_path / "sbu")
        assert presence(entry.places[0], tmp_path).size == "2 files"
        images = ImageCheck(decodes=True)
        assert entry.verify is not None
        findings = entry.verify(tmp_path, images)
        assert findings.counts["train", "pairs"] == 3 and not findings.problems
        assert not images.problems() and images.seen == 3
