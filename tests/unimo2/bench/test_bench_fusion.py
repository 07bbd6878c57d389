"""What `unimo2 bench fusion` compares is the same computation, and its operations are counted right."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from unimo2 import Unimo2Config
from unimo2.bench.fusion import allowed, dense_masked, forward_flops, measure
from unimo2.bench.timing import interleave, ratio
from unimo2.cli import main
from unimo2.modeling.fusion import GroundedTransformer

CPU = torch.device("cpu")
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "fusion_layers": 2}


def _parts():
    torch.manual_seed(0)
    config = Unimo2Config.mini(**SIZES, dictionary_size=8, grounded_tokens=3)
    transformer = GroundedTransformer(config).eval()
    rows = [torch.randn(2, n, 16) for n in (5, 3, 4)]
    return config, transformer, rows, transformer.make_layout(*rows, None)


@torch.no_grad()
def test_both_layers_give_the_same_numbers():
    """Independent truth: torch's attention with a boolean mask, visual and text rows apart."""
    _, transformer, rows, layout = _parts()
    hidden = transformer.join(*rows)
    mask = allowed(layout, CPU)
    assert not mask[0, 0, :5, 8:].any() and not mask[0, 0, 8:, :5].any()
    assert mask.sum() == 12 * 12 - 2 * 5 * 4
    layer = transformer.layers[0]
    assert torch.allclose(layer(hidden, layout), dense_masked(layer, hidden, mask), atol=1e-5)


@torch.no_grad()
def test_operations_equal_torchs_own_count():
    """Independent truth: torch's FlopCounterMode over the same forward pass."""
    config, transformer, rows, layout = _parts()
    # The counter knows the products of plain attention everywhere, fused kernels on some devices.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        transformer(*rows, layout)
    assert forward_flops(config, layout, 2) == counter.get_total_flops()


def test_calls_are_timed_in_turn():
    """Independent truth: the order in which the calls happened."""
    order = []
    times = interleave([lambda: order.append("a"), lambda: order.append("b")], CPU, repeats=3)
    assert order == ["a", "b"] * 4
    assert [len(column) for column in times] == [3, 3]
    assert ratio([4.0, 9.0, 1.0], [2.0, 3.0, 1.0]) == pytest.approx(2.0)


def test_bench_prints_ratio_and_share(capsys):
    """Independent truth: a ratio and a share are positive, and the JSON names them."""
    config = Unimo2Config.mini(**SIZES, grounded_tokens=3)
    figures = measure(config, 5, 4, 2, torch.float32, CPU, repeats=5)
    assert figures.speedup > 0 and 0 < figures.share < 2
    assert main(["bench", "fusion", "--dtype", "float8"]) == 2
    assert "float8" in capsys.readouterr().err
