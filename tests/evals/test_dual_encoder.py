"""A model that gives one vector per image and text is measured wherever pairs are scored."""

import numpy as np
import pytest
import torch
from PIL import Image

import evals
from builders.item_fakes import NoisyScorer, write_imagenet
from builders.retrieval_fakes import ColourScorer, write_flickr
from evals import records
from evals.benchmarks.flickr import Flickr
from evals.compare import compare
from evals.datasets.suites import resolve
from evals.distributed import ProcessGroup
from evals.image_classification import zero_shot
from evals.metrics.ranking import RECALL_AT
from evals.records.protocol import texts
from evals.runner import make_request
from unimo2.errors import IncompatibleModel
from unimo2.formats.imagenet import Synset
from unimo2.formats.images import load_image
from zoo.protocols import DualEncoder, PairScorer

IMAGES, CAPTIONS = 30, 5


class Vectors:
    """Vectors whose product falls with the distance of two colours, and with noise."""

    name, weights_sha256, device, dtype = "vectors", "b" * 64, "cpu", "float32"
    settings = {"noise": 4.0}

    def __init__(self, batch_size: int = 4, texts_at_most: int | None = None) -> None:
        """Make one; it stops where it is asked for more than so many texts."""
        self.batch_size, self.left = batch_size, texts_at_most
        self.images = self.texts = 0

    def embed_images(self, images):
        """`[images, 5]`."""
        self.images += len(images)
        colour = torch.tensor([image.getpixel((0, 0)) for image in images]).float() / 60
        noise = 4 * torch.sin(97 * colour.sum(-1, keepdim=True))
        return torch.cat([2 * colour, -(colour**2).sum(-1, keepdim=True), noise], dim=1)

    def embed_texts(self, texts):
        """`[texts, 5]`."""
        self.texts += len(texts)
        if self.left is not None and self.texts > self.left:
            raise KeyboardInterrupt
        colour = torch.tensor([[float(word) for word in text.split()[1:4]] for text in texts]) / 60
        wording = torch.tensor([[float(sum(text.encode()) % 97)] for text in texts])
        return torch.cat([colour, torch.ones(len(texts), 1), torch.cos(wording)], dim=1)


def run(root, folder, model, **options):
    """The record of a zero-shot run."""
    return evals.run(
        "flickr", model=model, zero_shot=True, data_root=root, output=folder, **options
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Thirty images with five captions each."""
    return write_flickr(tmp_path_factory.mktemp("data"), IMAGES, CAPTIONS)


def matrix_of(root):
    """The scores of all pairs one by one, and which image each caption describes."""
    data = Flickr().read(resolve(None, root), make_request("flickr", "x", {}))
    model = Vectors()
    pictures = [model.embed_images([load_image(image.path)])[0] for image in data.images]
    texts = [model.embed_texts([text])[0] for text in data.captions]
    scores = np.array([[float(picture @ text) for text in texts] for picture in pictures])
    return scores, data.caption_image


def test_recalls_are_those_of_the_product_of_all_pairs(root, tmp_path):
    """Truth: every pair by itself, and ranks by sorting."""
    assert isinstance(Vectors(), DualEncoder) and not isinstance(Vectors(), PairScorer)
    model = Vectors()
    record = run(root, tmp_path, model)
    assert (model.images, model.texts) == (IMAGES, IMAGES * CAPTIONS)
    scores, owner = matrix_of(root)
    kept = np.load(record.path.parent / "scores.npy")
    np.testing.assert_allclose(kept, scores, atol=1e-4)
    places = np.argsort(-scores, axis=0)
    by_caption = [list(places[:, text]).index(image) for text, image in enumerate(owner)]
    by_image = [
        min(list(np.argsort(-row)).index(text) for text in np.flatnonzero(owner == image))
        for image, row in enumerate(scores)
    ]
    for k in RECALL_AT:
        for name, ranks in (("image", by_caption), ("text", by_image)):
            expected = 100 * np.mean([rank < k for rank in ranks])
            assert record.metrics[f"{name}_retrieval/R@{k}"].value == pytest.approx(expected)
    assert 0 < record.metrics["image_retrieval/R@1"].value < 100
    assert not [name for name in record.metrics if "[" in name]
    protocol = record.protocol
    assert (protocol["score"], protocol["pairs"], protocol["rerank"]) == ("dot", "exhaustive", None)
    assert record.variant is None and record.throughput["pairs_per_second"] > 0


def test_an_interrupted_run_goes_on_with_the_next_block(root, tmp_path):
    """Truth: how many texts each session embeds; a block holds 64 captions of 150."""
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path, Vectors(texts_at_most=100))
    model = Vectors(batch_size=7)
    resumed = run(root, tmp_path, Vectors(), fresh=True)
    again = evals.run("flickr", model=(late := Vectors()), zero_shot=True, data_root=root,
                      output=tmp_path)  # fmt: skip
    assert late.texts == IMAGES * CAPTIONS - 64
    assert again.metrics == resumed.metrics
    assert run(root, tmp_path / "other", model).metrics == resumed.metrics


def test_shares_of_a_run_are_the_whole(root, tmp_path):
    """Truth: a run that nobody shares; the last step embeds nothing."""
    request, flickr = make_request("flickr", "vectors", {"zero_shot": True}), Flickr()
    data = flickr.read(resolve(None, root), request)
    whole = flickr.measure(Vectors(), data, request, tmp_path / "whole", print)
    for index in range(3):
        model = Vectors()
        flickr.predict(model, data, request, tmp_path / "shared", print, ProcessGroup(index, 3))
        assert model.texts in (64, 22)
    last = Vectors()
    shared = flickr.measure(last, data, request, tmp_path / "shared", print)
    assert (last.images, last.texts) == (0, 0)
    assert shared.metrics == whole.metrics


def test_it_is_compared_with_a_pair_scorer_query_by_query(root, tmp_path):
    """Truth: the recalls of both records."""
    ours, theirs = run(root, tmp_path, Vectors()), run(root, tmp_path, ColourScorer())
    found = compare(ours.path.parent, theirs.path.parent)
    assert set(found.metrics) == set(ours.metrics)
    for name, metric in found.metrics.items():
        assert metric.difference == pytest.approx(
            theirs.metrics[name].value - ours.metrics[name].value
        )
    assert found.differs["score"] == ("dot", "fused")


def test_what_a_vector_cannot_do_is_refused(root, tmp_path):
    """Truth: options of pair scores, and vectors of other lengths than the images'."""
    with pytest.raises(IncompatibleModel, match="as shortlister"):
        run(root, tmp_path, Vectors(), rerank=3)
    with pytest.raises(IncompatibleModel, match="leave --contrastive-weight out"):
        run(root, tmp_path, Vectors(), contrastive_weight=1.0)

    class Short(Vectors):
        def embed_texts(self, texts):
            return super().embed_texts(texts)[:, 1:]

    with pytest.raises(IncompatibleModel, match="expected vectors of one length, got 5 for images"):
        run(root, tmp_path, Short())

    class Flat(Vectors):
        def embed_images(self, images):
            return super().embed_images(images).sum(1)

    with pytest.raises(IncompatibleModel, match=r"embedded 4 items: expected \[4, dim\]"):
        run(root, tmp_path, Flat())


def test_zero_shot_classes_need_no_option(tmp_path):
    """Truth: the same model asked for its contrastive score alone."""
    root = write_imagenet(tmp_path / "data")

    class VectorsAlone(NoisyScorer):
        score_pairs = None

    found = {
        score: evals.run(
            "imagenet", model=model, zero_shot=True, data_root=root, output=tmp_path / "runs",
            score=score,
        )
        for score, model in ((None, VectorsAlone()), ("contrastive", NoisyScorer()))
    }  # fmt: skip
    own, asked = found[None], found["contrastive"]
    assert own.metrics == asked.metrics
    assert (own.variant, asked.variant) == (None, "contrastive")
    assert (own.protocol["score"], asked.protocol["score"]) == ("dot", "contrastive")
    samples = [records.read_samples(one.path.parent) for one in (own, asked)]
    assert samples[0].equals(samples[1])
    with pytest.raises(IncompatibleModel, match="as pair_scorer"):
        evals.run(
            "imagenet", model=VectorsAlone(), zero_shot=True, data_root=root, rerank=2,
            output=tmp_path / "runs",
        )  # fmt: skip


class Cosines:
    """Vectors of length 1 that are meant for the cosine, as CLIP's are."""

    name, weights_sha256, device, dtype = "cosines", "c" * 64, "cpu", "float32"
    settings, batch_size, similarity = {}, 7, "cosine"

    def embed_texts(self, texts):
        """`[texts, 6]`, by the letters of each."""
        rows = [torch.sin(torch.arange(1, 7) * sum(text.encode())) for text in texts]
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1)

    def embed_images(self, images):
        """`[images, 6]`, by one pixel of each."""
        rows = [torch.cos(torch.arange(1, 7) * sum(image.getpixel((0, 0)))) for image in images]
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def test_an_ensemble_of_prompts_is_that_of_clip():
    """Truth: CLIP's own steps in numpy: normalise, mean over 80 sentences, normalise, product."""
    names = ["tench", "goldfish", "great white shark", "crane"]
    synsets = [Synset(f"n{number:08d}", (name,)) for number, name in enumerate(names)]
    images = [Image.new("RGB", (2, 2), (17 * number, 5, 90)) for number in range(9)]
    request = make_request("imagenet", "cosines", {"zero_shot": True, "templates": 80})
    model = Cosines()
    found = zero_shot.ClassScorer(model, synsets, request).rank(images, [0] * len(images))

    classes = []
    for name in names:
        each = model.embed_texts([one.format(name) for one in zero_shot.templates(80)]).numpy()
        mean = each.mean(axis=0)
        classes.append(mean / np.linalg.norm(mean))
    logits = model.embed_images(images).numpy() @ np.stack(classes).T
    np.testing.assert_allclose(found.best_score, logits.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(found.truth_score, logits[:, 0], atol=1e-6)
    assert list(found.best) == list(logits.argmax(axis=1))
    told = zero_shot.protocol(model, request)
    assert told["ensemble"] == "normalised_mean_vector" and "prompt" not in told
    assert texts(told)["prompt"] == "normalised mean vector of 80 templates"
