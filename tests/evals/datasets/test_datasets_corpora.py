"""Verification of the pre-training corpora: miniatures with known counts and faults."""

import json
from pathlib import Path

import pytest

from builders.miniatures import check, here, picture, write


def test_conceptual_captions_lose_images_and_keep_count(tmp_path: Path) -> None:
    """Against a miniature of three rows, one broken, and one image that came twice."""
    folder = tmp_path / "conceptual_captions"
    write(folder / "Train_GCC-training.tsv", "one\ta.jpg\ntwo\ta.jpg\nthree\tb.jpg\nfour\n")
    picture(folder / "training" / "a.jpg")
    found = check(tmp_path, "conceptual_captions")
    assert here(found)["train", "pairs"] == 3 and here(found)["train", "images on disk"] == 2
    assert len(found.problems) == 1 and "tsv:4: 1 columns" in found.problems[0]
    assert any(note.startswith("train: 2 of 3 images on disk, first ") for note in found.notes)
    assert "train: 1 pairs have an image that came before" in found.notes
    assert "train: 3 of 3,318,333 pairs" in found.notes


def test_a_web_corpus_without_any_image_is_a_problem(tmp_path: Path) -> None:
    """Against captions alone."""
    write(tmp_path / "sbu" / "sbu-captions-all.json", '{"image_urls": ["a"], "captions": ["b"]}')
    found = check(tmp_path, "sbu")
    assert found.state == "problems"
    assert found.problems[0].startswith("train: none of the 1 images is on disk, first ")


def test_sbu_with_a_broken_image(tmp_path: Path) -> None:
    """Against one image that decodes and one web page that was saved as an image."""
    content = {"image_urls": ["http://x/a.jpg", "http://x/b.jpg"], "captions": ["a", "b"]}
    write(tmp_path / "sbu" / "sbu-captions-all.json", json.dumps(content))
    picture(tmp_path / "sbu" / "images" / "a.jpg")
    write(tmp_path / "sbu" / "images" / "b.jpg", "<html>photo removed</html>")
    found = check(tmp_path, "sbu")
    assert len(found.problems) == 1
    assert found.problems[0].startswith("1 of 2 images cannot be read, first: ")


def test_visual_genome_counts_images_regions_and_repeats(tmp_path: Path) -> None:
    """Against a miniature with a region id in two images and an image that is not on disk."""
    region = {"region_id": 5, "phrase": "a dog", "x": 0, "y": 0, "width": 3, "height": 3}
    items = [{"id": number, "regions": [region]} for number in (1, 2, 3)]
    write(tmp_path / "visual_genome" / "region_descriptions.json", json.dumps(items))
    picture(tmp_path / "visual_genome" / "VG_100K" / "1.jpg")
    picture(tmp_path / "visual_genome" / "VG_100K_2" / "2.jpg")
    found = check(tmp_path, "visual_genome")
    assert here(found)["train", "images"] == 3 and here(found)["train", "regions"] == 2
    missing, repeated = found.problems
    assert missing.startswith("1 x image not on disk, first 3.jpg")
    assert repeated == "1 region ids occur more than once"


def test_open_images_whose_rows_are_torn_apart(tmp_path: Path) -> None:
    """Against labels of which one image's rows stand in two places."""
    folder = tmp_path / "open_images"
    rows = ["ImageID,Source,LabelName,Confidence"]
    rows += [f"{number:016x},verification,/m/1,1" for number in (1, 2, 1)]
    write(folder / "train-annotations-human-imagelabels-boxable.csv", "\n".join(rows) + "\n")
    write(folder / "class-descriptions-boxable.csv", "/m/1,Dog\n")
    for number in (1, 2):
        picture(folder / "train" / f"{number:016x}.jpg")
    found = check(tmp_path, "open_images")
    assert found.problems == ("1 images have rows in more than one place",)
    assert here(found)["train", "labels"] == 3


def test_imagenet21k_counts_images_and_classes(tmp_path: Path) -> None:
    """Against two classes of two images, and a class that the list of names lacks."""
    folder = tmp_path / "imagenet21k"
    write(folder / "words.txt", "n00000001\tdog\nn00000002\tcat\n")
    for wnid in ("n00000001", "n00000002"):
        for number in range(2):
            picture(folder / wnid / f"{wnid}_{number}.JPEG")
    found = check(tmp_path, "imagenet21k")
    assert (found.state, found.problems) == ("sample", ())
    assert here(found) == {("train", "images"): 4, ("train", "classes"): 2}
    picture(folder / "n00000003" / "n00000003_1.JPEG")
    assert "1 x class without a name" in check(tmp_path, "imagenet21k").problems[0]


@pytest.mark.parametrize("name", ["bookwiki", "openwebtext", "text"])
def test_text_is_counted(tmp_path: Path, name: str) -> None:
    """Against a text of known lines and words; then against an empty one."""
    write(tmp_path / name / "shard00" / "a.txt", "One two.\n\nThree café four\n")
    found = check(tmp_path, name)
    assert here(found)["all", "lines"] == 2 and here(found)["all", "words"] == 5
    assert found.state == ("read" if name == "text" else "sample") and not found.problems
    write(tmp_path / name / "shard00" / "a.txt", "\n")
    assert check(tmp_path, name).problems[0].startswith("no text in ")
