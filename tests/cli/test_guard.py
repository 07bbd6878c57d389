"""What is refused before a command begins: every option of every command, from its declaration."""

from pathlib import Path
from typing import get_args

import pytest
import typer

import evals
from evals.runner import make_request
from unimo2.cli import main
from unimo2.cli.app import Session, build
from unimo2.cli.guard import (
    Excludes,
    Needs,
    OneOf,
    every_command,
    guard,
    hints_of,
    marks,
    shown,
)
from unimo2.errors import UsageError
from unimo2.files import PathUse

ROOT = typer.main.get_command(build())
guard(ROOT)
COMMANDS = {" ".join(words): command for words, command in every_command(ROOT)}


def kinds(command):
    """The types of a command's parameters, lists and optional ones taken apart, by name."""
    function = getattr(command.callback, "__wrapped__", command.callback)
    found = {}
    for name, hint in hints_of(function).items():
        kind = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
        inner = {kind, *get_args(kind)}
        found[name] = inner | {one for part in inner for one in get_args(part)}
    return found


def limits(command):
    """The least and the largest value of a command's parameters, by name."""
    function = getattr(command.callback, "__wrapped__", command.callback)
    hints = hints_of(function)
    return {
        name: [one for one in getattr(hint, "__metadata__", ()) if hasattr(one, "min")]
        for name, hint in hints.items()
    }


def invoke(words, arguments):
    """Run a command line as `main` does, with its errors."""
    with ROOT.make_context("unimo2", [*words.split(), *arguments], obj=Session()) as context:
        ROOT.invoke(context)


def line(command, parameter, value, tmp_path):
    """Arguments that give one parameter a value, and others only where they are required."""
    typed, given = [], marks(command)
    for one in command.params:
        wanted = one.name == parameter.name
        if not wanted and not one.required:
            continue
        text = value if wanted else "sst2"
        if not wanted and any(isinstance(mark, PathUse) for mark in given[one.name]):
            text = str(tmp_path)
        typed += [text] if not one.opts[0].startswith("-") else [one.opts[0], text]
    return typed


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_says_what_it_takes(words):
    """Truth: the types of the parameters; a path names a place, a number has a least value."""
    command = COMMANDS[words]
    given, bounds = marks(command), limits(command)
    for name, kind in kinds(command).items():
        places = [mark for mark in given.get(name, ()) if isinstance(mark, PathUse)]
        assert len(places) == (Path in kind), f"{name}: say in Annotated what the path names"
        if {int, float} & kind:
            assert bounds[name] and bounds[name][0].min is not None, f"{name} has no least value"


@pytest.mark.parametrize("words", COMMANDS)
def test_wrong_paths_words_and_numbers_are_refused_by_name_before_work(words, tmp_path):
    """Truth: a file where a folder belongs and the other way round, nothing at all; inf, nan, 1e12."""
    command, file, folder = COMMANDS[words], tmp_path / "file", tmp_path / "folder"
    file.touch()
    folder.mkdir()
    wrong = {
        PathUse.READS_FILE: [tmp_path / "none", folder],
        PathUse.READS_FOLDER: [tmp_path / "none", file],
        PathUse.READS: [tmp_path / "none"],
        PathUse.WRITES_FILE: [folder, file / "below"],
        PathUse.WRITES_FOLDER: [file, file / "below"],
    }
    for parameter in command.params:
        kind = kinds(command)[parameter.name]
        values = ["inf", "nan"] if float in kind else ["1000000000000"] if int in kind else []
        for mark in marks(command)[parameter.name]:
            values += wrong.get(mark, ["nonsense"] if isinstance(mark, OneOf) else [])
        for value in values:
            with pytest.raises((UsageError, typer.BadParameter)) as caught:
                invoke(words, line(command, parameter, str(value), tmp_path))
            told = str(caught.value) + " ".join(
                getattr(caught.value.param, "opts", []) if hasattr(caught.value, "param") else []
            )
            assert shown(parameter) in told and "\n" not in told


def test_options_that_would_be_ignored_are_refused(tmp_path, capsys):
    """Truth: pairs of options of which one says nothing beside the other, typed by hand."""
    out, html = str(tmp_path / "out.svg"), str(tmp_path / "html")
    for arguments, told in (
        (["report", "--figure", "k-sweep"], "--figure applies only with --output"),
        (["report", "--embed-images"], "--embed-images applies only with --html"),
        (["report", "--html", html, "--table", "1"], "--table does not apply with --html"),
        (["report", "--html", html, "--format", "md"], "--format does not apply with --html"),
        (["report", "--figure", "training", "--output", out, "--table", "1"], "--figure"),
        (["ablate", "--k", "2", "--dry-run", "--export", html], "--export does not apply"),
        (["inspect", "dictionary", "--seed", "3"], "--seed applies only with --interventions"),
        (["zoo", "convert", str(tmp_path), html, "--image-size", "224"], "only with --tokenizer"),
        (["finetune", "sst2", "--steps", "3", "--epochs", "1"], "--epochs does not apply with"),
        (["finetune", "sst2", "--train-on", "train"], "--train-on is for vqa, not for sst2"),
        (["finetune", "vqa", "--select-on", "val"], "--select-on is for flickr, not for vqa"),
        (["eval", "imagenet", "--templates", "80"], "--templates does not apply"),
        (["eval", "imagenet", "--rerank", "5"], "add --zero-shot or leave --rerank out"),
        (["eval", "vqa", "--beam-size", "3"], "No such option: --beam-size"),
    ):
        assert main(arguments) == 2, arguments
        captured = capsys.readouterr()
        assert told in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert not list(tmp_path.iterdir())


def test_every_condition_names_an_option_of_its_command():
    """Truth: the parameters themselves; a slip in a name would refuse nothing."""
    seen = 0
    for words, command in COMMANDS.items():
        names = {one.name for one in command.params}
        for given in marks(command).values():
            for mark in given:
                if isinstance(mark, (Needs, Excludes)):
                    seen += 1
                    assert set(mark.names) <= names, words
    assert seen > 5


@pytest.mark.parametrize(
    ("benchmark", "options", "told"),
    [
        ("coco", {"beam_size": 100_000}, "--beam-size 100000: expected 1 to 100"),
        ("flickr", {"contrastive_weight": float("inf")}, "--contrastive-weight inf: expected"),
        ("flickr", {"contrastive_weight": float("nan")}, "--contrastive-weight nan: expected"),
        ("flickr", {"batch_size": 0}, "--batch-size 0: expected 1 to 65,536"),
        ("flickr", {"limit": 0}, "--limit 0: expected 1 or more"),
        ("flickr", {"rerank": -1}, "--rerank -1: expected 0 or more"),
        ("imagenet", {"templates": 80}, "--templates does not apply: ImageNet"),
        ("imagenet", {"score": "contrastive"}, "add --zero-shot or leave --score out"),
    ],
)
def test_python_refuses_the_same(benchmark, options, told, tmp_path):
    """Truth: the limits that `unimo2 eval --help` shows; no model is loaded for it."""
    with pytest.raises(UsageError, match=told):
        evals.run(benchmark, model="no such model", output=tmp_path, **options)


def test_a_shortlist_of_none_is_every_pair():
    """Truth: the request without the option, in `ablate` and `eval` alike."""
    asked = make_request("flickr", "mini", {"rerank": 0})
    assert asked == make_request("flickr", "mini", {}) and asked.variant is None


def test_a_home_that_nobody_knows_is_one_line(capsys):
    """Truth: a user that does not exist."""
    assert main(["data", "list", "--data-root", "~no-such-user/data"]) == 2
    assert "the home folder ~no-such-user is not known" in capsys.readouterr().err
