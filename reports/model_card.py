"""A model card in the Hugging Face hub's format, with a model's results as `model-index`.

Results on the embedded suite are named as such ("unimo2-mini"), so that no leaderboard takes them for
numbers on the real data sets.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evals import records as record_files
from evals.datasets.suites import MINI
from evals.records import Record
from evals.registry import get_benchmark
from reports.render import Grid, Table, markdown, to_markdown
from reports.selection import described, gather, label_of
from unimo2.errors import UsageError
from zoo import cards
from zoo.cards import Card

# The hub's tasks.
_TASKS = {
    "vqa": "visual-question-answering",
    "coco": "image-to-text",
    "imagenet": "image-classification",
    "flickr": "image-text-retrieval",
    "snli_ve": "visual-entailment",
    **dict.fromkeys(("sst2", "mnli", "cola", "stsb"), "text-classification"),
}
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def model_card(model: str, records: Iterable[Record] | None = None) -> str:
    """The `README.md` of a model's repository.

    Args:
        model: Its name in records or on its card, or a run folder of it.
        records: Newest last; the newest of each benchmark, split and variant counts. Those of the
            package and of the folder "runs" if None.

    Returns:
        Metadata in YAML and a text in Markdown.

    Raises:
        UsageError: Nothing is known of such a model.
    """
    every = list(gather() if records is None else records)
    if (Path(model) / record_files.RECORD).is_file():
        every.append(record_files.read(Path(model)))
        model = every[-1].model
    newest: dict[tuple[Any, ...], Record] = {}
    for record in every:
        if record.model == model and record.metrics:
            key = (record.suite, record.benchmark, record.data.get("split"), record.variant)
            newest[key] = record
    card = cards.read_all().get(model)
    if card is None and not newest:
        raise UsageError(f"--model-card {model}: neither a card nor a record of such a model")
    found = list(newest.values())
    return f"---\n{_metadata(model, card, found)}\n---\n\n{_text(model, card, found)}"


def _metadata(model: str, card: Card | None, records: list[Record]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type=_TASKS.get(record.benchmark, record.benchmark),
            dataset_type=_dataset(record),
            dataset_name=_title(record),
            dataset_split=record.data.get("split"),
            metric_type=name,
            metric_name=f"{name} ({label_of(record)})",
            metric_value=round(metric.value, 4),
            metric_args={"ci95": [round(end, 4) for end in metric.ci95], "n": metric.n},
            verified=False,
        )
        for record in records
        for name, metric in record.metrics.items()
    ]
    known: dict[str, Any] = {"library_name": "unimo2", "tags": ["unimo-2", "vision-language"]}
    if card is not None:
        if _SPDX.fullmatch(card.licence):
            known["license"] = card.licence.lower()
        else:
            known |= {"license": "other", "license_name": card.licence}
        known |= {"datasets": list(card.training_data)} if card.training_data else {}
        known |= {"base_model": card.adapted_from} if card.adapted_from else {}
    shown = ModelCardData(model_name=model, eval_results=results or None, **known)
    return str(shown.to_yaml()).rstrip()


def _dataset(record: Record) -> str:
    return f"unimo2-mini-{record.benchmark}" if record.suite == MINI else record.benchmark


def _title(record: Record) -> str:
    name = record.benchmark
    with contextlib.suppress(UsageError):  # a benchmark of a package that is gone
        name = get_benchmark(record.benchmark).title
    return f"{name}, embedded scale model of unimo2" if record.suite == MINI else name


def _text(model: str, card: Card | None, records: list[Record]) -> str:
    lines = [f"# {markdown(model)}", ""]
    if card is not None:
        facts = {
            "": card.description,
            "Capabilities": ", ".join(card.capabilities),
            "Trained on": ", ".join(card.training_data),
            "Fine-tuned for": ", ".join(card.finetuned_for),
            "Adapted from": card.adapted_from or "",
            "Command": card.command or "",
            "Licence": card.licence,
            "Cite": card.citation,
        }
        for name, fact in facts.items():
            if fact:
                lines += [f"{name}: {markdown(fact)}" if name else markdown(fact), ""]
    heads = ("metric", "value", "95 % interval", "n")
    for record in records:
        cells = [
            [name, f"{m.value:.1f}", f"{m.ci95[0]:.1f} to {m.ci95[1]:.1f}", f"{m.n:,}"]
            for name, m in record.metrics.items()
        ]
        labels = [("", cell[0]) for cell in cells]
        grid = Grid(heads[0], heads[1:], labels, [cell[1:] for cell in cells])
        notes = (described(record), f"Measured by: {record.command}")
        lines += [to_markdown(Table(f"{_title(record)}: {label_of(record)}", grid, notes))]
    return "\n".join(lines).rstrip() + "\n"
