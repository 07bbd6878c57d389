"""Zero-shot ImageNet against a plain loop over `score_pairs`."""

import numpy as np
import pytest

import evals
from builders.item_fakes import LAST, NoisyScorer, write_imagenet
from evals import records
from evals.benchmark import Request
from evals.datasets import suites
from evals.image_classification import zero_shot
from evals.image_classification.zero_shot import prompts, templates
from evals.runner import make_request
from unimo2.errors import IncompatibleModel, UsageError
from unimo2.formats.imagenet import Synset
from unimo2.formats.images import load_image
from zoo.protocols import StackedFeatures

CLASSES, IMAGES = 6, 4
NUMBERS = [0, 1, 2, 3, 4, 5, 99]  # the last class has no images
IDS = [*(f"n{number:08d}" for number in range(CLASSES)), LAST]


def run(root, tmp_path, model=None, **options):
    return evals.run(
        "imagenet",
        model=model or NoisyScorer(),
        zero_shot=True,
        data_root=root,
        output=tmp_path / "runs",
        **options,
    )


def by_loop(root, count, part="score", weight=None):
    """Mean score of each image with each class's sentences: `[images, classes]`, one by one."""
    model, rows = NoisyScorer(), []
    for path in sorted((root / "imagenet" / "val").rglob("*.JPEG")):
        stack = StackedFeatures.of(model.encode_images([load_image(path)]))
        row = []
        for number in NUMBERS:
            scores = []
            for template in templates(count):
                [text] = model.encode_texts([template.replace("{}", f"class{number}")])
                parts = model.score_pairs(stack, text)
                if weight is not None:
                    scores.append(float(parts["itm"][0] + weight * parts["contrastive"][0]))
                else:
                    scores.append(float(parts[part][0]))
            row.append(np.mean(scores))
        rows.append(row)
    return np.array(rows)


def check(record, scores):
    """The record's predictions and accuracy are those of the scores' argmax."""
    best = scores.argmax(axis=1)
    target = np.arange(len(scores)) // IMAGES
    samples = records.read_samples(record.path.parent)
    assert samples["prediction"].tolist() == [IDS[number] for number in best]
    assert samples["target"].tolist() == [IDS[number] for number in target]
    assert samples["logit"].to_numpy() == pytest.approx(scores.max(axis=1), abs=1e-4)
    assert record.metrics["accuracy"].value == pytest.approx(100 * (best == target).mean())
    assert record.metrics["accuracy"].chance == pytest.approx(100 / len(IDS))
    assert 0 < record.metrics["accuracy"].value < 100


@pytest.mark.parametrize("count", [1, 80])
def test_the_exhaustive_protocol_is_an_argmax_over_pairs(tmp_path, count):
    """Truth: `score_pairs` of one image with one sentence at a time."""
    root = write_imagenet(tmp_path / "data")
    record = run(root, tmp_path, templates=count)
    check(record, by_loop(root, count))
    assert record.protocol["pairs"] == "exhaustive"
    assert record.protocol["templates"] == count
    assert record.variant == (None if count == 1 else "templates-80")


@pytest.mark.parametrize("count", [1, 80])
def test_the_contrastive_score_alone_is_named(tmp_path, count):
    """Truth: the contrastive part of each pair by a loop."""
    root = write_imagenet(tmp_path / "data")
    record = run(root, tmp_path, score="contrastive", templates=count)
    check(record, by_loop(root, count, "contrastive"))
    assert record.protocol["score"] == "contrastive"
    assert record.variant.startswith("contrastive")


def test_another_weight_is_used(tmp_path):
    """Truth: itm + 0.1 x contrastive of each pair by a loop."""
    root = write_imagenet(tmp_path / "data")
    check(run(root, tmp_path, contrastive_weight=0.1), by_loop(root, 1, weight=0.1))


@pytest.mark.parametrize("k", [1, 2, 6])
def test_a_shortlist_ranks_its_classes_first(tmp_path, k):
    """Truth: the K best classes by contrastive score, the best of them by the whole score."""
    root = write_imagenet(tmp_path / "data")
    whole, contrastive = by_loop(root, 1), by_loop(root, 1, "contrastive")
    border = np.sort(contrastive, axis=1)[:, [-k]]
    model = NoisyScorer()
    record = run(root, tmp_path, model, rerank=k)
    check(record, np.where(contrastive >= border, whole, -1e9))
    assert model.calls == k * CLASSES * IMAGES
    assert record.protocol["pairs"] == "class_shortlist" and record.protocol["rerank"] == k


def test_sentences_are_encoded_once_or_anew_with_the_same_result(tmp_path, monkeypatch):
    """Truth: the loop; with room for no sentence each chunk encodes them again."""
    root = write_imagenet(tmp_path / "data")
    monkeypatch.setattr(zero_shot, "_KEPT", 0)
    check(run(root, tmp_path, rerank=2, batch_size=5), _shortlisted(root, 2))


def _shortlisted(root, k):
    whole, contrastive = by_loop(root, 1), by_loop(root, 1, "contrastive")
    return np.where(contrastive >= np.sort(contrastive, axis=1)[:, [-k]], whole, -1e9)


def test_a_constant_scorer_gets_chance(tmp_path):
    """Truth: one of seven classes, whatever the order of the files."""

    class Constant(NoisyScorer):
        def score_pairs(self, images, text):
            return {name: 0 * part for name, part in super().score_pairs(images, text).items()}

    record = run(write_imagenet(tmp_path / "data"), tmp_path, Constant())
    assert record.metrics["accuracy"].value == pytest.approx(100 / len(IDS))
    assert record.metrics["accuracy"].at_chance
    assert any("at chance" in note for note in record.notes)


def test_the_templates_are_the_papers_and_the_80_of_clip():
    """Truth: the paper's section 5.2; 80 different sentences with one place for the label."""
    assert prompts(["tench", "goldfish"], templates(1)) == [
        "a photo of tench",
        "a photo of goldfish",
    ]
    eighty = templates(80)
    assert len(set(eighty)) == 80
    assert all(template.count("{}") == 1 and template.endswith(".") for template in eighty)
    assert {"a photo of a {}.", "itap of my {}.", "a {} in a video game."} <= set(eighty)
    with pytest.raises(UsageError, match="--templates 7"):
        templates(7)


def test_classes_of_one_name_are_counted(tmp_path):
    """Truth: two synsets are given the same first name."""
    root = write_imagenet(tmp_path / "data")
    path = root / "imagenet" / "LOC_synset_mapping.txt"
    path.write_text(path.read_text().replace("class5", "class4"))
    record = run(root, tmp_path)
    assert any("1 classes have the name of another" in note for note in record.notes)
    assert any("have their class tied with another" in note for note in record.notes)


def test_what_a_model_cannot_do_is_refused(tmp_path):
    """Truth: a scorer without vectors, a model that scores no pairs, options that exclude."""
    root = write_imagenet(tmp_path / "data")

    class NoVectors(NoisyScorer):
        embed_texts = None

    with pytest.raises(IncompatibleModel, match="as dual_encoder"):
        run(root, tmp_path, NoVectors(), score="contrastive")
    with pytest.raises(UsageError, match="leave --rerank"):
        run(root, tmp_path, score="contrastive", rerank=4)
    with pytest.raises(UsageError, match="unknown score 'best'"):
        run(root, tmp_path, score="best")
    with pytest.raises(UsageError, match="--rerank -1"):
        run(root, tmp_path, rerank=-1)


def test_a_unit_of_work_holds_a_bounded_number_of_pairs():
    """Truth: 4,096 pairs / the sentences of an image, by hand; a shortlist must halve the work."""
    synsets = [Synset(f"n{number:08d}", (f"class{number}",)) for number in range(200)]

    def scorer(model=None, **options):
        request = Request(
            "imagenet", "fake", zero_shot=True, options=zero_shot.ClassOptions(**options)
        )
        return zero_shot.ClassScorer(model or NoisyScorer(), synsets, request)

    assert scorer().images_at_once == 20
    assert scorer(rerank=8).images_at_once == 512
    assert scorer(templates=80).images_at_once == 1
    assert scorer(rerank=8, templates=80).images_at_once == 6
    assert "--rerank 64 fuses 64 classes of an image" in scorer().cheaper
    assert scorer(rerank=8).cheaper is None
    assert scorer(score="contrastive").cheaper is None

    class NoParts(NoisyScorer):
        contrastive_scores = None

    assert scorer(NoParts()).cheaper is None


def test_the_number_format_of_zero_shot_classes_is_measured(tmp_path, monkeypatch):
    """Truth: one image of each class, with the sentence of its class in the same order."""
    from evals.registry import get_benchmark
    from evals.retrieval import dtype_choice

    imagenet = get_benchmark("imagenet")
    root = write_imagenet(tmp_path / "data", CLASSES, IMAGES)
    seen = {}

    def choose(exact, fast, images, captions):
        seen.update(images=[path.parent.name for path in images], captions=captions)

    monkeypatch.setattr(dtype_choice, "choose", choose)
    data = imagenet.read(suites.resolve(None, root), make_request("imagenet", "x", {}))
    imagenet.choose_dtype(NoisyScorer(), NoisyScorer(), data)
    named = {IDS[number]: f"a photo of class{number}" for number in range(CLASSES)}
    assert sorted(seen["images"]) == sorted(named)
    assert seen["captions"] == [named[wnid] for wnid in seen["images"]]
    with pytest.raises(UsageError, match="--dtype auto is measured where pairs are scored"):
        evals.run(
            "imagenet",
            model="mini",
            data_root=root,
            dtype="auto",
            zero_shot=True,
            score="contrastive",
            output=tmp_path / "runs",
        )
