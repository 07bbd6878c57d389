"""Conceptual Captions and SBU: hand-written miniatures of the real files, and bad input."""

import json
import zlib
from pathlib import Path

import pytest

from unimo2.errors import BadData, MissingData
from unimo2.formats.parsing import Skips
from unimo2.formats.web_captions import captioned_rows, conceptual_captions, sbu, sidecar_pairs

FIRST = (
    "http://lh6.ggpht.com/-IvRtNLNcG8o/TpFyrudaT6I/AAAAAAAAM6o/_11MuAAKalQ/IMG_3422.JPG?imgmax=800"
)
SECOND = "https://images.example.org/a,b.png"
CC = f'a very typical bus station\t{FIRST}\nsierra looked "stunning" in this top\t{SECOND}\r\n'
SBU_URLS = (
    "http://static.flickr.com/2723/4385058960_b0f291553e.jpg\n"
    "http://static.flickr.com/3041/3005696460_c4a94b7a4c.jpg\n"
)
SBU_TEXTS = "A wooden chair in the living room\nthe café on the corner, seen from above\n"


def touch(path: Path) -> Path:
    """An empty file with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def captions(root: Path, content: str | bytes, name: str = "Train_GCC-training.tsv") -> Path:
    """A folder with one TSV."""
    raw = content if isinstance(content, bytes) else content.encode()
    (root / name).write_bytes(raw)
    return root


def test_conceptual_captions_are_read_as_distributed(tmp_path: Path) -> None:
    """Against the miniature: no header, quotes kept, images named by the CRC-32 of the address."""
    first = touch(tmp_path / "training" / str(zlib.crc32(FIRST.encode())))
    second = touch(tmp_path / "training" / f"{zlib.crc32(SECOND.encode())}.jpg")
    pairs = list(conceptual_captions(captions(tmp_path, CC), "train"))
    assert [(pair.text, pair.source, pair.path) for pair in pairs] == [
        ("a very typical bus station", FIRST, first),
        ('sierra looked "stunning" in this top', SECOND, second),
    ]
    assert pairs[1].place.endswith("Train_GCC-training.tsv:2")


def test_the_second_column_may_be_the_path_of_an_image(tmp_path: Path) -> None:
    """Against two files that lie where the rows say, from the TSV and from its image folder."""
    touch(tmp_path / "validation" / "a.jpg")
    touch(tmp_path / "pictures" / "b.jpg")
    name = "Validation_GCC-1.1.0-Validation.tsv"
    folder = captions(tmp_path, "one\ta.jpg\ntwo\tpictures/b.jpg\n", name)
    found = [pair.path for pair in conceptual_captions(folder, "val")]
    assert found == [tmp_path / "validation" / "a.jpg", tmp_path / "pictures" / "b.jpg"]


def test_a_lost_image_is_counted_or_an_error_but_never_silent(tmp_path: Path) -> None:
    """Against a miniature of which one image was downloaded."""
    touch(tmp_path / "training" / str(zlib.crc32(SECOND.encode())))
    folder = captions(tmp_path, CC)
    lost = Skips()
    assert [pair.source for pair in conceptual_captions(folder, "train", lost)] == [SECOND]
    assert lost.counts == {"image not on disk": 1}
    assert "Train_GCC-training.tsv:1" in lost.lines()[0]
    with pytest.raises(MissingData, match=r"training\.tsv:1: image not on disk, expected at"):
        list(conceptual_captions(folder, "train"))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (b"no address", "1 columns"),
        (b"a\tb\tc", "3 columns"),
        (b"\thttp://x/y.jpg", "no caption"),
        (b"caption\t  ", "no address"),
        (b"", "1 columns"),
        (b"caf\xe9\thttp://x/y.jpg", "not UTF-8 text (byte 3 of the line)"),
        (b"up\t../../secret.jpg", "is not a plain relative path"),
        (b"up\t/etc/passwd", "is not a plain relative path"),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, row: bytes, fault: str) -> None:
    """Against a miniature whose second line is broken in one way."""
    touch(tmp_path / "training" / "a.jpg")
    folder = captions(tmp_path, b"one\ta.jpg\n" + row + b"\ntwo\ta.jpg\n")
    with pytest.raises(BadData, match=r"training\.tsv:2: ") as caught:
        list(conceptual_captions(folder, "train"))
    assert fault in str(caught.value) and "\n" not in str(caught.value)
    broken = Skips()
    pairs = list(conceptual_captions(folder, "train", broken=broken))
    assert [pair.text for pair in pairs] == ["one", "two"]
    assert broken.counts == {"broken row": 1}


def test_line_numbers_count_line_feeds_only(tmp_path: Path) -> None:
    """Against captions that hold characters which `str.splitlines` takes for line ends."""
    path = tmp_path / "a.tsv"
    path.write_bytes("\ufeffone\u2028still one\tx.jpg\ntwo\x0b\ty.jpg\n".encode())
    assert list(captioned_rows(path)) == [(1, "one\u2028still one", "x.jpg"), (2, "two", "y.jpg")]
    with pytest.raises(MissingData, match="file not found"):
        list(captioned_rows(tmp_path / "b.tsv"))


def test_what_img2dataset_wrote_is_read_without_the_tsv(tmp_path: Path) -> None:
    """Against a miniature of its folders: image, caption and JSON with one stem."""
    for shard, stem, suffix in (("00001", "000010002", ".webp"), ("00000", "000000007", ".jpg")):
        touch(tmp_path / "training" / shard / f"{stem}{suffix}")
        text = tmp_path / "training" / shard / f"{stem}.txt"
        text.write_text(f"caption {stem}\n")
        text.with_suffix(".json").write_text("{}")
    touch(tmp_path / "training" / "00000_stats.json")
    pairs = list(conceptual_captions(tmp_path, "train"))
    assert [pair.text for pair in pairs] == ["caption 000000007", "caption 000010002"]
    assert pairs[1].path == tmp_path / "training" / "00001" / "000010002.webp"
    (tmp_path / "training" / "00000" / "000000008.txt").write_text(" \n")
    (tmp_path / "training" / "00000" / "000000009.txt").write_text("no picture")
    lost, broken = Skips(), Skips()
    assert len(list(sidecar_pairs(tmp_path / "training", lost, broken))) == 2
    assert (lost.total, broken.total) == (1, 1)
    with pytest.raises(BadData, match=r"000000008\.txt: no caption"):
        list(sidecar_pairs(tmp_path / "training"))


@pytest.mark.parametrize("home", ["", "dataset"])
def test_sbu_text_files_belong_together_line_by_line(tmp_path: Path, home: str) -> None:
    """Against the two files as the archive unpacks them, images named as in their addresses."""
    folder = tmp_path / home
    folder.mkdir(exist_ok=True)
    (folder / "SBU_captioned_photo_dataset_urls.txt").write_text(SBU_URLS)
    (folder / "SBU_captioned_photo_dataset_captions.txt").write_text(SBU_TEXTS, encoding="utf-8")
    touch(folder / "4385058960_b0f291553e.jpg")
    touch(tmp_path / "images" / "3005696460_c4a94b7a4c.jpg")
    first, second = sbu(tmp_path)
    assert first.text == "A wooden chair in the living room"
    assert first.path == folder / "4385058960_b0f291553e.jpg"
    assert second.text == "the café on the corner, seen from above"
    assert second.path == tmp_path / "images" / "3005696460_c4a94b7a4c.jpg"


def test_sbu_json_says_the_same(tmp_path: Path) -> None:
    """Against the official JSON's three lists of the same length."""
    content = {
        "image_urls": SBU_URLS.split(),
        "user_ids": ["47889917@N08", "1@N00"],
        "captions": SBU_TEXTS.splitlines(),
    }
    (tmp_path / "sbu-captions-all.json").write_text(json.dumps(content))
    touch(tmp_path / "images" / "3005696460_c4a94b7a4c.jpg")
    lost = Skips()
    (pair,) = sbu(tmp_path, lost)
    assert pair.text == "the café on the corner, seen from above" and lost.total == 1
    assert pair.place.endswith("sbu-captions-all.json: captions[1]")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "malformed JSON at line 1"),
        ("[]", "lists 'image_urls' and 'captions'"),
        ('{"image_urls": [], "captions": {}}', "lists 'image_urls' and 'captions'"),
        ('{"image_urls": ["a"], "captions": []}', "1 image_urls, but 0 captions"),
        ('{"image_urls": ["a"], "captions": [1]}', "must be strings"),
        ('{"image_urls": ["a"], "captions": [" "]}', r"captions\[0\]: no caption"),
        ('{"image_urls": [""], "captions": ["b"]}', r"captions\[0\]: no address"),
    ],
)
def test_a_broken_sbu_json_is_named(tmp_path: Path, content: str, message: str) -> None:
    """Against JSON that is wrong in one way."""
    (tmp_path / "sbu-captions-all.json").write_text(content)
    with pytest.raises(BadData, match=message):
        list(sbu(tmp_path))


def test_broken_sbu_text_files_are_named(tmp_path: Path) -> None:
    """Against nothing, one file alone, files of different lengths, an empty and a garbled line."""
    with pytest.raises(MissingData, match="SBU captions not found"):
        sbu(tmp_path)
    urls = tmp_path / "SBU_captioned_photo_dataset_urls.txt"
    texts = tmp_path / "SBU_captioned_photo_dataset_captions.txt"
    urls.write_text(SBU_URLS)
    with pytest.raises(MissingData, match="captions.txt"):
        list(sbu(tmp_path))
    texts.write_text("one\n")
    touch(tmp_path / "images" / "4385058960_b0f291553e.jpg")
    touch(tmp_path / "images" / "3005696460_c4a94b7a4c.jpg")
    with pytest.raises(BadData, match="captions.txt has fewer lines than .*urls.txt"):
        list(sbu(tmp_path))
    texts.write_bytes(b"caf\xe9\ntwo\n")
    with pytest.raises(BadData, match=r"captions\.txt:1: not UTF-8"):
        list(sbu(tmp_path))
    broken = Skips()
    assert [pair.text for pair in sbu(tmp_path, broken=broken)] == ["two"]
    texts.write_text("\ntwo\n")
    with pytest.raises(BadData, match=r"captions\.txt:1: no caption"):
        list(sbu(tmp_path))
