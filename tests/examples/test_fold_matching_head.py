"""The example that folds the matching head of a trained model."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.model import Unimo2Model

SCRIPT = Path(__file__).parents[2] / "examples" / "fold_matching_head.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("fold_matching_head", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_folded_head_keeps_probabilities_and_reads_half_of_the_difference(script, tmp_path):
    """Truth: softmax and difference of the logits of the model before."""
    torch.manual_seed(0)
    config = Unimo2Config.mini(hidden_size=16, intermediate_size=32, num_attention_heads=2)
    model = Unimo2Model(config).eval()
    torch.nn.init.normal_(model.itm_head.bias)
    model.save_pretrained(tmp_path / "model")
    script.fold_folder(tmp_path / "model", tmp_path / "folded")
    folded = Unimo2Model.from_pretrained(tmp_path / "folded").eval()

    inputs = {
        "pixel_values": torch.randn(3, 3, config.image_size, config.image_size),
        "input_ids": torch.randint(5, 99, (3, 7)),
    }
    with torch.no_grad():
        before, after = (one(**inputs).itm_logits for one in (model, folded))
    torch.testing.assert_close(after.softmax(-1), before.softmax(-1))
    torch.testing.assert_close(after[:, 1], (before[:, 1] - before[:, 0]) / 2)
    torch.testing.assert_close(after[:, 0], -after[:, 1])


def test_only_the_head_changes_and_nothing_is_overwritten(script, tmp_path):
    """Truth: the weights before, name by name; a folder that is there already."""
    model = Unimo2Model(Unimo2Config.mini(fusion_layers=1))
    torch.nn.init.normal_(model.itm_head.weight)  # a new head is antisymmetric already
    model.save_pretrained(tmp_path / "model")
    script.fold_folder(tmp_path / "model", tmp_path / "folded")
    before, after = (
        model.state_dict(),
        Unimo2Model.from_pretrained(tmp_path / "folded").state_dict(),
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= {"itm_head.weight", "itm_head.bias"} and "itm_head.weight" in changed
    with pytest.raises(FileExistsError):
        script.fold_folder(tmp_path / "model", tmp_path / "folded")
