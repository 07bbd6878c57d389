"""The catalogue of data sets, and what verification says of miniatures with known faults."""

import csv
import io
import json
from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image

from evals.benchmarks import flickr
from evals.datasets.entry import ROLES, ImageCheck
from evals.datasets.registry import all_data_sets, is_there, presence, select
from evals.datasets.verify import verify
from unimo2.errors import UsageError

DOCS = Path(__file__).resolve().parents[3] / "docs" / "data.md"
OF_TABLE_6 = {
    ("visual_genome", "images"): ("#Images", "VG"),
    ("visual_genome", "regions"): ("#Texts", "VG"),
    ("conceptual_captions", "pairs"): ("#Texts", "CC"),
    ("sbu", "pairs"): ("#Texts", "SBU"),
    ("imagenet21k", "images"): ("#Images", "ImageNet21K"),
    ("open_images", "images"): ("#Images", "Open Images"),
    ("bookwiki", "MB"): ("#Texts", "BookWiki"),
    ("openwebtext", "MB"): ("#Texts", "OpenWebText"),
    ("coco", "captions"): ("#Texts", "COCO"),
}
OF_TABLE_7 = {
    ("vqa", "train", "questions"): ("VQA", "Train", "#Text"),
    ("vqa", "val", "questions"): ("VQA", "Val", "#Text"),
    ("vqa", "test-dev", "questions"): ("VQA", "test-dev", "#Text"),
    ("vqa", "test-std", "questions"): ("VQA", "test-std", "#Text"),
    ("vqa", "train", "images"): ("VQA", "Train", "#Images"),
    ("vqa", "test-std", "images"): ("VQA", "test-std", "#Images"),
    ("coco", "train+restval", "images"): ("Image Caption", "Train", "#Images"),
    ("coco", "val", "images"): ("Image Caption", "Val", "#Images"),
    ("coco", "test", "images"): ("Image Caption", "test-std", "#Images"),
    ("snli_ve", "train", "pairs"): ("Visual Entailment", "Train", "#Images"),
    ("snli_ve", "dev", "pairs"): ("Visual Entailment", "Val", "#Images"),
    ("snli_ve", "test", "pairs"): ("Visual Entailment", "test-std", "#Images"),
    ("flickr30k", "train", "images"): ("Image-Text Retrieval", "Train", "#Images"),
    ("flickr30k", "train", "captions"): ("Image-Text Retrieval", "Train", "#Text"),
    ("flickr30k", "val", "captions"): ("Image-Text Retrieval", "Val", "#Text"),
    ("flickr30k", "test", "images"): ("Image-Text Retrieval", "test-std", "#Images"),
    ("flickr30k", "test", "captions"): ("Image-Text Retrieval", "test-std", "#Text"),
}


def published(number: int) -> list[dict[str, str]]:
    """A table of the paper as transcribed."""
    text = (files("reports") / "published" / f"table{number:02d}.csv").read_text()
    return list(csv.DictReader(io.StringIO(text)))


def karpathy(root: Path, splits: list[str], **changes: object) -> Path:
    """A Flickr30k folder with one image a split name, two captions each; `changes` by JSON path."""
    folder = root / "flickr30k" / "flickr30k-images"
    folder.mkdir(parents=True)
    images = []
    for number, split in enumerate(splits):
        Image.new("RGB", (4, 4)).save(folder / f"{number}.jpg")
        sentences = [
            {"raw": "a", "tokens": ["a"], "imgid": number, "sentid": 2 * number + place}
            for place in range(2)
        ]
        images.append(
            {"imgid": number, "filename": f"{number}.jpg", "split": split, "sentences": sentences}
        )
    content = {"dataset": "flickr30k", "images": images} | changes
    path = root / "flickr30k" / "dataset_flickr30k.json"
    path.write_text(json.dumps(content))
    return path


def edit(path: Path, number: int, **changes: object) -> None:
    """Change fields of one image of a Karpathy file."""
    content = json.loads(path.read_text())
    content["images"][number] |= changes
    path.write_text(json.dumps(content))


def verdict(root: Path, name: str = "flickr30k", decodes: bool = False, suite=None):
    """The verdict on one data set."""
    return verify(all_data_sets()[name], root, ImageCheck(decodes), suite)


def test_every_data_set_says_what_a_user_needs() -> None:
    """Against the list of what `data list` must show: licence, address, layout, source of counts."""
    known = all_data_sets()
    assert {entry.role for entry in known.values()} == set(ROLES)
    for entry in known.values():
        assert entry.about and entry.licence and "https://" in entry.source
        assert entry.places and any(place.needed for place in entry.places)
        assert all(row.source and row.count > 0 for row in entry.official)
        assert not any(path.startswith("/") for place in entry.places for path in place.paths)


def test_official_counts_agree_with_each_other() -> None:
    """Against sums that hold by construction, and the retrieval benchmark's own constants."""
    count = {
        (entry.name, row.split, row.unit): row.count
        for entry in all_data_sets().values()
        for row in entry.official
    }
    assert sum(count["flickr30k", split, "images"] for split in ("train", "val", "test")) == 31_014
    for split, images in flickr.OFFICIAL.items():
        assert count["flickr30k", split, "images"] == images
        assert count["flickr30k", split, "captions"] == 5 * images
    coco = ("train", "restval", "val", "test")
    assert sum(count["coco", split, "images"] for split in coco) == 123_287
    assert sum(count["coco", split, "captions"] for split in coco) == 616_767  # COCO 2014
    for unit in ("images", "captions"):
        together = count["coco", "train", unit] + count["coco", "restval", unit]
        assert count["coco", "train+restval", unit] == together
    # SNLI-VE's README counts each label, too.
    assert count["snli_ve", "train", "pairs"] == 176_932 + 176_045 + 176_550
    assert count["snli_ve", "test", "pairs"] == 5_973 + 5_964 + 5_964


def test_the_papers_numbers_are_those_of_its_tables() -> None:
    """Against tables 6 and 7 as transcribed cell by cell."""
    sixth = {(row["row_label"], row["column"]): row["value"] for row in published(6)}
    seventh = {
        (row["row_label"], row["column"], row["metric"]): row["value"] for row in published(7)
    }
    checked = 0
    for entry in all_data_sets().values():
        for row in entry.official:
            for keys, cells in (
                (OF_TABLE_6.get((entry.name, row.unit)), sixth),
                (OF_TABLE_7.get((entry.name, row.split, row.unit)), seventh),
            ):
                if keys is not None and row.paper:
                    assert row.paper.split()[0] == cells[keys]
                    checked += 1
    assert checked == len(OF_TABLE_6) + len(OF_TABLE_7)


def test_known_slips_of_the_paper_are_told() -> None:
    """Against the slips: VQA's test heads are swapped, SNLI-VE's pairs counted as images."""
    known = all_data_sets()
    assert "swaps the heads test-dev and test-std" in known["vqa"].notes[0]
    assert "counts SNLI-VE's image-sentence pairs as images" in known["snli_ve"].notes[0]


def test_data_sets_are_found_by_name_and_by_benchmark() -> None:
    """Against both names of one data set."""
    assert [entry.name for entry in select(["flickr", "flickr30k", "snli-ve"])] == [
        "flickr30k",
        "snli_ve",
    ]
    with pytest.raises(UsageError, match="unknown data set 'flicker'; known are"):
        select(["flicker"])


def test_presence_tells_files_from_folders(tmp_path: Path) -> None:
    """Against a file of known size, a folder of known length, and a file in a folder's place."""
    captions, images = all_data_sets()["flickr30k"].places
    assert not is_there(all_data_sets()["flickr30k"], tmp_path)
    karpathy(tmp_path, ["train", "test"])
    (tmp_path / captions.paths[0]).write_bytes(b"x" * 1500)
    assert presence(captions, tmp_path).size == "1.5 kB"
    assert presence(images, tmp_path).size == "2 entries"
    (tmp_path / "sbu").write_text("")
    assert not is_there(all_data_sets()["sbu"], tmp_path)


def test_a_sample_is_called_a_sample(tmp_path: Path) -> None:
    """Against the counts of the miniature."""
    karpathy(tmp_path, ["train", "train", "test"])
    found = verdict(tmp_path, decodes=True)
    assert (found.state, found.problems) == ("sample", ())
    assert "train: 2 of 29,000 images" in found.notes and "test: 1 of 1,000 images" in found.notes
    assert {(row.split, row.unit): row.here for row in found.rows}["test", "captions"] == 2


def test_a_generated_suite_is_held_against_what_was_written(tmp_path: Path) -> None:
    """Against a suite description that tells the truth, and one that does not."""
    karpathy(tmp_path, ["train", "val", "test"])
    written = {"counts": {"flickr30k": {"train": 1, "val": 1, "test": 1}}}
    assert verdict(tmp_path, suite=written).state == "complete"
    written["counts"]["flickr30k"]["test"] = 2
    assert verdict(tmp_path, suite=written).state == "sample"


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            ["test"] * 31_014,
            "test: 31,014 images: these are all of Karpathy's, the test split has 1,000",
        ),
        (
            ["test"] * 1_014 + ["val"] * 1_000,
            "test: 1,014 images: as many as the val split has, the test split has 1,000",
        ),
        (
            ["train"] * 29_783,
            "train: 29,783 images: these are the training images of another split",
        ),
        (["val"] * 1_015, "val: 1,015 images: the val split has 1,014"),
    ],
)
def test_a_wrong_split_is_named(
    tmp_path: Path, splits: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against files in which the images are dealt out wrongly in a known way."""
    monkeypatch.setattr(Image.Image, "save", lambda self, path: None)  # counting needs no image
    karpathy(tmp_path, splits)
    found = verdict(tmp_path)
    assert found.state == "problems"
    assert any(problem.startswith(message) for problem in found.problems)


def test_every_kind_of_fault_is_one_line(tmp_path: Path) -> None:
    """Against a miniature into which each fault was put once or twice."""
    path = karpathy(tmp_path, ["train"] * 8, dataset="flickr8k")
    edit(path, 1, imgid=0)
    edit(path, 2, split="dev")
    edit(path, 3, sentences=[])
    folder = tmp_path / "flickr30k" / "flickr30k-images"
    (folder / "4.jpg").unlink()
    (folder / "5.jpg").unlink()
    (folder / "6.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    (folder / "stranger.jpg").touch()
    found = verdict(tmp_path, decodes=True)
    assert found.state == "problems" and len(found.problems) == 4
    duplicate, broken, missing, undecodable = found.problems
    assert duplicate.startswith("1 x id that occurs twice") and "images[1]" in duplicate
    assert broken.startswith("2 x broken row") and "unknown split 'dev'" in broken
    assert missing.startswith("2 of 5 images not on disk, first ") and "4.jpg" in missing
    assert undecodable.startswith("1 of 3 images cannot be read") and "6.jpg" in undecodable
    assert "dataset_flickr30k.json calls itself 'flickr8k', not 'flickr30k'" in found.notes
    assert "4 files in the image folders are in no split" in found.notes
    assert all("\n" not in line for line in (*found.problems, *found.notes))


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "malformed JSON at line 1"), ("[]", "expected an object with a list 'images'")],
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, text: str, message: str) -> None:
    """Against files that are wrong as a whole."""
    karpathy(tmp_path, ["train"]).write_text(text)
    found = verdict(tmp_path)
    assert found.state == "problems" and message in found.problems[0]


def test_every_data_set_is_verified_and_may_be_absent(tmp_path: Path) -> None:
    """Against an empty data root."""
    assert {verdict(tmp_path, name).state for name in all_data_sets()} == {"not there"}


def test_real_samples_are_samples(real_data: Path) -> None:
    """Against the counts in the README of the real samples: 340/60/60 and 12 photos, all whole."""
    flickr30k = verdict(real_data, decodes=True)
    assert (flickr30k.state, flickr30k.problems) == ("sample", ())
    assert "test: 60 of 1,000 images" in flickr30k.notes
    assert "dataset_flickr30k.json calls itself 'flickr8k', not 'flickr30k'" in flickr30k.notes
    coco = verdict(real_data, "coco", decodes=True)
    assert (coco.state, coco.problems) == ("sample", ())
    assert "test: 12 of 5,000 images" in coco.notes


def test_the_guide_names_every_data_set_and_place() -> None:
    """Against the catalogue: what users are told in docs/data.md is what is looked for."""
    text = DOCS.read_text(encoding="utf-8")
    for entry in all_data_sets().values():
        assert f"`{entry.name}`" in text
        for place in entry.places:
            assert f"`{place.paths[0]}`" in text, place.paths[0]
