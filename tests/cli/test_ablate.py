"""`unimo2 ablate`, from the command line to its records, on a tiny data root."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from builders import corpora_folders
from evals import records
from evals.datasets.suites import Suite
from reports.cli.ablate import _rows
from reports.grid import GridRows, table_columns
from unimo2.cli import main
from unimo2.training.recipes import load_recipe


@pytest.fixture
def ablate(tiny_root, tiny_recipe, tmp_path, monkeypatch):
    """Runs `unimo2 ablate` on the tiny data with more arguments, in another runs folder if given."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    monkeypatch.delenv("UNIMO2_DATA", raising=False)

    def call(*arguments, runs="runs"):
        common = ["--config", str(tiny_recipe), "--data-root", str(tiny_root), "--device", "cpu"]
        return main(["ablate", *common, "--output", str(tmp_path / runs), *arguments])

    return call


def test_a_dry_run_shows_the_plan_and_does_nothing(ablate, tmp_path, capsys):
    """Against the folder that a run would write, and the rows asked for."""
    assert ablate("--k", "2", "4", "--c", "32", "--one-to-one", "--dry-run") == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[4:8]] == [
        "c=32",
        "k=2",
        "k=4",
        "one-to-one",
    ]
    assert "4 of 4 rows remain" in out
    assert not (tmp_path / "runs").exists()


def test_a_plan_whose_rows_are_done_is_shown_without_torch(tmp_path):
    """Against the modules of a fresh process, with the records that come with the package."""
    plan = ["ablate", "--k", "10", "20", "50", "100", "--dry-run", "--output", str(tmp_path)]
    code = (
        f"import sys; from unimo2.cli import main; status = main({plan!r}); "
        "sys.exit(status or bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "All rows are done" in done.stdout


def test_rows_of_a_table_are_the_papers():
    """Against the paper's Tables 4 and 5 by hand, and C at an eighth of the paper's, 256 to 2,048."""
    suite, asked, recipe = Suite("mini", None, "f" * 64), GridRows(), load_recipe("ablation")
    four, note = _rows(suite, recipe, [4], asked, False)
    taken = ["gd", "gd-inference", "gt", "text", "images", "both"]
    assert [row.variant for row in four] == ["full", "one-to-one", *(f"without={x}" for x in taken)]
    assert note == ""
    five, note = _rows(suite, recipe, [5], asked, False)
    names = [*(f"c={n}" for n in (128, 256, 512, 1024)), *(f"k={n}" for n in (10, 20, 50, 100))]
    assert [row.variant for row in five] == [*names, "one-to-one"]
    assert note.startswith("C is the paper's times 1/8 (the recipe's 256 to the paper's 2,048)")
    both, _ = _rows(suite, recipe, [4, 5], asked, False)
    assert len({row.training["base"] for row in both}) == 1  # one recipe for both tables
    assert {row.variant for row in both} == {row.variant for row in (*four, *five)}
    assert len({row.key for row in both}) == 14  # C = 256 is the full training, w/o GD (I) too


def test_columns_of_a_table_are_the_papers():
    """Against the heads of the paper's Tables 4 and 5."""
    names = ["flickr-zero-shot", "flickr", "coco", "imagenet-zero-shot", "mnli"]
    assert [column.name for column in table_columns([4])] == names
    assert [column.name for column in table_columns([5])] == ["flickr-zero-shot", "coco"]
    assert [column.name for column in table_columns([4, 5])] == names


def test_rows_are_trained_evaluated_shown_and_then_found_done(ablate, tmp_path, capsys):
    """Against the records on disk and a second call that trains nothing."""
    assert ablate("--k", "2", "4", "--budget", "3") == 0
    out = capsys.readouterr().out
    assert "ZeroShot-IR R@1/R@5/R@10" in out and "not measured" in out and "3 steps" in out
    found = records.find(tmp_path / "runs", "mini", "flickr", "tiny")
    assert {record.variant for record in found} == {"k=2", "k=4"}
    for record in found:
        training = record.protocol["training"]
        assert record.config["grounded_tokens"] == training["K"] == int(record.variant[2:])
        assert training["budget"] == 3 and record.data["images"] == 6
        assert f"k={training['K']}" == record.variant and record.protocol["zero_shot"]

    assert ablate("--k", "2", "4", "--budget", "3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in told["rows"]] == ["done", "done"] and told["seconds"] == 0.0
    by_variant = {record.variant: record for record in found}
    for row in told["rows"]:
        record, cell = by_variant[row["variant"]], row["columns"]["flickr-zero-shot"]
        assert cell["record"] == str(record.path) and cell["jobs"] == []
        recall = record.metrics["image_retrieval/R@1"]
        assert cell["metrics"]["image_retrieval/R@1"]["value"] == recall.value
    assert len(records.find(tmp_path / "runs")) == 2


def test_an_interrupted_row_ends_with_the_same_weights(ablate, tmp_path, capsys, monkeypatch):
    """Against a run of the same row that nobody interrupted."""
    assert ablate("--k", "2", runs="whole") == 0
    with monkeypatch.context() as patch:

        def interrupt(bar, progress):
            if progress.step == 5:
                raise KeyboardInterrupt

        patch.setattr("unimo2.training.logging.TrainingBar.__call__", interrupt)
        assert ablate("--k", "2") == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "unimo2: error: interrupted: what is finished is kept; the same command resumes from there"
    )
    assert records.find(tmp_path / "runs") == []
    assert ablate("--k", "2", "--dry-run") == 0
    assert "interrupted" in capsys.readouterr().out
    assert ablate("--k", "2") == 0
    (whole,), (resumed,) = (records.find(tmp_path / runs) for runs in ("whole", "runs"))
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics


def test_what_is_taken_away_is_trained_or_switched_off(ablate, tmp_path, capsys):
    """Against the folders of trainings, the models' configurations and the published Table 4."""
    assert ablate("--without", "gd", "gd-inference", "gt", "--rerank", "2") == 0
    out = capsys.readouterr().out
    assert "the 2 best pairs of each query" in out and "Table 4, measured on" in out
    labels = [line.split("  ")[0] for line in out.splitlines()]
    places = [labels.index(x) for x in ("full", "w/o GD (P)", "w/o GD (I)", "w/o G.T.")]
    assert places == sorted(places) and "Table 5" not in out
    found = {r.variant: r for r in records.find(tmp_path / "runs", "mini", "flickr", "tiny")}
    names = ["full", "without=gd", "without=gd-inference", "without=gt"]
    assert sorted(found) == names
    folders = [p.name.rpartition("-")[0] for p in (tmp_path / "runs/ablation/mini").iterdir()]
    assert sorted(folders) == ["full", "without=gd", "without=gt"]
    settings = [(found[n].config["grounding"], found[n].config["attention"]) for n in names]
    assert settings == [
        *(("topk", "grounded"), ("none", "grounded")),
        *(("none", "grounded"), ("topk", "dense")),
    ]
    # Trained without a dictionary it is the baseline, which contrasts between projections.
    projects = [found[n].config["contrastive_projection"] for n in names]
    assert projects == [False, True, False, False]
    full, switched = found["full"], found["without=gd-inference"]
    assert switched.weights_sha256 == full.weights_sha256 != found["without=gd"].weights_sha256
    assert switched.protocol["training"]["model"] == full.protocol["training"]["model"]
    assert any("grounding = none" in note for note in switched.notes)
    assert {record.protocol["rerank"] for record in found.values()} == {2}
    end = "--config tiny --budget 6 --seed 0 --rerank 2"
    assert switched.command == f"unimo2 ablate --without gd-inference {end}"
    assert full.command == f"unimo2 ablate --full {end}"

    again = ("--without", "gd-inference", "--rerank", "2", "--json")
    assert ablate(*again) == 0  # the full row comes with it
    told = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["variant"], row["state"]) for row in told] == [
        ("full", "done"),
        ("without=gd-inference", "done"),
    ]
    assert ablate("--without", "gd", "--rerank", "0", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)  # another protocol: not the same rows
    assert [row["state"] for row in told["rows"]] == ["trained"] * 2
    names = ["full: evaluate flickr-zero-shot", "without=gd: evaluate flickr-zero-shot"]
    assert [job["name"] for job in told["jobs"]] == names


def test_corpora_are_left_out_of_a_recipe_that_has_them(ablate, tiny_root, tiny_recipe, tmp_path):
    """Against what each training says that it read; the tokenizer is that of the full one."""
    corpora_folders.everything(tiny_root)
    lines = ["pair_steps = 0.5", "image_batch = 2", "text_batch = 2", 'text_sets = ["text"]']
    lines += ['image_sets = ["imagenet21k"]', ""]
    tiny_recipe.write_text(tiny_recipe.read_text() + "\n".join(lines))
    assert ablate("--without", "text", "images", "both", "--budget", "4") == 0
    read = {}
    for folder in (tmp_path / "runs/ablation/mini").iterdir():
        document = json.loads((folder / "train.json").read_text())
        name = folder.name.rpartition("-")[0]
        read[name] = sorted(document["corpora"]), document["model"]["vocab_size"]
    sizes = {size for _, size in read.values()}
    assert len(sizes) == 1
    assert {name: found for name, (found, _) in read.items()} == {
        "full": ["images", "pairs", "prompts", "texts"],
        "without=text": ["images", "pairs", "prompts"],
        "without=images": ["pairs", "texts"],
        "without=both": ["pairs"],
    }


def test_rows_of_ablations_are_the_mini_model_for_fewer_steps():
    """Against mini's own recipe: towers, corpora and losses, for whatever rows are asked for."""
    suite = Suite("mini", None, "f" * 64)
    asked = GridRows(("gd", "both"), tokens=(10,))
    rows, _ = _rows(suite, load_recipe("ablation"), [], asked, False)
    assert [row.variant for row in rows] == ["full", "k=10", "without=gd", "without=both"]
    mini, full = load_recipe("mini").training, rows[0].recipe.training
    assert full == replace(mini, steps=full.steps) and full.steps < mini.steps


def test_rows_are_exported_as_records_alone(ablate, tmp_path):
    """Against the layout of evals/measured: a record a row and nothing else."""
    assert ablate("--k", "2", "--budget", "2", "--export", str(tmp_path / "measured")) == 0
    files = [p for p in (tmp_path / "measured").rglob("*") if p.is_file()]
    assert [path.name for path in files] == ["record.json"]
    assert files[0].parts[-5:-2] == ("mini", "flickr", "tiny+k=2")
    assert str(tmp_path) not in files[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "nothing to vary"),
        (["--k", "17"], "--k 17: expected at most the recipe's C = 16"),
        (["--k", "0"], "Invalid value for '--k'"),
        (["--c", "3"], "--c 3: expected at least the recipe's K = 4"),
        (["--k"], "--k needs at least one value"),
        (["--k", "2", "--budget", "0"], "--budget"),
        (["--table", "6"], "--table"),
        (["--table", "5"], "--k 20: expected at most the recipe's C = 16"),
        (["--k", "2", "--columns", "gqa"], "--columns gqa: expected some of: flickr, vqa"),
        (["--k", "2", "--seed", "1", "--seeds", "2"], "does not apply with --seeds"),
        (["--k", "2", "--slurm", "timeout_min=5"], "--slurm applies only with --engine"),
        (["--k", "2", "--columns", "mnli", "--finetune-set", "tempo=1"], "unknown key tempo"),
        (["--k", "2", "--rerank", "-1"], "--rerank"),
        (["--without", "sound"], "--without sound: expected one of: gd, gd-inference, gt, text"),
        (["--without", "text"], "the recipe 'tiny' has no text_sets and no image_sets"),
        (["--k", "2", "--config", "nonsense"], "nonsense"),
        (["--k", "2", "--suite", "paper"], "suite 'mini', not 'paper'"),
        (["--k", "2", "--data-root", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_status_2(ablate, capsys, arguments, text):
    """Against what the line must name."""
    assert ablate(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("unimo2: error: ") and text in captured.err
