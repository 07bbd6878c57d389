"""Corpora in files give the batches of corpora in memory, from any step on."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from builders import corpora_folders
from builders import tiny_training as tiny
from unimo2.data.augment import Augmentation
from unimo2.data.corpora import TrainingImage, read_pairs
from unimo2.data.images import ImageStore
from unimo2.data.index import Index, TextFiles
from unimo2.data.pairs import ImageCorpus
from unimo2.data.sampler import EpochSampler
from unimo2.data.seeding import CAPTIONS, IMAGE_ORDER, ORDER, Shard
from unimo2.data.tables import ImageLocations, Strings
from unimo2.data.text_blocks import FileBlocks
from unimo2.errors import BadData, MissingData, UsageError
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import TarMember
from unimo2.training.pretraining import prepare, pretrain
from unimo2.training.recipes import Recipe

CONFIG = replace(
    tiny.CONFIG,
    steps=6,
    checkpoint_every=2,
    pair_sets=("visual_genome", "conceptual_captions", "sbu"),
    image_sets=("imagenet21k", "open_images"),
    text_sets=("text",),
    pair_steps=0.5,
    image_batch=2,
    text_batch=2,
    length_window=1,
    vocab_size=300,
)
MODEL = {
    **{"image_size": 16, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2},
    **{"vision_layers": 1, "text_layers": 1, "fusion_layers": 1, "dictionary_size": 16},
    "grounded_tokens": 4,
}


@pytest.fixture
def root(tmp_path):
    corpora_folders.everything(tmp_path)
    return tmp_path


def prepared(root, **changes):
    return prepare(Recipe("tiny", "mini", MODEL, replace(CONFIG, **changes)), root)


def test_files_give_the_batches_of_memory(root):
    """Truth: the same folders decoded beforehand: pairs, pseudo pairs and views, step by step."""
    held, streamed = prepared(root).corpora, prepared(root, loading="stream").corpora
    for step in (0, 2, 3, 5):
        one, two = (c.batch(step, CONFIG) for c in (held, streamed))
        assert one.counts == two.counts
        # Within a batch, captions are put in order by tokens here and by bytes there.
        first, second = (batch.pairs.image_index.argsort() for batch in (one, two))
        for name in ("pixel_values", "image_index"):
            assert torch.equal(getattr(one.pairs, name)[first], getattr(two.pairs, name)[second])
        width = min(one.pairs.input_ids.shape[1], two.pairs.input_ids.shape[1])
        assert torch.equal(one.pairs.input_ids[first, :width], two.pairs.input_ids[second, :width])
        if one.images is not None:
            assert torch.equal(one.images.views, two.images.views)
    described = streamed.describe()
    assert described["pairs"]["images"] == held.describe()["pairs"]["images"] == 12
    assert described["texts"]["files"] == 2


def test_a_streamed_run_resumes_bit_by_bit(root, tmp_path):
    """Truth: the run that was not stopped."""
    torch.set_num_threads(1)
    config = replace(CONFIG, loading="stream", shuffle_buffer=5)
    this = prepare(Recipe("tiny", "mini", MODEL, config), root)

    def stop(progress):
        if progress.step == 5:
            raise KeyboardInterrupt

    def run(output, listen=None):
        again = prepare(Recipe("tiny", "mini", MODEL, config), root)
        assert again.corpora.describe() == this.corpora.describe()
        pretrain(
            config, replace(this, corpora=again.corpora), output, device="cpu", on_progress=listen
        )
        return (output / "model" / "model.safetensors").read_bytes()

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stop)
    assert run(tmp_path / "killed") == whole


def write_shards(folder: Path, captions: list[str], suffix: str = "txt") -> None:
    """Two shards, as img2dataset writes them."""
    folder.mkdir(parents=True)
    for shard in range(2):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for number, caption in list(enumerate(captions))[shard::2]:
                image = io.BytesIO()
                Image.new("RGB", (16, 16), (20 * number, 9, 200)).save(image, "PNG")
                text = caption if suffix == "txt" else json.dumps({"caption": caption})
                for name, content in (("png", image.getvalue()), (suffix, text.encode())):
                    member = tarfile.TarInfo(f"{number:09d}.{name}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("suffix", ["txt", "json"])
def test_shards_are_read_in_place(tmp_path, suffix):
    """Truth: tarfile's own extraction, and the colours and captions that were written."""
    write_shards(tmp_path / "shards", [f"number {n}" for n in range(5)], suffix)
    found = list(read_pairs(tmp_path, ["shards"]))
    assert [image.texts for image in found] == [(f"number {n}",) for n in (0, 2, 4, 1, 3)]
    with tarfile.open(found[3].path.shard) as archive:
        content = archive.extractfile("000000001.png").read()
    assert Index(found).sources[3].read() == content
    processor = tiny.corpus()[1]
    corpus = tiny.corpus_of(Index(found), processor, 24, held=False)
    drawn = corpus.draw(0, 5, 0, 1, (ORDER, CAPTIONS))
    loaded = corpus.load(*drawn)
    red = (loaded.pixels[:, 0, 0, 0] * 0.5 + 0.5) * 255
    numbers = torch.tensor([0, 2, 4, 1, 3])[loaded.images]
    torch.testing.assert_close(red, 20.0 * numbers)
    for tokens, number in zip(loaded.tokens, numbers.tolist(), strict=True):
        text = processor.tokenizer.decode(tokens, skip_special_tokens=True)
        assert text == f"number {number}"


def test_faults_of_shards_are_one_line_or_counted(tmp_path):
    """Truth: no folder, no shard, a sample without caption, and the end of a shard, made by hand."""
    with pytest.raises(MissingData, match="folder not found"):
        list(read_pairs(tmp_path, ["shards"]))
    write_shards(tmp_path / "shards", ["", "good", "lost"])
    with pytest.raises(BadData, match="no caption"):
        list(read_pairs(tmp_path, ["shards"]))
    shard = tmp_path / "shards" / "00000.tar"
    with tarfile.open(shard) as archive:
        last = archive.getmember("000000002.png")
    shard.write_bytes(shard.read_bytes()[: last.offset_data + 9])
    skips = Skips()
    assert [image.texts for image in read_pairs(tmp_path, ["shards"], skips)] == [("good",)]
    assert skips.counts == {"broken row": 1, "shard that is cut off": 1}
    for path in (tmp_path / "shards").iterdir():
        path.unlink()
    with pytest.raises(MissingData, match="shards holds no pairs"):
        list(read_pairs(tmp_path, ["shards"]))


def test_an_undecodable_image_is_replaced_by_its_neighbour(root):
    """Truth: the next image of the corpus with its own caption; the fault is counted."""
    found = list(read_pairs(root, ["conceptual_captions"]))
    found[1].path.write_bytes(b"no image")
    processor = tiny.corpus()[1]
    corpus = tiny.corpus_of(Index(found), processor, 24, held=False)
    loaded = corpus.load(*corpus.draw(0, 4, 0, 1, (ORDER, CAPTIONS)))
    assert sorted(loaded.images.tolist()) == [0, 2, 2, 3]
    for tokens, number in zip(loaded.tokens, loaded.images.tolist(), strict=True):
        text = processor.tokenizer.decode(tokens, skip_special_tokens=True)
        assert text == f"picture {number} of the web"
    [line] = corpus.store.broken.lines()
    assert line.startswith("1 x image that cannot be decoded, first ")
    for image in found:
        image.path.write_bytes(b"no image")
    with pytest.raises(BadData, match="cannot be decoded"):
        corpus.load(*corpus.draw(0, 4, 0, 1, (ORDER, CAPTIONS)))
    images = ImageCorpus(ImageStore(Index(found).sources, 16, held=False), processor)
    with pytest.raises(BadData, match="cannot be decoded"):
        images.batch(0, 2, 0, Augmentation(), Shard())


@pytest.mark.parametrize("length", [6, 11, 40])
def test_blocks_in_files_hold_every_word_once(tmp_path, length):
    """Truth: the words of the files; a word that crosses a boundary belongs to its first block."""
    folder = tmp_path / "text"
    folder.mkdir()
    words = [f"w{n}" + "é" * (n % 7) for n in range(400)]
    texts = [" ".join(words[:250]), "\n".join(words[250:380]), "", "  ".join(words[380:]) + "\n"]
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    found = FileBlocks(TextFiles([folder]), tiny.corpus()[1], length)
    parts = [found.text(number).split() for number in range(len(found))]
    assert [word for part in parts for word in part] == words
    tokens = found.tokens(torch.arange(len(found)))
    assert max(len(ids) for ids in tokens) <= length
    tokenizer = tiny.corpus()[1].tokenizer
    assert all((t[0], t[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id) for t in tokens)


def test_few_tokens_of_blocks_in_files_are_cut_off(tmp_path):
    """Truth: the tokens of the whole text, counted."""
    corpora_folders.text(tmp_path, lines=300)
    tokenizer = tiny.corpus()[1].tokenizer
    found = FileBlocks(TextFiles([tmp_path / "text"]), tiny.corpus()[1], 64)
    kept = sum(len(ids) - 2 for ids in found.tokens(torch.arange(len(found))))
    texts = [path.read_text() for path in sorted((tmp_path / "text").iterdir())]
    whole = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    assert 0.93 * whole < kept <= 1.05 * whole


def test_no_text_is_one_line(tmp_path):
    """Truth: an empty file."""
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(MissingData, match="no text"):
        FileBlocks(TextFiles([tmp_path]), tiny.corpus()[1], 16)


def test_strings_come_back_as_they_were():
    """Truth: the strings, and their lengths in UTF-8."""
    texts = ["", "a", "né", "\udcff.jpg", "x" * 1000]
    held = Strings()
    for text in texts:
        held.add(text)
    assert list(held) == texts and len(held) == 5
    assert held.lengths().tolist() == [0, 1, 3, 5, 1000]
    held.add("more")
    assert held[5] == "more"


def test_a_shuffle_buffer_keeps_neighbours_near_and_takes_everything():
    """Truth: a permutation; places in a buffer come from few runs of neighbours."""
    passes = EpochSampler(1000, IMAGE_ORDER, "images", shuffle_buffer=64)
    order = passes.order(0, 0)
    assert sorted(order.tolist()) == list(range(1000))
    runs = {number // 4 for number in order[:64].tolist()}
    assert len(runs) == 16
    assert not torch.equal(order, passes.order(0, 1))
    assert not torch.equal(order[:64], order[:64].sort().values)
    with pytest.raises(UsageError, match="1000 images, fewer than the 1001"):
        passes.take(0, 1001, 0)


def test_an_index_keeps_what_it_was_given():
    """Truth: two images with three texts; where an image lies in its shard is part of the print."""
    places = [Path("/a/b.jpg"), TarMember(Path("/t.tar"), "c/d.png", 7, 9)]
    index = Index([TrainingImage(places[0], ("x", "y")), TrainingImage(places[1], ("z",))])
    assert [index.sources[number] for number in range(2)] == places
    assert list(index.texts) == ["x", "y", "z"] and index.counts.tolist() == [2, 1]
    assert len(index.sources) == 2
    moved = ImageLocations([places[0], places[1]._replace(offset=8)])
    assert (
        moved.fingerprint() != index.sources.fingerprint() == ImageLocations(places).fingerprint()
    )
