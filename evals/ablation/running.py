"""Trains, fine-tunes and evaluates the rows of a plan, and keeps their records."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from evals import records
from evals.ablation.columns import RETRIEVAL, GridColumn
from evals.ablation.rows import AblationRow
from evals.ablation.study import TRAINED, Study, facts_in, trained_facts
from evals.datasets.suites import MINI
from evals.records import Record, workspace
from unimo2.console import showing
from unimo2.errors import UsageError
from unimo2.files import locked, write_text
from unimo2.modeling.fields import TIMM_FOLDER
from unimo2.training import RETRIEVAL_WEIGHT, SUMMARY

if TYPE_CHECKING:
    from zoo.cards import Card

# Images of the validation split on which a row's weight of the contrastive score is chosen.
WEIGHT_IMAGES = 100


def train_row(study: Study, row: AblationRow) -> None:
    """Train a row, going on with what an interrupted start left, and choose its retrieval weight.

    Args:
        study: Gives data and device.
        row: The training.
    """
    folder = study.folder(row)
    with locked(folder):
        facts = trained_facts(folder)
        if not facts:
            facts = _pretrained(study, row, folder)
            _note(folder, facts)
        elif not study.starts_alike(row, facts):
            raise UsageError(
                f"{folder} holds a training that started from other weights of "
                f"{' and '.join(study.tower_weights(row))}: choose another --output, or delete that "
                "folder"
            )
        if RETRIEVAL_WEIGHT not in facts:
            _note(folder, {**facts, RETRIEVAL_WEIGHT: _weighed(study, folder)})
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def _note(folder: Path, facts: Mapping[str, Any]) -> None:
    """Note in a row's folder how far it is."""
    write_text(folder / TRAINED, json.dumps(facts, indent=2) + "\n")


def _pretrained(study: Study, row: AblationRow, folder: Path) -> dict[str, Any]:
    """Train; what it has cost.

    A row that leaves corpora out reads the others by the tokenizer that all rows share.
    """
    from evals.records import environment
    from unimo2.devices import find_device
    from unimo2.training.logging import TrainingBar
    from unimo2.training.pretraining import model_config, prepare, pretrain

    with showing():
        found = prepare(row.shared, study.suite.root, towers=study.tower_folders())
    config = model_config(row.recipe, len(found.processor.tokenizer))
    training, corpora = row.recipe.training, found.corpora
    own = replace(
        found,
        model_config=config,
        corpora=type(corpora)(
            corpora.pairs,
            found.processor,
            prompts=corpora.prompts if training.image_sets else None,
            images=corpora.images if training.image_sets else None,
            texts=corpora.texts if training.text_sets else None,
        ),
    )
    with TrainingBar() as bar:
        summary = pretrain(training, own, folder, device=study.device, on_progress=bar)
    return {
        "folder": summary.model_folder.name,
        "seconds": summary.seconds,
        "samples_per_second": summary.samples_per_second,
        "precision": summary.precision,
        "towers": study.tower_weights(row),
        "device": environment.device_name(str(find_device(study.device))),
    }


def _weighed(study: Study, folder: Path) -> dict[str, Any] | None:
    """Choose the weight of the contrastive score of the model in a folder, as `unimo2 pretrain` does.

    Returns:
        On how many images and captions it was chosen; None where there are none to choose it on.
    """
    from evals.training import choose_retrieval_weight

    model = folder / "model"
    kept = folder / SUMMARY
    choice = choose_retrieval_weight(
        model, study.suite.root, kept, study.device, images=WEIGHT_IMAGES
    )
    if choice is None:
        return None
    return {"weight": choice.weight, "images": choice.images, "captions": choice.captions}


def switch_off(study: Study, row: AblationRow) -> None:
    """Put the trained model beside itself with the parts switched off that the row lacks.

    The weights are the same; the retrieval weight is chosen again.
    """
    from unimo2.modeling.configuration import Unimo2Config
    from unimo2.training.checkpoints import write_folder

    source, base = study.folder(row) / "model", study.base(row)

    def write(partial: Path) -> None:
        shutil.copytree(source, partial)
        config = Unimo2Config.from_pretrained(source)
        # Taken from the trained model: left open, it would follow from the dictionary.
        config.contrastive_projection = config.projects_contrast
        config.update(dict(row.inference))
        config.save_pretrained(partial)

    with locked(base):
        if RETRIEVAL_WEIGHT not in trained_facts(base):
            write_folder(base / "model", write)
            shutil.copyfile(study.folder(row) / SUMMARY, base / SUMMARY)
            _note(base, {RETRIEVAL_WEIGHT: _weighed(study, base)})


def tune(study: Study, row: AblationRow, column: GridColumn) -> None:
    """Fine-tune a row's model for a column, as `unimo2 finetune` does."""
    from evals.training import FinetuneRequest, finetune

    folder, model = study.tuned(row, column), study.base(row) / "model"
    request = FinetuneRequest(
        column.benchmark, str(model), model, study.suite.root, device=study.device
    )
    with locked(folder):
        if not (folder / SUMMARY).is_file():
            finetune(request, study.recipe(row, column), folder)
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def evaluation_folder(study: Study, row: AblationRow, column: GridColumn) -> Path:
    """Where a column's evaluation is under way; its record is moved among the runs when it is whole."""
    return study.measured(row, column) / f"evaluation-{column.name}"


def evaluate(study: Study, row: AblationRow, column: GridColumn) -> Record:
    """Measure a row's model on a column, as `unimo2 eval` does, and put its record among the runs."""
    folder = evaluation_folder(study, row, column)
    with locked(folder):
        record = _publish(study, row, column, _measured(study, row, column, folder))
        shutil.rmtree(folder, ignore_errors=True)
    return record


def _measured(study: Study, row: AblationRow, column: GridColumn, folder: Path) -> Record:
    from evals import runner

    options: dict[str, Any] = {"rerank": study.rerank} if column.scores_pairs else {}
    with showing() as report:
        return runner.run(
            column.benchmark,
            model=_card(study, row, column),
            zero_shot=column.zero_shot,
            data_root=study.suite.root,
            suite=study.suite.name,
            limit=study.limit,
            device=study.device,
            output=folder,
            variant=row.variant,
            on_progress=report,
            **options,
        )


def _card(study: Study, row: AblationRow, column: GridColumn) -> Card:
    """The card of a row's model: what it has seen decides whether a measurement is zero-shot."""
    import zoo

    training = row.recipe.training
    seen = [*training.pair_sets, *training.image_sets, *training.text_sets]
    seen += [] if column.zero_shot else [column.dataset]
    unknown: tuple[str, ...] = ()
    for tower in filter(None, (training.vision_tower, training.text_tower)):
        found = _tower_data(tower)
        seen += [name for name in found or () if name not in seen]
        unknown += () if found is not None else (f"unknown: the data of {tower}",)
    told = [f"suite {MINI}: train splits of {', '.join(seen)}"]
    names = tuple(told if study.suite.name == MINI else seen)
    known = zoo.resolve((study.measured(row, column) / "model").resolve())
    return replace(known, name=row.recipe.name, training_data=(*names, *unknown))


def _tower_data(tower: str) -> list[str] | None:
    """Data sets that a tower of this project has seen, by its card or its training's notes beside it."""
    from zoo import cards
    from zoo.lineage import lineage

    known = cards.read_all()
    if tower in known:
        seen = lineage(known[tower], known)
        return [name.rpartition("/")[2] for name in sorted(seen.seen)] if seen.complete else None
    told = facts_in(Path(tower.removeprefix(TIMM_FOLDER)).parent / SUMMARY)
    if not told:
        return None
    config = told.get("config", {})
    return [*config.get("image_sets", ()), *config.get("text_sets", ())]


def _publish(study: Study, row: AblationRow, column: GridColumn, measured: Record) -> Record:
    """Complete a row's record and move its run folder among the runs, in one step."""
    facts = trained_facts(study.folder(row))
    others = ("folder", "towers", RETRIEVAL_WEIGHT)
    cost = {key: value for key, value in facts.items() if key not in others}
    towers = {"towers": facts["towers"]} if facts.get("towers") else {}
    conditions = study.conditions(row, column)
    if not column.zero_shot:
        conditions["cost"] = _tuning_cost(study.tuned(row, column))
    record = replace(
        measured,
        model=row.recipe.name,
        variant=row.variant,
        protocol={
            **measured.protocol,
            "limit": study.limit,
            **({"without": row.without} if row.without else {}),
            **({"inference": dict(row.inference)} if row.inference else {}),
            **({"measured_with": conditions} if conditions else {}),
            "training": {**row.training, **towers, "cost": cost},
        },
        # transformers notes where it read a configuration from: a folder of this machine.
        config={key: value for key, value in measured.config.items() if key != "_name_or_path"},
        command=command(study, row, column),
        notes=[*measured.notes, *_notes(study, row, column)],
    )
    folder = _folder_of(measured)
    records.write(record, folder)
    home = workspace.home(
        study.output, record.suite, column.benchmark, record.model, record.variant
    )
    home.mkdir(parents=True, exist_ok=True)
    os.replace(folder, home / folder.name)
    return replace(record, path=home / folder.name / records.RECORD)


def _tuning_cost(folder: Path) -> dict[str, Any]:
    """Steps and seconds of a finished fine-tuning."""
    told = facts_in(folder / SUMMARY)
    return {name: told[name] for name in ("steps", "seconds", "precision") if name in told}


def _notes(study: Study, row: AblationRow, column: GridColumn) -> list[str]:
    """How the retrieval weight was chosen, and which parts were switched off from when on."""
    notes = []
    if column.zero_shot:
        chosen = trained_facts(study.base(row)).get(RETRIEVAL_WEIGHT)
        text = "is the configuration's: no validation split"
        if chosen is not None:
            text = f"was chosen on {chosen['images']} validation images ({chosen['captions']} captions)"
        notes.append(f"the weight of the contrastive score {text}")
    if row.inference:
        changed = ", ".join(f"{name} = {value}" for name, value in row.inference.items())
        how = "evaluated" if column.zero_shot else "fine-tuned and evaluated"
        whose = "the weights" if column.zero_shot else "the initial weights"
        notes.append(f"{how} with {changed}: {whose} are those of the full training")
    return notes


def command(study: Study, row: AblationRow, column: GridColumn = RETRIEVAL) -> str:
    """The command line that measures one cell again (with --data-root where needed)."""
    option, _, value = row.variant.partition("=")
    words = ["unimo2", "ablate", f"--{option}", *([value] if value else [])]
    training = row.training
    words += ["--config", training["recipe"], "--budget", str(training["budget"])]
    words += ["--seed", str(training["seed"]), "--rerank", str(study.rerank or 0)]
    if study.limit is not None:
        words += ["--limit", str(study.limit)]
    if column != RETRIEVAL:
        words += ["--columns", column.name]
    if study.tuning and not column.zero_shot:
        words += ["--finetune-set", *study.tuning]
    return shlex.join(words)


def export(done: Iterable[Record], target: Path) -> list[Path]:
    """Copy records (without samples and scores) in the layout of `evals/measured`.

    Args:
        done: Finished rows.
        target: Folder of suites, as `evals.records.MEASURED`.

    Returns:
        The files that were written.

    Raises:
        UsageError: A record names a place on this machine, so it is not fit to be passed on.
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
