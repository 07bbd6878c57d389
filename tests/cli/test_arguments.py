"""Several values after one option, read from the commands themselves."""

from pathlib import Path
from typing import Annotated

import pytest
import typer

from unimo2.cli.app import main
from unimo2.cli.arguments import expand
from unimo2.errors import UsageError


@pytest.fixture
def command():
    """An application with a verb that has every kind of option, and a group with two verbs."""
    app = typer.Typer(name="unimo2")

    @app.callback()
    def options(debug: Annotated[bool, typer.Option("--debug")] = False) -> None:
        """The application."""

    @app.command()
    def ablate(
        names: Annotated[list[str] | None, typer.Argument()] = None,
        k: Annotated[list[int] | None, typer.Option("--k", "-k")] = None,
        weights: Annotated[list[float] | None, typer.Option()] = None,
        seed: int = 0,
        output: Path = Path("runs"),
        dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
        one_to_one: bool = False,
        pair: tuple[int, int] = (0, 0),
    ) -> None:
        print(names, k, weights, seed, output, dry_run, one_to_one, pair)

    group = typer.Typer()

    @group.command()
    def show(n: Annotated[list[int] | None, typer.Option()] = None) -> None:
        print(n)

    @group.command()
    def verify() -> None:
        pass

    app.add_typer(group, name="data")
    return typer.main.get_command(app)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ablate --k 10 20 50", "ablate --k 10 --k 20 --k 50"),
        ("ablate --k 10 --k 20 50 --dry-run", "ablate --k 10 --k 20 --k 50 --dry-run"),
        ("ablate -k 1 2 --seed 3", "ablate -k 1 -k 2 --seed 3"),
        ("ablate --k=10 --dry-run", "ablate --k=10 --dry-run"),
        ("ablate --k=10 name", "ablate --k=10 name"),
        (
            "ablate --weights -1 .5 -2.5e-3 --seed -3",
            "ablate --weights -1 --weights .5 --weights -2.5e-3 --seed -3",
        ),
        ("ablate --k 1 2 -- a --k b", "ablate --k 1 --k 2 -- a --k b"),
        ("ablate a b --k 1 2", "ablate a b --k 1 --k 2"),
        ("ablate --pair 1 2 --k 3 4", "ablate --pair 1 2 --k 3 --k 4"),
        ("ablate --no-one-to-one --k 3", "ablate --no-one-to-one --k 3"),
        ("ablate --output --k --k 3", "ablate --output --k --k 3"),
        ("ablate --unknown 1 --k 2 3", "ablate --unknown 1 --k 2 --k 3"),
        ("data show --n 1 2", "data show --n 1 --n 2"),
        ("data verify --n 1 2", "data verify --n 1 2"),
        ("nothing --k 1 2", "nothing --k 1 2"),
        ("data", "data --help"),
        ("", "--help"),
        ("--debug", "--debug --help"),
        ("--help", "--help"),
        ("data show --n 1 2 --debug", "--debug data show --n 1 --n 2"),
        ("ablate -- --debug", "ablate -- --debug"),
    ],
)
def test_list_options_are_rewritten_and_all_else_is_left(command, typed, expected):
    """Against the repeated form written by hand."""
    assert " ".join(expand(command, typed.split())) == expected


def test_typer_reads_what_expand_wrote(command, capsys):
    """Against what the command function receives from Typer's own parser."""
    line = "ablate --k 10 20 --weights -1 2 --seed 7 --output there --one-to-one -- x -y"
    command.main(args=expand(command, line.split()), standalone_mode=False)
    assert capsys.readouterr().out == (
        "['x', '-y'] [10, 20] [-1.0, 2.0] 7 there False True (0, 0)\n"
    )


@pytest.mark.parametrize("typed", ["ablate --k", "ablate --k --dry-run", "ablate --k -- 1"])
def test_a_list_option_without_values_is_an_error(command, typed):
    """The option would else swallow the next option's name as its value."""
    with pytest.raises(UsageError, match="option --k needs at least one value.*unimo2 ablate"):
        expand(command, typed.split())


@pytest.mark.parametrize(
    "words",
    [["ablate", "--output", ""], ["ablate", "--output="], ["ablate", "--k", "3", "  "]],
    ids=["empty", "equals", "blank in a list"],
)
def test_an_empty_value_is_refused(command, words):
    """What an unset shell variable leaves would else stand for the default, without a word."""
    with pytest.raises(UsageError, match=r"option --\w+ got an empty value .*unimo2 ablate"):
        expand(command, words)


def test_a_model_without_a_name_is_not_the_default_one(capsys):
    """The whole command line; nothing is measured."""
    assert main(["eval", "flickr", "--zero-shot", "--model", ""]) == 2
    assert "option --model got an empty value" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["zoo", "show", ""], ["score", "sst2", " "], ["compare", "a", ""], ["inspect", ""]]
)
def test_an_empty_argument_is_refused_and_not_the_folder_one_is_in(words, capsys) -> None:
    """Truth: an unset variable in quotes; a path of no letters is the working directory."""
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "an argument got an empty value" in said or "No such command" in said
