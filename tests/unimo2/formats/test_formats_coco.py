"""COCO caption files: a small one in the official layout, the real ones, and broken ones."""

import json

import pytest

from unimo2.errors import BadData, MissingData
from unimo2.formats.coco import CaptionedImage, read_captions, read_results


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def content(**changes):
    """Two images; the captions are not in the order of the images, as in the real files."""
    annotations = [(1, 7, "A cat."), (2, 5, "A dog. "), (3, 7, "The cat\n")]
    return {
        "info": {}, "type": "captions", "licenses": [],
        "images": [{"id": 5, "file_name": "5.jpg"}, {"id": 7, "file_name": "7.jpg"}],
        "annotations": [{"id": i, "image_id": j, "caption": c} for i, j, c in annotations],
    } | changes  # fmt: skip


def test_captions_in_the_order_of_the_images(tmp_path):
    """Against what was written: images as listed, captions as in the file and as written."""
    images = read_captions(write(tmp_path / "captions.json", content()))
    assert images == [
        CaptionedImage(5, "5.jpg", ("A dog. ",)),
        CaptionedImage(7, "7.jpg", ("A cat.", "The cat\n")),
    ]


def test_the_real_files(real_data):
    """Against the counts of ../shared/real and pycocotools' own order of images and captions."""
    from pycocotools.coco import COCO

    path = real_data / "coco" / "annotations" / "captions_val2017.json"
    images = read_captions(path)
    assert (len(images), sum(len(image.captions) for image in images)) == (5000, 25014)
    official = COCO(path)
    assert [image.id for image in images] == official.getImgIds()
    for image in images:
        assert list(image.captions) == [a["caption"] for a in official.imgToAnns[image.id]]
    assert len(read_results(real_data / "coco" / "captions_val2017_fakecap_results.json")) == 4989
    assert len(read_results(real_data / "coco" / "captions_val2014_fakecap_results.json")) == 1000


def row(**changes):
    return {"id": 9, "image_id": 5, "caption": "x"} | changes


BROKEN = [
    (read_captions, [], "expected an object with 'images'"),
    (read_captions, content(images={}), "'images' must be of type list"),
    (read_captions, content(images=[{"id": 5}, {"id": 7}, {"id": 5}]), "image id .* once: 5"),
    (read_captions, content(annotations=[row(), row()]), "annotation id .* once: 9"),
    (read_captions, content(annotations=[row(image_id=6)]), "not listed: 6"),
    (read_captions, content(annotations=[row()]), "images without captions: 7"),
    (read_captions, content(annotations=[row(caption=None)]), r"annotations\[0\].*'caption'"),
    (read_captions, content(images=[], annotations=[]), "no image at all"),
    (read_results, content(), "expected a list"),
    (read_results, [{"image_id": "5", "caption": "x"}], "'image_id' must be of type int"),
    (read_results, [{"image_id": 5}], r"\[0\]: field 'caption' is missing"),
    (read_results, [{"image_id": 5, "caption": "x"}] * 2, "more than once: 5"),
]


@pytest.mark.parametrize(("read", "wrong", "says"), BROKEN)
def test_broken_files_are_refused(tmp_path, read, wrong, says):
    """Against files that are wrong by construction."""
    with pytest.raises(BadData, match=says) as error:
        read(write(tmp_path / "x.json", wrong))
    assert "\n" not in str(error.value)


def test_missing_and_malformed_files(tmp_path):
    """Against nothing at all, and a file that ends too early in its second line."""
    with pytest.raises(MissingData, match="COCO captions not found"):
        read_captions(tmp_path / "no.json")
    (tmp_path / "half.json").write_text('{"images": [],\n "annotations": [')
    with pytest.raises(BadData, match="malformed JSON at line 2"):
        read_captions(tmp_path / "half.json")
    (tmp_path / "latin.json").write_bytes('{"caption": "café"}'.encode("latin-1"))
    with pytest.raises(BadData, match="not UTF-8 text"):
        read_captions(tmp_path / "latin.json")
