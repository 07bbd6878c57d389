"""Trains and evaluates the rows of a plan, and keeps their records."""

from __future__ import annotations

import copy
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol, cast

import zoo
from evals import records, runner
from evals.ablation.plan import BENCHMARK, TRAINED, Planned, Study, finished
from evals.ablation.rows import AblationRow
from evals.records import Record, environment, workspace
from evals.retrieval.weight import WeightChoice, choose_weight
from unimo2.console import Report
from unimo2.devices import find_device
from unimo2.errors import UsageError
from unimo2.files import write_text
from unimo2.formats.karpathy import read_karpathy
from unimo2.formats.layout import Flickr30kFiles
from unimo2.modeling.model import Unimo2Model
from unimo2.training.curriculum import Corpora
from unimo2.training.logging import TrainingProgress
from unimo2.training.pretraining import PretrainingRun, model_config, prepare, pretrain
from zoo.families.unimo2 import Unimo2Scorer
from zoo.protocols import PairScorer


@dataclass(frozen=True)
class Trained:
    """A row's model.

    Attributes:
        folder: of the model, inside the row's own.
        seconds: training time, over all starts.
        samples_per_second: pairs a second.
        precision: "fp32" or "bf16".
        device: name of the processor or GPU.
    """

    folder: Path
    seconds: float
    samples_per_second: float
    precision: str
    device: str


class Train(Protocol):
    """Trains a row in a folder, going on with what an interrupted start left there."""

    def __call__(self, row: AblationRow, folder: Path) -> Trained:
        """Train the row; return its model."""
        ...


class Evaluate(Protocol):
    """Evaluates a row's model; the record lies somewhere below the folder."""

    def __call__(self, row: AblationRow, model: Path, folder: Path) -> Record:
        """Evaluate the model; return its record with its path."""
        ...


def run(
    study: Study,
    plan: Sequence[Planned],
    train: Train,
    evaluate: Evaluate,
    on_row: Callable[[Planned], None] = lambda planned: None,
) -> list[Record]:
    """Do what of a plan is not done.

    A row appears among the runs only when it is complete. An interrupted one resumes where it
    stopped when the same plan runs again.

    Args:
        study: what the rows share.
        plan: from `make_plan`.
        train: see `evals.ablation.running.trainer`.
        evaluate: see `evals.ablation.running.evaluator`.
        on_row: called before each row that is to be done.

    Returns:
        The records of all rows, in the plan's order.
    """
    done: list[Record] = []
    for planned in plan:
        row, folder = planned.row, study.folder(planned.row)
        # Two rows of one plan can be the same training: both defaults, asked for by K and by C.
        record = planned.record or finished(row, study, done)
        if record is not None:
            done.append(record)
            continue
        on_row(planned)
        trained = _read_trained(folder)
        if trained is None:
            trained = train(row, folder)
            _write_trained(trained, folder)
        measured = evaluate(row, trained.folder, folder / "evaluation")
        done.append(_publish(study, row, trained, measured))
        for left in ("evaluation", "checkpoint"):
            shutil.rmtree(folder / left, ignore_errors=True)
    return done


def _write_trained(trained: Trained, folder: Path) -> None:
    """Note in a row's folder that its training is complete."""
    facts = {**asdict(trained), "folder": trained.folder.name}
    text = json.dumps(facts, indent=2) + "\n"
    write_text(folder / TRAINED, text)


def _read_trained(folder: Path) -> Trained | None:
    """A row's model, if its training was completed before."""
    path = folder / TRAINED
    if not path.is_file():
        return None
    facts = json.loads(path.read_text(encoding="utf-8"))
    return Trained(**{**facts, "folder": folder / facts["folder"]})


def _publish(study: Study, row: AblationRow, trained: Trained, measured: Record) -> Record:
    """Complete a row's record and move its run folder among the runs, in one step."""
    cost = {key: value for key, value in asdict(trained).items() if key != "folder"}
    record = replace(
        measured,
        model=row.recipe.name,
        variant=row.variant,
        protocol={
            **measured.protocol,
            "limit": study.limit,
            **({"without": row.without} if row.without else {}),
            **({"inference": dict(row.inference)} if row.inference else {}),
            "training": {**row.training, "cost": cost},
        },
        # transformers notes where it read a configuration from: a folder of this machine.
        config={key: value for key, value in measured.config.items() if key != "_name_or_path"},
        command=command(study, row),
    )
    folder = _folder_of(measured)
    records.write(record, folder)
    home = workspace.home(study.output, record.suite, BENCHMARK, record.model, record.variant)
    home.mkdir(parents=True, exist_ok=True)
    os.replace(folder, home / folder.name)
    return replace(record, path=home / folder.name / records.RECORD)


def command(study: Study, row: AblationRow) -> str:
    """The command line that trains and measures one row again (with --data-root where needed)."""
    option, _, value = row.variant.partition("=")
    words = ["unimo2", "ablate", f"--{option}", *([value] if value else [])]
    training = row.training
    words += ["--config", training["recipe"], "--budget", str(training["budget"])]
    words += ["--seed", str(training["seed"]), "--rerank", str(study.rerank or 0)]
    if study.limit is not None:
        words += ["--limit", str(study.limit)]
    return shlex.join(words)


def export(done: Iterable[Record], target: Path) -> list[Path]:
    """Copy records (without samples and scores) in the layout of `evals/measured`.

    Args:
        done: finished rows.
        target: folder of suites, as `evals.records.MEASURED`.

    Returns:
        The files that were written.

    Raises:
        UsageError: a record names a place on this machine, so it is not fit to be passed on.
    """
    written = []
    for record in done:
        paths = list(_absolute_paths(record.to_dict()))
        if paths:
            raise UsageError(f"{record.path} names {paths[0]}, which exists only on this machine")
        home = workspace.home(target, record.suite, record.benchmark, record.model, record.variant)
        path = records.write(record, home / _folder_of(record).name).path
        assert path is not None  # `write` gives the record its path
        written.append(path)
    return written


def _absolute_paths(content: object) -> Iterator[str]:
    """Words in plain values that are absolute paths."""
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, str):
        for word in content.split():
            if len(word) > 1 and (
                PurePosixPath(word).is_absolute() or PureWindowsPath(word).is_absolute()
            ):
                yield word
    elif isinstance(content, Sequence):
        for value in content:
            yield from _absolute_paths(value)


def _folder_of(record: Record) -> Path:
    if record.path is None:
        raise ValueError("a record that was never written has no folder")
    return record.path.parent


# How a row is really trained and evaluated.


# Images of the validation split on which a row's weight of the contrastive score is chosen.
WEIGHT_IMAGES = 100


def trainer(
    study: Study,
    bar: Callable[[], AbstractContextManager[Callable[[TrainingProgress], None] | None]],
) -> Train:
    """Trains rows with `unimo2.training.pretraining.pretrain`.

    Args:
        study: gives data and device.
        bar: opened for each row; gives what is called after every logged interval.
    """
    shared: dict[str, PretrainingRun] = {}  # by recipe; its rows read corpora and tokenizer once

    def train(row: AblationRow, folder: Path) -> Trained:
        if row.shared.name not in shared:
            shared.clear()
            shared[row.shared.name] = prepare(row.shared, study.suite.root)
        found = shared[row.shared.name]
        config = model_config(row.recipe, len(found.processor.tokenizer))
        own = replace(found, model_config=config, corpora=_corpora_of(row, found))
        with bar() as on_progress:
            summary = pretrain(
                row.recipe.training,
                own,
                folder,
                resume="auto",
                device=study.device,
                on_progress=on_progress,
            )
        return Trained(
            folder=summary.model_folder,
            seconds=summary.seconds,
            samples_per_second=summary.samples_per_second,
            precision=summary.precision,
            device=environment.device_name(str(find_device(study.device))),
        )

    return train


def _corpora_of(row: AblationRow, found: PretrainingRun) -> Corpora:
    """The corpora of the row's own recipe, among those of the shared one."""
    own, corpora = row.recipe.training, found.corpora
    return Corpora(
        corpora.pairs,
        found.processor,
        prompts=corpora.prompts if own.image_sets else None,
        images=corpora.images if own.image_sets else None,
        texts=corpora.texts if own.text_sets else None,
    )


def evaluator(study: Study, bar: Callable[[], AbstractContextManager[Report]]) -> Evaluate:
    """Evaluates rows zero-shot on Flickr30k retrieval.

    As in `unimo2 pretrain`, the weight of the contrastive score is chosen for each row on the
    validation split.

    Args:
        study: gives data, device and limit.
        bar: opened for each row; gives what is called as the scoring progresses.
    """

    def evaluate(row: AblationRow, model: Path, folder: Path) -> Record:
        scorer = _scorer(row, model, study.device)
        with bar() as report:
            choice = _choose_weight(study, scorer, report)
        with bar() as report:
            record = runner.run(
                BENCHMARK,
                model=scorer,
                zero_shot=True,
                data_root=study.suite.root,
                suite=study.suite.name,
                limit=study.limit,
                rerank=study.rerank,
                device=study.device,
                contrastive_weight=None if choice is None else choice.weight,
                output=folder,
                variant=row.variant,
                on_progress=report,
            )
        return replace(record, notes=[*record.notes, _weight_note(choice), *_part_notes(row)])

    return evaluate


def _scorer(row: AblationRow, model: Path, device: str) -> PairScorer:
    """The row's model, with the parts switched off that it is evaluated without."""
    card = replace(zoo.resolve(model), name=row.recipe.name)
    scorer = cast(Unimo2Scorer, zoo.load_card(card, device))
    if not row.inference:
        return scorer
    config = copy.deepcopy(scorer.base.config)
    # Taken from the trained model: left open, it would follow from the dictionary.
    config.contrastive_projection = config.projects_contrast
    config.update(dict(row.inference))
    switched = Unimo2Model.from_pretrained(model, config=config).eval().to(scorer.base.device)
    return Unimo2Scorer(scorer.name, switched, scorer.processor, scorer.weights_sha256)


def _part_notes(row: AblationRow) -> list[str]:
    """Note on a row that is evaluated without a part that it was trained with."""
    if not row.inference:
        return []
    changed = ", ".join(f"{name} = {value}" for name, value in row.inference.items())
    return [f"evaluated with {changed}: the weights are those of the full training"]


def _choose_weight(study: Study, scorer: PairScorer, report: Report) -> WeightChoice | None:
    """The row's weight; None where the data has no validation split to choose it on."""
    at = Flickr30kFiles(study.suite.root)
    images = read_karpathy(at.annotations, at.images, ["val"])
    return choose_weight(scorer, images[:WEIGHT_IMAGES], report) if images else None


def _weight_note(choice: WeightChoice | None) -> str:
    if choice is None:
        return "the weight of the contrastive score is the configuration's: no validation split"
    return (
        f"the weight of the contrastive score was chosen on {choice.images} validation images "
        f"({choice.captions} captions)"
    )
