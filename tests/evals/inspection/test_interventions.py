"""`unimo2 inspect dictionary --interventions`: matching with rows chosen in other ways."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from builders.retrieval_fakes import write_flickr
from evals.inspection import interventions
from evals.inspection.interventions import WAYS, Interventions, measure
from unimo2 import Unimo2Config, Unimo2Model, Unimo2Processor
from unimo2.cli import main
from unimo2.errors import IncompatibleModel, UsageError
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import KarpathyImage, read_karpathy
from unimo2.processing import train_tokenizer
from zoo.families.unimo2 import Unimo2Scorer


def _quiet(progress: object) -> None:
    pass


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[KarpathyImage]:
    root = write_flickr(tmp_path_factory.mktemp("interventions"), images=12)
    folder = root / "flickr30k"
    return read_karpathy(folder / "dataset_flickr30k.json", folder / "flickr30k-images", ["test"])


def _scorer(folder: Path, images: list[KarpathyImage], **changes: object) -> Unimo2Scorer:
    tokenizer = train_tokenizer([c.text for image in images for c in image.captions], 300)
    sizes = {
        "image_size": 16,
        "hidden_size": 32,
        "intermediate_size": 64,
        "vision_layers": 1,
        "text_layers": 1,
        "fusion_layers": 2,
        "dictionary_size": 16,
        "grounded_tokens": 4,
    }
    torch.manual_seed(0)
    config = Unimo2Config.mini(**{**sizes, **changes, "vocab_size": len(tokenizer)})
    Unimo2Model(config).save_pretrained(folder)
    Unimo2Processor(tokenizer, image_size=16, max_text_length=64).save_pretrained(folder)
    scorer = zoo.load(str(folder), device="cpu")
    assert isinstance(scorer, Unimo2Scorer)
    return scorer


def _by_way(found: Interventions) -> dict[str, interventions.Intervention]:
    return {row.way: row for row in found.rows}


@pytest.mark.parametrize("scores", ["summed", "standard"])
def test_the_pairs_own_rows_give_the_models_own_ranking(
    scores: str, images: list[KarpathyImage], tmp_path: Path
) -> None:
    """Independent truth: the model's forward pass on every caption with every image."""
    scorer = _scorer(tmp_path, images, grounding_scores=scores)
    found = measure(scorer, images, _quiet, candidates=len(images))
    pixels = scorer.processor(images=[load_image(image.path) for image in images])["pixel_values"]
    hits = []
    for row, image in enumerate(images):
        for caption in image.captions:
            ids = scorer.to_device(scorer.tokens([caption.text]))
            with torch.no_grad():
                logits = scorer.base(pixels, ids.expand(len(images), -1)).itm_logits
            hits.append(int((logits[:, 1] - logits[:, 0]).argmax()) == row)
    assert _by_way(found)["pair"].recall == pytest.approx(100 * np.mean(hits))
    assert _by_way(found)["pair"].correlation == pytest.approx(1.0)
    assert [row.way for row in found.rows] == list(WAYS)
    assert (found.images, found.captions, found.candidates) == (12, 60, 12)


def test_where_all_rows_are_chosen_no_choice_makes_a_difference(
    images: list[KarpathyImage], tmp_path: Path
) -> None:
    """Truth: K = C, and the fusion does not know the order of the grounded rows."""
    scorer = _scorer(tmp_path, images, grounded_tokens=16)
    for row in measure(scorer, images, _quiet, candidates=4).rows:
        assert row.loss == 0.0 and row.ci95 == (0.0, 0.0)
        assert row.words_loss == pytest.approx(0.0, abs=1e-5)
        assert row.correlation == pytest.approx(1.0, abs=1e-4)


def test_hidden_words_are_read_with_the_rows_of_each_way(
    images: list[KarpathyImage], tmp_path: Path
) -> None:
    """Independent truth: the model's own loss of the masked caption, and with the next image."""
    scorer = _scorer(tmp_path, images)
    found = measure(scorer, images, _quiet, candidates=2, seed=5)
    pixels = scorer.processor(images=[load_image(image.path) for image in images])["pixel_values"]
    texts = [(row, c.text) for row, image in enumerate(images) for c in image.captions]
    hide = interventions._Hiding(scorer, max(len(scorer.tokens([t])[0]) for _, t in texts), 5)
    right, wrong = [], []
    for row, text in texts:
        hidden = hide(text)
        for image, losses in ((row, right), ((row + 1) % len(images), wrong)):
            with torch.no_grad():
                out = scorer.base(pixels[[image]], hidden.input_ids, labels=hidden.labels)
            losses.append(float(out.mlm_loss))
    assert found.words == pytest.approx(np.mean(right), abs=1e-4)
    assert found.wrong_image[0] == pytest.approx(np.mean(wrong) - np.mean(right), abs=1e-4)
    low, high = found.wrong_image[1]
    assert low <= found.wrong_image[0] <= high and _by_way(found)["pair"].words_loss == 0.0


def test_rows_that_carry_the_answer_are_missed_when_others_come_in_their_place() -> None:
    """Truth: logits made here, right with the pair's rows alone; intervals of a paired difference."""
    chosen = np.zeros((40, 4))
    chosen[:, 0] = 1.0
    other = np.zeros((40, 4))
    other[::2, 0], other[1::2, 1] = 1.0, 1.0
    none = (0.0, (0.0, 0.0))
    row = interventions._row("random", other, chosen, none, np.repeat(np.arange(20), 2), seed=0)
    assert (row.recall, row.loss, row.ci95) == (50.0, 50.0, (50.0, 50.0))  # one of two an image
    same = interventions._row("pair", chosen, chosen, none, np.repeat(np.arange(20), 2), seed=0)
    assert (same.recall, same.loss, same.ci95) == (100.0, 0.0, (0.0, 0.0))


def test_a_model_without_a_choice_is_refused(images: list[KarpathyImage], tmp_path: Path) -> None:
    """Truth: no dictionary, or a one-to-one map, has no rows to choose; 13 of 12 images."""
    for grounding in ("none", "nearest"):
        with pytest.raises(IncompatibleModel, match="no grounded dictionary"):
            measure(_scorer(tmp_path / grounding, images, grounding=grounding), images, _quiet)
    with pytest.raises(UsageError, match="13 candidates of 12"):
        measure(_scorer(tmp_path / "topk", images), images, _quiet, candidates=13)


def test_the_command_prints_the_table_and_the_same_as_json(
    images: list[KarpathyImage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: `measure` of the same model and images."""
    scorer = _scorer(tmp_path / "model", images)
    arguments = ["inspect", "dictionary", "--model", str(tmp_path / "model"), "--split", "test"]
    arguments += ["--interventions", "--data-root", str(images[0].path.parents[2])]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["interventions"]
    expected = measure(scorer, images, _quiet)
    assert [row["way"] for row in found["rows"]] == list(WAYS)
    assert [row["recall"] for row in found["rows"]] == [row.recall for row in expected.rows]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in WAYS.values())
    assert "60 captions" in shown and "7 of 12" in shown
