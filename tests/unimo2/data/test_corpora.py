"""Corpora: which samples a step sees, how they look, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from PIL import Image

from builders import corpora_folders
from builders import tiny_training as tiny
from unimo2.data.corpora import prompted, read_labelled, read_pairs
from unimo2.data.index import Index
from unimo2.data.seeding import CAPTIONS, ORDER, Shard, stream
from unimo2.data.text_blocks import text_folders
from unimo2.errors import BadData, MissingData, UsageError
from unimo2.formats.parsing import Skips
from unimo2.processing import Unimo2Processor
from unimo2.training.curriculum import Corpora

CONFIG = replace(tiny.CONFIG, length_window=2)


@pytest.fixture(scope="module")
def pairs():
    return Corpora(*tiny.corpus())


def samples(corpora, step, config):
    """Images and captions of a step."""
    size, window = config.batch_size, config.length_window
    drawn = corpora.pairs.draw(step, size, config.seed, window, (ORDER, CAPTIONS))
    return drawn.items, drawn.texts[:, 0]


def batch(corpora, step, config, share=None):
    """The pairs of a step."""
    return corpora.batch(step, config, share).pairs


def test_every_pass_takes_every_image_once(pairs):
    """Truth: 12 images in 3 batches of 4, counted over four passes; their order differs."""
    passes = []
    for epoch in range(4):
        steps = range(3 * epoch, 3 * epoch + 3)
        images = torch.cat([samples(pairs, step, CONFIG)[0] for step in steps])
        assert Counter(images.tolist()) == Counter(range(12))
        passes.append(tuple(images.tolist()))
    assert len(set(passes)) == 4


@pytest.mark.parametrize("window", [1, 2, 5])
def test_captions_belong_to_their_images_and_all_of_them_occur(pairs, window):
    """Truth: two captions an image, in the order of the images."""
    config = replace(CONFIG, length_window=window)
    seen = Counter()
    for step in range(60):
        images, captions = samples(pairs, step, config)
        assert torch.equal(captions // 2, images)
        seen.update(captions.tolist())
    assert set(seen) == set(range(24))


def test_a_step_is_the_same_whatever_was_asked_before(pairs):
    """Truth: the same step asked twice, with others between; another seed gives other samples."""
    first = batch(pairs, 7, CONFIG)
    batch(pairs, 2, CONFIG)
    again = batch(pairs, 7, CONFIG)
    for name, value in vars(first).items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(getattr(again, name))), name
    other = [samples(pairs, step, replace(CONFIG, seed=1))[0].tolist() for step in range(3)]
    assert other != [samples(pairs, step, CONFIG)[0].tolist() for step in range(3)]


def test_windows_put_captions_of_like_length_together(pairs):
    """Truth: padding counted with and without; the long and the short caption form batches."""
    padded = {}
    for window in (1, 3):
        config = replace(CONFIG, length_window=window)
        masks = [batch(pairs, step, config).attention_mask for step in range(30)]
        padded[window] = sum(int((mask == 0).sum()) for mask in masks)
    assert padded[3] < 0.7 * padded[1]


def test_processes_share_a_batch_without_gap_or_overlap(pairs):
    """Truth: the whole batch of one process; padding differs, masks and negatives do not."""
    whole = batch(pairs, 3, CONFIG)
    parts = [batch(pairs, 3, CONFIG, Shard(rank, 2)) for rank in range(2)]
    for name in ("pixel_values", "image_index", "negative_noise"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    for rank, part in enumerate(parts):
        rows, width = slice(2 * rank, 2 * rank + 2), part.input_ids.shape[1]
        for name in ("input_ids", "masked_ids", "labels"):
            assert torch.equal(getattr(whole, name)[rows, :width], getattr(part, name)), name


def test_a_batch_that_cannot_be_divided_is_refused():
    """Truth: 4 rows for 3 processes."""
    with pytest.raises(UsageError, match="batch_size 4 is not a multiple of 3"):
        Shard(0, 3).rows(4)


def test_a_batch_larger_than_the_corpus_is_refused(pairs):
    """Truth: 12 images."""
    with pytest.raises(UsageError, match="the corpus has 12 images"):
        samples(pairs, 0, replace(CONFIG, batch_size=13))


def test_only_a_share_of_the_texts_is_masked_where_asked(pairs):
    """Truth: half of four rows, and none without the loss."""
    assert len(batch(pairs, 0, replace(CONFIG, mlm_share=0.5)).masked_ids) == 2
    assert len(batch(pairs, 0, replace(CONFIG, mlm_weight=0.0)).masked_ids) == 0


def test_streams_are_independent_and_repeatable():
    """Truth: equal arguments give equal numbers, any different argument others."""

    def draw(*key):
        return torch.rand(4, generator=stream(*key)).tolist()

    assert draw(0, 1, 2) == draw(0, 1, 2)
    assert len({tuple(draw(*key)) for key in ((0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3))}) == 4


@pytest.fixture
def karpathy_root(tmp_path):
    """A data root in COCO's layout with three images in three splits."""
    folder = tmp_path / "coco" / "train2014"
    folder.mkdir(parents=True)
    images = []
    for number, split in enumerate(("train", "restval", "test")):
        name = f"COCO_{number}.png"
        Image.new("RGB", (20, 10), (50 * number, 100, 200)).save(folder / name)
        sentence = {
            "raw": f"picture number {number}.",
            "tokens": ["picture", "number", str(number)],
            "sentid": number,
            "imgid": number,
        }
        images.append(
            {
                "filepath": "train2014",
                "filename": name,
                "split": split,
                "imgid": number,
                "cocoid": number,
                "sentids": [number],
                "sentences": [sentence],
            }
        )
    file = tmp_path / "coco" / "dataset_coco.json"
    file.write_text(json.dumps({"dataset": "coco", "images": images}))
    return tmp_path


def test_training_reads_train_and_restval_and_no_test_image(karpathy_root):
    """Truth: the splits that were written."""
    images = list(read_pairs(karpathy_root, ["coco"]))
    assert [image.path.stem for image in images] == ["COCO_0", "COCO_1"]
    assert [image.texts for image in images] == [("picture number 0.",), ("picture number 1.",)]


def test_pixels_are_those_of_the_processor(karpathy_root):
    """Truth: the processor that retrieval uses, on the same files."""
    tokenizer = tiny.corpus()[1].tokenizer
    processor = Unimo2Processor(tokenizer=tokenizer, image_size=8)
    images = list(read_pairs(karpathy_root, ["coco"]))
    corpus = tiny.corpus_of(Index(images), processor, 24)
    found = batch(Corpora(corpus, processor), 0, replace(CONFIG, batch_size=2))
    expected = processor(images=[Image.open(image.path) for image in images])["pixel_values"]
    assert torch.equal(found.pixel_values, expected[found.image_index])


def test_an_image_that_cannot_be_decoded_is_named(karpathy_root):
    """Truth: the file that was spoilt."""
    images = list(read_pairs(karpathy_root, ["coco"]))
    images[1].path.write_bytes(b"no image")
    processor = Unimo2Processor(tokenizer=tiny.corpus()[1].tokenizer, image_size=8)
    with pytest.raises(BadData, match="COCO_1"):
        tiny.corpus_of(Index(images), processor, 24)


def test_an_empty_corpus_and_an_unknown_one_are_one_line(karpathy_root):
    """Truth: the file has no training image any more; there is no corpus of that name."""
    file = karpathy_root / "coco" / "dataset_coco.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["split"] = "test"
    file.write_text(json.dumps(content))
    for call, kind in (
        (lambda: list(read_pairs(karpathy_root, ["coco"])), (MissingData, BadData)),
        (lambda: list(read_pairs(karpathy_root, ["laion"])), UsageError),
        (lambda: list(read_pairs(karpathy_root, ["flickr30k"])), MissingData),
        (lambda: tiny.corpus_of(Index([]), tiny.corpus()[1], 24), MissingData),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_pairs_come_from_several_sets_in_order(karpathy_root):
    """Truth: what was written; an image of Visual Genome has its phrases, one without is left out."""
    corpora_folders.everything(karpathy_root)
    sets = ["coco", "visual_genome", "conceptual_captions", "sbu"]
    images = list(read_pairs(karpathy_root, sets))
    assert len(images) == 2 + 4 + 4 + 4
    assert images[2].texts == ("part 0 of 1", "part 1 of 1", "part 2 of 1")
    assert images[6].texts == ("picture 0 of the web",) and images[10].texts == ("my photo 0",)
    assert all(image.path.is_file() for image in images)


def test_labels_make_pseudo_pairs(tmp_path):
    """Truth: the usual name of a class, right labels only, and the paper's prompt."""
    corpora_folders.everything(tmp_path)
    labelled = list(read_labelled(tmp_path, ["imagenet21k", "open_images"]))
    assert [image.texts for image in labelled] == [
        *[("tench",)] * 3,
        *[("goldfish",)] * 3,
        ("palm tree", "beach"),
        *[("palm tree",)] * 2,
    ]
    pairs = list(prompted(labelled, ["a photo of [label]", "[label]!"]))
    assert pairs[0].texts == ("a photo of tench", "tench!")
    assert pairs[6].texts[2:] == ("a photo of beach", "beach!")
    assert [pair.path for pair in pairs] == [image.path for image in labelled]


def test_missing_and_unknown_corpora_are_one_line(tmp_path):
    """Truth: nothing is there; there is no corpus of that name."""
    for call in (
        lambda: list(read_labelled(tmp_path, ["imagenet21k"])),
        lambda: list(read_labelled(tmp_path, ["coco"])),
        lambda: list(read_pairs(tmp_path, ["visual_genome"])),
        lambda: text_folders(tmp_path, ["wiki"]),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_copies_of_evaluation_images_are_left_out_and_counted(tmp_path):
    """Truth: four images of Visual Genome by hand: a COCO test photo, a Flickr30k one, two others."""
    corpora_folders.visual_genome(tmp_path, images=4)
    origins = [(1, 77, None), (2, 78, 1000092795), (3, None, 555), (4, 79, None), (5, None, None)]
    items = [{"image_id": i, "coco_id": coco, "flickr_id": flickr} for i, coco, flickr in origins]
    (tmp_path / "visual_genome" / "image_data.json").write_text(json.dumps(items))
    sentence = {"sentid": 1, "imgid": 1, "raw": "a", "tokens": ["a"]}

    def karpathy(name, *images):
        found = [
            {"imgid": n, "filename": file, "split": split, "cocoid": coco,
             "sentences": [{**sentence, "imgid": n, "sentid": n}]}
            for n, (file, split, coco) in enumerate(images)
        ]  # fmt: skip
        (tmp_path / name).mkdir()
        document = {"dataset": name, "images": found}
        (tmp_path / name / f"dataset_{name}.json").write_text(json.dumps(document))

    karpathy("coco", ("a.jpg", "test", 77), ("b.jpg", "train", 78), ("c.jpg", "val", 80))
    karpathy("flickr30k", ("1000092795.jpg", "val", None), ("555.jpg", "train", None))

    def kept(*leave_out):
        lost = Skips()
        images = read_pairs(tmp_path, ["visual_genome"], lost, leave_out)
        return [int(image.path.stem) for image in images], lost.counts

    reason = "image of visual_genome that {} validates or tests with".format
    assert kept() == ([1, 2, 3, 4], {})
    assert kept("coco") == ([2, 3, 4], {reason("coco"): 1})
    assert kept("flickr30k") == ([1, 3, 4], {reason("flickr30k"): 1})
    assert kept("coco", "flickr30k") == ([3, 4], {reason("coco"): 1, reason("flickr30k"): 1})
    (tmp_path / "visual_genome" / "image_data.json").unlink()
    with pytest.raises(MissingData, match="image_data.json"):
        kept("coco")
