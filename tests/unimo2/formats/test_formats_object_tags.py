"""Files of object tags: both forms as written by hand, and one line for each way to be wrong."""

import hashlib
import json
import random
from collections import Counter

import pytest

from unimo2.errors import BadData, MissingData
from unimo2.formats.object_tags import read_object_tags

PHOTO = "COCO_val2014_000000000042.jpg"


def write(path, content):
    """A file of JSON, or of text as it is."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_tags_are_found_by_image_id_and_by_file_name(tmp_path):
    """Truth: a file written by hand; its sha256 by hashlib."""
    content = {
        "42": ["dog", " dining table "],
        f"val2014/{PHOTO}": ["cat"],
        "7.jpg": ["dog"] * 2,
        "8": [],
    }
    path = write(tmp_path / "tags.json", content)
    tags = read_object_tags(path)
    assert tags.of(42, "else.jpg") == ("dog", "dining table")
    assert tags.of(None, PHOTO) == tags.of(43, f"folder/{PHOTO}") == ("cat",)
    assert tags.of(7, "7.jpg") == ("dog", "dog")
    assert tags.of(8, "8.jpg") == tags.of(9, "9.jpg") == ()
    assert tags.describe() == {
        "file": "tags.json",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "source": "tags",
        "images_with_tags": 3,
    }


def test_instances_give_category_names_most_frequent_first(tmp_path):
    """Truth: the objects counted by a loop, in COCO's layout; equal counts in the file's order."""
    dice = random.Random(0)
    names = {1: "person", 18: "dog", 34: "frisbee", 67: "dining table"}
    objects = [(dice.randrange(5), dice.choice(list(names))) for _ in range(60)]
    content = {
        "info": {"year": 2014},
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(6)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": [0, 0, 1, 1], "iscrowd": 0}
            for n, (i, c) in enumerate(objects)
        ],
        "categories": [{"id": i, "name": name, "supercategory": "x"} for i, name in names.items()],
    }
    tags = read_object_tags(write(tmp_path / "instances_val2014.json", content))
    for image in range(5):
        counts = Counter(c for i, c in objects if i == image)
        found = tags.of(image, "")
        assert sorted(found) == sorted({names[c] for c in counts})
        by_name = {names[c]: n for c, n in counts.items()}
        assert [by_name[name] for name in found] == sorted(by_name.values(), reverse=True)
    assert tags.of(5, "5.jpg") == ()
    assert (tags.source, tags.describe()["images_with_tags"]) == ("COCO instances", 5)


def test_a_changed_file_is_read_again(tmp_path):
    """Truth: the new content, of another length."""
    path = write(tmp_path / "tags.json", {"1": ["dog"]})
    assert read_object_tags(path).of(1, "") == ("dog",)
    write(path, {"1": ["elephant"]})
    assert read_object_tags(path).of(1, "") == ("elephant",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"1": ["dog"],\n', "malformed JSON at line 2"),
        ([{"image_id": 1, "tags": ["dog"]}], "expected .*instances_"),
        ('"dog"', "expected .*instances_"),
        ({"1": "dog"}, "image '1': expected a list of names"),
        ({"1": ["dog", 3]}, "image '1': expected a list of names"),
        ({"1": ["dog", " "]}, "image '1': expected a list of names"),
        ('{"1": ["dog"], "001": ["cat"]}', "image occurs more than once: 1"),
        ('{"a.jpg": ["dog"], "a.jpg": ["cat"]}', "image occurs more than once: a.jpg"),
        ({"1": []}, "no image has a tag"),
        ({}, "no image has a tag"),
        ({"info": {}, "annotations": [], "categories": []}, "no image has a tag"),
        ({"info": {}, "images": [], "annotations": []}, "a list 'categories'"),
        (
            {"images": [], "annotations": [{"image_id": 1, "category_id": 5}], "categories": []},
            r"annotations\[0\]: category 5 is not listed",
        ),
        (
            {"annotations": [{"image_id": 1}], "categories": [{"id": 1, "name": "dog"}]},
            r"annotations\[0\]: field 'category_id' is missing",
        ),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_one_line(content, message, tmp_path):
    """Truth: files broken by hand, each in one way."""
    path = write(tmp_path / "tags.json", content)
    with pytest.raises(BadData, match=message) as caught:
        read_object_tags(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_of_other_images_is_refused(tmp_path):
    """Truth: keys that fit none of the images, and a file that is not there."""
    tags = read_object_tags(write(tmp_path / "tags.json", {"1": ["dog"]}))
    with pytest.raises(BadData, match=r"tags.json: no tags for any of the 2 images.*\"42\""):
        tags.of_images([(42, PHOTO), (43, "b.jpg")])
    assert tags.of_images([(42, PHOTO), (1, "b.jpg")]) == ((), ("dog",))
    with pytest.raises(MissingData, match="object tags not found"):
        read_object_tags(tmp_path / "none.json")
