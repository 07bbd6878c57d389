"""Benchmarks are found by lying in their folder or by entry point, and every list knows them."""

import importlib
import inspect
import json
import sys
from pathlib import Path

import pytest
import torch
import typer
from PIL import Image

import evals
import zoo.registry
from builders import nlvr2, toy_package
from builders.item_fakes import Fake
from evals import registry
from evals.benchmark import Benchmark
from evals.datasets.registry import all_data_sets, catalogue_entries
from evals.registry import benchmarks, get_benchmark
from reports.listing import record_lines
from unimo2.cli import main
from unimo2.cli.app import build
from unimo2.errors import UsageError
from zoo.protocols import CAPABILITIES


@pytest.fixture(scope="module")
def commands():
    """The application with all its verbs."""
    return typer.main.get_command(build()).commands


@pytest.mark.parametrize("name", benchmarks())
def test_every_benchmark_says_what_it_is(name, commands):
    """Against the data sets, the capabilities and the commands that there are."""
    benchmark = get_benchmark(name)
    assert benchmark.name == name.replace("-", "_") and benchmark.title and benchmark.task
    assert benchmark.dataset in all_data_sets()
    assert benchmark.capabilities and set(benchmark.capabilities) <= set(CAPABILITIES)
    assert {benchmark.default_split, benchmark.dev_split} <= {*benchmark.splits, None}
    assert benchmark.main_metric and benchmark.selects_by
    assert inspect.getdoc(type(benchmark)) != inspect.getdoc(Benchmark)
    assert name in commands["eval"].commands
    assert (benchmark.score is not None) == (name in commands["score"].commands)


def test_an_unknown_benchmark_is_named_with_those_that_there_are():
    """Against a name that no file has, and one that is a module without a benchmark."""
    for name in ("glue", "nothing", "../x"):
        with pytest.raises(UsageError, match="known are: coco, cola, flickr"):
            get_benchmark(name)


# -- of other packages


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An installed package with a benchmark, a model and a verb; a data root for them."""
    monkeypatch.syspath_prepend(str(toy_package.install(tmp_path / "site")))
    _forget()
    root = tmp_path / "data" / "toy"
    root.mkdir(parents=True)
    (root / "dev.txt").write_text("\n".join(map(str, range(100))))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("toy_package")]:
        del sys.modules[name]
    _forget()


def _forget():
    registry._every.cache_clear()
    registry._of_module.cache_clear()
    all_data_sets.cache_clear()
    catalogue_entries.cache_clear()
    importlib.invalidate_caches()
    for function in vars(zoo.registry).values():
        getattr(function, "cache_clear", lambda: None)()


def call(capsys, line):
    """What a command prints, which ends well."""
    assert main(line.split()) == 0, capsys.readouterr().err
    return capsys.readouterr()


def run(capsys, more=""):
    """The content of `eval toy-numbers` by the toy model, and what was printed beside it."""
    line = f"eval toy-numbers --model toy-reader --data-root data --json {more}"
    out, err = call(capsys, line)
    return json.loads(out), err


def test_a_benchmark_and_a_model_of_another_package_are_measured(toy, capsys):
    """Against arithmetic: of 100 numbers the five odd ones from 90 on are taken for even."""
    content, err = run(capsys)
    assert content["metrics"]["accuracy"]["value"] == 95.0
    assert content["metrics"]["accuracy"]["chance"] == 50.0
    # The package's other entry point names a module that is not there.
    assert err.count("\n") == 1 and "benchmark 'broken'" in err and "cannot be loaded" in err
    flipped, _ = run(capsys, "--flip --add 1")
    # 1 to 100 are read for 0 to 99: odd ones from 91 on are taken for even, the truth is flipped.
    assert flipped["metrics"]["accuracy"]["value"] == 95.0
    assert flipped["variant"] == "flipped-add-1"
    record = json.loads(Path(flipped["record"]).read_text())
    assert (record["protocol"]["flip"], record["protocol"]["add"]) == (True, 1)
    assert record["command"].endswith("--flip --add 1")
    assert "Toy numbers, fine-tuned: model toy-reader" in call(
        capsys, "eval toy-numbers --model toy-reader --data-root data --fresh"
    ).out.replace("\n", " ")


def test_every_verb_knows_a_benchmark_of_another_package(toy, capsys):
    """Against the names that the package's own files give."""
    first, _ = run(capsys)
    second, _ = run(capsys, "--add 2")
    folders = " ".join(str(Path(one["record"]).parent) for one in (first, second))
    compared = json.loads(call(capsys, f"compare {folders} --json").out)
    assert compared["benchmark"] == "toy_numbers"
    assert compared["differs"]["add"] == [0, 2]
    assert compared["metrics"]["accuracy"]["difference"] == pytest.approx(-1.0)
    Path("given.txt").write_text("even odd " * 50)
    line = "score toy-numbers given.txt --annotations data/toy/dev.txt --json"
    assert json.loads(call(capsys, line).out)["metrics"]["accuracy"]["value"] == 100.0
    listed = json.loads(call(capsys, "report --format json").out)["records"]
    mine = [one for one in listed if one["benchmark"] == "toy_numbers"]
    assert {(one["metric"], one["value"]) for one in mine} == {
        ("accuracy", 95.0),
        ("accuracy", 94.0),
    }
    assert "toy-reader" in call(capsys, "zoo list").out
    assert "Evaluated only: toy-numbers" in " ".join(call(capsys, "finetune --help").out.split())
    assert main(["finetune", "toy-numbers"]) == 2
    assert "can only be evaluated" in capsys.readouterr().err
    both = "eval toy-numbers,sst2 --model toy-reader --data-root data --json"
    several = json.loads(call(capsys, both).out)
    assert [one["benchmark"] for one in several["runs"]] == ["toy_numbers"]
    assert list(several["not_measured"]) == ["sst2"]


def test_a_verb_of_another_package_is_listed_without_being_loaded(toy, capsys):
    """Against the modules after the help; then against what the verb prints."""
    assert "hello" in call(capsys, "--help").out
    assert "toy_package.verb" not in sys.modules
    assert call(capsys, "hello").out == "hello\n"


def test_options_that_a_benchmark_does_not_have_are_refused(toy):
    """Against the names of the fields."""
    with pytest.raises(
        UsageError, match="Toy numbers has no option rerank; it has add, batch_size"
    ):
        evals.run("toy_numbers", model="toy-reader", rerank=3)


# -- NLVR2, which is not shipped, as the measure of what a contributor touches


@pytest.fixture
def contributed(tmp_path, monkeypatch):
    """The packages with the three files beside their own; a data root with four examples."""
    nlvr2.write(tmp_path / "source")
    for name in nlvr2.FILES:
        folder = Path(name).parent
        package = importlib.import_module(".".join(folder.parts))
        monkeypatch.setattr(
            package, "__path__", [*package.__path__, str(tmp_path / "source" / folder)]
        )
    _forget()
    images = tmp_path / "data" / "nlvr2" / "images"
    images.mkdir(parents=True)
    rows = []
    for number, (left, right) in enumerate(((9, 9), (9, 200), (200, 9), (200, 200))):
        for side, grey in enumerate((left, right)):
            Image.new("RGB", (8, 8), (grey,) * 3).save(images / f"test1-{number}-0-img{side}.png")
        label = str(left == right)
        rows.append({"identifier": f"test1-{number}-0-0", "sentence": "alike", "label": label})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (images.parent / "test1.json").write_text(lines, encoding="utf-8")
    yield tmp_path
    for name in nlvr2.FILES:
        module = ".".join(Path(name).with_suffix("").parts)
        sys.modules.pop(module, None)
        parent, _, child = module.rpartition(".")
        vars(sys.modules[parent]).pop(child, None)
    _forget()


class Alike(Fake):
    """Calls two photos alike by what it sees of either half of one image."""

    pair_classes = ("True", "False")

    def classify_pairs(self, images, texts):
        """Logits of True and False."""
        halves = [
            (image.getpixel((0, 0)), image.getpixel((image.width - 1, 0))) for image in images
        ]
        return torch.tensor([[float(a == b), float(a != b)] for a, b in halves])


def test_a_contributor_of_a_benchmark_touches_three_files(contributed, capsys):
    """Against NLVR2: parser, benchmark and data set are all that the commands and runs need."""
    assert len(nlvr2.FILES) == 3
    root = contributed / "data"
    record = evals.run("nlvr2", model=Alike(), data_root=root, output=contributed / "runs")
    assert record.metrics["accuracy"].value == 100.0
    assert record.data["note"] == "4 of 6,967"
    assert "nlvr2" in call(capsys, "eval --help").out
    assert "default: test1" in call(capsys, "eval nlvr2 --help").out
    assert "NLVR2" in call(capsys, f"data list nlvr2 --data-root {root}").out
    assert "4" in call(capsys, f"data verify nlvr2 --data-root {root}").out
    assert "Evaluated only: nlvr2" in " ".join(call(capsys, "finetune --help").out.split())
    folder = record.path.parent
    compared = json.loads(call(capsys, f"compare {folder} {folder} --json").out)
    assert compared["metrics"]["accuracy"]["difference"] == 0.0
    (line,) = record_lines([record])
    assert (line["metric"], line["value"]) == ("accuracy", 100.0)
