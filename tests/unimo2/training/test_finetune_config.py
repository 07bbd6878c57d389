"""Recipes of fine-tuning: the paper's numbers, and epochs counted as steps."""

from dataclasses import replace

import pytest

from unimo2.errors import MissingData, UsageError
from unimo2.training.finetuning.config import (
    TASKS,
    FinetuneConfig,
    default_config,
    default_recipe,
    load_finetune_recipe,
    override_finetune,
    task_name,
    with_steps,
)
from unimo2.training.optimization import learning_rate_at

# Tables 8 and 9: batch size, epochs, learning rate, warm-up ratio, weight decay.
PAPER = {
    "flickr": (32, 40, 5e-6, 0.0, 0.01),
    "snli_ve": (64, 10, 1e-5, 0.06, 0.0),
    "vqa": (256, 12, 4e-5, 0.0, 0.0),
    "coco": (32, 10, 1e-5, 0.06, 0.01),
    "imagenet": (512, 10, 3e-4, 0.06, 0.01),
    **{name: (32, 10, 2e-5, 0.06, 0.01) for name in ("sst2", "mnli", "cola", "stsb")},
}


@pytest.mark.parametrize("task", TASKS)
def test_shipped_recipes_are_the_papers_for_a_wide_model_and_mini_ones_for_a_narrow(task):
    """Independent truth: Tables 8 and 9 of the paper, typed in here."""
    recipe = load_finetune_recipe(default_recipe(task, 768), default_config(task))
    c = recipe.training
    found = (c.batch_size, c.epochs, c.learning_rate, c.warmup_ratio, c.weight_decay)
    assert found == PAPER[task]
    pictures = task not in ("sst2", "mnli", "cola", "stsb")
    assert c.image_size == (384 if pictures else 0)
    if not pictures:
        assert recipe.search == {"learning_rate": (1e-5, 2e-5, 3e-5), "batch_size": (16, 32)}
    mini = load_finetune_recipe(default_recipe(task, 128), default_config(task))
    assert mini.name.startswith("mini-") and mini.training.image_size == 0
    assert type(mini.training) is type(c)


@pytest.mark.parametrize("task", ["flickr", "coco", "mnli"])
def test_rows_of_an_ablation_are_fine_tuned_by_shorter_recipes_in_float32(task):
    """Truth: mini's recipe, of which the length and the precision alone differ."""
    name = default_recipe(task, 128, "ablation")
    ours, mini = (load_finetune_recipe(one, default_config(task)) for one in (name, f"mini-{task}"))
    assert (ours.name, ours.search) == (f"ablation-{task}", mini.search)
    assert ours.training.precision == "fp32" and ours.training.epochs <= mini.training.epochs / 2
    same = [
        replace(one.training, epochs=1, eval_epochs=1, precision="auto") for one in (ours, mini)
    ]
    assert same[0] == same[1]
    assert default_recipe(task, 128, "mini") == f"mini-{task}"
    assert default_recipe("sst2", 128, "ablation") == "mini-sst2"


def test_a_recipe_extends_another(tmp_path):
    """Truth: the values of both files; steps of the one replace epochs of the other."""
    (tmp_path / "long.toml").write_text(
        "[training]\nepochs = 5\nbatch_size = 9\n[model]\nhidden_dropout = 0.3\n"
    )
    (tmp_path / "short.toml").write_text("extends = 'long.toml'\n[training]\nsteps = 7\n")
    short = load_finetune_recipe(str(tmp_path / "short.toml"), default_config("sst2"))
    training = short.training
    assert (training.steps, training.epochs, training.batch_size) == (7, 0, 9)
    assert short.model == {"hidden_dropout": 0.3}
    (tmp_path / "long.toml").write_text("extends = 'short.toml'\n")
    with pytest.raises(UsageError, match="extends itself: .*long.toml, which extends"):
        load_finetune_recipe(str(tmp_path / "long.toml"), default_config("sst2"))


def test_learning_rates_fall_after_the_papers_epochs():
    """Independent truth: Table 9's rates for retrieval: 5e-6, 5e-7 after 24 epochs, 5e-8 after 32."""
    recipe = load_finetune_recipe("flickr", default_config("flickr"))
    config = with_steps(recipe.training, samples=320)  # ten steps an epoch
    assert config.steps == 400 and config.eval_every == 10
    rates = [learning_rate_at(step, config) for step in (0, 239, 240, 319, 320, 399)]
    assert rates == pytest.approx([5e-6, 5e-6, 5e-7, 5e-7, 5e-8, 5e-8])


def test_retrieval_is_trained_as_released():
    """Independent truth: the released run: the circle loss alone, 0.3 in it, every caption once."""
    config = load_finetune_recipe("flickr", default_config("flickr")).training
    weights = (config.circle_weight, config.contrastive_weight, config.itm_weight)
    assert weights == (1.0, 0.0, 0.0) and config.score_weight == 0.3
    assert (config.captions, config.negatives, config.negatives_from) == ("each", 10, "corpus")
    assert (config.circle_margin, config.circle_scale) == (0.2, 1.0)
    mini = load_finetune_recipe("mini-flickr", default_config("flickr")).training
    assert not {"captions", "select_on"} & mini.identity().keys()


def test_steps_replace_epochs_and_epochs_replace_steps(tmp_path):
    """Independent truth: the arithmetic of samples, batches and epochs."""
    recipe = load_finetune_recipe("mini-sst2", default_config("sst2"))
    recipe = override_finetune(recipe, ["batch_size=10", "eval_epochs=0.5"])
    by_epochs = with_steps(override_finetune(recipe, ["epochs=3"]).training, 105)
    assert (by_epochs.steps, by_epochs.eval_every) == (32, 5)  # 31.5 is rounded to even
    by_steps = with_steps(override_finetune(recipe, ["steps=7", "eval_every=3"]).training, 105)
    assert (by_steps.steps, by_steps.eval_every) == (7, 3)
    assert with_steps(override_finetune(recipe, ["eval_epochs=0"]).training, 105).eval_every == 0
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nsteps = 4\n[search]\nlearning_rate = [1e-3]\n")
    mine = load_finetune_recipe(str(path), default_config("sst2"))
    assert mine.training.epochs == 0 and mine.search == {"learning_rate": (1e-3,)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[training]\nnegatives = 3\n", "unknown key negatives"),
        ("[training]\naugment = 'rotate'\n", "none, crop, flip"),
        ("[search]\nlearning_rate = 1e-3\n", "list of values"),
        ("[search]\nlearning_rates = [1e-3]\n", "unknown key learning_rates"),
        ("[training]\ndecay_epochs = [3, 2]\n", "rising numbers"),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused_in_one_line(tmp_path, content, message):
    """Independent truth: the sentence a user needs."""
    path = tmp_path / "bad.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        load_finetune_recipe(str(path), FinetuneConfig())
    assert "\n" not in str(caught.value)


def test_unknown_tasks_and_recipes_are_named():
    """Independent truth: the list of tasks; both spellings of SNLI-VE."""
    assert task_name("snli-ve") == task_name("snli_ve") == "snli_ve"
    with pytest.raises(UsageError, match="flickr, vqa, snli-ve, coco"):
        task_name("nlvr2")
    with pytest.raises(MissingData, match="no configuration 'huge'"):
        load_finetune_recipe("huge", FinetuneConfig())
    with pytest.raises(UsageError, match="batch_size=20 or less"):
        with_steps(FinetuneConfig(batch_size=32), 20)
