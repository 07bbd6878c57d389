"""How a row is really trained and evaluated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import cast

import zoo
from evals import environment, runner
from evals.ablation.plan import BENCHMARK, Study
from evals.ablation.rows import Row
from evals.ablation.running import Evaluate, Train, Trained
from evals.benchmark import Report
from evals.flickr import ANNOTATIONS, IMAGES
from evals.records import Record
from evals.retrieval.weight import WeightChoice, choose_weight
from unimo2.devices import find_device
from unimo2.formats.karpathy import read_karpathy
from unimo2.preparation import Prepared, model_config, prepare
from unimo2.training import pretrain
from unimo2.training_log import Progress
from zoo.interfaces import PairScorer

# Images of the validation split on which a row's weight of the contrastive score is chosen.
WEIGHT_IMAGES = 100


def trainer(
    study: Study,
    bar: Callable[[], AbstractContextManager[Callable[[Progress], None] | None]],
) -> Train:
    """Trains rows with `unimo2.training.pretrain`.

    Args:
        study: gives data and device.
        bar: opened for each row; gives what is called after every logged interval.
    """
    shared: list[Prepared] = []  # rows differ in the model alone: corpora are read once for all

    def train(row: Row, folder: Path) -> Trained:
        if not shared:
            shared.append(prepare(row.recipe, study.suite.root))
        processor, corpora = shared[0].processor, shared[0].corpora
        with bar() as on_progress:
            summary = pretrain(
                row.recipe.training,
                model_config(row.recipe, len(processor.tokenizer)),
                processor,
                corpora,
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


def evaluator(study: Study, bar: Callable[[], AbstractContextManager[Report]]) -> Evaluate:
    """Evaluates rows zero-shot on Flickr30k retrieval.

    As in `unimo2 pretrain`, the weight of the contrastive score is chosen for each row on the
    validation split.

    Args:
        study: gives data, device and limit.
        bar: opened for each row; gives what is called as the scoring goes on.
    """

    def evaluate(row: Row, model: Path, folder: Path) -> Record:
        card = replace(zoo.resolve(model), name=row.recipe.name)
        scorer = cast(PairScorer, zoo.load_card(card, study.device))
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
                device=study.device,
                contrastive_weight=None if choice is None else choice.weight,
                output=folder,
                variant=row.variant,
                on_progress=report,
            )
        return replace(record, notes=[*record.notes, _weight_note(choice)])

    return evaluate


def _choose_weight(study: Study, scorer: PairScorer, report: Report) -> WeightChoice | None:
    """The row's weight; None where the data has no validation split to choose it on."""
    images = read_karpathy(study.suite.root / ANNOTATIONS, study.suite.root / IMAGES, ["val"])
    return choose_weight(scorer, images[:WEIGHT_IMAGES], report) if images else None


def _weight_note(choice: WeightChoice | None) -> str:
    if choice is None:
        return "the weight of the contrastive score is the configuration's: no validation split"
    return (
        f"the weight of the contrastive score was chosen on {choice.images} validation images "
        f"({choice.captions} captions)"
    )
