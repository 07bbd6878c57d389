"""Karpathy's JSON: hand-written miniatures of both layouts, real samples, and bad input."""

import copy
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from unimo2.errors import BadData, MissingData, UsageError
from unimo2.formats.karpathy import (
    Caption,
    parse_karpathy,
    read_karpathy,
    select_karpathy,
    survey_karpathy,
)
from unimo2.formats.parsing import Skips

FLICKR = """
{"images": [
 {"sentids": [0, 1], "imgid": 0, "split": "train", "filename": "1000092795.jpg", "sentences": [
   {"tokens": ["two", "friends"], "raw": "Two friends .", "imgid": 0, "sentid": 0},
   {"tokens": ["two", "men", "a", "t-shirt"], "raw": " Two men, a T-shirt!\\n", "imgid": 0,
    "sentid": 1}]},
 {"sentids": [2], "imgid": 1, "split": "test", "filename": "10002456.jpg", "sentences": [
   {"tokens": ["caf\\u00e9"], "raw": "A café, \\"open\\".", "imgid": 1, "sentid": 2}]}],
 "dataset": "flickr30k"}
"""
COCO = """
{"images": [
 {"filepath": "val2014", "sentids": [7], "filename": "COCO_val2014_000000000042.jpg", "imgid": 0,
  "split": "restval", "cocoid": 42,
  "sentences": [{"tokens": ["a"], "raw": "A", "imgid": 0, "sentid": 7}]},
 {"filepath": "train2014", "sentids": [9], "filename": "COCO_train2014_000000000009.jpg",
  "imgid": 1, "split": "train", "cocoid": 9,
  "sentences": [{"tokens": ["b"], "raw": "B", "imgid": 1, "sentid": 9}]}],
 "dataset": "coco"}
"""


def write(tmp_path: Path, content: object) -> Path:
    """The content as a file; text as it is, anything else as JSON."""
    path = tmp_path / "dataset.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_flickr_layout_is_read_as_written(tmp_path: Path) -> None:
    """Against the fields of the miniature, by eye: texts stripped, tokens kept, paths absolute."""
    images = parse_karpathy(write(tmp_path, FLICKR), tmp_path / "x" / ".." / "pictures")
    assert [image.id for image in images] == [0, 1]
    assert images[0].path == tmp_path / "pictures" / "1000092795.jpg"
    assert images[0].captions[1] == Caption(
        1, "Two men, a T-shirt!", ("two", "men", "a", "t-shirt")
    )
    assert images[1].captions[0].text == 'A café, "open".'
    assert images[1].captions[0].tokens == ("café",)
    assert images[1].cocoid is None


def test_coco_layout_adds_the_folder_and_knows_restval(tmp_path: Path) -> None:
    """Against the miniature: an image lies in image_root/filepath/filename."""
    path = write(tmp_path, COCO)
    first, second = parse_karpathy(path, tmp_path)
    assert first.path == tmp_path / "val2014" / "COCO_val2014_000000000042.jpg"
    assert (first.split, first.cocoid, second.cocoid) == ("restval", 42, 9)
    assert [image.id for image in parse_karpathy(path, tmp_path, {"train"})] == [1]
    assert [image.id for image in parse_karpathy(path, tmp_path, ["train", "restval"])] == [0, 1]


def test_images_must_be_on_disk_only_for_the_splits_asked_for(tmp_path: Path) -> None:
    """Against the files that the test itself puts there."""
    path = write(tmp_path, FLICKR)
    Image.new("RGB", (4, 4)).save(tmp_path / "10002456.jpg")
    assert len(read_karpathy(path, tmp_path, {"test"})) == 1
    with pytest.raises(MissingData, match=r"1 of 2 images .*1000092795\.jpg"):
        read_karpathy(path, tmp_path)
    with pytest.raises(MissingData, match="2 of 2 images"):
        read_karpathy(path, tmp_path / "nowhere")


def test_only_the_splits_asked_for_are_validated(tmp_path: Path) -> None:
    """Against a fault in another split: no reader of test trips over it, the survey counts it."""
    content = json.loads(FLICKR)
    content["images"][0]["sentences"][0]["raw"] = None
    path = write(tmp_path, content)
    images, counts = select_karpathy(path, tmp_path, ["test"])
    assert [image.id for image in images] == [1] and counts == {"train": 1, "test": 1}
    with pytest.raises(BadData, match=r"images\[0\]\.sentences\[0\]: field 'raw'"):
        parse_karpathy(path, tmp_path, ["train"])
    broken = Skips()
    survey_karpathy(path, tmp_path, broken)
    assert broken.total == 1
    content["images"][0] |= {"split": "tset"}  # which split was meant?
    with pytest.raises(BadData, match=r"images\[0\]: unknown split 'tset'"):
        select_karpathy(write(tmp_path, content), tmp_path, ["test"])


def test_malformed_json_names_the_line(tmp_path: Path) -> None:
    """The miniature's fifth line loses a comma."""
    broken = FLICKR.replace('"Two men', "Two men").replace('" Two men', " Two men")
    with pytest.raises(BadData, match="line 5, column"):
        parse_karpathy(write(tmp_path, broken), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1"),
        ("[]", "expected an object with a list 'images'"),
        ('{"images": {}}', "expected an object with a list 'images'"),
        ('{"images": []}', "no image of split"),
        ('{"images": [3]}', r"images\[0\]: expected an object, found int"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """Well-formed files that are no Karpathy data set."""
    with pytest.raises(BadData, match=message):
        parse_karpathy(write(tmp_path, content), tmp_path)


@pytest.mark.parametrize("field", ["imgid", "filename", "split", "sentences"])
def test_a_missing_image_field_is_named_with_its_place(tmp_path: Path, field: str) -> None:
    """One field of the second image is taken out."""
    content = json.loads(FLICKR)
    del content["images"][1][field]
    with pytest.raises(BadData, match=rf"images\[1\]: field '{field}' is missing"):
        parse_karpathy(write(tmp_path, content), tmp_path)


@pytest.mark.parametrize("field", ["sentid", "imgid", "raw", "tokens"])
def test_a_missing_sentence_field_is_named_with_its_place(tmp_path: Path, field: str) -> None:
    """One field of the second sentence is taken out."""
    content = json.loads(FLICKR)
    del content["images"][0]["sentences"][1][field]
    with pytest.raises(BadData, match=rf"images\[0\].sentences\[1\]: field '{field}' is missing"):
        parse_karpathy(write(tmp_path, content), tmp_path)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("imgid",), "1", "field 'imgid' must be of type int, found str"),
        (("imgid",), True, "field 'imgid' must be of type int, found bool"),
        (("filename",), "../secret.jpg", "not a plain relative path"),
        (("filename",), "/etc/secret.jpg", "not a plain relative path"),
        (("filename",), "", "not a plain relative path"),
        (("split",), "tset", "unknown split 'tset'"),
        (("sentences",), [], "no sentences"),
        (("sentences", 0, "raw"), None, "field 'raw' must be of type str"),
        (("sentences", 0, "tokens"), [1], "'tokens' must be a list of strings"),
        (("sentences", 0, "imgid"), 5, "imgid 5 inside the image with imgid 1"),
    ],
)
def test_wrong_values_are_refused(
    tmp_path: Path, keys: tuple[str | int, ...], value: object, message: str
) -> None:
    """One value of the second image is replaced."""
    content = json.loads(FLICKR)
    place = content["images"][1]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(BadData, match=message):
        parse_karpathy(write(tmp_path, content), tmp_path)


@pytest.mark.parametrize(
    ("layout", "field"),
    [(FLICKR, "imgid"), (FLICKR, "filename"), (COCO, "cocoid"), (FLICKR, "sentid")],
)
def test_duplicates_are_refused_and_both_places_named(
    tmp_path: Path, layout: str, field: str
) -> None:
    """The second image takes over one id of the first."""
    content = json.loads(layout)
    first, second = content["images"]
    if field == "sentid":
        second["sentences"][0]["sentid"] = first["sentences"][0]["sentid"]
    else:
        second[field] = copy.copy(first[field])
    with pytest.raises(BadData, match=rf"images\[1\].*{field} .* twice, first in images\[0\]"):
        parse_karpathy(write(tmp_path, content), tmp_path)


def test_same_file_name_in_two_folders_is_no_duplicate(tmp_path: Path) -> None:
    """COCO's folders are part of the name."""
    content = json.loads(COCO)
    content["images"][1]["filename"] = content["images"][0]["filename"]
    assert len(parse_karpathy(write(tmp_path, content), tmp_path)) == 2


def test_missing_file_and_wrong_encoding_and_splits(tmp_path: Path) -> None:
    """Each mistake has its own kind of error."""
    with pytest.raises(MissingData, match="captions not found"):
        parse_karpathy(tmp_path / "none.json", tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"images": "caf\xe9"}')
    with pytest.raises(BadData, match="not UTF-8 text"):
        parse_karpathy(tmp_path / "latin.json", tmp_path)
    path = write(tmp_path, FLICKR)
    with pytest.raises(UsageError, match="unknown split 'dev'"):
        parse_karpathy(path, tmp_path, {"dev"})
    with pytest.raises(BadData, match="no image of split val; the file holds train 1, test 1"):
        parse_karpathy(path, tmp_path, {"val"})


def test_real_samples_are_read(real_data: Path) -> None:
    """Against the counts in the samples' README: 340 / 60 / 60 photos, and 12 of COCO's test."""
    flickr = read_karpathy(
        real_data / "flickr30k" / "dataset_flickr30k.json",
        real_data / "flickr30k" / "flickr30k-images",
    )
    assert Counter(image.split for image in flickr) == {"train": 340, "val": 60, "test": 60}
    assert {len(image.captions) for image in flickr} == {5}
    coco = read_karpathy(real_data / "coco" / "dataset_coco.json", real_data / "coco", {"test"})
    assert len(coco) == 12
    assert all(image.path.name.endswith(f"{image.cocoid:012d}.jpg") for image in coco)
