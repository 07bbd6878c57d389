"""How a row is really trained and evaluated."""

from __future__ import annotations

import copy
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
from evals.benchmarks.flickr import ANNOTATIONS, IMAGES
from evals.records import Record
from evals.retrieval.weight import WeightChoice, choose_weight
from unimo2.devices import find_device
from unimo2.formats.karpathy import read_karpathy
from unimo2.modeling.model import Unimo2Model
from unimo2.training.curriculum import Corpora
from unimo2.training.logging import Progress
from unimo2.training.pretraining import Prepared, model_config, prepare, pretrain
from zoo.families.unimo2 import Unimo2Scorer
from zoo.protocols import PairScorer

# Images of the validation split on which a row's weight of the contrastive score is chosen.
WEIGHT_IMAGES = 100


def trainer(
    study: Study,
    bar: Callable[[], AbstractContextManager[Callable[[Progress], None] | None]],
) -> Train:
    """Trains rows with `unimo2.training.pretraining.pretrain`.

    Args:
        study: gives data and device.
        bar: opened for each row; gives what is called after every logged interval.
    """
    shared: dict[str, Prepared] = {}  # by recipe; its rows read corpora and tokenizer once

    def train(row: Row, folder: Path) -> Trained:
        if row.shared.name not in shared:
            shared.clear()
            shared[row.shared.name] = prepare(row.shared, study.suite.root)
        found = shared[row.shared.name]
        processor = found.processor
        with bar() as on_progress:
            summary = pretrain(
                row.recipe.training,
                model_config(row.recipe, len(processor.tokenizer)),
                processor,
                _corpora_of(row, found),
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


def _corpora_of(row: Row, found: Prepared) -> Corpora:
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
        bar: opened for each row; gives what is called as the scoring goes on.
    """

    def evaluate(row: Row, model: Path, folder: Path) -> Record:
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


def _scorer(row: Row, model: Path, device: str) -> PairScorer:
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


def _part_notes(row: Row) -> list[str]:
    """What a reader must know of a row that is evaluated without a part that it was trained with."""
    if not row.inference:
        return []
    changed = ", ".join(f"{name} = {value}" for name, value in row.inference.items())
    return [f"evaluated with {changed}: the weights are those of the full training"]


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
