"""Jobs that train and measure the embedded models again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals import records
from evals.ablation.study import facts_in
from evals.datasets.suites import Suite
from evals.embedded.models import PRETRAINED, EmbeddedModel, embedded_models, folder_of
from evals.jobs import Cost, PlannedJob, State, last_logged
from evals.records import Record
from evals.registry import get_benchmark, shown
from unimo2.errors import UsageError
from unimo2.files import locked
from unimo2.training import LOG, RETRIEVAL_WEIGHT, SUMMARY

if TYPE_CHECKING:
    from unimo2.training.finetuning.config import FinetuneRecipe
    from unimo2.training.recipes import Recipe

_KNOWN_TOWERS = ("mini-vit", "mini-roberta")


@dataclass(frozen=True)
class Measurement:
    """An evaluation of an embedded model.

    Attributes:
        model: The model's name.
        benchmark: As in records.
        split: Of its data.
        zero_shot: Whether the model is taken as pre-trained.
    """

    model: str
    benchmark: str
    split: str
    zero_shot: bool

    @property
    def name(self) -> str:
        """Of its job."""
        how = ", zero-shot" if self.zero_shot else ""
        return f"{self.model}: evaluate {shown(self.benchmark)} {self.split}{how}"


@dataclass(frozen=True)
class Reproduction:
    """How the embedded models are trained and measured again.

    Attributes:
        suite: The embedded suite.
        output: The runs folder; models are trained where `folder_of` says.
        device: "auto", "cpu" or "cuda".
        rerank: K of shortlists where pairs are scored; None to fuse every pair.
        settings: Changes of the recipes of pre-training, as of `--set`.
        tuning: Changes of the recipes of fine-tuning.
    """

    suite: Suite
    output: Path
    device: str = "auto"
    rerank: int | None = None
    settings: tuple[str, ...] = ()
    tuning: tuple[str, ...] = ()

    def folder(self, name: str) -> Path:
        """Where a model is trained."""
        return folder_of(name, self.output)

    @property
    def towers(self) -> dict[str, Path]:
        """Where the embedded towers are trained."""
        return {name: self.folder(name) / "model" for name in _KNOWN_TOWERS}

    def recipe(self, model: EmbeddedModel) -> Recipe:
        """The recipe of a pre-trained model; towers that are embedded models are those of the runs."""
        recipe = self._shipped(model)
        return replace(recipe, training=recipe.training.located(self.towers))

    def _shipped(self, model: EmbeddedModel) -> Recipe:
        from unimo2.training.recipes import load_recipe, override

        return override(load_recipe(model.name), self.settings)

    def tuning_recipe(self, model: EmbeddedModel) -> FinetuneRecipe:
        """The recipe of a fine-tuned model: that of the pre-trained model's size."""
        from evals.training import finetune_recipe
        from unimo2.modeling.fields import ModelFields
        from unimo2.training.recipes import load_recipe, model_fields, override

        base = model_fields(override(load_recipe(PRETRAINED), self.settings), ModelFields)
        return finetune_recipe(model.task, base.hidden_size, None, self.tuning)

    def needs(self, model: EmbeddedModel) -> tuple[str, ...]:
        """The models that its training starts from."""
        return (PRETRAINED,) if model.task else towers_of(self._shipped(model))

    def is_trained(self, model: EmbeddedModel) -> bool:
        """Whether its run has come to the end; of UNIMO-2's, the choice of the retrieval weight.

        Raises:
            UsageError: Its folder holds a training by another recipe.
        """
        return self.has_ended(model) and (
            bool(model.task)
            or self.recipe(model).training.trains != "unimo2"
            or RETRIEVAL_WEIGHT in facts_in(self.folder(model.name) / SUMMARY)
        )

    def has_ended(self, model: EmbeddedModel) -> bool:
        """Whether its training has, after those that it starts from.

        Raises:
            UsageError: Its folder holds a training by another recipe.
        """
        own = self.folder(model.name) / SUMMARY
        if not own.is_file():
            return False
        told = facts_in(own)["config"]
        recipe = self.tuning_recipe(model) if model.task else self.recipe(model)
        wanted = json.loads(json.dumps(recipe.training.identity()))
        counted = ("steps", "schedule", "drop_at") if model.task and wanted["epochs"] else ()
        for name, value in wanted.items():
            if name not in counted and told.get(name, value) != value:
                raise UsageError(
                    f"{own.parent} holds a training of {model.name} with {name} = {told[name]}, not "
                    f"{value}: choose another --output, or delete that folder"
                )
        before = [self.folder(name) / SUMMARY for name in self.needs(model)]
        ended = own.stat().st_mtime_ns
        return all(path.is_file() and path.stat().st_mtime_ns <= ended for path in before)

    def resume(self, model: EmbeddedModel) -> str:
        """How a training begins: one that started from a model that is gone starts over."""
        return "never" if (self.folder(model.name) / SUMMARY).is_file() else "auto"

    def jobs(self, measurements: Sequence[Measurement]) -> list[PlannedJob]:
        """Trainings and evaluations, in order; those that are done are among them.

        Args:
            measurements: What is measured; models that no measurement needs are trained too.
        """
        found = records.find([records.MEASURED, self.output], self.suite.name)
        trainings = [self._training(model) for model in embedded_models()]
        return trainings + [self._measurement(one, found) for one in measurements]

    def _training(self, model: EmbeddedModel) -> PlannedJob:
        work = partial(tune_model if model.task else pretrain_model, self, model)
        needs = map(training_name, self.needs(model))
        begun = (self.folder(model.name) / LOG).is_file()
        state = State.INTERRUPTED if begun else State.TO_DO
        state = State.DONE if self.is_trained(model) else state
        cost = self._training_cost(model) if state is State.INTERRUPTED else Cost(None)
        return PlannedJob(training_name(model.name), work, tuple(needs), state, cost)

    def _training_cost(self, model: EmbeddedModel) -> Cost:
        """What an interrupted pre-training has left, by its own log."""
        last = last_logged(self.folder(model.name))
        if model.task or not last:
            return Cost(None)
        steps = self.recipe(model).training.steps
        return Cost(last["seconds"] / last["step"] * (steps - last["step"]), "its own log")

    def _measurement(self, one: Measurement, found: Sequence[Record]) -> PlannedJob:
        same = [
            record
            for record in found
            if (record.model, record.benchmark) == (one.model, one.benchmark)
            and record.data.get("split") == one.split
            and record.data.get("note") is None
            and bool(record.protocol.get("zero_shot")) == one.zero_shot
            and record.protocol.get("rerank") == self._rerank(one)
        ]
        done = [record for record in same if record.weights_sha256 == self._weights(one.model)]
        cost = Cost(same[-1].seconds, f"{one.model} on {same[-1].device}") if same else Cost(None)
        return PlannedJob(
            one.name,
            partial(measure_model, self, one),
            (training_name(one.model),),
            State.DONE if done else State.TO_DO,
            cost,
        )

    def _weights(self, name: str) -> str | None:
        """The sha256 of trained weights; None before they are there."""
        from unimo2.formats.weights import weights_sha256

        folder = self.folder(name)
        return weights_sha256(folder / "model") if (folder / SUMMARY).is_file() else None

    def _rerank(self, one: Measurement) -> int | None:
        """K of a measurement's shortlists; a dual encoder has none."""
        pairs = (one.benchmark == "flickr" or one.zero_shot) and one.model != "mini-clip"
        return self.rerank if pairs else None

    def records_of(self, measurements: Iterable[Measurement]) -> list[Record]:
        """The newest record of each measurement, of the weights in the runs folder."""
        found = records.find(self.output, self.suite.name)
        newest: dict[Measurement, Record] = {}
        for one in measurements:
            for record in found:
                same = (record.model, record.benchmark) == (one.model, one.benchmark)
                same &= record.data.get("split") == one.split
                same &= bool(record.protocol.get("zero_shot")) == one.zero_shot
                same &= record.weights_sha256 == self._weights(one.model)
                if same:
                    newest[one] = record
        return list(newest.values())


def training_name(model: str) -> str:
    """The name of the job that trains a model."""
    return f"{model}: train"


def towers_of(recipe: Recipe) -> tuple[str, ...]:
    """The embedded towers that a recipe starts from."""
    named = recipe.training.vision_tower, recipe.training.text_tower
    return tuple(name for name in named if name in _KNOWN_TOWERS)


def pretrain_model(plan: Reproduction, model: EmbeddedModel) -> None:
    """Pre-train a model as `unimo2 pretrain` does, or what is left of that."""
    from evals import training

    recipe, folder, root = plan.recipe(model), plan.folder(model.name), plan.suite.root
    with locked(folder):
        if not plan.has_ended(model):
            training.pretrain(recipe, root, folder, plan.resume(model), plan.device)
        if recipe.training.trains == "unimo2" and not plan.is_trained(model):
            model_folder, kept = folder / "model", folder / SUMMARY
            training.choose_retrieval_weight(model_folder, root, kept, plan.device)


def tune_model(plan: Reproduction, model: EmbeddedModel) -> None:
    """Fine-tune the pre-trained model for a task as `unimo2 finetune` does."""
    from evals import training

    start, folder, root = (
        plan.folder(PRETRAINED) / "model",
        plan.folder(model.name),
        plan.suite.root,
    )
    with locked(folder):
        resume = plan.resume(model)
        request = training.FinetuneRequest(model.task, str(start), start, root, resume, plan.device)
        if not plan.has_ended(model):
            training.finetune(request, plan.tuning_recipe(model), folder)


def measure_model(plan: Reproduction, one: Measurement) -> Record:
    """Measure a model as `unimo2 eval` does."""
    from evals import runner
    from unimo2.console import showing

    known = {model.name: model for model in embedded_models()}
    card = known[one.model].card(plan.folder(one.model) / "model", plan.output)
    rerank = plan._rerank(one)
    options: dict[str, Any] = {} if rerank is None else {"rerank": rerank}
    with showing() as report:
        return runner.run(
            one.benchmark,
            model=card,
            zero_shot=one.zero_shot,
            split=one.split,
            data_root=plan.suite.root,
            suite=plan.suite.name,
            device=plan.device,
            output=plan.output,
            on_progress=report,
            **options,
        )


def measurable(benchmark: str, zero_shot: bool) -> list[str]:
    """The embedded models that fill a column: UNIMO-2's and, zero-shot, those of its peers."""
    get_benchmark(benchmark)  # says what is unknown
    if zero_shot:
        return [PRETRAINED, "mini-clip", "mini-vilt"]
    return [f"{PRETRAINED}-{shown(benchmark)}"]
