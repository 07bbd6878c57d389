"""Verification of SNLI-VE, ImageNet and GLUE: miniatures with known counts and known faults."""

import json
from pathlib import Path

import pytest

from builders.miniatures import check, here, picture, write


def pair(number: int, image: str, label: str) -> str:
    """A line as in the official files, without the parses."""
    record = {
        "Flickr30K_ID": image, "gold_label": label, "pairID": f"{image}.jpg#0r{number}",
        "sentence1": "A.", "sentence2": "B.",
    }  # fmt: skip
    return json.dumps(record) + "\n"


def test_snli_ve_counts_pairs_images_and_labels(tmp_path: Path) -> None:
    """Against a miniature: labels apart, "-" said, an image of two splits and broken lines named."""
    folder = tmp_path / "snli_ve"
    lines = [
        pair(1, "5", "entailment"), pair(2, "5", "neutral"), pair(3, "6", "-"),
        pair(1, "5", "neutral"), pair(4, "6", "maybe"), '{"pairID": "x"\n', pair(7, "8", "neutral"),
    ]  # fmt: skip
    write(folder / "snli_ve_train.jsonl", "".join(lines))
    write(folder / "snli_ve_dev.jsonl", pair(1, "6", "contradiction") + pair(1, "7", "neutral"))
    for name in ("5", "6", "8"):
        picture(tmp_path / "flickr30k" / "flickr30k-images" / f"{name}.jpg")
    found = check(tmp_path, "snli_ve")
    counted = here(found)
    assert (counted["train", "pairs"], counted["train", "images"]) == (4, 3)
    labels = [counted["train", label] for label in ("entailment", "neutral", "contradiction")]
    assert labels == [1, 2, 0] and ("test", "pairs") not in counted
    malformed, repeated, unknown, missing, shared = sorted(
        found.problems, key=lambda line: ("malformed" not in line, "twice" not in line)
    )
    assert malformed.startswith("1 x broken row, first ") and "line 6: malformed JSON" in malformed
    assert repeated.startswith("1 x id that occurs twice") and "pairID 5.jpg#0r1" in repeated
    assert "line 5: unknown label 'maybe'" in unknown and unknown.startswith("1 x unknown label")
    assert missing.startswith("dev: 1 of 2 images not on disk, first ") and "7.jpg" in missing
    assert shared == "1 images are in train and in dev"
    assert any(note.startswith("train: 1 pairs with the label '-'") for note in found.notes)
    assert "not there: test" in found.notes


def test_the_papers_slip_about_snli_ve_stands_beside_the_pairs(tmp_path: Path) -> None:
    """Against table 7, which prints the number of pairs in its column of images."""
    write(tmp_path / "snli_ve" / "snli_ve_dev.jsonl", pair(1, "5", "neutral"))
    rows = {(row.split, row.unit): row for row in check(tmp_path, "snli_ve").rows}
    assert rows["dev", "pairs"].paper == "17.9K (as images)" and rows["dev", "pairs"].here == 1
    assert rows["dev", "images"].official == 1_000 and rows["dev", "images"].paper == ""


MAPPING = "n00000001 tench, Tinca tinca\nn00000002 goldfish\n"


def imagenet(root: Path, mapping: str = MAPPING) -> Path:
    """Two training images of two classes, two validation images of one."""
    folder = root / "imagenet"
    write(folder / "LOC_synset_mapping.txt", mapping)
    for name in ("train/n00000001/n00000001_1", "train/n00000002/n00000002_1"):
        picture(folder / f"{name}.JPEG")
    for number in (1, 2):
        picture(folder / "val" / "n00000002" / f"ILSVRC2012_val_{number:08d}.JPEG")
    return folder


def test_imagenet_counts_images_and_classes(tmp_path: Path) -> None:
    """Against the miniature's own counts, a truncated image and a file that is not an image."""
    folder = imagenet(tmp_path)
    (folder / "train" / "n00000001" / "n00000001_1.JPEG").write_bytes(b"\xff\xd8 cut off")
    write(folder / "train" / "n00000002" / "notes.txt", "")
    found = check(tmp_path, "imagenet")
    assert here(found) == {
        ("train", "images"): 2, ("val", "images"): 2, ("all", "classes"): 2,
        ("train", "classes"): 2, ("val", "classes"): 1,
    }  # fmt: skip
    (problem,) = found.problems
    assert problem.startswith("1 of 4 images cannot be read") and "n00000001_1.JPEG" in problem
    notes = tmp_path / "imagenet" / "train" / "n00000002" / "notes.txt"
    assert f"train: 1 files beside the images are not read, first {notes}" in found.notes


def test_imagenet_without_names_of_its_classes(tmp_path: Path) -> None:
    """Against no list at all, and a list with a broken line, a repeated and a missing class."""
    folder = imagenet(tmp_path)
    (folder / "LOC_synset_mapping.txt").unlink()
    (problem,) = check(tmp_path, "imagenet").problems
    assert problem.endswith("LOC_synset_mapping.txt: the classes have no names")
    write(folder / "LOC_synset_mapping.txt", "n00000001 tench\ngoldfish\nn00000001 tench\n")
    broken, repeated, train, val = check(tmp_path, "imagenet").problems
    assert broken.startswith("1 x broken row") and "line 2: expected a synset id" in broken
    assert repeated.startswith("1 x id that occurs twice") and "n00000001" in repeated
    assert train == (
        "train: 1 classes that LOC_synset_mapping.txt does not name: n00000002"
    ) and val.startswith("val: 1 classes that ")


def test_sorted_images_are_held_against_the_official_classes(tmp_path: Path) -> None:
    """Against a solution file: one image in a wrong folder, one it does not know, one missing."""
    folder = imagenet(tmp_path)
    picture(folder / "val" / "n00000001" / "n00000001_1.JPEG")
    rows = ["1,n00000001 1 2 3 4", "2,n00000002 1 2 3 4", "3,n00000002 1 2 3 4"]
    lines = "".join(f"ILSVRC2012_val_0000000{row}\n" for row in rows)
    write(folder / "LOC_val_solution.csv", "ImageId,PredictionString\n" + lines)
    both, wrong, unknown, lost = check(tmp_path, "imagenet").problems
    assert both == "1 images are in train and in val"
    assert wrong.startswith("val: 1 images in the folder of another class, first ")
    assert wrong.endswith("ILSVRC2012_val_00000001.JPEG: its class is n00000001")
    assert unknown.endswith("LOC_val_solution.csv does not name, first n00000001_1")
    assert lost.startswith("val: 1 of the 3 images of ") and lost.endswith(" not on disk")


def test_flat_validation_images_need_their_list_of_classes(tmp_path: Path) -> None:
    """Against val as distributed, without the list and with it; an image too many and one missing."""
    folder = tmp_path / "imagenet"
    write(folder / "LOC_synset_mapping.txt", MAPPING)
    for number in (1, 2):
        picture(folder / "val" / f"v_{number}.JPEG")
    (problem,) = check(tmp_path, "imagenet").problems
    assert "2 images in no class folder, and no LOC_val_solution.csv" in problem
    rows = "v_1,n00000001 1 2 3 4\nv_3,n00000002 1 2 3 4\n"
    write(folder / "LOC_val_solution.csv", f"ImageId,PredictionString\n{rows}")
    found = check(tmp_path, "imagenet")
    assert here(found)["val", "images"] == 1
    missing, bare = found.problems
    assert missing.startswith("1 x image not on disk, first ") and missing.endswith("v_3")
    assert bare.startswith("1 x image without a class, first ") and "v_2.JPEG" in bare


GLUE = {
    "sst2": ("SST-2", "sentence\tlabel", "good \t1", "good \t7"),
    "cola": ("CoLA", None, "gj04\t1\t\tGood.", "gj04\tx\t\tGood."),
    "stsb": ("STS-B", "index\tsentence1\tsentence2\tscore", "{}\tA.\tB.\t2.5", "{}\tA.\tB.\t5.5"),
    "mnli": (
        "MNLI", "index\tsentence1\tsentence2\tgold_label", "{}\tA.\tB.\tneutral", "{}\tA.\tB.\tno",
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", GLUE)
def test_glue_rows_are_counted_and_faults_named(tmp_path: Path, task: str) -> None:
    """Against files with three good rows, one with an unknown label, and one with a column too many."""
    folder, header, good, bad = GLUE[task]
    rows = [good.format(0), good.format(1), bad.format(2), good.format(3) + "\tx", good.format(4)]
    dev = "dev_matched" if task == "mnli" else "dev"
    path = tmp_path / "glue" / folder / f"{dev}.tsv"
    write(path, "\n".join([header, *rows] if header else rows) + "\n")
    found = check(tmp_path, task)
    assert here(found) == {(dev, "rows"): 3}
    first, second = sorted(found.problems, key=lambda line: "columns" in line)
    assert "1 x broken row" in second and f"{path}: line {5 if header else 4}: expected" in second
    assert f"{path}: line {4 if header else 3}: " in first
    assert first.startswith("1 x unknown label")
    assert f"not there: train, {'dev_mismatched, test_matched' if task == 'mnli' else 'test'}" in (
        " ".join(found.notes)
    )


def test_glue_labels_are_looked_for_where_they_belong(tmp_path: Path) -> None:
    """Against "-" in MNLI, a dev file without labels, a test file with some, repeats and blanks."""
    header, row = "index\tsentence1\tsentence2", "{}\tA.\tB."
    folder = tmp_path / "glue" / "MNLI"
    write(
        folder / "train.tsv",
        f"{header}\tgold_label\n{row.format(0)}\t-\n{row.format(1)}\tneutral\n",
    )
    write(folder / "dev_matched.tsv", f"{header}\n{row.format(0)}\n{row.format(0)}\n7\t \tB.\n")
    write(folder / "test_matched.tsv", f"{header}\tgold_label\n{row.format(0)}\tneutral\n")
    found = check(tmp_path, "mnli")
    assert "train: 1 rows with the label '-'" in found.notes
    assert "test_matched: has labels, which GLUE's own file has not" in found.notes
    repeated, bare, empty = found.problems
    assert repeated.startswith("1 x id that occurs twice") and "index 0" in repeated
    assert bare.startswith("dev_matched: no row of ") and bare.endswith(" has a gold_label")
    assert empty.startswith("dev_matched: 1 rows of ") and empty.endswith(" have an empty sentence")


def test_a_whole_split_alone_is_a_part(tmp_path: Path) -> None:
    """Against CoLA's official number of development rows without the other files."""
    write(tmp_path / "glue" / "CoLA" / "dev.tsv", "gj04\t1\t\tGood.\n" * 1_043)
    found = check(tmp_path, "cola")
    assert (found.state, found.notes) == ("part", ("not there: train, test",))
    write(tmp_path / "glue" / "CoLA" / "dev.tsv", "gj04\t1\t\tGood.\n" * 1_063)
    (problem,) = check(tmp_path, "cola").problems
    assert problem == "dev: 1,063 rows: as many as the test split has, the dev split has 1,043"


def test_the_real_glue_files(real_data: Path) -> None:
    """Against ../shared/real: official CoLA and STS-B dev, an SST-2 dev carved out of train."""
    for task in ("cola", "stsb"):
        found = check(real_data, task)
        assert (found.state, found.problems) == ("part", ())
    found = check(real_data, "sst2")
    assert here(found) == {("train", "rows"): 60_614, ("dev", "rows"): 6_735}
    assert found.problems == (
        "dev: 6,735 rows: these are a tenth of the official train rows, 60,614 + 6,735 = 67,349, "
        "the dev split has 872",
    )
    assert found.notes[0].startswith("train: 60,614 of 67,349 rows (these are nine tenths of")


def test_the_real_imagenet_sample(real_data: Path) -> None:
    """Against ../shared/real: 24 whole photos of 24 classes, all 1,000 classes named."""
    found = check(real_data, "imagenet")
    assert (found.state, found.problems) == ("sample", ())
    assert here(found)["all", "classes"] == 1_000 and here(found)["val", "images"] == 24


def test_the_real_pairs(tmp_path: Path, real_data: Path) -> None:
    """Against ../shared/real: 21 pairs, without their images."""
    for ours, theirs in (
        ("snli_ve_dev.jsonl", "allennlp_sample_pairs.jsonl"),
        ("snli_ve_test.jsonl", "cpuknows_sample_data.jsonl"),
    ):
        write(tmp_path / "snli_ve" / ours, (real_data / "snli_ve" / theirs).read_text())
    found = check(tmp_path, "snli_ve")
    counted = here(found)
    assert counted["dev", "pairs"] + counted["test", "pairs"] == 21
    assert all(problem.split(",")[0].endswith("images not on disk") for problem in found.problems)
