"""A model card in the Hugging Face hub's format, with a model's results as `model-index`.

Results on the embedded suite are named as such ("unimo2-mini"), so that no leaderboard takes them for
numbers on the real data sets.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals import records as record_files
from evals.datasets.suites import MINI
from evals.records import Record
from evals.registry import get_benchmark
from reports.render import Grid, Table, markdown, to_markdown
from reports.selection import described, gather, label_of
from unimo2.errors import UsageError
from unimo2.files import expanded
from unimo2.training import SUMMARY
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
        model: Its name in records or on its card, a run folder of it, or the folder of its weights.
        records: Newest last; the newest of each benchmark, split and variant counts. Those of the
            package and of the folder "runs" if None.

    Returns:
        Metadata in YAML and a text in Markdown.

    Raises:
        UsageError: Nothing is known of such a model.
        BadCheckpoint: A folder without a run and without a model.
    """
    every = list(gather() if records is None else records)
    card, weights, folder = cards.read_all().get(model), None, expanded(model)
    if (folder / record_files.RECORD).is_file():
        every.append(record_files.read(folder))
        model, weights = every[-1].model, every[-1].weights_sha256
        card = cards.read_all().get(model)
    elif card is None and folder.is_dir():
        card, weights = _of_folder(folder)
        model = card.name
    found, others = _results(every, model, weights)
    if card is None and not found:
        raise UsageError(
            f"--model-card {model}: neither a card nor a record of such a model, nor its folder"
        )
    return f"---\n{_metadata(model, card, found)}\n---\n\n{_text(model, card, found, others)}"


def _of_folder(folder: Path) -> tuple[Card, str]:
    """A card of what a model's folder says, and the digest of its weights."""
    import zoo

    card = zoo.resolve(folder.absolute())
    summary = folder.absolute().parent / SUMMARY  # of the training that wrote the folder
    if summary.is_file():
        content = json.loads(summary.read_text(encoding="utf-8"))
        card = replace(card, command=str(content.get("command") or "") or None)
    return card, cards.check_weights(card, folder)


def _results(
    records: Iterable[Record], model: str, weights: str | None
) -> tuple[list[Record], int]:
    """The newest records of a model, all of the same weights, and how many are of others.

    Rows of an ablation share a name, and each has its own weights.
    """

    def row(record: Record) -> str | None:
        return record.variant if record.protocol.get("training") else None

    named = [record for record in records if record.metrics and record.model == model]
    if weights is not None:
        named = [r for r in records if r.metrics and r.weights_sha256 == weights]
    latest = {row(record): record.weights_sha256 for record in named}
    newest: dict[tuple[Any, ...], Record] = {}
    for record in named:
        if record.weights_sha256 == latest[row(record)]:
            key = (record.suite, record.benchmark, record.data.get("split"), record.variant)
            newest[key] = record
    others = sum(record.weights_sha256 != latest[row(record)] for record in named)
    return list(newest.values()), others


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


def _text(model: str, card: Card | None, records: list[Record], others: int) -> str:
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
    if not records:
        lines += ["No result of these weights is among the records.", ""]
    if others:
        lines += [f"Records of this name on other weights, left out: {others:,}.", ""]
    return "\n".join(lines).rstrip() + "\n"
