"""The weight of the contrastive score: chosen by recall, against a scan by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evals.retrieval.weight import WEIGHTS, scan_weights
from unimo2.errors import UsageError


def matrices(seed: int = 0):
    """Two noisy views of which caption belongs to which image: 12 images, 2 captions each."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(12), 2)
    truth = (owner[None, :] == np.arange(12)[:, None]).astype(float)
    itm = 2.0 * truth + generator.normal(size=truth.shape)
    contrastive = 0.3 * truth + 0.15 * generator.normal(size=truth.shape)
    return itm, contrastive, owner


def recall_by_hand(scores: np.ndarray, owner: np.ndarray) -> float:
    """Mean R@1 both ways in percent, query by query."""
    images = [owner[c] == int(np.argmax(scores[:, c])) for c in range(len(owner))]
    texts = [owner[int(np.argmax(scores[i]))] == i for i in range(len(scores))]
    return 50.0 * (float(np.mean(images)) + float(np.mean(texts)))


def test_every_weight_has_the_recall_of_its_sum():
    """Truth: a loop over the queries with argmax."""
    itm, contrastive, owner = matrices()
    choice = scan_weights(itm, contrastive, owner)
    assert len(choice.curve) == len(WEIGHTS) and choice.curve[0][0] == 0.0
    for weight, recall in choice.curve:
        assert recall == pytest.approx(recall_by_hand(itm + weight * contrastive, owner))
    assert (choice.weight, choice.mean_recall_at_1) in choice.curve
    assert (choice.images, choice.captions) == (12, 24)


@pytest.mark.parametrize("seed", range(8))
def test_a_weight_counts_with_its_neighbours(seed):
    """Truth: the mean of each weight's R@1 and its two neighbours' on either side, by a loop."""
    itm, contrastive, owner = matrices(seed)
    choice = scan_weights(itm, contrastive, owner)
    around = {}
    for place, (weight, _) in enumerate(choice.curve):
        near = [recall for at, (_, recall) in enumerate(choice.curve) if abs(at - place) <= 2]
        around[weight] = sum(near) / len(near)
    assert around[choice.weight] == pytest.approx(max(around.values()))


def test_both_views_together_beat_each_alone():
    """Truth: the noise of the views is independent, so their best sum knows more."""
    itm, contrastive, owner = matrices()
    choice = scan_weights(itm, contrastive, owner)
    assert choice.mean_recall_at_1 > recall_by_hand(itm, owner)
    assert choice.mean_recall_at_1 > recall_by_hand(contrastive, owner)
    assert choice.weight > 0


def test_a_useless_contrastive_score_gets_no_weight():
    """Truth: the matching logits are perfect and the other score is noise a thousand times larger."""
    _, _, owner = matrices()
    truth = (owner[None, :] == np.arange(12)[:, None]).astype(float)
    noise = 1000 * np.random.default_rng(0).normal(size=truth.shape)
    assert scan_weights(truth, noise, owner).weight == 0.0


def test_the_middle_of_equally_good_weights_is_taken():
    """Truth: with perfect views every weight is right, and the middle of five is the third."""
    _, _, owner = matrices()
    truth = (owner[None, :] == np.arange(12)[:, None]).astype(float)
    assert scan_weights(truth, truth, owner, [0.0, 1.0, 2.0, 3.0, 4.0]).weight == 2.0


def test_nothing_to_try_is_refused():
    """Truth: an empty list has no best."""
    itm, contrastive, owner = matrices()
    with pytest.raises(UsageError):
        scan_weights(itm, contrastive, owner, [])


def test_the_weights_tried_rise_from_nothing_to_far_above_a_logit():
    """Truth: the grid's ends and order."""
    assert WEIGHTS[0] == 0.0 and WEIGHTS[-1] == 4096.0
    assert list(WEIGHTS) == sorted(set(WEIGHTS))
