"""The pair corpora of the embedded suite: read back by the project's readers, true where they should be."""

import json
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from builders.official_java import java_on_path, quiet
from evals.metrics.captions import tokenise
from evals.suite_mini import SuiteRequest, make_suite, read_suite
from evals.suite_mini.captioned import coco_entries, scene_and_descriptions
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import is_true
from evals.suite_mini.part import SuitePart
from evals.suite_mini.render import render
from evals.suite_mini.visual_genome import region_phrases
from evals.suite_mini.web import (
    CONCEPTUAL_CAPTIONS,
    DETAIL,
    FITS,
    NOISE,
    OTHER,
    SBU,
    VAGUE,
    Wording,
    cleaned,
    in_owners_words,
    web_caption,
)
from evals.suite_mini.world import Scene, make_scene, split_of
from examples.embedded_levels.captions import cider_level
from unimo2.formats import web_captions
from unimo2.formats.coco import read_captions
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import read_karpathy
from unimo2.formats.visual_genome import read_regions

REQUEST = SuiteRequest(scale=0.004, flickr_test=4)
PARTS = ["coco", "conceptual_captions", "sbu", "visual_genome"]
FINGERPRINTS = {
    "coco": "d13621413ce819802c415e79ae8ef1d126a68c3c56388dc2b880703e584e69a1",
    "conceptual_captions": "1deb4abfd61cb62baa07f892ec198f73a3c9e5cd1268331b1075c24c2e51f1f3",
    "sbu": "75131c4897b3e39c55ab7b06b729487785006da48e0c54b7da6ae305a1ffbd52",
    "visual_genome": "a6f5eedc879ea14b6edd0dd563fb7dab5bf6a85e017622cb47c8ac0156cd90c6",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of these corpora with about ten pictures each."""
    place = tmp_path_factory.mktemp("corpora") / "tiny"
    make_suite(place, REQUEST, 1, None, PARTS)
    return place


def test_fingerprints_stay_the_same(root: Path) -> None:
    """Against the ones noted above; a wanted change of the data needs a new VERSION."""
    suite = read_suite(root)
    assert suite is not None and suite["fingerprints"] == FINGERPRINTS


# --- COCO's annotation file


def test_references_are_the_captions_of_val2014(root: Path) -> None:
    """COCO's own file against Karpathy's: the images of val2014 with the same captions and ids."""
    images = read_karpathy(root / "coco" / "dataset_coco.json", root / "coco")
    expected = {
        image.cocoid: (image.filename, tuple(caption.text for caption in image.captions))
        for image in images
        if image.path.parent.name == "val2014"
    }
    listed = read_captions(root / "coco" / "annotations" / "captions_val2014.json")
    assert {image.id: (image.file_name, image.captions) for image in listed} == expected
    assert {image.split for image in images} == {"train", "restval", "val", "test"}
    content = json.loads((root / "coco" / "annotations" / "captions_val2014.json").read_text())
    assert set(content) == {"info", "images", "licenses", "annotations"}
    assert set(content["annotations"][0]) == {"image_id", "id", "caption"}


def test_levels_of_cider_are_pycocoevalcaps() -> None:
    """Against its tokenizer and CIDEr run by hand: each annotator left out, and one fixed caption."""
    entries = [entry for entry in coco_entries(REQUEST) if entry.split == "test"]
    people = [[d.text for d in scene_and_descriptions(0, entry)[1]] for entry in entries]
    level = cider_level(people, ["A red star.", "Two hearts on the sand.", "A red star."], seed=0)
    listed = {image: [*own, "A red star."] for image, own in enumerate(people)}
    records = {image: [{"caption": text} for text in own] for image, own in listed.items()}
    with java_on_path(), quiet():
        tokens = PTBTokenizer().tokenize(records)
    scores = []
    for out in range(6):
        given = {image: [own[out]] for image, own in tokens.items()}
        truth = {
            image: [words for place, words in enumerate(own[:5]) if place != out]
            for image, own in tokens.items()
        }
        scores.append(100 * Cider().compute_score(truth, given)[0])
    assert level.ideal == pytest.approx(np.mean(scores[:5]))
    assert level.majority == pytest.approx(scores[5])
    assert level.chance is not None and 0 < level.chance < 0.4 * level.ideal


def test_tokens_of_the_files_are_near_those_of_the_evaluation(root: Path) -> None:
    """The PTB tokenizer finds the words that Karpathy's list has, hyphens apart."""
    images = read_karpathy(root / "coco" / "dataset_coco.json", root / "coco", ["test"])
    found = tokenise({image.id: [caption.text for caption in image.captions] for image in images})
    for image in images:
        for caption, words in zip(image.captions, found[image.id], strict=True):
            assert words.split() == list(caption.tokens)


# --- Visual Genome


def test_visual_genome_is_read_back(root: Path) -> None:
    """Against the scenes: every phrase of every image, in both folders, decoded pictures."""
    images = list(read_regions(root / "visual_genome"))
    suite = read_suite(root)
    assert suite is not None and len(images) == suite["counts"]["visual_genome"]["train"]
    assert {image.path.parent.name for image in images} == {"VG_100K", "VG_100K_2"}
    for index, image in enumerate(images):
        key = (0, "visual_genome", "train", index)
        scene = make_scene(*key)
        assert [(region.phrase, region.box) for region in image.regions] == [
            (phrase.text, phrase.box) for phrase in region_phrases(scene, Dice(*key, "regions"))
        ]
        drawn = render(scene, Dice(*key, "picture"))
        assert np.abs(np.asarray(load_image(image.path)).astype(int) - drawn).mean() < 4
    total = sum(len(image.regions) for image in images)
    assert suite["units"]["visual_genome"] == f"images with {total} region phrases"
    identifiers = [region.id for image in images for region in image.regions]
    assert len(set(identifiers)) == total


def test_region_phrases_are_true_and_short() -> None:
    """Against the scene graph: 200 scenes, several phrases each, none of them a whole caption."""
    lengths = []
    for index in range(200):
        scene = make_scene(0, "visual_genome", "train", index)
        phrases = region_phrases(scene, Dice(0, "regions", index))
        assert 5 <= len(phrases) <= 11
        assert all(is_true(phrase.statement, scene) for phrase in phrases)
        lengths += [len(phrase.text.split()) for phrase in phrases]
    assert 3 < float(np.mean(lengths)) < 7


def test_a_thing_lies_in_the_box_of_its_phrase() -> None:
    """Against the pixels that change when the thing is left out of the picture."""
    for index in range(60):
        scene = make_scene(0, "visual_genome", "train", index)
        boxes = {}
        for phrase in region_phrases(scene, Dice(0, "regions", index)):
            (mention,) = (
                phrase.statement.mentions if len(phrase.statement.mentions) == 1 else [None]
            )
            fitting = [thing for thing in scene.things if mention and mention.fits(thing)]
            if len(fitting) == 1:
                boxes[fitting[0]] = phrase.box
        # The last thing is drawn last: leaving it out changes no other choice of the dice.
        last = scene.things[-1]
        if last not in boxes:
            continue
        without = Scene(scene.background, scene.things[:-1])
        seeds = Dice(0, "picture", index), Dice(0, "picture", index)
        changed = (render(scene, seeds[0]) != render(without, seeds[1])).any(axis=2)
        rows, columns = np.nonzero(changed)
        x, y, width, height = boxes[last]
        assert x <= columns.min() and columns.max() < x + width
        assert y <= rows.min() and rows.max() < y + height


# --- pairs from the web


def test_conceptual_captions_are_read_back(root: Path) -> None:
    """Against the TSV and ViLBERT's names: every row has its picture, named by CRC-32."""
    folder = root / "conceptual_captions"
    rows = [
        line.split("\t") for line in (folder / "Train_GCC-training.tsv").read_text().splitlines()
    ]
    pairs = list(web_captions.conceptual_captions(folder, "train"))
    assert [[pair.text, pair.source] for pair in pairs] == rows
    for pair in pairs:
        assert pair.path.stem == str(zlib.crc32(pair.source.encode()))
        assert load_image(pair.path).size == (48, 48)
        assert pair.text == pair.text.lower() and "\t" not in pair.text


def test_sbu_is_read_back(root: Path) -> None:
    """Against the JSON of lists: every address has its picture, named by the last part."""
    folder = root / "sbu"
    content = json.loads((folder / "sbu-captions-all.json").read_text())
    pairs = list(web_captions.sbu(folder))
    assert [pair.text for pair in pairs] == content["captions"]
    assert [pair.source for pair in pairs] == content["image_urls"]
    assert all(load_image(pair.path).size == (48, 48) for pair in pairs)
    assert len(content["user_ids"]) == len(pairs)


@pytest.mark.parametrize("part", [CONCEPTUAL_CAPTIONS, SBU], ids=lambda part: part.name)
def test_paths_are_unique_at_full_size(part: SuitePart) -> None:
    """Against the number of pairs: no two share a file, not even by their CRC-32."""
    files = part.files(SuiteRequest())
    assert len(set(files)) == len(files) == 4_001


@pytest.mark.parametrize(
    ("collection", "wording"),
    [("conceptual_captions", cleaned), ("sbu", in_owners_words)],
)
def test_a_fifth_of_the_web_is_noise(collection: str, wording: Wording) -> None:
    """Against the scene graphs of 500 pictures: what fits is true, what does not is false."""
    kinds: Counter[str] = Counter()
    for index in range(500):
        scene = make_scene(0, collection, "train", index)
        caption = web_caption(scene, 0, collection, index, wording)
        kinds[caption.kind] += 1
        assert is_true(caption.statement, scene) == (caption.kind in (FITS, VAGUE))
        if caption.kind == VAGUE:
            assert len(caption.statement.mentions) < len(scene.things)
            assert all(mention.colour is None for mention in caption.statement.mentions)
        assert len(caption.text.split()) <= 44
    assert set(kinds) == {FITS, *NOISE}
    assert 0.16 < sum(kinds[kind] for kind in NOISE) / 500 < 0.24


def test_noise_is_counted(root: Path) -> None:
    """The summary's counts against the captions, told again one by one."""
    suite = read_suite(root)
    assert suite is not None
    wordings: dict[str, Wording] = {
        "conceptual_captions": cleaned,
        "sbu": in_owners_words,
    }
    for name, wording in wordings.items():
        kinds = Counter(
            web_caption(make_scene(0, name, "train", index), 0, name, index, wording).kind
            for index in range(suite["counts"][name]["train"])
        )
        assert suite["folded"][name] == {kind: kinds[kind] for kind in (OTHER, DETAIL, VAGUE)}


def test_pretraining_pictures_are_of_the_training_world() -> None:
    """Against the hash of the scenes' families."""
    for name in ("visual_genome", "conceptual_captions", "sbu"):
        assert {split_of(make_scene(0, name, "train", index)) for index in range(300)} == {"train"}
