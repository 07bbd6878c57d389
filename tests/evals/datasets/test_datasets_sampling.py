"""What `unimo2 data show` shows: evenly chosen pictures with what the data set says of them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from evals.datasets.contact_sheet import Sample, choose, shown_data_sets, spread
from evals.datasets.registry import all_data_sets
from unimo2.errors import MissingData, UsageError


def picture(path: Path) -> Path:
    """A small picture on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, format="JPEG")
    return path


@pytest.mark.parametrize("total", [1, 5, 12, 13, 100, 97 * 12, 5_000])
def test_choice_is_spread_evenly_over_a_stream(total: int) -> None:
    """Against the numbers of the items: first one first, gaps alike but for a part of one."""
    stream = (Sample(Path(str(number)), "", ()) for number in range(total))
    chosen, counted = spread(stream, 12)
    places = [int(str(sample.path)) for sample in chosen]
    assert counted == total and len(places) == min(total, 12) and places[0] == 0
    gaps = [after - before for before, after in zip(places, places[1:], strict=False)]
    assert all(0.7 * total / 12 - 1 <= gap <= 1.3 * total / 12 + 1 for gap in gaps)


def test_questions_come_with_their_answers(tmp_path: Path) -> None:
    """Against a hand-written VQA: two questions of one photo, one of a photo that is not there."""
    path = picture(tmp_path / "coco" / "val2014" / "COCO_val2014_000000000042.jpg")
    questions = [(42, 420, "What is it?"), (43, 430, "Is it red?"), (42, 421, "How many?")]
    answers = {420: ["a cat"] * 7 + ["dog"] * 3, 421: ["2"] * 10, 430: ["yes"] * 10}
    folder = tmp_path / "vqa"
    folder.mkdir()
    for name in ("val2014", "test-dev2015"):
        (folder / f"v2_OpenEnded_mscoco_{name}_questions.json").write_text(
            json.dumps(
                {
                    "questions": [
                        {"image_id": image, "question_id": key, "question": text}
                        for image, key, text in questions
                    ]
                }
            )
        )
    (folder / "v2_mscoco_val2014_annotations.json").write_text(
        json.dumps(
            {
                "annotations": [
                    {"question_id": key, "answers": [{"answer": text} for text in given]}
                    for key, given in answers.items()
                ]
            }
        )
    )
    chosen = choose("vqa", tmp_path, None, 12)
    assert (chosen.split, chosen.total) == ("val", 1)
    assert chosen.samples == (
        Sample(path, path.name, ("What is it? a cat (7), dog (3)", "How many? 2 (10)")),
    )
    assert len(chosen.skipped) == 1 and "image not on disk" in chosen.skipped[0]
    picture(tmp_path / "coco" / "test2015" / "COCO_test2015_000000000042.jpg")
    assert choose("vqa", tmp_path, "test-dev", 12).samples[0].lines == ("What is it?", "How many?")


def test_sentences_come_with_their_labels(tmp_path: Path) -> None:
    """Against a hand-written SNLI-VE: two sentences about a photo, one without a majority."""
    path = picture(tmp_path / "flickr30k" / "flickr30k-images" / "77.jpg")
    (tmp_path / "snli_ve").mkdir()
    rows = [("entailment", "A dog runs."), ("-", "It is late.")]
    (tmp_path / "snli_ve" / "snli_ve_dev.jsonl").write_text(
        "".join(
            json.dumps(
                {"Flickr30K_ID": "77", "pairID": str(number)}
                | {"gold_label": label, "sentence1": "A dog.", "sentence2": text}
            )
            + "\n"
            for number, (label, text) in enumerate(rows)
        )
    )
    for name in ("snli-ve", "snli_ve"):
        chosen = choose(name, tmp_path, "dev", 3)
        assert chosen.samples == (
            Sample(path, "77.jpg", ("entailment: A dog runs.", "-: It is late.")),
        )


def test_labelled_pictures_come_with_the_names_of_their_class(tmp_path: Path) -> None:
    """Against hand-written class lists of ImageNet, ImageNet-21k and Open Images."""
    folder = tmp_path / "imagenet"
    photo = picture(folder / "val" / "n01440764" / "ILSVRC2012_val_00000001.JPEG")
    (folder / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca tinca\n")
    (sample,) = choose("imagenet", tmp_path, None, 1).samples
    assert (sample.path, sample.lines) == (photo, ("tench, Tinca tinca",))
    folder = tmp_path / "imagenet21k"
    picture(folder / "n01440764" / "n01440764_1.JPEG")
    (folder / "words.txt").write_text("n01440764\ttench, Tinca tinca\n")
    assert choose("imagenet21k", tmp_path, None, 1).samples[0].lines == ("tench, Tinca tinca",)
    folder = tmp_path / "open_images"
    picture(folder / "train" / "000002b66c9c498e.jpg")
    (folder / "class-descriptions-boxable.csv").write_text("/m/011k07,Tortoise\n")
    (folder / "train-annotations-human-imagelabels-boxable.csv").write_text(
        "ImageID,Source,LabelName,Confidence\n000002b66c9c498e,verification,/m/011k07,1\n"
    )
    assert choose("open-images", tmp_path, None, 1).samples[0].lines == ("Tortoise",)


def test_data_sets_are_known_by_name_and_the_rest_is_refused(tmp_path: Path) -> None:
    """Against the catalogue: every module is a data set; texts have no pictures."""
    assert set(shown_data_sets()) <= set(all_data_sets())
    assert {"flickr30k", "coco", "visual_genome", "sbu", "vqa"} <= set(shown_data_sets())
    with pytest.raises(UsageError, match="bookwiki has no images to show; these have: coco"):
        choose("bookwiki", tmp_path, None, 1)
    with pytest.raises(UsageError, match="unknown data set 'cocoa'"):
        choose("cocoa", tmp_path, None, 1)
    with pytest.raises(UsageError, match="unknown split 'dev'; those of sbu are train"):
        choose("sbu", tmp_path, "dev", 1)
    with pytest.raises(MissingData):
        choose("sbu", tmp_path, None, 1)
