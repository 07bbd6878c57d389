"""`unimo2 eval`: tiny fine-tuned models on tiny files in the official layouts, end to end."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from builders.item_fakes import (
    ANSWERS,
    LABELS,
    LAST,
    write_coco,
    write_glue,
    write_imagenet,
    write_snli_ve,
    write_vqa,
)
from builders.tiny_models import processor, task_model, text_encoder
from evals import records
from evals.benchmark import Request
from evals.retrieval.options import PairOptions
from evals.runner import command
from unimo2.cli import main
from unimo2.formats.images import load_image

CLASSES = {
    "vqa": list(ANSWERS),
    "snli_ve": list(LABELS),
    "imagenet": [*(f"n{number:08d}" for number in range(6)), LAST],
    "sst2": ["0", "1"],
    "stsb": ["score"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data root with VQA, SNLI-VE, ImageNet and GLUE."""
    root = tmp_path_factory.mktemp("data")
    write_vqa(root, "test-dev2015", server=True)
    write_snli_ve(root, "test")
    write_imagenet(root)
    return write_glue(root)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of model folders, one a task, and a text encoder for SST-2.

    Weights are large enough that what the models give differs from text to text by far more than the
    last bits of float32; correlations would follow those otherwise.
    """
    folder = tmp_path_factory.mktemp("models")
    for task, labels in CLASSES.items():
        task_model(task, labels, initializer_range=0.2).save_pretrained(folder / task)
        processor().save_pretrained(folder / task)
    task_model(None).save_pretrained(folder / "plain")
    processor().save_pretrained(folder / "plain")
    encoder = text_encoder(["0", "1"])
    encoder.config.task = "sst2"
    encoder.save_pretrained(folder / "encoder")
    processor().tokenizer.save_pretrained(folder / "encoder")
    return folder


def evaluate(capsys, *words):
    """The exit status, and what was printed."""
    status = main(["eval", *map(str, words)])
    return status, *capsys.readouterr()


def run(capsys, benchmark, model, data, output, *words):
    """The record of a run that ends well."""
    options = ["--model", model, "--data-root", data, "--output", output, "--device", "cpu"]
    status, out, err = evaluate(capsys, benchmark, *options, "--json", *words)
    assert (status, err) == (0, "")
    content = json.loads(out)
    record = records.read(Path(content["record"]))
    assert content["metrics"] == json.loads(json.dumps(record.to_dict()["metrics"]))
    return record


@pytest.mark.parametrize("benchmark", ["vqa", "snli-ve", "imagenet", "sst2", "stsb"])
def test_a_fine_tuned_folder_is_measured_and_its_batch_changes_nothing(
    benchmark, data, models, tmp_path, capsys
):
    """Truth: the same run with one item a call: the same predictions, logits within 1e-5."""
    task = benchmark.replace("-", "_")
    kept = []
    for size in ("1", "50"):
        record = run(capsys, benchmark, models / task, data, tmp_path / size, "--batch-size", size)
        assert record.command.startswith(f"unimo2 eval {benchmark} --model")
        assert record.protocol["zero_shot"] is False
        assert record.path.parts[-5:-2] == ("paper", task, task)
        kept.append((record, records.read_samples(record.path.parent)))
    (one, first), (many, second) = kept
    numbers = [name for name in first if first[name].dtype.kind == "f"]
    assert first.drop(columns=numbers).equals(second.drop(columns=numbers))
    assert (first[numbers] - second[numbers]).abs().max().max() < 1e-5
    for name, metric in one.metrics.items():
        assert many.metrics[name].value == pytest.approx(metric.value, abs=1e-3)


def test_captions_are_written_with_object_tags_and_without(tmp_path, capsys, monkeypatch):
    """Truth: the adapter's own captions of each file with its tags; two variants, two captions."""
    from evals.benchmarks import coco
    from evals.metrics import captions as caption_metrics

    def scored(captions, references, seed):
        return caption_metrics.CaptionScores(
            {}, tuple(captions), {"CIDEr": np.zeros(len(captions))}, {}, ()
        )

    monkeypatch.setattr(coco, "caption_scores", scored)
    root, path = write_coco(tmp_path / "data", images=4), tmp_path / "tags.json"
    tags = {300: ["red"], 302: ["big square", "blue"]}
    path.write_text(json.dumps({str(image): names for image, names in tags.items()}))
    model = task_model("coco", initializer_range=1.0)  # so that captions differ
    model.save_pretrained(tmp_path / "coco")
    processor().save_pretrained(tmp_path / "coco")
    captioner = zoo.task_adapter("coco", model, processor(), "tiny", "0" * 64)
    files = sorted((root / "coco/val2014").glob("*.jpg"))
    images = [load_image(file) for file in files]
    names = [tags.get(300 + number, []) for number in range(4)]
    expected = [captioner.caption(images, 5), captioner.caption_with_tags(images, names, 5)]
    for words, said in zip(([], ["--object-tags", path]), expected, strict=True):
        record = run(capsys, "coco", tmp_path / "coco", root, tmp_path / "runs", *words)
        assert list(records.read_samples(record.path.parent)["prediction"]) == said
        assert record.path.parts[-3] == "coco" + ("+object-tags" if words else "")
    assert expected[0][0] != expected[1][0] and expected[0][1] == expected[1][1]


def test_images_are_sorted_as_the_models_own_forward_does(data, models, tmp_path, capsys):
    """Truth: the argmax of the task model's forward pass on each file, one by one."""
    record = run(capsys, "imagenet", models / "imagenet", data, tmp_path)
    samples = records.read_samples(record.path.parent).set_index("image")["prediction"]
    model = task_model("imagenet", CLASSES["imagenet"], initializer_range=0.2)
    for path in sorted((data / "imagenet" / "val").rglob("*.JPEG")):
        with torch.no_grad():
            logits = model(processor().pixel_values(load_image(path))).logits[0]
        assert samples[path.stem] == CLASSES["imagenet"][int(logits.argmax())]


def test_a_text_encoder_is_measured_like_any_model(data, models, tmp_path, capsys):
    """Truth: the record names the encoder, and its own forward gives the labels."""
    record = run(capsys, "sst2", models / "encoder", data, tmp_path)
    assert record.model == "encoder"
    samples = records.read_samples(record.path.parent)
    model, tokenizer = text_encoder(["0", "1"]), processor().tokenizer
    texts = [f"sentence {n}" + " more" * (n % 3) + " " for n in samples["index"]]
    for text, found in zip(texts, samples["prediction"], strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits
        assert found == str(int(logits.argmax()))


def test_a_table_says_what_is_needed_to_judge_it(data, models, tmp_path, capsys):
    """Truth: the run's own JSON, and the files in its folder."""
    options = ["--model", models / "sst2", "--data-root", data, "--output", tmp_path]
    status, out, _ = evaluate(capsys, "sst2", *options)
    assert status == 0
    assert "SST-2, fine-tuned: model sst2, suite paper, dev split" in out
    for word in ("accuracy", "chance", "24 rows", "record", "24 of 872"):
        assert word in out
    status, out, _ = evaluate(capsys, "sst2", *options, "--split", "test")
    assert status == 0
    assert "SST-2.tsv in the run folder is what the GLUE server takes" in out
    assert len(list(tmp_path.rglob("SST-2.tsv"))) == 1


def test_all_measures_what_the_model_can_do_and_names_what_it_cannot(
    data, models, tmp_path, capsys
):
    """Truth: a model for SST-2 answers no questions; a pre-trained one scores pairs alone."""
    options = ["--data-root", data, "--output", tmp_path, "--device", "cpu"]
    status, out, _ = evaluate(capsys, "all", "--model", models / "sst2", *options, "--json")
    content = json.loads(out)
    assert status == 0
    assert [run["benchmark"] for run in content["runs"]] == ["sst2"]
    missing = content["not_measured"]
    assert "cannot be used as answerer" in missing["vqa"]
    assert "is fine-tuned for sst2, not for cola" in missing["cola"]
    assert "cannot be used as pair_scorer" in missing["imagenet, zero-shot"]
    status, out, _ = evaluate(capsys, "all", "--model", models / "plain", *options)
    assert status == 0
    assert "imagenet, zero-shot" in out
    lines = out.splitlines()
    [line] = [line for line in lines if line.startswith("flickr, zero-shot")]
    assert "not measured: captions not found" in line
    assert [line for line in lines if line.startswith("stsb")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["cola", "--model", "sst2"], "is fine-tuned for sst2, not for cola"),
        (["imagenet", "--model", "plain"], "cannot be used as image_classifier"),
        (["coco", "--model", "vqa"], "cannot be used as captioner"),
        (["imagenet", "--zero-shot", "--model", "plain", "--templates", "3"], "--templates 3"),
        (
            ["sst2", "--model", "sst2", "--split", "val"],
            "option --split got 'val', expected one of: train",
        ),
        (["sst2", "--model", "sst2", "--limit", "0"], "--limit"),
        (["sst2", "--model", "sst2", "--batch-size", "0"], "--batch-size"),
        (["vqa", "--model", "vqa", "--split", "val"], "VQA questions not found"),
    ],
)
def test_mistakes_are_one_line_and_status_2(words, says, data, models, tmp_path, capsys):
    """Truth: each command is wrong by construction."""
    words = [models / word if word in CLASSES or word == "plain" else word for word in words]
    words[0] = words[0].name if isinstance(words[0], Path) else words[0]
    status, out, err = evaluate(
        capsys, *words, "--data-root", data, "--output", tmp_path, "--device", "cpu"
    )
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err


def test_the_recorded_command_has_what_differs_from_the_defaults() -> None:
    """Truth: the command line as a user would write it."""
    assert command(Request("flickr", "mini", zero_shot=True)) == "unimo2 eval flickr --zero-shot"
    request = Request(
        "flickr", "my model", limit=60, batch_size=8, options=PairOptions(contrastive_weight=0.5)
    )
    assert command(request) == (
        "unimo2 eval flickr --model 'my model' --limit 60 --batch-size 8 --contrastive-weight 0.5"
    )


def test_a_record_is_made_again_by_its_command_and_by_a_file(data, models, tmp_path, capsys):
    """Truth: the first run's numbers; the record's command is pasted into a shell as it is."""
    model = tmp_path / "model [of] 'mine'"
    model.symlink_to(models / "sst2")
    first = run(capsys, "sst2", model, data, tmp_path / "a b", "--limit", "5", "--seed", "3")
    assert shlex.split(first.command)[:3] == ["unimo2", "eval", "sst2"]
    toml = tmp_path / "run.toml"
    toml.write_text(
        f'benchmark = "sst2"\nmodel = {json.dumps(str(model))}\ndata_root = "{data}"\nlimit = 5\n'
        f'seed = 3\ndevice = "cpu"\noutput = "{tmp_path / "b"}"\nfresh = true\n'
    )
    words = shlex.split(first.command)[1:]
    for again in (words, ["eval", "--config", str(first.path)], ["eval", "--config", str(toml)]):
        assert main([*again]) == 0
        assert "--limit 5" in capsys.readouterr().err or again is words or again[-1] == str(toml)
    found = sorted(tmp_path.rglob("record.json"))
    assert len(found) == 4
    assert len({json.dumps(records.read(path).to_dict()["metrics"]) for path in found}) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("limit = 3", "expected benchmark"),
        ('benchmark = "sst2"\nbeam_size = 3', "No such option: --beam-size"),
        ('benchmark = "sst2"\nlimit = [1]', "limit is [1]; expected"),
        ("benchmark", "not valid TOML"),
    ],
)
def test_a_file_that_describes_no_run_is_refused(content, told, tmp_path, capsys):
    """Truth: each file is wrong by construction."""
    path = tmp_path / "run.toml"
    path.write_text(content)
    assert main(["eval", "--config", str(path)]) == 2
    assert told in capsys.readouterr().err
    assert main(["eval", "--config", str(path), "sst2"]) == 2
    assert "leave sst2 out" in capsys.readouterr().err
