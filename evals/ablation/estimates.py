"""What the jobs of an ablation will cost: from records of finished ones, or from one timed step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.ablation.columns import RETRIEVAL, GridColumn
from evals.ablation.rows import AblationRow
from evals.ablation.running import WEIGHT_IMAGES
from evals.ablation.study import Study
from evals.jobs import Cost
from evals.records import Record
from evals.retrieval.shortlist import most_pairs


class Estimator:
    """Estimates jobs one after the other; what it counts and times for one serves the next.

    Nothing is imported or counted before the first estimate: a plan of which all is done is shown
    without torch.
    """

    def __init__(self, study: Study, found: Sequence[Record]) -> None:
        """Begin without having timed anything.

        Args:
            study: Gives the protocol of the evaluations.
            found: Records of the suite, newest last, of rows and of other models.
        """
        self._study, self._found = study, found
        self._rows = [record for record in found if record.protocol.get("training")]
        self._seconds_per_flop: float | None = None
        self._counted: dict[str, float] = {}

    def training(self, row: AblationRow) -> Cost:
        """Seconds of a row's training.

        The most similar finished row is scaled by the floating point operations of a step. Without
        any, a step is timed here.
        """
        training = row.recipe.training
        pairs, flops = training.steps * training.batch_size, self._flops_of(row)
        known = [one for one in self._rows if one.protocol["training"].get("cost")]
        if known:
            record = _most_similar(row, known)
            done = record.protocol["training"]
            seconds = done["cost"]["seconds"] / (done["budget"] * done["config"]["batch_size"])
            return Cost(pairs * seconds * flops / self._flops(record), _where(record))
        if self._seconds_per_flop is None:
            from evals.ablation.cost import pair_seconds
            from unimo2.training.pretraining import model_config

            config = model_config(row.recipe, training.vocab_size)
            self._seconds_per_flop = pair_seconds(config, training.batch_size) / flops
        basis = "a training step timed here"
        if training.image_sets or training.text_sets:
            basis += ", of pairs alone"
        return Cost(pairs * flops * self._seconds_per_flop, basis)

    def tuning(self, row: AblationRow, column: GridColumn) -> Cost:
        """Seconds of a column's fine-tuning, by one of the same task that a finished row had."""
        known = [
            one
            for one in self._rows
            if one.benchmark == column.benchmark and _tuning_cost(one).get("seconds")
        ]
        same = self._study.conditions(row, column).get("settings")
        known = [one for one in known if one.protocol["measured_with"].get("settings") == same]
        if not known:
            return Cost(None)
        record = _most_similar(row, known)
        seconds = float(_tuning_cost(record)["seconds"])
        return Cost(seconds * self._scale(row, record), _where(record))

    def weighing(self, row: AblationRow) -> Cost:
        """Seconds of the choice of a retrieval weight, by the pairs that retrieval has scored."""
        record = self._measured(row, RETRIEVAL)
        if record is None:
            return Cost(None)
        captions = int(record.data["captions"]) / int(record.data["images"])
        pairs = WEIGHT_IMAGES * captions * WEIGHT_IMAGES
        share = pairs / _pairs(record, record.protocol.get("rerank"))
        return Cost(record.seconds * share * self._scale(row, record), _where(record))

    def evaluation(self, row: AblationRow, column: GridColumn) -> Cost:
        """Seconds of a column's evaluation, by that of a finished row or else of another UNIMO-2."""
        record = self._measured(row, column)
        if record is None or self._study.limit is not None:
            return Cost(None)
        seconds, done = record.seconds * self._scale(row, record), record.protocol.get("rerank")
        if column.benchmark == RETRIEVAL.benchmark:
            seconds *= _pairs(record, self._study.rerank) / _pairs(record, done)
        elif self._study.shortlist(column) != done:
            return Cost(None)
        return Cost(seconds, _where(record))

    def _measured(self, row: AblationRow, column: GridColumn) -> Record | None:
        """The most similar row's record of a column, or else the newest of another UNIMO-2."""
        same = [
            one
            for one in self._found
            if one.benchmark == column.benchmark
            and bool(one.protocol.get("zero_shot")) == column.zero_shot
            and one.config.get("model_type") == "unimo2"
            and one.data.get("note") is None
        ]
        rows = [one for one in same if one.protocol.get("training")]
        return _most_similar(row, rows) if rows else same[-1] if same else None

    def _scale(self, row: AblationRow, record: Record) -> float:
        """How many operations a row's step has for each of a record's."""
        return self._flops_of(row) / self._flops(record)

    def _flops_of(self, row: AblationRow) -> float:
        return self._count(row.training["model"], row.training["config"]["vocab_size"])

    def _flops(self, record: Record) -> float:
        """Floating point operations of a training step of a record's model."""
        from unimo2.modeling.fields import ModelFields

        training = record.protocol.get("training")
        if training is not None:
            return self._count(training["model"], training["config"]["vocab_size"])
        own = ModelFields.own_fields()
        fields = {name: value for name, value in record.config.items() if name in own}
        return self._count(fields, int(fields.pop("vocab_size")))

    def _count(self, fields: Mapping[str, Any], vocab_size: int) -> float:
        from evals.ablation.cost import pair_flops
        from unimo2.modeling.configuration import Unimo2Config

        key = repr(sorted({**fields, "vocab_size": vocab_size}.items(), key=lambda item: item[0]))
        if key not in self._counted:
            plain = {name: value for name, value in fields.items() if name != "vocab_size"}
            self._counted[key] = pair_flops(Unimo2Config(**plain, vocab_size=vocab_size))
        return self._counted[key]


def _tuning_cost(record: Record) -> Mapping[str, Any]:
    told: Mapping[str, Any] = (record.protocol.get("measured_with") or {}).get("cost") or {}
    return told


def _where(record: Record) -> str:
    training = record.protocol.get("training")
    name = f"{record.model}{f'+{record.variant}' if record.variant else ''}"
    return f"{name} on {training['cost']['device'] if training else record.device}"


def _pairs(record: Record, rerank: int | None) -> int:
    """Pairs that would be fused on the record's data."""
    images, captions = int(record.data["images"]), int(record.data["captions"])
    return images * captions if rerank is None else most_pairs(images, captions, rerank)


def _most_similar(row: AblationRow, known: Sequence[Record]) -> Record:
    """The record of the training that differs least; the newest of several."""

    def difference(record: Record) -> tuple[bool, bool, int, int]:
        own, other = row.training, record.protocol["training"]
        return (
            own["base"] != other["base"],
            own["grounding"] != other["grounding"],
            abs(own["K"] - other["K"]),
            abs(own["C"] - other["C"]),
        )

    return min(reversed(known), key=difference)
