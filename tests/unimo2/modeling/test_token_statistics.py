"""The dictionary in standard units: what it takes in, what it chooses, and where its rows start."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from builders import tiny_training as tiny
from unimo2 import Unimo2Config, Unimo2Model
from unimo2.modeling.grounding import GroundedDictionary
from unimo2.modeling.token_statistics import IMAGE, TEXT
from unimo2.training.dictionary_usage import start_from_tokens

C, D, K = 12, 8, 3


def _dictionary(**changes) -> GroundedDictionary:
    torch.manual_seed(0)
    fields = {"hidden_size": D, "num_attention_heads": 2, "dictionary_size": C}
    fields |= {"grounded_tokens": K, "grounding_scores": "standard", "grounding_temperature": 5.0}
    dictionary = GroundedDictionary(Unimo2Config.mini(**fields | changes))
    with torch.no_grad():
        dictionary.embedding.copy_(functional.normalize(torch.randn(C, D), dim=1))
    return dictionary


def _batch(items: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patches and words that are far from the origin, and which words are real."""
    generator = torch.Generator().manual_seed(1)
    patches = torch.randn(items, 4, D, generator=generator) + 3.0
    words = torch.randn(items, 5, D, generator=generator) - 2.0
    mask = (torch.arange(5) < torch.randint(2, 6, (items, 1), generator=generator)).long()
    return patches, words, mask


def test_a_batch_that_was_taken_in_has_standard_scores():
    """Truth: per row and kind, sums less the usual add up to 0, and their mean square is 1."""
    dictionary, (patches, words, mask) = _dictionary().train(), _batch()
    real = torch.cat([mask.new_ones(len(patches), 4), mask], dim=1)
    dictionary(torch.cat([patches, words], dim=1), real, patches=4)
    statistics = dictionary.statistics
    assert torch.allclose(statistics.mean[IMAGE], patches.mean(dim=(0, 1)), atol=1e-5)
    assert torch.allclose(statistics.mean[TEXT], words[mask.bool()].mean(dim=0), atol=1e-5)
    dictionary.eval()
    for tokens, keep, kind in ((patches, None, IMAGE), (words, mask, TEXT)):
        scores = dictionary.scores(tokens, keep, kind)
        counts = torch.full((6,), 4) if keep is None else keep.sum(dim=1)
        assert torch.allclose(scores.sum(dim=0), torch.zeros(C), atol=1e-3)
        squares = (scores.square() / counts[:, None]).mean(dim=0)
        assert torch.allclose(squares, torch.ones(C), atol=0.01)


def test_a_pair_chooses_by_the_sum_of_its_two_scores():
    """Truth: the scores of image and text, computed apart, as retrieval does."""
    dictionary, (patches, words, mask) = _dictionary(grounding_threshold=0.3).train(), _batch()
    real = torch.cat([mask.new_ones(len(patches), 4), mask], dim=1)
    tokens = torch.cat([patches, words], dim=1)
    dictionary(tokens, real, patches=4)
    dictionary.eval()
    apart = dictionary.scores(patches, None, IMAGE) + dictionary.scores(words, mask, TEXT)
    assert torch.equal(dictionary(tokens, real, patches=4).indices, dictionary.select(apart))
    before = dictionary.statistics.usual.clone()
    dictionary(tokens, real, patches=4)
    assert torch.equal(before, dictionary.statistics.usual)  # evaluation takes nothing in


def test_words_that_do_not_count_change_nothing():
    """Truth: the same texts, longer by padding."""
    dictionary, (_, words, mask) = _dictionary().train(), _batch()
    dictionary(words, mask, patches=0)
    dictionary.eval()
    longer = torch.cat([words, torch.randn(6, 3, D)], dim=1)
    padded = torch.cat([mask, mask.new_zeros(6, 3)], dim=1)
    short, long = dictionary(words, mask), dictionary(longer, padded)
    assert torch.equal(short.indices, long.indices)
    assert torch.allclose(short.loss, long.loss, atol=1e-6)


def test_rows_start_from_patches_and_words():
    """Truth: every row is one of the batch's vectors as the dictionary sees them, half of a kind."""
    dictionary = _dictionary()
    patches, words, mask = _batch()
    vision = torch.cat([torch.zeros(6, 1, D), patches], dim=1)
    text = torch.cat([torch.zeros(6, 1, D), words], dim=1)
    start_from_tokens(dictionary, vision, text, functional.pad(mask, (1, 0), value=1), seed=3)
    seen = dictionary.view(patches, IMAGE).flatten(0, 1)
    read = dictionary.view(words, TEXT)[mask.bool()]
    rows = dictionary.embedding
    assert (rows[: C // 2] @ seen.T).max(dim=1).values.min() > 0.999
    assert (rows[C // 2 :] @ read.T).max(dim=1).values.min() > 0.999
    alike = rows @ rows.T - 2 * torch.eye(C)
    assert alike.max() < 0.999


def test_statistics_are_trained_saved_and_loaded(tmp_path):
    """Truth: the model in memory; a model without them has none to load."""
    tiny.run(tmp_path, grounding_scores="standard", grounding_threshold=0.4)
    model = Unimo2Model.from_pretrained(tmp_path / "model")
    statistics = model.dictionary.statistics
    assert statistics.batches.tolist() == [12, 12]
    assert (statistics.spread != 1.0).all() and statistics.mean.norm() > 0
    assert model.config.grounding_threshold == pytest.approx(0.4)
    assert _dictionary(grounding_scores="summed").statistics is None
