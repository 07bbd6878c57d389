"""The labelled images of the mini suite: every label is true, the only true one, and readable."""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals.suite_mini import lexicon
from evals.suite_mini.classes import (
    ALL_CLASSES,
    FURTHER_CLASSES,
    IMAGENET_CLASSES,
    RARE_COLOURS,
    RARE_SHAPES,
    ThingClass,
    can_be_seen,
)
from evals.suite_mini.dice import Dice
from evals.suite_mini.labelled import IMAGENET, IMAGENET21K
from evals.suite_mini.open_images import OPEN_IMAGES
from evals.suite_mini.part import Report, SuitePart, make_folders
from evals.suite_mini.pictures import combined
from evals.suite_mini.portraits import draw_portrait, world_of
from evals.suite_mini.render import _PAINTS, Placement, render, render_placed
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.shapes import SILHOUETTES
from evals.suite_mini.suite import make_suite
from evals.suite_mini.world import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    Thing,
    make_scene,
)
from examples.embedded_levels.parts import levels_of
from unimo2.formats.imagenet import find_mapping, read_labels, read_synsets, synset_images
from unimo2.formats.open_images import class_names, read_open_images

PARTS: dict[str, SuitePart] = {part.name: part for part in (IMAGENET, IMAGENET21K, OPEN_IMAGES)}
REQUESTS = {
    "imagenet": SuiteRequest(scale=0.1),
    "imagenet21k": SuiteRequest(scale=0.05),
    "open_images": SuiteRequest(scale=0.05),
}
FINGERPRINTS = {
    "imagenet": "ada30465c97fba65b6754c814a6c39d9ec5788bb9dbd16fa70900f6af3c6acc3",
    "imagenet21k": "047e2c52b770c4f1fbafcf0d11f10906557a5f62cac316d922e9dfc11d4e883d",
    "open_images": "0e5dcf6fa1d1154e94dffc8c82aaac4195ff1b60d90a04902545cfe821e9e41e",
}
"""At scale 0.01 with seed 0; a wanted change of the data needs a new VERSION of the suite."""


def write(part: SuitePart, root: Path, request: SuiteRequest) -> tuple[list[Any], Report]:
    """Run a part's jobs here, the last one first."""
    make_folders(root, [part], request)
    results = [job.run(root, request.seed) for job in reversed(part.jobs(request))][::-1]
    return results, part.finish(root, request, results)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Report]]:
    """A tenth and less of the three data sets, on disk."""
    root = tmp_path_factory.mktemp("images")
    return root, {name: write(part, root, REQUESTS[name])[1] for name, part in PARTS.items()}


# --- an independent reading of labels: word by word, with a vocabulary of its own

WORDS = {
    "shape": {word: word for word in SHAPES + RARE_SHAPES},
    "colour": {word: word for word in (*COLOURS, "brown", "turquoise")},
    "size": {word: word for word in SIZES},
    "texture": {word: word for word in TEXTURES},
}


def is_meant(label: str, thing: Thing) -> bool:
    """Whether "striped blue fish" may be said of the thing: all of its words must hold."""
    meanings = [
        (field, words[word])
        for word in label.lower().split()
        for field, words in WORDS.items()
        if word in words
    ]
    assert len(meanings) == len(label.split()) and meanings[-1][0] == "shape"
    return all(getattr(thing, field) == meaning for field, meaning in meanings)


def true_classes(scene: Scene, classes: tuple[ThingClass, ...]) -> list[str]:
    return [
        other.wnid
        for other in classes
        if any(is_meant(other.names[0], thing) for thing in scene.things)
    ]


# --- classes


def test_existing_scenes_are_drawn_as_before() -> None:
    """Against a hash taken before there were rare shapes: 24 scenes of Flickr30k's test split."""
    digest = hashlib.sha256()
    for index in range(24):
        scene = make_scene(0, "flickr30k", "test", index)
        digest.update(scene.key().encode())
        digest.update(render(scene, Dice(0, "flickr30k", "test", index, "picture")).tobytes())
    assert digest.hexdigest() == (
        "3a4fc181aa04b759078ea3db926d1204da1247b782bcc6623e2f1a7faf96a91e"
    )


def test_no_thing_is_of_two_classes() -> None:
    """Against every thing that can be drawn; each class has some."""
    things = [
        Thing(0, shape, colour, size, texture)
        for shape, colour, size, texture in itertools.product(
            SHAPES + RARE_SHAPES, (*COLOURS, "brown", "turquoise"), SIZES, TEXTURES
        )
    ]
    members = dict.fromkeys((other.wnid for other in ALL_CLASSES), 0)
    for thing in things:
        fitting = [other for other in ALL_CLASSES if is_meant(other.names[0], thing)]
        assert [other.wnid for other in fitting] == [
            other.wnid for other in ALL_CLASSES if other.kind.fits(thing)
        ]
        assert len(fitting) <= 1
        for other in fitting:
            members[other.wnid] += 1
    assert min(members.values()) > 0


def test_classes_are_many_and_partly_fine_grained() -> None:
    """Against counting: 120 and 36 more, 24 by texture, 12 by size, a fourth never captioned."""
    assert (len(IMAGENET_CLASSES), len(FURTHER_CLASSES)) == (120, 36)
    assert sum(other.kind.texture is not None for other in IMAGENET_CLASSES) == 24
    assert sum(other.kind.size is not None for other in IMAGENET_CLASSES) == 12
    assert sum(not other.captioned for other in IMAGENET_CLASSES) == 36
    names = [name for other in ALL_CLASSES for name in other.names]
    assert len(names) == len(set(names))
    assert all(len(other.names) >= 2 and "," not in "".join(other.names) for other in ALL_CLASSES)


def test_captions_have_the_words_of_captioned_classes_and_of_no_other(tmp_path: Path) -> None:
    """Against the lexicon, and against every word in the files of all pairs at a small scale."""
    pairs = ("coco", "conceptual_captions", "sbu", "visual_genome")
    make_suite(tmp_path / "pairs", SuiteRequest(scale=0.004), processes=1, parts=pairs)
    files = [path for path in (tmp_path / "pairs").rglob("*") if path.suffix in (".json", ".tsv")]
    said = " ".join(path.read_text() for path in files).lower()
    words = set(re.findall(r"[a-z]+(?:-[a-z]+)*", said))
    nouns = words_of(lexicon.RARE_NOUNS)
    assert not nouns & words
    known = words_of(
        [lexicon.NOUNS, lexicon.COLOUR_WORDS, lexicon.TEXTURE_WORDS, lexicon.SIZE_WORDS]
    )
    assert not (nouns | words_of(lexicon.RARE_COLOUR_WORDS)) & known
    for other in ALL_CLASSES:
        if other.captioned:
            assert all(set(name.split()) <= known for name in other.names)
            assert set(other.names[0].split()) <= words
        else:
            assert not any(re.search(rf"\b{name}\b", said) for name in other.names)


def words_of(value: object) -> set[str]:
    """All words in a nested collection of strings; of a mapping, in its values."""
    if isinstance(value, str):
        return set(value.split())
    if isinstance(value, Mapping):
        return words_of(list(value.values()))
    assert isinstance(value, Iterable)
    return {word for part in value for word in words_of(part)}


# --- pictures


def test_no_two_shapes_look_alike() -> None:
    """Against their overlap, mirrored or not: at most 85 % of all that either covers."""
    points = (np.arange(64) + 0.5) / 32 - 1
    across, down = np.meshgrid(points, points)
    assert set(SILHOUETTES) == {*SHAPES, *RARE_SHAPES}
    for first, second in itertools.combinations(SILHOUETTES.values(), 2):
        one = first(across, down)
        for other in (second(across, down), second(-across, down)):
            assert (one & other).sum() <= 0.85 * (one | other).sum()


@pytest.mark.parametrize("shape", RARE_SHAPES)
def test_rare_shapes_show_their_colour_and_their_detail(shape: str) -> None:
    """In 8 of 10 pictures its paint is the nearest for most pixels that a thing changes."""
    colours = (*COLOURS, *RARE_COLOURS)
    paints = np.array([_PAINTS[colour] for colour in colours])
    hits = []
    for number, colour in enumerate(colours * 2):
        dice = Dice("rare", shape, number)
        background = dice.pick([name for name in BACKGROUNDS if can_be_seen(colour, name)])
        placed = (Thing(4, shape, colour, "large", "plain"), Placement(24.0, 24.0, 10.0))
        pixels = render_placed(background, [placed], Dice(number)).astype(int)
        bare = render_placed(background, [], Dice(number)).astype(int)
        body = pixels[np.abs(pixels - bare).max(axis=2) > 40]
        counts = np.bincount(
            np.abs(body[:, None] - paints[None]).sum(axis=2).argmin(axis=1), minlength=len(colours)
        )
        edges = {"black", "white"} - {colour}
        counts[[colours.index(edge) for edge in edges]] = 0
        hits.append(colours[counts.argmax()] == colour)
    assert np.mean(hits) >= 0.8


def portraits(count: int) -> list[tuple[str, ThingClass, tuple[ThingClass, ...], Any]]:
    jobs = [(job, IMAGENET_CLASSES) for job in IMAGENET.jobs(SuiteRequest())]
    of_train, of_val = ([j for j in jobs if j[0].split == split] for split in ("train", "val"))
    of_21k = [(job, ALL_CLASSES) for job in IMAGENET21K.jobs(SuiteRequest())]
    return [
        (getattr(job, "split", "train"), job.kind, known, job.portrait(0))
        for jobs in (of_train, of_val, of_21k)
        for job, known in jobs[:count]
    ]


def test_exactly_one_class_is_true_of_a_picture() -> None:
    """Against reading the labels word by word: pictures of every class, of all three splits."""
    pictures = portraits(2 * len(ALL_CLASSES))
    for _, kind, known, portrait in pictures:
        assert true_classes(portrait.scene, known) == [kind.wnid]
        assert is_meant(kind.names[0], portrait.main) and portrait.main in portrait.scene.things
        for thing in portrait.scene.things:
            assert can_be_seen(thing.colour, portrait.scene.background)
    accompanied = [len(portrait.scene.things) == 2 for *_, portrait in pictures]
    assert 0.25 < np.mean(accompanied) < 0.45
    cells = {portrait.main.cell for *_, portrait in pictures}
    assert cells == set(range(9))


def test_training_and_validation_worlds_share_no_scene() -> None:
    """Against the scenes themselves, 21k's and Open Images' among those of training."""
    val: set[str] = set()
    train: set[str] = set()
    for split, _, _, portrait in portraits(1_200):
        (val if split == "val" else train).add(portrait.scene.key())
        assert world_of(portrait.scene) == ("test" if split == "val" else "train")
    train |= {job.scene(0).key() for job in OPEN_IMAGES.jobs(SuiteRequest(scale=0.2))}
    assert len(val) > 900 and not val & train


def test_validation_pictures_are_none_of_training(
    suite: tuple[Path, dict[str, Report]],
) -> None:
    """Against the decoded pixels on disk."""
    root, _ = suite
    pixels = {
        folder: {
            Image.open(path).tobytes()
            for path in (root / folder).rglob("*")
            if path.suffix in (".JPEG", ".jpg")
        }
        for folder in ("imagenet/val", "imagenet/train", "imagenet21k", "open_images")
    }
    assert [len(images) for images in pixels.values()] == [120, 360, 250, 255]
    assert len(set.union(*pixels.values())) == 120 + 360 + 250 + 255


def test_boxes_lie_around_the_main_thing() -> None:
    """Against the pixels that change when the main thing gets another colour."""
    for job in IMAGENET.jobs(SuiteRequest())[:240:4]:
        portrait = job.portrait(0)
        other = "blue" if portrait.main.colour == "red" else "red"
        repainted = dataclasses.replace(portrait.main, colour=other)
        things = tuple(sorted({*portrait.scene.things, repainted} - {portrait.main}))
        scene = dataclasses.replace(portrait.scene, things=things)
        changed = dataclasses.replace(portrait, scene=scene, main=repainted)
        before, box = draw_portrait(portrait, Dice("box", job.index))
        after, same_box = draw_portrait(changed, Dice("box", job.index))
        rows, columns = np.nonzero((before != after).any(axis=2))
        left, top, right, bottom = box
        assert box == same_box and 0 <= left < right <= 48 and 0 <= top < bottom <= 48
        assert left <= columns.min() + 1 and columns.max() <= right
        assert top <= rows.min() + 1 and rows.max() <= bottom
        assert max(columns.max() - columns.min(), rows.max() - rows.min()) > 0.5 * (right - left)


# --- files


def test_parts_leave_the_files_that_they_name(suite: tuple[Path, dict[str, Report]]) -> None:
    """Against the folder: nothing is missing, nothing is there besides."""
    root, _ = suite
    expected = {name for part in PARTS.values() for name in part.files(REQUESTS[part.name])}
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == expected


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_same_seed_same_data(
    part: SuitePart, suite: tuple[Path, dict[str, Report]], tmp_path: Path
) -> None:
    """Against the fingerprints above, and between two runs; another seed gives other pictures."""
    small = SuiteRequest(scale=0.01)
    runs = []
    for name, request in (("a", small), ("b", small), ("c", SuiteRequest(seed=1, scale=0.01))):
        _, report = write(part, tmp_path / name, request)
        texts = {
            path.name: path.read_text()
            for path in sorted((tmp_path / name).rglob("*"))
            if path.suffix in (".csv", ".txt")
        }
        runs.append((report.digests, texts))
    assert runs[0] == runs[1]
    assert combined(runs[0][0]) == FINGERPRINTS[part.name]
    assert not set(runs[0][0]) & set(runs[2][0])
    count = sum(suite[1][part.name].counts.values())
    assert len(set(suite[1][part.name].digests)) >= count


def test_imagenet_is_read_back(suite: tuple[Path, dict[str, Report]]) -> None:
    """Through the project's reader, against the jobs: folders, names, and the official csv."""
    root, reports = suite
    synsets = read_synsets(root / "imagenet" / "LOC_synset_mapping.txt")
    assert [(s.wnid, s.names) for s in synsets] == [(c.wnid, c.names) for c in IMAGENET_CLASSES]
    assert find_mapping(root / "imagenet" / "val") is not None
    for split in ("train", "val"):
        images = {image.name: image for image in read_labels(root / "imagenet" / split)}
        jobs = [job for job in IMAGENET.jobs(REQUESTS["imagenet"]) if job.split == split]
        assert {name: image.wnid for name, image in images.items()} == {
            job.stem: job.kind.wnid for job in jobs
        }
        assert len(images) == reports["imagenet"].counts[split]
        assert all(image.path and image.path.is_file() for image in images.values())
    solution = read_labels(root / "imagenet" / "LOC_val_solution.csv")
    folders = read_labels(root / "imagenet" / "val")
    assert {(i.name, i.wnid) for i in solution} == {(i.name, i.wnid) for i in folders}


def test_imagenet21k_is_read_back(suite: tuple[Path, dict[str, Report]]) -> None:
    """Through the project's reader, which refuses classes without a name and odd files."""
    root, reports = suite
    images = list(synset_images(root / "imagenet21k"))
    assert len(images) == reports["imagenet21k"].counts["train"] == 250
    names = {other.wnid: other.names for other in ALL_CLASSES}
    assert all(image.names == names[image.wnid] for image in images)
    assert {image.wnid for image in images} == set(names)


def test_open_images_are_read_back_with_the_labels_that_are_right(
    suite: tuple[Path, dict[str, Report]],
) -> None:
    """Against reading every label word by word before the scene that was drawn."""
    root, reports = suite
    folder = root / "open_images"
    jobs = {job.id: job for job in OPEN_IMAGES.jobs(REQUESTS["open_images"])}
    images = {image.id: image for image in read_open_images(folder)}
    assert len(images) == reports["open_images"].counts["train"] == 250
    assert {id for id, job in jobs.items() if not job.rejected_only} == set(images)
    names = class_names(folder)
    assert len(names) == 24 * (1 + 9 + 2) == len(set(names.values()))
    rows = (folder / "train-annotations-human-imagelabels-boxable.csv").read_text().splitlines()
    verdicts = []
    for row in rows[1:]:
        image, _, label, confidence = row.split(",")
        things = jobs[image].scene(0).things
        right = any(is_meant(names[label], thing) for thing in things)
        assert confidence == str(int(right))
        assert right == (image in images and names[label] in images[image].labels)
        verdicts.append(right)
    assert 0.15 < 1 - np.mean(verdicts) < 0.45
    rare = [any(t.shape in RARE_SHAPES for t in job.scene(0).things) for job in jobs.values()]
    assert 0.4 < np.mean(rare) < 0.8


# --- levels


def test_levels_of_imagenet() -> None:
    """One class is true of each picture, so the ceiling is 100; colours alone stay far below."""
    level = levels_of("imagenet", REQUESTS["imagenet"])["imagenet"]["accuracy"]
    assert level["ideal"] == 100
    assert level["chance"] == pytest.approx(100 / 120) == level["majority"]
    assert 2 < level["one_modality"]["colours only"] < 40
