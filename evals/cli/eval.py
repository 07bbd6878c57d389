"""`unimo2 eval`: evaluate a model on a benchmark with its official protocol."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from evals.benchmark import Request
from evals.cli.declared import AS_JSON, KEYWORD, command, options_of, parameter
from evals.registry import benchmarks, get_benchmark, shown
from unimo2.cli.options import find_data_root, offering
from unimo2.console import announce, print_json
from unimo2.errors import UsageError
from unimo2.files import PathUse
from zoo.cli import model_names

if TYPE_CHECKING:
    from evals.benchmark import Benchmark
    from evals.records import Record
    from zoo.cards import Published

PRETRAINED, FINETUNED = "mini", "finetuned"
ALL = "all"
_MODEL = parameter(
    "model",
    str | None,
    None,
    {
        "offers": offering(model_names),
        "help": "A card's name, a model folder, or 'finetuned' for the embedded weights fine-tuned for "
        "the benchmark, which is the default (with --zero-shot: 'mini').",
    },
)
_MODEL_OF_ALL = parameter(
    "model",
    str,
    FINETUNED,
    {
        "offers": offering(model_names),
        "help": "A card's name or a model folder: every benchmark that it can do. 'finetuned': each "
        "benchmark by the embedded weights fine-tuned for it, and retrieval and ImageNet "
        "zero-shot by 'mini'.",
    },
)
_OFFICIAL = parameter(
    "official",
    bool,
    False,
    {
        "help": "Use the published protocol named by the model's card: its options and split; also "
        "print measured minus published."
    },
)
_ADVICE = "--limit measures a sample sooner, and an interrupted run resumes where it stopped"
_AUTO_DTYPE = (
    "float32, bfloat16, float16, or auto: bfloat16 where a sample runs faster with the same ranks; "
    "the model's own by default."
)


class _Benchmarks(TyperGroup):
    """The commands of the verb; "sst2,cola" is the command `all` for these two."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, shown(cmd_name))
        return super().get_command(ctx, ALL) if found is None and "," in cmd_name else found


def register(app: typer.Typer) -> None:
    """Add the verb to the application, a command for each benchmark."""
    verb = typer.Typer(cls=_Benchmarks, help="Evaluate a model on a benchmark of the paper.")
    verb.callback(invoke_without_command=True)(_repeat)
    for name in benchmarks():
        benchmark = get_benchmark(name)
        about = inspect.cleandoc(type(benchmark).__doc__ or benchmark.title)
        one = command(partial(_one, name), _parameters(benchmark))
        way = " --zero-shot" if benchmark.zero_shot else ""
        verb.command(name, help=about, epilog=f"Example: unimo2 eval {name}{way} --limit 100")(one)
    every = command(_several, _parameters(None))
    verb.command(ALL, help=_ALL_HELP, epilog="Example: unimo2 eval all --limit 100")(every)
    app.add_typer(verb, name="eval")


def _repeat(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='Run the evaluation in a file: TOML with benchmark = "flickr" and options, or the '
            "record.json of a run to repeat.",
        ),
        PathUse.READS,
    ] = None,
) -> None:
    """Evaluate a model on a benchmark of the paper."""
    if config is None:
        return
    if context.invoked_subcommand is not None:
        raise UsageError(
            f"option --config names its benchmark itself: leave {context.invoked_subcommand} out"
        )
    from unimo2.cli.app import main

    PathUse.READS.check(config, "--config")
    words = command_of(config)
    announce(f"unimo2 {shlex.join(words)}")
    raise typer.Exit(main(words))


def _parameters(benchmark: Benchmark | None) -> list[inspect.Parameter]:
    """The options of a benchmark's command; of several together without their own."""
    common = options_of(Request)
    zero_shot = common.pop("zero_shot")
    if benchmark is None:
        del common["split"]
        context = inspect.Parameter("context", KEYWORD, annotation=typer.Context)
        return [context, _MODEL_OF_ALL, *common.values(), AS_JSON]
    *others, last = benchmark.splits
    common["split"] = parameter(
        "split",
        str,
        benchmark.default_split,
        {
            "help": f"{', '.join(others)} or {last}." if others else f"{last}.",
            "of": benchmark.splits,
        },
    )
    if benchmark.auto_dtype:
        declared = {"help": _AUTO_DTYPE, "of": ("float32", "bfloat16", "float16", "auto")}
        common["dtype"] = parameter("dtype", str | None, None, declared)
    shared = list(common.values())
    cut = list(common).index("limit") + 1
    own = options_of(benchmark.Options).values()
    first = [zero_shot] if benchmark.zero_shot else []
    return [*first, _MODEL, _OFFICIAL, *shared[:cut], *own, *shared[cut:], AS_JSON]


_ALL_HELP = """Every benchmark that the model can do, in one table, with a line for each that it cannot.

Names with commas, as in 'unimo2 eval sst2,cola', are those benchmarks only."""


def _several(context: typer.Context, as_json: bool, **options: Any) -> None:
    """Measure what the model can do of all benchmarks, or of those that were typed."""
    typed = str(context.info_name)
    names = benchmarks() if typed == ALL else typed.split(",")
    rows: list[tuple[str, Record | str]] = []
    for benchmark, zero_shot in _ways([get_benchmark(name.strip()) for name in names]):
        model = options["model"]
        named = PRETRAINED if model == FINETUNED and zero_shot else model
        name = shown(benchmark.name)
        label = f"{name}, zero-shot" if zero_shot else name
        asked = {**options, "zero_shot": zero_shot, "model": named}
        try:
            rows.append((label, _run(name, asked, quiet=as_json)))
        except UsageError as error:
            rows.append((label, str(error)))
    _report(rows, as_json, "all benchmarks" if typed == ALL else "several benchmarks")


def _ways(chosen: list[Benchmark]) -> list[tuple[Benchmark, bool]]:
    """Every benchmark; those that can be zero-shot come first as such."""
    zero_shot = [(one, True) for one in chosen if one.zero_shot]
    return zero_shot + [(one, False) for one in chosen]


def _report(rows: list[tuple[str, Record | str]], as_json: bool, title: str) -> None:
    from evals.cli.show import as_content, summary
    from evals.distributed import launched

    if not launched().first:
        return
    if all(isinstance(found, str) for _, found in rows):
        reasons = "; ".join(dict.fromkeys(str(found) for _, found in rows))
        raise UsageError(f"nothing could be measured: {reasons}")
    if as_json:
        content = {
            "runs": [as_content(found) for _, found in rows if not isinstance(found, str)],
            "not_measured": {name: found for name, found in rows if isinstance(found, str)},
        }
        print_json(content)
    else:
        summary(rows, title)


def _one(benchmark: str, as_json: bool, official: bool = False, **options: Any) -> None:
    """Run one benchmark and print the result."""
    from evals.cli.official import compare
    from evals.cli.show import as_content, beside, show
    from evals.distributed import launched

    published = None
    if official:
        published, options = _official(get_benchmark(benchmark), options)
    record = _run(benchmark, options, quiet=as_json)
    if not launched().first:
        return
    compared = None if published is None else compare(record, published)
    if as_json:
        more = {} if compared is None else {"published": compared.to_dict()}
        print_json({**as_content(record), **more})
        return
    show(record)
    if compared is not None:
        beside(compared)


def _official(benchmark: Benchmark, options: dict[str, Any]) -> tuple[Published, dict[str, Any]]:
    """The published protocol of the model, and the options that make it."""
    import zoo
    from evals.cli import official

    if options["model"] in (None, FINETUNED):
        raise UsageError(
            "--official uses the protocol of a model's card: name the model with --model"
        )
    split = options["split"]
    published = official.find(
        zoo.resolve(options["model"]),
        benchmark,
        None if split == benchmark.default_split else split,
    )
    return published, official.options(published, benchmark, options)


def _run(benchmark: str, options: dict[str, Any], quiet: bool) -> Record:
    """Run one benchmark with progress on standard error."""
    from evals.distributed import launched
    from unimo2.console import showing, stage

    share = launched()
    quiet = quiet or not share.first
    default = PRETRAINED if options.get("zero_shot") else FINETUNED
    root = find_data_root(options["data_root"], options["suite"])

    def notice(text: str) -> None:
        if not quiet:
            announce(f"note    {text}")

    with showing(quiet, _ADVICE) as report, stage("loading model and data"):
        from evals.runner import run

        return run(
            benchmark,
            on_progress=report,
            on_notice=notice,
            share=share,
            **{**options, "data_root": root, "model": options["model"] or default},
        )


_PROGRAM = ["unimo2", "eval"]


def command_of(path: Path) -> list[str]:
    """The words after `unimo2` of the run that a file describes.

    Args:
        path: TOML with `benchmark` and the options of `unimo2 eval BENCHMARK --help`, in their own
            spelling or with underscores; or a record, or the folder of one, whose command is taken.

    Returns:
        "eval", the benchmark and its options. They are checked as if they had been typed.

    Raises:
        UsageError: No such thing in the file, or a record that another command made.
    """
    if path.suffix == ".toml":
        return ["eval", *_typed(path)]
    from evals import records

    words = shlex.split(records.read(path).command)
    if words[:2] != _PROGRAM or len(words) < 3:
        raise UsageError(f"{path} was not made by 'unimo2 eval' but by: {shlex.join(words)}")
    return words[1:]


def _typed(path: Path) -> Iterator[str]:
    from unimo2.training.recipes import read_toml

    given = read_toml(path)
    benchmark = given.pop("benchmark", None)
    if not isinstance(benchmark, str) or not benchmark or benchmark.startswith("-"):
        raise UsageError(f'{path}: expected benchmark = "flickr", or another; got {benchmark!r}')
    yield benchmark
    yield from _options(given, path)


def _options(given: Mapping[str, Any], path: Path) -> Iterator[str]:
    for key, value in given.items():
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            yield from [name] if value else []
        elif isinstance(value, (str, int, float)):
            yield f"{name}={value}"
        else:
            raise UsageError(
                f"{path}: {key} is {value!r}; expected a text, a number, true or false"
            )
