"""The processor against Pillow and NumPy by hand; the tokenizer against any text."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from unimo2 import Unimo2Config, Unimo2Processor
from unimo2.errors import UsageError
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import parse_karpathy
from unimo2.processing import PLAIN_SENTENCES, train_tokenizer

CAPTIONS = (
    "A large red star is to the left of a small blue ring on the sand.",
    "Two red stars and a blue ring.",
    "three things on a brick wall: a fish, a house and a tree",
)


@pytest.fixture(scope="module")
def processor() -> Unimo2Processor:
    return Unimo2Processor(train_tokenizer(CAPTIONS, 700), image_size=24, max_text_length=16)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


# --- tokenizer


def test_special_tokens_are_robertas(processor: Unimo2Processor) -> None:
    """Against RoBERTa's vocabulary: 0 to 3, and <mask> last."""
    tokenizer = processor.tokenizer
    specials = tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    assert specials == [0, 1, 2, 3, len(tokenizer) - 1]
    assert len(tokenizer) == 700
    ids = tokenizer("a red star")["input_ids"]
    assert ids[0] == 0 and ids[-1] == 2 and not set(ids[1:-1]) & {0, 1, 2, 3}
    pair = tokenizer("a", "b")["input_ids"]
    assert pair == [0, *tokenizer("a")["input_ids"][1:-1], 2, 2, *tokenizer("b")["input_ids"][1:]]
    masked = tokenizer("a <mask> star")["input_ids"]
    assert masked.count(tokenizer.mask_token_id) == 1


def test_any_text_becomes_tokens_and_comes_back(processor: Unimo2Processor) -> None:
    """Against the text itself: thousands of random characters from all of Unicode."""
    generator = random.Random(0)
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    texts = [
        "",
        " ",
        "\n\t ",
        "déjà vu",
        "漢字かな",
        "🙂👩‍👩‍👧",
        "a  b   c ",
        "\0\x7f",
        "ÅÅ",
        "I'M",
    ]
    texts += ["".join(generator.sample(characters, 25)) for _ in range(200)]
    for text in texts:
        ids = processor.tokenizer(text)["input_ids"]
        assert 3 not in ids
        assert processor.tokenizer.decode(ids[1:-1]) == text


def test_frequent_words_are_single_tokens(processor: Unimo2Processor) -> None:
    """What the tokenizer is trained on is short in it: about one token a word."""
    ids = processor.tokenizer(CAPTIONS[1])["input_ids"]
    assert len(ids) - 2 <= 1.5 * len(CAPTIONS[1].split())


def test_real_captions_become_tokens(processor: Unimo2Processor, real_data: Path) -> None:
    """All 2,300 human captions of the samples: no unknowns, and the same text back."""
    images = parse_karpathy(real_data / "flickr30k" / "dataset_flickr30k.json", real_data)
    texts = [caption.text for image in images for caption in image.captions]
    ids = processor.tokenizer(texts)["input_ids"]
    assert all(3 not in sentence for sentence in ids)
    assert processor.tokenizer.batch_decode(ids, skip_special_tokens=True) == texts


def test_vocabulary_holds_every_byte() -> None:
    """The smallest vocabulary is the bytes and the specials; a smaller one is refused."""
    assert len(train_tokenizer([], 261)) == 261
    with pytest.raises(UsageError, match="needs 261 entries or more, not 260"):
        train_tokenizer([], 260)


def test_training_is_deterministic_and_knows_some_general_english() -> None:
    """Two trainings agree; words of the plain sentences are learned without any other text."""
    first, second = (train_tokenizer(CAPTIONS, 500).get_vocab() for _ in range(2))
    assert first == second
    assert "Ġthe" in train_tokenizer([], 500).get_vocab()
    assert len(PLAIN_SENTENCES) == len(set(PLAIN_SENTENCES)) >= 50


# --- processor


def test_pixels_equal_pillow_and_numpy_by_hand(processor: Unimo2Processor) -> None:
    """Against resize to a square (bicubic), x / 255, (x - 0.5) / 0.5, channels first."""
    pictures = [noise(60, 40), noise(24, 24, 1), noise(7, 90, 2).convert("L"), noise(9, 9, 3)]
    by_hand = []
    for picture in pictures:
        square = picture.convert("RGB").resize((24, 24), Image.Resampling.BICUBIC)
        by_hand.append(((np.asarray(square) / 255.0 - 0.5) / 0.5).transpose(2, 0, 1))
    pixels = processor(images=pictures)["pixel_values"]
    assert pixels.dtype == torch.float32 and pixels.shape == (4, 3, 24, 24)
    np.testing.assert_allclose(pixels.numpy(), np.stack(by_hand), atol=1e-6)
    assert torch.equal(processor(images=pictures[0])["pixel_values"], pixels[:1])


def test_mean_and_std_are_per_channel(processor: Unimo2Processor) -> None:
    """Against the formula on a picture of one colour."""
    custom = Unimo2Processor(processor.tokenizer, 8, (0.1, 0.2, 0.3), (1.0, 0.5, 0.25))
    pixels = custom(images=Image.new("RGB", (5, 5), (51, 102, 153)))["pixel_values"]
    expected = [(0.2 - 0.1) / 1.0, (0.4 - 0.2) / 0.5, (0.6 - 0.3) / 0.25]
    assert pixels[0, :, 3, 3].tolist() == pytest.approx(expected, abs=1e-6)


def test_texts_are_padded_and_cut(processor: Unimo2Processor) -> None:
    """Against the tokenizer's own ids of each text alone."""
    batch = processor(text=[CAPTIONS[1], "A fish."])
    alone = processor.tokenizer("A fish.")["input_ids"]
    assert batch["input_ids"][1].tolist()[: len(alone)] == alone
    assert set(batch["input_ids"][1].tolist()[len(alone) :]) == {1}
    assert batch["attention_mask"].sum(1).tolist() == [
        len(processor.tokenizer(text)["input_ids"]) for text in (CAPTIONS[1], "A fish.")
    ]
    long = processor(text=" ".join(CAPTIONS))["input_ids"]
    assert long.shape == (1, 16) and long[0, -1] == 2
    assert processor(text=" ".join(CAPTIONS), truncation=False)["input_ids"].shape[1] > 16
    assert processor(text="A", padding="max_length", max_length=9)["input_ids"].shape == (1, 9)


def test_batch_holds_what_was_given(processor: Unimo2Processor) -> None:
    """Pictures alone, texts alone, both; numbers may differ."""
    assert set(processor(images=noise(4, 4))) == {"pixel_values"}
    assert set(processor(text="a")) == {"input_ids", "attention_mask"}
    both = processor(images=[noise(4, 4)] * 2, text=("a", "b", "c"))
    assert both["pixel_values"].shape[0] == 2 and both.input_ids.shape[0] == 3


@pytest.mark.parametrize(
    ("images", "text", "message"),
    [
        (None, None, "needs images, text, or both"),
        ("photo.jpg", None, "images must be a PIL image or a list of them, not str"),
        (torch.zeros(3, 4, 4), None, "not Tensor"),
        ([], None, "not an empty list"),
        ([Image.new("RGB", (2, 2)), Path("b.jpg")], None, r"images\[1\] must be a PIL image"),
        (None, 3, "text must be a string or a list of strings, not int"),
        (None, ["a", None], r"text\[1\] must be a string, not NoneType"),
        (None, [["a", "b"]], r"text\[0\] must be a string, not list"),
        (None, [], "not an empty list"),
    ],
)
def test_wrong_types_are_refused(
    processor: Unimo2Processor, images: object, text: object, message: str
) -> None:
    """One clear line each."""
    with pytest.raises(UsageError, match=message):
        processor(images=images, text=text)


def test_impossible_settings_are_refused(processor: Unimo2Processor) -> None:
    """Sizes and statistics that no picture or text can have."""
    for settings in (
        {"image_size": 0},
        {"max_text_length": 1},
        {"image_mean": (0.5,)},
        {"image_std": (0.5, 0.0, 0.5)},
    ):
        with pytest.raises(UsageError, match="image_"):
            Unimo2Processor(processor.tokenizer, **settings)


def test_saved_and_loaded_beside_a_model(processor: Unimo2Processor, tmp_path: Path) -> None:
    """The loaded processor gives the same batch; its settings can be overridden."""
    custom = Unimo2Processor(processor.tokenizer, 20, (0.1, 0.2, 0.3), (1.0, 0.5, 0.25), 12)
    custom.save_pretrained(tmp_path)
    Unimo2Config.mini(vocab_size=700).save_pretrained(tmp_path)
    loaded = Unimo2Processor.from_pretrained(tmp_path)
    for name in ("image_size", "image_mean", "image_std", "max_text_length"):
        assert getattr(loaded, name) == getattr(custom, name)
    texts = [*CAPTIONS, "déjà vu 🙂", "a <mask> star"]
    expected, batch = (each(images=noise(30, 20), text=texts) for each in (custom, loaded))
    assert all(torch.equal(batch[name], expected[name]) for name in expected)
    assert len(loaded.tokenizer) == 700 and loaded.tokenizer.mask_token_id == 699
    assert Unimo2Processor.from_pretrained(tmp_path, image_size=32).image_size == 32
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), Unimo2Processor)


def test_real_photos_become_batches(processor: Unimo2Processor, real_data: Path) -> None:
    """Photos of different sizes share a batch, with values in the range of the normalisation."""
    paths = sorted((real_data / "flickr30k" / "flickr30k-images").iterdir())[:8]
    pixels = processor(images=[load_image(path) for path in paths])["pixel_values"]
    assert pixels.shape == (8, 3, 24, 24)
    assert -1 <= pixels.min() < pixels.max() <= 1
