"""`--shortlist-from`: one model chooses the pairs, another ranks them; and prompts around captions."""

import itertools
import json

import numpy as np
import pytest

import evals
import zoo
from builders.foreign_models import CAPTIONS as WORDS
from builders.foreign_models import blip_folder, clip_folder, vilt_folder
from builders.retrieval_fakes import ColourScorer, write_flickr
from evals import records
from evals.metrics.ranking import RECALL_AT
from evals.records.provenance import remarks
from reports.selection import condition_of, protocol_of
from unimo2.errors import IncompatibleModel, UsageError
from unimo2.formats.weights import weights_sha256
from zoo.protocols import StackedFeatures

IMAGES, CAPTIONS = 12, 2


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Twelve images with two captions each, of words that the models know, no two alike."""
    folder = write_flickr(tmp_path_factory.mktemp("data"), IMAGES, CAPTIONS)
    path = folder / "flickr30k" / "dataset_flickr30k.json"
    content = json.loads(path.read_text())
    words = itertools.permutations(" ".join(WORDS).lower().replace(".", "").split(), 4)
    for image in content["images"]:
        for sentence in image["sentences"]:
            sentence["raw"] = " ".join(next(itertools.islice(words, 97, None)))
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Twelve images whose two captions spell their colour."""
    return write_flickr(tmp_path_factory.mktemp("colours"), IMAGES, CAPTIONS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A CLIP, a ViLT and a BLIP, random and saved."""
    home = tmp_path_factory.mktemp("models")
    clip_folder(home / "our-clip")
    vilt_folder(home / "our-vilt")
    blip_folder(home / "our-blip")
    return home


def run(root, output, model, **options):
    """The record of a zero-shot run."""
    return evals.run(
        "flickr", model=model, zero_shot=True, data_root=root, output=output, **options
    )


def by_hand(scores, choosing, owner, k):
    """Recalls of the official order: the K best of the chooser by score, the others below.

    Scores and `choosing` are `[images, captions]` without ties.
    """
    found = {}
    for name, ours, theirs in (
        ("image_retrieval", scores.T, choosing.T), ("text_retrieval", scores, choosing)
    ):  # fmt: skip
        ranks, on_list = [], []
        for query, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            listed = list(np.argsort(-other)[:k])
            order = sorted(listed, key=lambda one, mine=mine: -mine[one])
            order += list(np.argsort(-other)[k:])
            right = [owner[query]] if name == "image_retrieval" else np.flatnonzero(owner == query)
            ranks.append(min(order.index(one) for one in right))
            on_list.append(any(one in listed for one in right))
        for n in RECALL_AT:
            found[f"{name}/R@{n}"] = 100 * np.mean([rank < n for rank in ranks])
        found[f"{name}/truth_on_shortlist"] = 100 * np.mean(on_list)
    return found


def matrices(folders, root, chooser="our-clip", scorer="our-vilt"):
    """ViLT's and the chooser's scores of all pairs, one by one, and the captions' images."""
    from evals.benchmarks.flickr import Flickr
    from evals.datasets.suites import resolve
    from evals.runner import make_request
    from unimo2.formats.images import load_image

    data = Flickr().read(resolve(None, root), make_request("flickr", "x", {}))
    one, other = zoo.load(folders / scorer), zoo.load(folders / chooser)
    images = [load_image(image.path) for image in data.images]
    stack = StackedFeatures.of(one.encode_images(images))
    columns = [one.score_pairs(stack, one.encode_texts([text])[0]) for text in data.captions]
    scores = np.stack([column["score"].numpy() for column in columns], axis=1)
    vectors = [other.embed_images([image])[0].numpy() for image in images]
    texts = [other.embed_texts([text])[0].numpy() for text in data.captions]
    return scores, np.stack(vectors) @ np.stack(texts).T, data.caption_image


@pytest.mark.parametrize("chooser", ["our-clip", "our-blip"])
def test_another_models_shortlist_is_ranked(root, folders, tmp_path, chooser):
    """Truth: every pair one by one, and the order of places written out; both digests of files."""
    record = run(root, tmp_path, folders / "our-vilt", rerank=3, shortlist_from=folders / chooser)
    scores, choosing, owner = matrices(folders, root, chooser)
    for name, value in by_hand(scores, choosing, owner, 3).items():
        assert record.metrics[name].value == pytest.approx(value), name
    alone = by_hand(choosing, choosing, owner, 1)
    for name in ("image_retrieval/R@1", "text_retrieval/R@5"):
        assert record.metrics[f"{name}[chooser]"].value == pytest.approx(alone[name])
    for way in ("image_retrieval", "text_retrieval"):
        bound = record.metrics[f"{way}/truth_on_shortlist"]
        assert record.metrics[f"{way}/R@1"].value <= bound.value < 100 and bound.chance is None
    kept = np.load(record.path.parent / "scores.npy")
    places = np.zeros(kept.shape, dtype=bool)
    np.put_along_axis(places, np.argsort(-choosing, axis=0)[:3], True, axis=0)
    np.put_along_axis(places, np.argsort(-choosing, axis=1)[:, :3], True, axis=1)
    assert (~np.isnan(kept) == places).all()  # the exact shortlist, and nothing else was scored
    about = record.protocol["shortlist_from"]
    assert about["model"] == about["lineage"]["card"] == chooser
    assert about["weights_sha256"] == weights_sha256(folders / chooser)
    assert record.weights_sha256 == weights_sha256(folders / "our-vilt")
    assert record.protocol["lineage"]["card"] == "our-vilt"
    assert record.protocol["name"] == record.variant == f"rerank-3-by-{chooser}"
    assert chooser in protocol_of(record) and chooser in record.command
    assert records.read(record.path) == record


def test_a_shortlist_of_all_is_the_exhaustive_ranking(root, folders, tmp_path):
    """Truth: the run without a shortlist; the two are of different protocols in a table."""
    model = folders / "our-vilt"
    whole = run(root, tmp_path, model)
    chosen = run(root, tmp_path, model, rerank=24, shortlist_from=folders / "our-clip")
    for name, metric in whole.metrics.items():
        assert chosen.metrics[name] == metric
    for way in ("image_retrieval", "text_retrieval"):
        assert chosen.metrics[f"{way}/truth_on_shortlist"].value == 100
    assert condition_of(chosen) != condition_of(whole)


def test_any_object_may_choose(colours, tmp_path):
    """Truth: the model's own shortlist, by the same score."""
    own = run(colours, tmp_path, ColourScorer(), rerank=2)
    model = ColourScorer()
    other = run(colours, tmp_path, ColourScorer(), rerank=2, chooser=model)
    assert (model.images, model.texts, model.pairs) == (IMAGES, IMAGES * CAPTIONS, 0)
    shared = {name for name in own.metrics if "[contrastive]" not in name}
    assert {name: own.metrics[name] for name in shared} == {
        name: other.metrics[name] for name in shared
    }
    assert other.protocol["shortlist_from"]["lineage"] == {"zero_shot": "unknown"}


def test_what_cannot_choose_is_refused(root, folders, tmp_path):
    """Truth: a model without vectors, no K, a chooser that is fine-tuned for the benchmark."""
    vilt = folders / "our-vilt"
    with pytest.raises(UsageError, match="--rerank K: add --rerank K"):
        run(root, tmp_path, vilt, shortlist_from=folders / "our-clip")
    with pytest.raises(IncompatibleModel, match="as dual_encoder or shortlister"):
        run(root, tmp_path, vilt, rerank=2, shortlist_from=vilt)
    with pytest.raises(IncompatibleModel, match="'mini-flickr' is fine-tuned for flickr"):
        run(root, tmp_path, vilt, rerank=2, shortlist_from="mini-flickr")
    with pytest.raises(IncompatibleModel, match="as pair_scorer"):
        clip = folders / "our-clip"
        run(root, tmp_path, clip, rerank=2, shortlist_from=clip)


def test_captions_stand_in_the_prompt(root, folders, tmp_path):
    """Truth: the vectors of the prompted texts, one by one; the run has a name of its own."""
    clip = zoo.load(folders / "our-clip")
    plain = run(root, tmp_path, folders / "our-clip")
    record = run(root, tmp_path, folders / "our-clip", text_prompt="a photo of {}")
    from evals.benchmarks.flickr import Flickr
    from evals.datasets.suites import resolve
    from evals.runner import make_request

    texts = Flickr().read(resolve(None, root), make_request("flickr", "x", {})).captions
    scores = np.load(record.path.parent / "scores.npy")
    images = np.load(plain.path.parent / "scores.npy")
    prompted = clip.embed_texts([f"a photo of {text}" for text in texts]).numpy()
    bare = clip.embed_texts(texts).numpy()
    vectors = np.linalg.lstsq(bare, images.T, rcond=None)[0]  # [dim, images], of 24 captions
    np.testing.assert_allclose(scores, (prompted @ vectors).T, atol=1e-3)
    assert np.abs(scores - images).max() > 0.01
    assert record.variant == "prompt-a-photo-of"
    assert record.protocol["text_prompt"] == "a photo of {}"
    assert condition_of(record) != condition_of(plain)
    for bad in ("a photo of", "{} and {}"):
        with pytest.raises(UsageError, match="expected one {}"):
            run(root, tmp_path, folders / "our-clip", text_prompt=bad)


def test_the_table_says_what_a_model_had_seen():
    """Truth: by hand, a COCO-tuned model, one that nobody lists the data of, and a plain one."""
    plain = {"card": "x", "dataset": "flickr30k", "zero_shot": "yes", "tuned_for": []}
    for told, words in (
        ({**plain, "tuned_for": ["coco_retrieval"]}, ["fine-tuned for coco_retrieval"]),
        ({**plain, "zero_shot": "unknown"}, ["zero-shot: unknown, training data not listed"]),
        ({**plain, "zero_shot": "no"}, ["not zero-shot: trained on flickr30k"]),
        (plain, []),
    ):
        assert remarks({"zero_shot": True, "lineage": told}) == words
        assert remarks({"zero_shot": False, "lineage": told}) == []
