"""Errors are one line with an exit status; help loads nothing heavy; pipes may close."""

import os
import subprocess
import sys
from typing import Annotated

import pytest
import typer

from unimo2 import errors
from unimo2.cli import app as application
from unimo2.cli import main

RAISED = {
    "usage": errors.UsageError("nothing\nto do"),
    "data": errors.MissingData("no captions at x; see 'unimo2 data list'"),
    "training": errors.TrainingFailed("the loss is no number"),
    "disk": OSError(28, "No space left on device", "runs/x"),
    "interrupt": KeyboardInterrupt(),
    "terminated": application.Terminated(),
    "bug": ZeroDivisionError("division by zero"),
}


@pytest.fixture
def raising(monkeypatch, tmp_path):
    """The application with one verb that raises the named error."""

    def build(wanted) -> typer.Typer:
        app = build_real(wanted)

        @app.command("raise")
        def raise_(kind: str, k: Annotated[list[int] | None, typer.Option(min=1)] = None) -> None:
            raise RAISED[kind]

        return app

    build_real = application.build
    monkeypatch.setattr(application, "build", build)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["raise", "usage"], 2, "nothing to do"),
        (["raise", "data"], 2, "no captions at x"),
        (["raise", "training"], 2, "the loss is no number"),
        (["raise", "disk"], 2, "runs/x: No space left on device; free some space there"),
        (["raise", "interrupt"], 130, "interrupted: no partial output is left"),
        (["raise", "interrupt", "--k", "1"], 130, "run the same command again"),
        (["raise", "terminated"], 143, "terminated: no partial output is left"),
        (["raise", "bug"], 1, "unexpected ZeroDivisionError: division by zero"),
        (["raise"], 2, "Missing argument"),
        (["raise", "usage", "--k", "many"], 2, "Invalid value for '--k'"),
        (["raise", "usage", "--k", "0"], 2, "Invalid value for '--k'"),
        (["raise", "usage", "--k"], 2, "needs at least one value"),
        (["raise", "usage", "surplus"], 2, "surplus"),
        (["raise", "usage", "--nonsense"], 2, "--nonsense"),
        (["nonsense"], 2, "nonsense"),
        (["--nonsense"], 2, "--nonsense"),
    ],
)
def test_every_error_is_one_line_with_its_status(raising, capsys, arguments, status, text):
    """Against the exit statuses of docs/exit-codes.md: 2 what the user can mend, 1 a fault of ours."""
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("unimo2: error: ") and captured.err.count("\n") == 1
    assert text in captured.err and "Traceback" not in captured.err


def test_the_traceback_of_a_fault_is_kept_in_a_file(raising, capsys, tmp_path):
    """Against the file that the error line names."""
    main(["raise", "bug"])
    (kept,) = tmp_path.glob("unimo2-traceback-*.txt")
    assert str(kept) in capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in kept.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments", [["--debug", "raise", "usage"], ["raise", "usage", "--debug"]]
)
def test_debug_shows_the_traceback_wherever_it_stands(raising, capsys, arguments):
    """Against Python's own heading of a traceback."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback (most recent call last)" in error
    assert error.splitlines()[-1] == "unimo2: error: nothing to do"


def test_debug_can_be_asked_for_by_the_environment(raising, capsys, monkeypatch):
    """Against Python's own heading of a traceback."""
    monkeypatch.setenv("UNIMO2_DEBUG", "1")
    assert main(["raise", "usage"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_version_and_help_end_well(capsys):
    """Against the package's version and the verbs of the design."""
    import unimo2

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"unimo2 {unimo2.__version__}\n"
    assert main([]) == 0
    bare = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == bare
    for verb in ("data", "pretrain", "eval", "report", "ablate", "zoo"):
        assert f"  {verb} " in bare


@pytest.mark.parametrize("arguments", [["--help"], ["report", "--help"], ["ablate", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    """Against the modules of a fresh interpreter after the command ran."""
    code = (
        "import sys\nfrom unimo2.cli import main\n"
        f"status = main({arguments!r})\n"
        "heavy = {'torch', 'transformers', 'timm', 'pandas', 'numpy', 'PIL'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "heavy: []\n")


def test_a_reader_that_leaves_early_is_no_error():
    """Against a pipe whose reading end is closed before the command writes; 141 as of SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "unimo2", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_python_m_and_the_function_are_the_same_command(capsys):
    """Against the output of the function called in this process."""
    done = subprocess.run(
        [sys.executable, "-m", "unimo2", "--version"], capture_output=True, text=True
    )
    main(["--version"])
    assert done.stdout == capsys.readouterr().out
