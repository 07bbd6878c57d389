"""The grounded dictionary against the paper's equations written as loops."""

import math

import pytest
import torch

from unimo2 import Unimo2Config
from unimo2.modeling.grounding import GroundedDictionary

C, D, K, BETA = 12, 8, 3, 0.25


def _dictionary(**overrides) -> GroundedDictionary:
    torch.manual_seed(1)
    config = Unimo2Config.mini(
        hidden_size=D, num_attention_heads=2, dictionary_size=C, grounded_tokens=K, **overrides
    )
    dictionary = GroundedDictionary(config)
    with torch.no_grad():
        dictionary.embedding.normal_()
        dictionary.temperature.fill_(1.5)
    return dictionary.double()


def _tokens(count: int = 5) -> torch.Tensor:
    return torch.randn(2, count, D, generator=torch.Generator().manual_seed(2))


def _equations(dictionary, tokens, real) -> tuple[list[list[int]], float]:
    """Equations 1 to 3, one number at a time."""
    rows = dictionary.embedding.detach().float().tolist()
    eta = dictionary.temperature.item()
    chosen, losses = [], []
    for sample, counts in zip(tokens.tolist(), real, strict=True):
        sample = sample[:counts]
        x = [
            [1 / (1 + math.exp(-eta * sum(a * b for a, b in zip(v, g, strict=True)))) for g in rows]
            for v in sample
        ]
        s = [sum(x[i][j] for i in range(counts)) for j in range(C)]
        top = sorted(range(C), key=lambda j: -s[j])[:K]
        first = 0.0
        for i, v in enumerate(sample):
            total = sum(x[i][j] for j in top)
            for d in range(D):
                mean = sum(x[i][j] * rows[j][d] for j in top) / total
                first += (v[d] - mean) ** 2
        second = 0.0
        for j in top:
            for d in range(D):
                mean = sum(x[i][j] * sample[i][d] for i in range(counts)) / s[j]
                second += (rows[j][d] - mean) ** 2
        chosen.append(top)
        losses.append(first + BETA * second)
    return chosen, sum(losses) / len(losses)


def test_topk_grounding_is_equations_1_to_3():
    """Independent truth: the equations as loops over single numbers."""
    dictionary, tokens = _dictionary(loss_reduction="sum"), _tokens()
    grounding = dictionary(tokens, None)
    chosen, loss = _equations(dictionary, tokens, [5, 5])
    assert grounding.indices.tolist() == chosen
    assert grounding.loss.item() == pytest.approx(loss, rel=1e-5)
    assert torch.equal(grounding.tokens, dictionary.embedding.float()[grounding.indices])


def test_masked_tokens_do_not_count():
    """Independent truth: the equations over the real tokens alone."""
    dictionary, tokens = _dictionary(loss_reduction="sum"), _tokens()
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    grounding = dictionary(tokens, mask)
    chosen, loss = _equations(dictionary, tokens, [5, 3])
    assert grounding.indices.tolist() == chosen
    assert grounding.loss.item() == pytest.approx(loss, rel=1e-5)


def test_scores_of_two_modalities_add_up():
    """Independent truth: equation 2 over all tokens at once."""
    dictionary, tokens = _dictionary(), _tokens()
    apart = dictionary.scores(tokens[:, :3]) + dictionary.scores(tokens[:, 3:])
    assert torch.allclose(apart, dictionary.scores(tokens), atol=1e-6)
    assert torch.equal(dictionary.select(apart), dictionary(tokens, None).indices)


def test_stop_gradients_of_equation_3():
    """Independent truth: gradients by hand-made detach of each term, with autograd's own rules.

    In the first term the tokens move only through the similarities, in the second the rows do.
    """
    dictionary = _dictionary(loss_reduction="sum")
    tokens = _tokens().requires_grad_()
    dictionary(tokens, None).loss.backward()

    rows = dictionary.embedding.detach().float().requires_grad_()
    eta = dictionary.temperature.detach().float().requires_grad_()
    z = tokens.detach().clone().requires_grad_()
    x = torch.sigmoid(eta * torch.einsum("bnd,cd->bnc", z, rows))
    top = x.sum(1).topk(K).indices
    total = 0.0
    for b in range(2):
        xb, g = x[b][:, top[b]], rows[top[b]]
        first = (z[b].detach() - (xb / xb.sum(1, keepdim=True)) @ g).square().sum()
        second = (g.detach() - (xb / xb.sum(0)).t() @ z[b]).square().sum()
        total = total + first + BETA * second
    (total / 2).backward()
    assert torch.allclose(tokens.grad, z.grad, rtol=1e-4, atol=1e-6)
    assert torch.allclose(dictionary.embedding.grad.float(), rows.grad, rtol=1e-4, atol=1e-6)
    assert torch.allclose(dictionary.temperature.grad.float(), eta.grad, rtol=1e-4, atol=1e-6)


def test_nearest_is_the_row_at_the_smallest_distance():
    """Independent truth: torch.cdist."""
    dictionary, tokens = _dictionary(grounding="nearest"), _tokens()
    grounding = dictionary(tokens, None)
    expected = torch.cdist(tokens, dictionary.embedding.detach().float()).argmin(-1)
    assert torch.equal(grounding.indices, expected)
    difference = dictionary.embedding.detach().float()[expected] - tokens
    assert grounding.loss.item() == pytest.approx(1.25 * difference.square().mean().item())


def test_temperature_is_clipped_to_its_range():
    """Independent truth: the note on the released code, clip(temperature, 1, 10000)."""
    dictionary, tokens = _dictionary(), _tokens()
    with torch.no_grad():
        dictionary.temperature.fill_(-3.0)
        low = dictionary.similarity(tokens, None)
        dictionary.temperature.fill_(1.0)
        assert torch.equal(low, dictionary.similarity(tokens, None))


def test_mixed_precision_chooses_the_same_rows():
    """Independent truth: the float32 result."""
    dictionary, tokens = _dictionary().float(), _tokens()
    with torch.autocast("cpu", torch.bfloat16):
        grounding = dictionary(tokens, None)
    expected = dictionary(tokens, None)
    assert torch.equal(grounding.indices, expected.indices)
    assert torch.equal(grounding.loss, expected.loss)
