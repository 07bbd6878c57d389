"""Training data of fine-tuning: order, padding, images, answers, and what is read of each task."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from builders.tiny_tasks import WNIDS, write_model, write_root, write_vqa
from unimo2.data.images import AugmentedImages, ImageStore
from unimo2.data.sampler import EpochSampler, LengthGroupedSampler, TextsOfItems
from unimo2.data.seeding import CAPTIONS, ORDER, Shard
from unimo2.data.texts import TokenTable
from unimo2.errors import BadData, UsageError
from unimo2.formats.images import load_image
from unimo2.formats.vqa import Annotation, Answer, normalise, read_annotations
from unimo2.processing import Unimo2Processor
from unimo2.training.finetuning.classification import Classes, LabelledData
from unimo2.training.finetuning.config import FinetuneConfig
from unimo2.training.finetuning.readers import (
    answer_list,
    read_captioned,
    read_glue,
    read_imagenet,
    read_snli_ve,
    read_vqa,
    soft_targets,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_root(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Unimo2Processor:
    return Unimo2Processor.from_pretrained(write_model(tmp_path_factory.mktemp("model")))


def sampler(counts, lengths, draw, size=2, seed=3, window=2):
    """What is chosen at a step, in batches of two and windows of two batches."""
    epochs = EpochSampler(len(counts), ORDER, "samples")
    made = LengthGroupedSampler(epochs, TextsOfItems(counts), lengths, CAPTIONS, draw)
    return lambda step: made.at(step, size, seed, window)


@pytest.mark.parametrize("drawn", [2, 3])
def test_a_pass_takes_every_item_once_whatever_is_asked_for_first(drawn):
    """Independent truth: the set of items; a second object that begins in the middle."""
    counts = torch.tensor([1, 3, 2, 1, 5, 2, 1])
    lengths = torch.arange(int(counts.sum())) % 7
    passes = sampler(counts, lengths, drawn)
    chosen = [passes(step) for step in range(9)]
    for epoch in range(3):
        items = torch.cat([chosen[step].items for step in range(3 * epoch, 3 * epoch + 3)])
        assert len(set(items.tolist())) == 6  # the rest of one is left out
    starts = counts.cumsum(0) - counts
    for item, texts in ((i, o) for c in chosen for i, o in zip(c.items, c.texts, strict=True)):
        assert all(starts[item] <= t < starts[item] + counts[item] for t in texts)
        assert len(set(texts.tolist())) == min(drawn, int(counts[item]))
    again = sampler(counts, lengths, drawn)
    for step in (7, 2, 5):
        assert torch.equal(again(step).texts, chosen[step].texts)
    other = sampler(counts, lengths, drawn, seed=4)
    assert any(not torch.equal(other(s).items, chosen[s].items) for s in range(3))
    with pytest.raises(UsageError, match="has 7 samples, fewer than the 8 of one step"):
        sampler(counts, lengths, 1, size=8)(0)
    with pytest.raises(UsageError, match="batch_size=7 or less"):
        FinetuneConfig().require_samples(7, 8)


def test_every_text_of_an_item_comes_once_in_as_many_passes():
    """Independent truth: the set of all texts; 4 passes take each text of 8 items of 4 once."""
    counts, lengths = torch.full((8,), 4), torch.arange(32) % 5
    passes = sampler(counts, lengths, "in turn")
    epochs = [[passes(16 * epoch + step) for step in range(16)] for epoch in range(3)]
    for chosen in epochs:
        assert sorted(torch.cat([c.texts for c in chosen]).flatten().tolist()) == list(range(32))
        for number in range(4):
            one = torch.cat([c.items for c in chosen[4 * number : 4 * number + 4]])
            assert sorted(one.tolist()) == list(range(8))
    first, second = (torch.cat([c.texts for c in chosen]) for chosen in epochs[:2])
    assert not torch.equal(first, second)
    again = sampler(counts, lengths, "in turn")
    assert torch.equal(again(21).texts, epochs[1][5].texts)  # from the middle
    drawn = sampler(counts, lengths, 1)
    seen = torch.cat([drawn(step).texts for step in range(16)]).flatten().tolist()
    assert len(set(seen)) < 32  # drawing anew leaves a third of the captions out
    uneven = sampler(torch.tensor([1, 3, 2]), lengths, "in turn", size=1, seed=0, window=1)
    texts = {int(uneven(step).texts) for step in range(9)}
    assert texts == set(range(6))


def test_batches_of_a_window_hold_texts_of_like_length():
    """Independent truth: sorting the window's lengths and cutting them into batches."""
    lengths = torch.randint(3, 40, (64,), generator=torch.Generator().manual_seed(0))
    passes = sampler(torch.ones(64, dtype=torch.int64), lengths, 1, size=8, seed=0, window=8)
    batches = sorted(sorted(lengths[passes(step).items].tolist()) for step in range(8))
    expected = lengths.sort().values.view(8, 8).tolist()
    assert batches == sorted(expected)


def test_padding_is_the_tokenizers(processor):
    """Independent truth: the tokenizer's own padded batches, single sentences and pairs."""
    singles = [("a red square",), ("it is blue, white and green",), ("red",)]
    pairs = [("a red square", "it is red"), ("it", "here is one square that is blue")]
    for texts in (singles, pairs):
        table = TokenTable.encode(processor.tokenizer, texts, 12)
        rows = torch.tensor([1, 0])
        ids, mask = table.pad(rows)
        columns = [list(column) for column in zip(*(texts[r] for r in rows), strict=True)]
        own = processor.tokenizer(
            *columns, truncation=True, max_length=12, padding=True, return_tensors="pt"
        )
        width = own["input_ids"].shape[1]
        assert torch.equal(ids[:, :width], own["input_ids"]) and not mask[:, width:].any()
        assert torch.equal(mask[:, :width], own["attention_mask"])


def test_images_are_the_processors_from_memory_and_from_disk(root, processor):
    """Independent truth: the processor's pixel values of the same files."""
    paths = sorted((root / "flickr30k/flickr30k-images").glob("*.jpg"))
    rows, later = torch.tensor([3, 0, 3]), torch.tensor([1, 3])
    expected = processor.pixel_values([load_image(paths[row]) for row in rows])
    held, lazy = AugmentedImages(paths, processor), AugmentedImages(paths, processor, gigabytes=0.0)
    assert held.store.in_memory and not lazy.store.in_memory
    for pictures in (held, lazy):
        found = pictures.batch(rows, later, 0, slice(0, 3), 3)
        assert torch.equal(found, expected)
        assert torch.equal(
            pictures.plain(later), processor.pixel_values([load_image(paths[row]) for row in later])
        )


def test_images_are_decoded_once_though_a_step_comes_in_parts(root, processor, monkeypatch):
    """Independent truth: eight images in two steps of two parts each, announced and then taken."""
    paths = sorted((root / "flickr30k/flickr30k-images").glob("*.jpg"))[:8]
    pictures = AugmentedImages(paths, processor, gigabytes=0.0)
    decoded = []
    honest = ImageStore._square
    monkeypatch.setattr(
        ImageStore, "_square", lambda self, row: (decoded.append(row), honest(self, row))[1]
    )
    rows = torch.arange(8).view(2, 2, 2)  # step, part, images
    for step in range(2):
        for part in range(2):
            following = rows[1, part] if step == 0 else rows[0, 0, :0]
            found = pictures.batch(rows[step, part], following, step, slice(0, 2), 2)
            images = [load_image(paths[row]) for row in rows[step, part].tolist()]
            assert torch.equal(found, processor.pixel_values(images))
    assert sorted(decoded) == list(range(8)) and not pictures.store._coming


def test_augmentation_is_a_function_of_the_step_and_of_the_place_in_the_whole_batch(
    root, processor
):
    """Independent truth: two halves are the whole batch; a crop holds only the image's colours."""
    paths = sorted((root / "flickr30k/flickr30k-images").glob("*.jpg"))
    pictures = AugmentedImages(paths, processor, augment="flip", seed=5)
    rows = torch.arange(8)
    whole = pictures.batch(rows, rows, 7, slice(0, 8), 8)
    halves = [pictures.batch(rows[p], rows[p], 7, p, 8) for p in (slice(0, 4), slice(4, 8))]
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(pictures.batch(rows, rows, 8, slice(0, 8), 8), whole)
    plain = pictures.plain(rows)
    assert not torch.equal(plain, whole)
    assert whole.amax() <= plain.amax() + 1e-5 and whole.amin() >= plain.amin() - 1e-5


def test_two_processes_compute_the_batch_of_one(root, processor):
    """Independent truth: the whole batch, row by row."""
    samples = read_snli_ve(root)
    texts = TokenTable.encode(processor.tokenizer, samples.texts, 32)
    pictures = AugmentedImages(samples.images, processor)
    config = FinetuneConfig(batch_size=6)
    data = LabelledData(config, samples.targets, 18, texts, pictures, samples.image_of)
    whole = data.batch(4, Shard())
    parts = [data.batch(4, Shard(rank, 2)) for rank in range(2)]
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
    assert torch.equal(torch.cat([part.pixel_values for part in parts]), whole.pixel_values)
    assert (
        data.describe()
        == LabelledData(config, samples.targets, 18, texts, pictures, samples.image_of).describe()
    )
    swapped = Classes([0] * 18)
    other = LabelledData(config, swapped, 18, texts, pictures, samples.image_of)
    assert other.describe()["fingerprint"] != data.describe()["fingerprint"]


def test_answers_are_those_that_are_the_most_common_one_often_enough():
    """Independent truth: counting by a plain loop over random annotations."""
    generator = random.Random(0)
    words = ["Yes", "yes.", "a dog", "dog", "two", "2", "net", "the net", "red", "blue", "cat"]
    annotations = []
    for key in range(400):
        given = generator.choices(words, k=10)
        common = Counter(given).most_common(1)[0][0] if key % 2 else None
        answers = tuple(Answer(text, "yes", i) for i, text in enumerate(given))
        annotations.append(Annotation(key, key, None, None, common, answers))
    counts: dict[str, int] = {}
    for one in annotations:
        spoken = [answer.text for answer in one.answers]
        best = max(spoken, key=lambda text: (spoken.count(text), -spoken.index(text)))
        counts[normalise(best)] = counts.get(normalise(best), 0) + 1
    for threshold in (1, 20, 60):
        found = answer_list(annotations, threshold)
        assert set(found) == {answer for answer, n in counts.items() if n >= threshold}
        assert [counts[a] for a in found] == sorted((counts[a] for a in found), reverse=True)
    with pytest.raises(BadData, match="answer_threshold"):
        answer_list(annotations, 401)


def test_soft_targets_are_a_third_an_annotator():
    """Independent truth: min(times given / 3, 1) for the ten answers written out here."""
    given = ["Red", "red", "the red", "blue", "blue", "2", "green.", "two", "pink", "pink"]
    answers = tuple(Answer(text, None, None) for text in given)
    [target] = soft_targets([Annotation(1, 1, None, None, None, answers)], ["red", "blue", "2"])
    assert target == pytest.approx({0: 1.0, 1: 2 / 3, 2: 2 / 3})


def test_the_answers_in_use_are_normalised_and_those_of_real_questions(real_data):
    """Independent truth: the 3,129 answers that VQA models share, and three real questions."""
    shared = json.loads((real_data / "vqa/trainval_label2ans.json").read_text())
    assert len(set(shared)) == 3129
    assert [normalise(answer) for answer in shared] == shared
    annotations = read_annotations([real_data / "vqa/allennlp_vqav2_annotations.json"])
    assert set(answer_list(annotations, 1)) == {"net", "pitcher", "orange"} <= set(shared)
    best = [max(target, key=target.__getitem__) for target in soft_targets(annotations, shared)]
    assert [shared[number] for number in best] == ["net", "pitcher", "orange"]


def test_vqa_reads_train_and_val_with_one_answer_list(root, tmp_path):
    """Independent truth: the questions and answers that the files were written with."""
    train = read_vqa(root, ["train"], threshold=1)
    assert set(train.labels) == {"red", "green", "blue", "white", "yes", "no"}
    assert len(train.texts) == 24 and len(train.images) == 12
    target = train.targets.of(torch.tensor([0]))[0]
    given = {train.labels[i]: float(w) for i, w in enumerate(target) if w}
    assert given == {"red": 1.0}  # eight of ten; "grey" is no class
    both = read_vqa(root, ["train", "val"], threshold=1)
    assert len(both.texts) == 32 and both.labels == train.labels
    write_vqa(tmp_path, "train", range(3))  # somebody's data without a val split
    assert set(read_vqa(tmp_path, ["train"], threshold=2).labels) == {"no"}


@pytest.mark.parametrize(
    ("name", "splits"), [("flickr", {"train": 12}), ("coco", {"train": 8, "restval": 4})]
)
def test_captions_are_trained_on_every_training_image(root, name, splits):
    """Independent truth: the splits that the files were written with; COCO trains on restval too."""
    assert Counter(image.split for image in read_captioned(root, name)) == splits


def test_pairs_and_rows_without_a_label_are_left_out(root):
    """Independent truth: the labels that the files were written with."""
    pairs = read_snli_ve(root)
    assert pairs.labels == ("entailment", "neutral", "contradiction")
    assert pairs.targets.of(torch.arange(3)).tolist() == [0, 2, 1] and len(pairs.texts) == 18
    scores = read_glue(root, "stsb")
    assert scores.labels == () and scores.targets.of(torch.arange(2)).tolist() == [5.0, 1.0]
    assert read_glue(root, "mnli").texts[1] == ("it is red", "it is green")
    assert read_glue(root, "cola").texts[0] == ("the square be red",)


@pytest.mark.parametrize("holdout", [0.3, 0.34])  # 1.8 and 2.04 of the six images of a class
def test_a_share_of_each_class_is_held_out_of_imagenets_training_images(root, holdout):
    """Independent truth: counting files by folder; no image is in both parts."""
    train, kept = read_imagenet(root, holdout)
    assert train.labels == tuple(WNIDS.values())
    for part, count in ((train, 4), (kept, 2)):
        assert Counter(path.parent.name for path in part.images) == dict.fromkeys(
            WNIDS.values(), count
        )
        labels = part.targets.of(torch.arange(len(part.images))).tolist()
        assert [train.labels[label] for label in labels] == [p.parent.name for p in part.images]
    assert not set(train.images) & set(kept.images)
    assert read_imagenet(root, holdout)[1].images == kept.images
    assert not read_imagenet(root, 0.0)[1].images
