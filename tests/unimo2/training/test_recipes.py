"""Configurations of training: what is read, what is refused, and the schedule they ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from unimo2.errors import MissingData, UsageError
from unimo2.training.config import PretrainConfig
from unimo2.training.optimization import choose_precision, learning_rate_at, parameter_groups
from unimo2.training.recipes import Recipe, load_recipe, override


def test_the_shipped_configurations_state_the_papers_masking():
    """Truth: the paper, section 3.2, the released code, and SpanBERT; mini hides more, as SpanBERT."""
    for name, level in (("base", "token"), ("mini", "span")):
        training = load_recipe(name).training
        assert training.mask_geometric_p == 0.2
        assert training.mask_max_span == 10 and training.mask_level == level
    assert load_recipe("base").training.mask_fraction == 0.15


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[training]\nstep = 3\n", "step"),
        ("[model]\nvision = 3\n[optimizer]\nlr = 3\n", "optimizer"),
        ("[training]\nsteps = 'many'\n", "of type int"),
        ("[training]\nsteps = true\n", "of type int"),
        ("[training]\nsteps = 0\n", "at least 1"),
        ("[training]\nbatch_size = 1\n", "at least 2"),
        ("[training]\nmask_fraction = 1.5\n", "at most 1"),
        ("[training]\nprecision = 'fp8'\n", "auto, fp32, bf16"),
        ("[training]\npair_sets = [1]\n", "a list of texts"),
        ("[training]\npair_sets = []\n", "at least one"),
        ("[training]\nlearning_rate = nan\n", "expected a finite number"),
        ("training = 3\n", "must be a table"),
        ("[training\n", "not valid TOML"),
        ("extends = 3\n", "extends is 3; expected a recipe's name or file"),
        ("extends = 'mini'\n[training]\nstep = 3\n", "step"),
    ],
)
def test_bad_configurations_are_one_line(tmp_path, text, named):
    """Truth: the mistake that was made is named."""
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_configuration_names_those_there_are():
    """Truth: the shipped file."""
    with pytest.raises(MissingData, match="mini"):
        load_recipe("maxi")


def test_values_are_read_with_their_types(tmp_path):
    """Truth: the values that were written."""
    path = tmp_path / "mine.toml"
    path.write_text(
        '[model]\npreset = "base"\ngrounded_tokens = 7\n'
        '[training]\nlearning_rate = 1\npair_sets = ["coco", "flickr30k"]\n'
    )
    recipe = load_recipe(str(path))
    assert (recipe.name, recipe.preset, recipe.model) == ("mine", "base", {"grounded_tokens": 7})
    assert recipe.training.learning_rate == 1.0
    assert isinstance(recipe.training.learning_rate, float)
    assert recipe.training.pair_sets == ("coco", "flickr30k")


def test_a_recipe_extends_another(tmp_path):
    """Truth: the values of both files, read one by one; a circle of two is refused."""
    (tmp_path / "mine.toml").write_text(
        'extends = "mini"\n[model]\ngrounded_tokens = 7\n[training]\nsteps = 3\ntext_sets = []\n'
    )
    mine, mini = load_recipe(str(tmp_path / "mine.toml")), load_recipe("mini")
    assert (mine.name, mine.preset) == ("mine", mini.preset)
    assert mine.model == {**mini.model, "grounded_tokens": 7}
    assert mine.training == replace(mini.training, steps=3, text_sets=())
    beside = tmp_path / "folder" / "beside.toml"
    beside.parent.mkdir()
    beside.write_text("extends = '../mine.toml'\n[training]\nsteps = 5\n")
    assert load_recipe(str(beside)).training == replace(mine.training, steps=5)
    one, two = tmp_path / "one.toml", beside.parent / "two.toml"
    one.write_text("extends = 'folder/two.toml'\n")
    two.write_text("extends = '../one.toml'\n")
    with pytest.raises(UsageError, match="extends itself: .*one.toml, which extends .*two.toml"):
        load_recipe(str(one))


def test_assignments_change_training_and_model():
    """Truth: the values that were typed."""
    recipe = override(
        Recipe("x"),
        [
            "batch_size=32",
            "learning_rate=3e-4",
            "precision=bf16",
            'pair_sets=["flickr30k"]',
            "model.grounded_tokens=16",
            "model.grounding=nearest",
        ],
    )
    assert recipe.training.batch_size == 32 and recipe.training.learning_rate == 3e-4
    assert recipe.training.precision == "bf16" and recipe.training.pair_sets == ("flickr30k",)
    assert recipe.model == {"grounded_tokens": 16, "grounding": "nearest"}


@pytest.mark.parametrize("text", ["batch_size", "=3", "batchsize=3", "batch_size=many"])
def test_bad_assignments_are_refused(text):
    """Truth: none of them is a known field with a value of its type."""
    with pytest.raises(UsageError):
        override(Recipe("x"), [text])


def test_the_learning_rate_rises_and_falls_linearly():
    """Truth: the piecewise linear formula, and torch's own LambdaLR driven by it."""
    config = PretrainConfig(steps=100, warmup_ratio=0.1, learning_rate=2.0)
    rates = [learning_rate_at(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10:] == pytest.approx([2.0 * (100 - step) / 90 for step in range(10, 100)])
    assert max(rates) == pytest.approx(2.0) and rates[-1] == pytest.approx(2.0 / 90)


def test_a_schedule_without_warm_up_starts_at_the_peak():
    """Truth: the formula with no warm-up steps."""
    config = PretrainConfig(steps=4, warmup_ratio=0.0, learning_rate=1.0)
    assert [learning_rate_at(step, config) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_a_schedule_of_warm_up_alone_is_possible():
    """Truth: the formula with every step in the warm-up."""
    config = PretrainConfig(steps=4, warmup_ratio=1.0, learning_rate=1.0)
    assert [learning_rate_at(step, config) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_only_matrices_that_are_no_tables_of_meaning_decay():
    """Truth: the list of names that the configuration's text gives."""
    module = nn.Module()
    module.linear = nn.Linear(3, 3)
    module.norm = nn.LayerNorm(3)
    module.dictionary = nn.Embedding(4, 3)
    module.temperature = nn.Parameter(torch.ones(1, 1))
    module.pos_embed = nn.Parameter(torch.ones(1, 4, 3))
    config = PretrainConfig(learning_rate=1e-3, temperature_learning_rate=1e-4, weight_decay=0.3)
    decayed, spared, temperatures = parameter_groups(module, config)
    assert temperatures["params"] == [module.temperature]
    assert temperatures["share"] == pytest.approx(0.1) and decayed["share"] == 1.0
    assert [p.shape for p in decayed["params"]] == [module.linear.weight.shape]
    assert [g["weight_decay"] for g in (decayed, spared, temperatures)] == [0.3, 0.0, 0.0]
    assert len(spared["params"]) == len(list(module.parameters())) - 2


def test_precision_is_taken_as_asked_and_auto_is_settled():
    """Truth: the words; "auto" must become one of the other two."""
    device = torch.device("cpu")
    assert choose_precision("bf16", device, 8, 8) == "bf16"
    assert choose_precision("fp32", device, 8, 8) == "fp32"
    assert choose_precision("auto", device, 64, 32) in ("fp32", "bf16")


def test_identity_leaves_out_what_changes_no_weight():
    """Truth: two configurations that differ in logging alone, and two that differ in the seed."""
    config = PretrainConfig()
    assert config.identity() == replace(config, log_every=7, save_dtype="float16").identity()
    assert config.identity() != replace(config, seed=7).identity()
