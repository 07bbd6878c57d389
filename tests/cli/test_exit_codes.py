"""How commands end: the codes of docs/exit-codes.md, for every command."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from unimo2 import errors
from unimo2.cli import app as application
from unimo2.cli import main
from unimo2.cli.app import VERBS, build
from unimo2.cli.guard import every_command

PAGE = Path(__file__).resolve().parents[2] / "docs" / "exit-codes.md"
APP = build()
# One command of every verb.
COMMANDS = {words[0]: " ".join(words) for words, _ in every_command(typer.main.get_command(APP))}
ENDS = {
    0: None,
    1: ZeroDivisionError("division by zero"),
    2: errors.BadData("a file is damaged"),
    130: KeyboardInterrupt(),
    143: application.Terminated(),
}
WAITING = """
import sys, time
from unimo2.cli import app
build = app.build
def with_wait(wanted):
    found = build(wanted)
    @found.command("eval")
    def wait(zero: str = ""):
        print("begun", flush=True)
        time.sleep(60)
    return found
app.VERBS.pop("eval")
app.build = with_wait
sys.exit(app.main(["eval", *sys.argv[1:]]))
"""


def test_the_page_lists_what_commands_end_with():
    """Truth: the codes that the program has names for, and the three that every program has."""
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(), flags=re.M)}
    named = {application.INTERRUPTED, application.TERMINATED, application.UNREAD}
    assert listed == {0, 1, 2} | named


@pytest.mark.parametrize("words", COMMANDS.values())
def test_every_verb_ends_with_the_codes_of_the_page(words, monkeypatch, capsys, tmp_path):
    """Truth: the page, by what a command raises; and its parser, by an option that there is not."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    raised: list[BaseException | None] = []

    def replace(root):
        for _, command in every_command(root):

            def invoke(context):
                if raised[0] is not None:
                    raise raised[0]

            command.invoke = invoke
            for one in command.params:
                one.required = False

    monkeypatch.setattr(application, "guard", replace)
    monkeypatch.setattr(application, "build", lambda wanted: APP)
    for status, error in ENDS.items():
        raised[:] = [error]
        assert main(words.split()) == status
        err = capsys.readouterr().err
        assert err.count("\n") == (status != 0)
        assert ("traceback is in" in err) == (status == 1)
        if status > 2:
            kept = words.split()[0] in ("eval", "finetune", "pretrain", "ablate", "reproduce")
            assert ("resumes from there" if kept else "run the same command again") in err
    assert main([*words.split(), "--no-such-option"]) == 2
    assert "--no-such-option" in capsys.readouterr().err
    assert set(COMMANDS) >= set(VERBS)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_ends_a_run_with_one_line_that_says_how_to_go_on(number, status, word):
    """Truth: the signal itself, sent to a program that works."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, "--zero", "--fresh"],
        # A job in the background ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert err == (
        f"unimo2: error: {word}: what is finished is kept; the same command without --fresh "
        "resumes "
        "from there\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="file descriptors of POSIX")
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_program_started_without_a_standard_stream_works(closed, tmp_path):
    """Truth: the files; what a library writes to a closed stream must land in none of them."""
    truth, given = tmp_path / "dev.tsv", tmp_path / "predictions.tsv"
    truth.write_text("sentence\tlabel\na\t1\nb\t0\nc\t1\n")
    given.write_text("index\tprediction\n0\t1\n1\t0\n2\t0\n")
    words = ["score", "sst2", str(given), "--annotations", str(truth), "--json"]
    program = f"import os, sys; os.close({closed}); os.execv(sys.executable, sys.argv[1:])"
    line = [sys.executable, "-c", program, sys.executable, "-m", "unimo2", *words]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "" and ('"value": 66.6' in done.stdout or closed == 1)


def test_a_user_without_a_home_gets_a_temporary_one(monkeypatch):
    """Truth: Python's own `Path.home`, which fails for a number without an entry."""

    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("HOME", "before")
    monkeypatch.setattr(Path, "home", unknown)
    application._find_home()
    assert Path(os.environ["HOME"]).is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(errors.MissingData, match="set HOME or XDG_CACHE_HOME"):
        __import__("evals.suite_mini").suite_mini.default_root()
