"""What comes with the package fits together: records, recipes, weights, documents."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from evals import records
from evals.ablation.rows import WITHOUT, make_rows, same_row
from evals.datasets.suites import Suite
from reports.render import render
from reports.tables import report_tables
from unimo2.cli.app import build
from unimo2.cli.arguments import expand
from unimo2.training.recipes import load_recipe, override
from zoo import cards

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "docs" / "results.md"
DOCUMENTS = sorted([README, *(ROOT / "docs").rglob("*.md")])
PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]+\b|\.\.\.|\||\[--|<|…")
ROWS = [
    record
    for path in sorted(records.MEASURED.rglob("record.json"))
    if "training" in (record := records.read(path)).protocol
]


def rows_of_today(record):
    """The rows that the recipe of a record's training has today, on the data of the record."""
    trained = record.protocol["training"]
    changes = [f"steps={trained['budget']}", f"seed={trained['seed']}"]
    recipe = override(load_recipe(trained["recipe"]), changes)
    suite = Suite("mini", Path("not read"), "")
    tokens, sizes = ([size] if (size := trained[key]) else [] for key in ("K", "C"))
    rows = make_rows(recipe, suite, tokens, sizes, one_to_one=True, without=[*WITHOUT], full=True)
    return [replace(row, training={**row.training, "data": trained["data"]}) for row in rows]


@pytest.mark.parametrize("record", ROWS, ids=lambda record: record.variant)
def test_shipped_rows_of_an_ablation_are_those_that_their_recipe_trains(record):
    """Truth: the training that each record keeps, against the recipe's file and preset of today."""
    matching = [row.variant for row in rows_of_today(record) if same_row(record, row)]
    assert matching, f"{record.path}: 'unimo2 ablate' would train this row again"
    towers, known = record.protocol["training"]["towers"], cards.read_all()
    assert towers == {name: known[name].weights_sha256 for name in towers} != {}


def test_shipped_rows_of_an_ablation_share_their_data():
    """Truth: one demo trains nothing only if all of its rows are of the same data."""
    assert len({record.protocol["training"]["data"] for record in ROWS}) == 1
    assert {record.variant for record in ROWS} >= {"k=10", "k=20", "k=50", "k=100"}


def commands(path: Path):
    """Every whole command line of ours in a document, as its words."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?: {4,}|\$ )(unimo2 .*)$", text, flags=re.MULTILINE)
    lines += re.findall(r"`(unimo2 [^`]+)`", " ".join(text.split()))
    lines += re.findall(r"^.*-m (unimo2 .*)$", text, flags=re.MULTILINE)
    for line in lines:
        line = line.split(" #")[0].split("`")[0].strip()
        if not PLACEHOLDER.search(line):
            yield line


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_exists(path):
    """Truth: the parser of the command line itself."""
    root = typer.main.get_command(build())
    for line in commands(path):
        words = expand(root, shlex.split(line)[1:])
        command = root
        while words and words[0].split(",")[0] in getattr(command, "commands", {}):
            command = [command.commands[name] for name in words.pop(0).split(",")][-1]
        choices = getattr(command, "commands", {})
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        own = {name for one in command.params for name in one.opts}  # of a group: eval --config
        assert not choices or options & own or not set(words) - options, f"{line}: no such command"
        known = {
            name
            for one in (command, *choices.values())
            for option in one.params
            for name in (*option.opts, *option.secondary_opts)
        }
        assert options <= known | {"--help"}, f"{line}: no such option"


def words_of(line: str) -> str:
    """A line with single spaces, whatever its columns' widths."""
    return " ".join(line.split())


def test_tables_in_the_documents_are_those_of_the_shipped_records():
    """Truth: `reports` on the records that come with the package, row by row."""
    text = RESULTS.read_text(encoding="utf-8")
    shown = {words_of(line) for line in text.splitlines()}
    numbers = {int(number) for number in re.findall(r"\$ unimo2 report --table (\d+)", text)}
    found = records.find([records.MEASURED])
    assert numbers
    for number in numbers:
        measured = render(report_tables(number, found)[1:], "text").splitlines()
        rows = [words_of(line) for line in measured if "±" in line[1:]]
        assert rows and not set(rows) - shown, f"Table {number}: {set(rows) - shown}"


@pytest.mark.parametrize("path", [README, RESULTS], ids=lambda path: path.name)
def test_the_evaluation_that_is_shown_is_the_shipped_record(path):
    """Truth: the record of the run that the documents show, figure by figure."""
    text = path.read_text(encoding="utf-8")
    block = text.split("$ unimo2 eval flickr --zero-shot\n")[1].split("```")[0]
    found = records.find([records.MEASURED], benchmark="flickr", model="mini")
    (record,) = [record for record in found if record.variant is None]
    assert f"score   ITM logit + {record.protocol['contrastive_weight']:g} x contrastive" in block
    for name, metric in record.metrics.items():
        if "[" not in name:
            low, high = metric.ci95
            figures = f"{metric.value:.2f} {low:.2f} to {high:.2f} {metric.chance:.2f}"
            recall = name.partition("/")[2]
            rows = [words_of(line) for line in block.splitlines()]
            assert any(row.startswith(f"{recall} {figures} ") for row in rows), name


def test_the_readme_is_short():
    """Truth: what a person reads before deciding, at most 200 lines of 100 characters."""
    lines = README.read_text(encoding="utf-8").splitlines()
    prose = [line for line in lines if not line.startswith(" ")]  # a citation has long lines
    assert len(lines) <= 200 and max(map(len, prose)) <= 100
