"""Help, completion and refusals: at once, in the terminal's width, and without torch."""

import json
import os
import shlex
import subprocess
import sys

import pytest
import typer

from unimo2.cli import main
from unimo2.cli.app import build
from unimo2.cli.arguments import expand
from unimo2.cli.guard import every_command

ROOT = typer.main.get_command(build())
COMMANDS = {" ".join(words): command for words, command in every_command(ROOT)}
HEAVY = ("torch", "transformers", "timm", "pandas", "scipy", "rich")
MISTAKES = [
    "eval nonsense",
    "eval flickr --nonsense",
    "eval flickr --zero-shot --model no-such-model",
    "eval flickr --zero-shot --data-root /no/such/folder",
    "eval flickr --zero-shot --device tpu",
    "eval imagenet --templates 80 --suite mini",
    "score sst2 /no/such/file --annotations /no/such/file",
    "compare /no/such/run /no/such/run",
    "report --runs /no/such/runs",
    "pretrain --config no-such-recipe",
    "pretrain --set learning_rate=inf",
    "pretrain --data-root /no/such/folder",
    "finetune no-such-task",
    "finetune sst2 --config no-such.toml",
    "finetune sst2 --model no-such-model",
    "finetune sst2 --data-root /no/such/folder",
    "zoo show no-such-model",
    "zoo check no-such-model",
    "data list no-such-set",
    "inspect dictionary --split no-such-split",
    "bench fusion --device tpu",
]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_help_ends_with_an_example_that_the_parser_takes(words):
    """Truth: the parser of the command itself, which knows what is required and of which type."""
    example = (COMMANDS[words].epilog or "").removeprefix("Example: ")
    typed = shlex.split(example)
    assert typed[: 1 + len(words.split())] == ["unimo2", *words.split()]
    arguments = expand(ROOT, typed[1:])[len(words.split()) :]
    COMMANDS[words].make_context(words, arguments)


def test_mistakes_are_refused_at_once():
    """Truth: the modules and the CPU seconds of a process that makes every mistake of the list."""
    program = (
        "import json, sys, time\nfrom unimo2.cli import main\nfound = []\n"
        f"for line in {MISTAKES!r}:\n"
        "    began = time.process_time()\n    status = main(line.split())\n"
        "    found.append((line, status, time.process_time() - began))\n"
        f"print(json.dumps([found, sorted(set({HEAVY!r}) & set(sys.modules))]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    found, heavy = json.loads(done.stdout)
    assert heavy == [] and done.stderr.count("\n") == len(MISTAKES), done.stderr
    assert {line: status for line, status, _ in found} == dict.fromkeys(MISTAKES, 2)
    slow = {line: seconds for line, _, seconds in found if seconds > 3.0}
    assert not slow, "well under a second each on a quiet core"


@pytest.mark.parametrize("columns", [60, 100])
def test_help_is_as_wide_as_the_terminal(columns, monkeypatch, capsys):
    """Truth: the lines' lengths; words longer than a column aside."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["eval", "flickr", "--help"]) == 0
    lengths = [len(line) for line in capsys.readouterr().out.splitlines()]
    assert max(lengths) > 0.8 * columns
    assert sum(length > columns for length in lengths) <= 2


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("unimo2 eval flickr --model mini-c", {"mini-clip", "mini-coco", "mini-cola"}),
        ("unimo2 eval s", {"snli-ve", "sst2", "stsb"}),
        ("unimo2 eval flickr --split te", {"test"}),
        ("unimo2 finetune sn", {"snli-ve"}),
        ("unimo2 finetune sst2 --config mini-s", {"mini-snli-ve", "mini-sst2", "mini-stsb"}),
        ("unimo2 report --table 1", {"1", "10"}),
        ("unimo2 report --figure k", {"k-sweep"}),
        ("unimo2 zoo show unimo2", {"unimo2-base", "unimo2-baseline"}),
    ],
)
def test_a_shell_is_offered_what_there_is(typed, offered):
    """Truth: names of cards, benchmarks, recipes and tables, as a bash asks for them."""
    words = typed.split()
    asked = {
        "_UNIMO2_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('heavy:', set({HEAVY[:3]!r}) & set(sys.modules)))\n"
        "from unimo2.cli import main\nmain()"
    )
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **asked})
    *found, heavy = done.stdout.split("\n")[:-1]
    assert heavy == "heavy: set()" and set(found) == offered, done.stderr
