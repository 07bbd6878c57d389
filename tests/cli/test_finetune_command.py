"""`unimo2 finetune`: from files and a checkpoint to the best weights of the development split."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

import zoo
from builders.tiny_tasks import write_model, write_root, write_vqa
from evals.retrieval.weight import choose_weight
from evals.validation import measure
from unimo2.cli import main
from unimo2.formats.karpathy import read_karpathy

SMALL = ("batch_size=4", "precision=fp32", "log_every=1", "save_dtype=float32")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_root(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def finetune(task: str, folder: Path, root: Path, output: Path, *more: str) -> int:
    arguments = ["--model", folder, "--data-root", root, "--output", output, "--device", "cpu"]
    return main(["finetune", task, *map(str, arguments), "--set", *SMALL, *more])


def evaluations(output: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (output / "log.jsonl").open()]
    return [line for line in lines if any(key.startswith("eval/") for key in line)]


@pytest.mark.parametrize(
    ("task", "split", "metric", "rate", "steps"),
    [
        ("snli-ve", "dev", "accuracy", 5e-3, 12),
        ("vqa", "val", "accuracy", 5e-3, 12),
        ("mnli", "dev_matched", "accuracy", 5e-3, 12),
        # Until the outputs differ by tenths: the correlation of nearly equal ones is rounding.
        ("stsb", "dev", "pearson", 2e-2, 36),
    ],
)
def test_the_best_weights_are_those_that_eval_finds_best(
    task, split, metric, rate, steps, folder, root, tmp_path, capsys
):
    """Truth: the saved folder, loaded by the zoo and measured by the benchmark itself."""
    more = (f"learning_rate={rate}", f"eval_every={steps // 3}", "--steps", str(steps))
    assert finetune(task, folder, root, tmp_path, *more) == 0
    assert f"{metric} " in capsys.readouterr().out
    found = evaluations(tmp_path)
    assert [line["step"] for line in found] == [steps // 3, 2 * steps // 3, steps]
    *_, second, best = sorted(line[f"eval/{metric}"] for line in found)
    model = zoo.load(tmp_path / "model", device="cpu")
    value = measure(task, model, root, split)[metric].value
    if metric == "pearson":
        assert value == pytest.approx(best, abs=1e-3) and best - second > 0.1
    else:
        assert value == pytest.approx(best)
    document = json.loads((tmp_path / "train.json").read_text())
    assert document["best"]["value"] == best and document["task"] == task.replace("-", "_")


def test_what_comes_before_the_first_step_is_told(display, folder, root, tmp_path):
    """Truth: the stages in their order."""
    assert finetune("stsb", folder, root, tmp_path, "--steps", "1") == 0
    told = [doing for doing in display.stages() if doing.startswith(("reading t", "training"))]
    assert told == ["reading training data and model", "reading the development split", "training"]


def test_retrieval_keeps_the_weight_that_its_best_evaluation_chose(folder, root, tmp_path):
    """Truth: the saved model scored again on the validation split, and the weight found from it."""
    assert finetune("flickr", folder, root, tmp_path, "eval_every=6", "--steps", "12") == 0
    flickr = root / "flickr30k"
    images = read_karpathy(flickr / "dataset_flickr30k.json", flickr / "flickr30k-images", ["val"])
    model = zoo.load(tmp_path / "model", device="cpu")
    choice = choose_weight(model, images, report=lambda progress: None)
    best = max(evaluations(tmp_path), key=lambda line: line["eval/recall@1"])
    assert best["eval/recall@1"] == pytest.approx(choice.mean_recall_at_1)
    assert model.contrastive_weight == choice.weight == best["eval/contrastive_weight"]


def test_retrieval_may_select_on_training_images_that_are_then_not_trained_on(
    folder, root, tmp_path, monkeypatch
):
    """Truth: every third of the twelve training images, none of val; 8 images are trained on."""
    from evals.benchmarks.flickr import Flickr

    def no_validation(*arguments):
        raise AssertionError("the validation split was read")

    monkeypatch.setattr(Flickr, "read", no_validation)
    more = ("eval_limit=4", "eval_every=6", "--steps", "6", "--select-on", "train")
    assert finetune("flickr", folder, root, tmp_path / "run", *more) == 0
    flickr = root / "flickr30k"
    images = read_karpathy(
        flickr / "dataset_flickr30k.json", flickr / "flickr30k-images", ["train"]
    )
    model = zoo.load(tmp_path / "run/model", device="cpu")
    choice = choose_weight(model, images[::3], report=lambda progress: None)
    (line,) = evaluations(tmp_path / "run")
    assert line["eval/recall@1"] == pytest.approx(choice.mean_recall_at_1)
    document = json.loads((tmp_path / "run/train.json").read_text())
    assert document["data"]["images"] == 8 and document["config"]["select_on"] == "train"


def test_selecting_on_training_images_is_refused_where_it_cannot_be_meant(
    folder, root, tmp_path, capsys
):
    """Truth: seven of twelve images are more than half; other tasks have no such option."""
    more = ("eval_limit=7", "--steps", "2", "--select-on", "train")
    assert finetune("flickr", folder, root, tmp_path, *more) == 2
    assert "keeps 7 of 12 training images" in capsys.readouterr().err
    assert finetune("sst2", folder, root, tmp_path, "--select-on", "train") == 2


def test_search_and_seeds_keep_the_best_run_and_go_on_where_they_stopped(
    folder, root, tmp_path, capsys
):
    """Truth: the table of runs, each run's own train.json, and which runs were written anew."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[training]\nholdout = 0.34\n[search]\nlearning_rate = [1e-3, 1e-2]\n")
    output = tmp_path / "run"
    more = ("--config", str(recipe), "--steps", "6", "--search", "--seeds", "2")
    assert finetune("imagenet", folder, root, output, *more) == 0
    shown = capsys.readouterr().out
    table = json.loads((output / "trials.json").read_text())
    values = {row["name"]: row["outcome"]["value"] for row in table["runs"]}
    assert len(values) == 4 and values[table["best"]] == max(values.values())
    assert f"best run {table['best']}" in shown and "learning_rate 0.01" in shown
    for name, value in values.items():
        document = json.loads((output / "trials" / name / "train.json").read_text())
        assert document["best"]["value"] == value
        assert document["config"]["learning_rate"] == float(name.split(",")[0].split("=")[1])
    kept = (output / "model/model.safetensors").read_bytes()
    winner = output / "trials" / table["best"]
    assert kept == (winner / "model/model.safetensors").read_bytes()
    written = {path: path.stat().st_mtime_ns for path in output.glob("trials/*/train.json")}
    assert finetune("imagenet", folder, root, output, *more[:-1], "3") == 0
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert len(json.loads((output / "trials.json").read_text())["runs"]) == 6


def test_captions_are_trained_with_object_tags(folder, root, tmp_path, capsys):
    """Truth: tags of two training and one validation image, counted; other tasks have none."""
    path = tmp_path / "tags of mine.json"
    path.write_text(json.dumps({"0": ["red"], "1": ["white", "square"], "12": ["blue"]}))
    more = ("captions_per_image=2", "--object-tags", str(path), "--steps", "2")
    assert finetune("coco", folder, root, tmp_path / "run", *more) == 0
    assert "object tags of 2 images from tags of mine.json" in capsys.readouterr().err
    told = json.loads((tmp_path / "run/train.json").read_text())["data"]["object_tags"]
    assert (told["images_with_tags"], told["training_images"]) == (3, 2)
    assert "eval/CIDEr" in evaluations(tmp_path / "run")[-1]
    assert finetune("sst2", folder, root, tmp_path / "x", *more) == 2
    assert "option --object-tags is for coco, not for" in capsys.readouterr().err


def test_seeds_of_another_rate_are_not_taken_for_these(folder, root, tmp_path, capsys, monkeypatch):
    """Truth: the recipe has a grid that is not searched here, so its rate is as given."""
    more = ("--steps", "2", "--seeds", "1")
    assert finetune("sst2", folder, root, tmp_path, "learning_rate=1e-3", *more) == 0
    assert finetune("sst2", folder, root, tmp_path, "learning_rate=1e-3", *more) == 0
    assert finetune("sst2", folder, root, tmp_path, "learning_rate=1e-4", *more) == 2
    assert "holds runs of another task, recipe" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert finetune("sst2", folder, root, tmp_path, *more) == 2
    assert "start them without a launcher" in capsys.readouterr().err


def test_the_development_metric_is_shown_while_training(folder, root, tmp_path, capsys):
    """Truth: the log's own evaluations; a finished run that is started again keeps its losses."""
    assert finetune("snli-ve", folder, root, tmp_path, "eval_every=2", "--steps", "4") == 0
    found = [line["eval/accuracy"] for line in evaluations(tmp_path)]
    shown = capsys.readouterr().err
    assert f"dev accuracy {found[0]:.2f} at step 2 (best {found[0]:.2f})" in shown
    assert f"dev accuracy {found[1]:.2f} at step 4 (best {max(found):.2f})" in shown
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    trained = [line for line in lines if "loss" in line]
    assert all(0 < line["dictionary_used"] <= 1 for line in trained)
    assert finetune("snli-ve", folder, root, tmp_path, "eval_every=2", "--steps", "4") == 0
    document = json.loads((tmp_path / "train.json").read_text())
    assert document["losses"] == trained[-1]


def test_faults_of_the_data_are_said_before_anything_is_trained(folder, root, tmp_path, capsys):
    """Truth: the file that is at fault, and no log of losses."""
    data = tmp_path / "data"
    shutil.copytree(root, data)
    (data / "glue/SST-2/dev.tsv").write_text("sentence\tlabel\n")
    assert finetune("sst2", folder, data, tmp_path / "x", "--steps", "2") == 2
    assert "SST-2/dev.tsv: no rows" in capsys.readouterr().err
    for name in ("v2_OpenEnded_mscoco_train2014_questions", "v2_mscoco_train2014_annotations"):
        kind = name.rsplit("_", 1)[1]
        (data / f"vqa/{name}.json").write_text(json.dumps({kind: []}))
        assert finetune("vqa", folder, data, tmp_path / "x", "answer_threshold=1") == 2
        assert f"{name}.json: no {kind[:-1]} in it" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_embedded_text_encoder_is_fine_tuned_by_its_name(root, tmp_path, capsys):
    """Against the weights that come with the package: a step at a tiny rate changes no digit that shows."""
    more = ("learning_rate=1e-12", "weight_decay=0", "--steps", "1")
    assert finetune("sst2", "mini-roberta", root, tmp_path, *more) == 0
    shipped = zoo.weights_folder(zoo.resolve("mini-roberta")) / "model.safetensors"
    tuned = load_file(tmp_path / "model" / "model.safetensors")
    name = "roberta.encoder.layer.2.output.dense.weight"
    assert tuned[name].allclose(load_file(shipped)[name].float(), atol=1e-9)


def test_data_without_a_development_split_is_trained_to_the_end(folder, root, tmp_path, capsys):
    """Truth: the message, and a log without evaluations; train+val is such a case too."""
    write_vqa(tmp_path / "data", "train", range(8))
    more = ("answer_threshold=1", "--steps", "4")
    assert finetune("vqa", folder, tmp_path / "data", tmp_path / "mine", *more) == 0
    assert "no development split" in capsys.readouterr().err
    assert not evaluations(tmp_path / "mine")
    joined = (*more, "--train-on", "train+val")
    assert finetune("vqa", folder, root, tmp_path / "both", *joined) == 0
    assert "val is trained on" in capsys.readouterr().err
    assert json.loads((tmp_path / "both/train.json").read_text())["data"]["samples"] == 32
    assert finetune("vqa", folder, root, tmp_path / "x", *joined, "--seeds", "2") == 2
    assert "compare runs on a development split" in capsys.readouterr().err
    assert not list((tmp_path / "x").rglob("log.jsonl"))  # before the first step


def test_what_needs_no_data_is_refused_before_it_is_read(folder, tmp_path, capsys):
    """Truth: a data root that is not there, and yet the mistake is the one that is named."""
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    for more, named in (
        (("--steps", "2", "--epochs", "1"), "--epochs does not apply with --steps"),
        (("--resume", "maybe"), "option --resume got 'maybe'"),
        (('trackers=["notebook"]',), "pip install notebook"),
    ):
        assert finetune("sst2", folder, nowhere, tmp_path / "x", *more) == 2
        assert named in capsys.readouterr().err


def test_a_model_that_says_the_same_of_everything_is_trained_on(folder, root, tmp_path):
    """Truth: with a rate of next to nothing and no spread, the correlation counts as none."""
    from evals.benchmarks.glue import Stsb
    from unimo2.errors import UndefinedMetric

    def undefined(*arguments):
        raise UndefinedMetric("all predictions are 0.5")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stsb, "measure", undefined)
        assert finetune("stsb", folder, root, tmp_path, "eval_every=2", "--steps", "4") == 0
    assert [line["eval/pearson"] for line in evaluations(tmp_path)] == [0.0, 0.0]


def test_mistakes_are_one_line_that_says_how_to_put_them_right(folder, root, tmp_path, capsys):
    """Truth: exit status 2 and the words a user needs."""

    def error(*arguments) -> str:
        assert finetune(*arguments) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "known are: flickr, vqa, snli-ve" in error("nlvr2", folder, root, tmp_path)
    assert "snli_ve_train.jsonl" in error("snli-ve", folder, tmp_path, tmp_path / "x")
    shutil.copytree(folder, tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "bert"}
    (tmp_path / "bert/config.json").write_text(json.dumps(config))
    assert "cannot be loaded as a text encoder" in error(
        "sst2", tmp_path / "bert", root, tmp_path / "x", "--config", "sst2"
    )
    assert "unknown key negatives" in error("cola", folder, root, tmp_path / "x", "negatives=3")
    assert "no [search] table" in error("snli-ve", folder, root, tmp_path / "x", "--search")
