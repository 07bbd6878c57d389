"""Linear layers of inference: the fused operators give what the plain functions give."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unimo2.modeling.attention import _fuses, linear, linear_add, linear_gelu


@pytest.fixture
def parts():
    """A layer, its input and a residual."""
    torch.manual_seed(0)
    return nn.Linear(24, 40), torch.randn(3, 7, 24), torch.randn(3, 7, 40)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)], ids=["fp32", "bf16"]
)
def test_fused_operators_equal_the_plain_functions(parts, dtype, tolerance):
    """Truth: the same in float64."""
    layer, hidden, residual = (part.to(dtype) for part in parts)
    weight, bias = layer.weight.double(), layer.bias.double()
    plain = F.linear(hidden.double(), weight, bias)
    with torch.inference_mode():
        found = linear(hidden, layer), linear_gelu(hidden, layer)
        added = linear_add(hidden, layer, residual)
    wanted = plain, F.gelu(plain), plain + residual.double()
    for one, truth in zip((*found, added), wanted, strict=True):
        assert one.dtype == dtype and one.shape == truth.shape
        torch.testing.assert_close(one.double(), truth, atol=tolerance, rtol=tolerance)


def test_gradients_and_other_layers_take_the_plain_functions(parts):
    """Truth: a gradient flows; a hook on the layer, and a layer of another kind, are called."""
    layer, hidden, residual = parts
    assert not _fuses(hidden, layer)
    linear_add(linear_gelu(hidden, nn.Linear(24, 24)), layer, residual).sum().backward()
    assert layer.weight.grad is not None
    called = []
    layer.register_forward_hook(lambda *_: called.append("hook"))

    class Other(nn.Linear):
        def forward(self, hidden):
            called.append("other")
            return super().forward(hidden)

    with torch.inference_mode():
        linear(hidden, layer)
        linear(hidden, Other(24, 40))
    assert called == ["hook", "other"]
