"""The levels of each part's benchmark, by its name and the metric's, as `suite.json` has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals.suite_mini import labelled, snli_ve, vqa
from evals.suite_mini.captioned import coco_entries, flickr_entries, scene_and_descriptions
from evals.suite_mini.classes import IMAGENET_CLASSES
from evals.suite_mini.meaning import Statement, is_true
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.texts import TASKS, GlueRow
from evals.suite_mini.vqa import QuestionEntry
from examples.embedded_levels.blind import bag_of_words_guesses, commonest, habit_guesses
from examples.embedded_levels.captions import CIDER, cider_level
from examples.embedded_levels.colours import colour_counts, colour_reader_accuracy
from examples.embedded_levels.ideal import chance_recall, holds_as_words, ideal_recall
from examples.embedded_levels.level import Level
from examples.embedded_levels.questions import vqa_level
from examples.embedded_levels.words import (
    accuracy,
    bag_of_words,
    logistic_baseline,
    majority_share,
    matthews,
    ridge_pearson,
    second_sentence,
)
from unimo2.formats.snli_ve import LABELS, NO_MAJORITY

_NOWHERE = Path()
"""For jobs that write nothing."""


def levels_of(part: str, request: SuiteRequest) -> dict[str, dict[str, Any]]:
    """What a part's benchmark can reach; empty for a part without a benchmark.

    Args:
        part: name of the data set.
        request: of the suite.

    Returns:
        Benchmark -> metric -> the fields of its `Level`.
    """
    if part not in _COMPUTED:
        return {}
    benchmark, compute = _COMPUTED[part]
    return {benchmark: {metric: asdict(level) for metric, level in compute(request).items()}}


def _coco(request: SuiteRequest) -> dict[str, Level]:
    """People's agreement, random captions, the commonest one."""
    captions: dict[str, list[list[str]]] = {}
    for entry in coco_entries(request):
        _, own = scene_and_descriptions(request.seed, entry)
        captions.setdefault(entry.split, []).append([one.text for one in own])
    training = [text for split in ("train", "restval") for own in captions[split] for text in own]
    return {CIDER: cider_level(captions["test"], training, request.seed)}


def _flickr(request: SuiteRequest) -> dict[str, Level]:
    """What the ideal reader, one of words without grammar, and a guess reach on the test split."""
    test = [
        scene_and_descriptions(request.seed, entry)
        for entry in flickr_entries(request)
        if entry.split == "test"
    ]
    statements = [[description.statement for description in own] for _, own in test]
    scenes = [scene for scene, _ in test]
    ideal = ideal_recall(scenes, statements)
    words = ideal_recall(scenes, statements, holds_as_words)
    chance = chance_recall([len(own) for own in statements])
    return {
        metric: Level(ideal[metric], chance[metric], one_modality={"bag of words": words[metric]})
        for metric in ideal
    }


def _imagenet(request: SuiteRequest) -> dict[str, Level]:
    """What can be reached, and what colours alone give."""
    jobs = labelled.IMAGENET.jobs(request)
    train = [job for job in jobs if job.split == "train"]
    val = [job for job in jobs if job.split == "val"]
    counts = {
        job: colour_counts(job.draw(job.portrait(request.seed), request.seed)[0]) for job in jobs
    }
    frequent = Counter(job.kind.wnid for job in train).most_common(1)[0][0]
    colours = colour_reader_accuracy(
        [counts[job] for job in train],
        [job.kind.wnid for job in train],
        [counts[job] for job in val],
        [job.kind.wnid for job in val],
    )
    level = Level(
        ideal=100.0 * sum(1.0 / _true_classes(job, request.seed) for job in val) / len(val),
        chance=100.0 / len(IMAGENET_CLASSES),
        majority=100.0 * sum(job.kind.wnid == frequent for job in val) / len(val),
        one_modality={"colours only": colours},
    )
    return {"accuracy": level}


def _true_classes(job: labelled.ClassPicture, seed: int) -> int:
    """How many classes are true of the picture's scene: one."""
    scene = job.portrait(seed).scene
    return sum(is_true(Statement((kind.kind,)), scene) for kind in IMAGENET_CLASSES)


def _vqa(request: SuiteRequest) -> dict[str, Level]:
    entries: dict[str, list[QuestionEntry]] = {"train": [], "test-dev": []}
    for job in vqa.VQA.jobs(request):
        if isinstance(job, vqa.QuestionJob) and job.split in entries:
            result = job.run(_NOWHERE, request.seed)
            entries[job.split] += [entry for pair in result.pairs for entry in pair]
    for own in entries.values():
        own.sort(key=lambda entry: entry.question_id)
    return {"accuracy": vqa_level(entries["train"], entries["test-dev"])}


def _snli_ve(request: SuiteRequest) -> dict[str, Level]:
    """Over the test pairs with a gold label.

    "ideal" reads the scene; "text only" is the best of three readers of the hypothesis alone: by
    its exact words, by how it is built, and a logistic regression on its words.
    """
    # Columns: text, gold label, what the scene says, form.
    columns: dict[str, list[list[str]]] = {}
    for split in ("train", "test"):
        jobs = [job for job in snli_ve.SNLI_VE.jobs(request) if job.split == split]
        kept = [
            (row["sentence2"], row["gold_label"], label, form)
            for result in (job.run(_NOWHERE, request.seed) for job in jobs)
            for row, label, form in zip(result.rows, result.labels, result.forms, strict=True)
            if row["gold_label"] != NO_MAJORITY
        ]
        columns[split] = [list(column) for column in zip(*kept, strict=True)]
    (texts, taught, _, forms), (asked, gold, true, asked_forms) = columns["train"], columns["test"]

    def percent(guesses: Sequence[str]) -> float:
        right = sum(guess == label for guess, label in zip(guesses, gold, strict=True))
        return 100.0 * right / len(gold)

    by_text = [
        habit_guesses([[key] for key in seen], taught, [[key] for key in keys])
        for seen, keys in ((texts, asked), (forms, asked_forms))
    ]
    by_text.append(bag_of_words_guesses(texts, taught, asked))
    level = Level(
        ideal=percent(true),
        chance=100.0 / len(LABELS),
        majority=percent([commonest(taught)] * len(gold)),
        one_modality={"text only": max(percent(guesses) for guesses in by_text)},
    )
    return {"accuracy": level}


def _rows(task: str, request: SuiteRequest) -> Mapping[str, Sequence[GlueRow]]:
    (part,) = (part for part in TASKS if part.name == task)
    return part.rows(request)


def _cola(request: SuiteRequest) -> dict[str, Level]:
    rows = _rows("cola", request)
    floor = matthews(logistic_baseline(bag_of_words, rows["train"]), rows["dev"])
    return {"matthews": Level(100.0, 0.0, 0.0, one_modality={"bag of words": floor})}


def _sst2(request: SuiteRequest) -> dict[str, Level]:
    rows = _rows("sst2", request)
    train, dev = rows["train"], rows["dev"]
    floor = accuracy(logistic_baseline(bag_of_words, train), dev)
    level = Level(100.0, 50.0, majority_share(train, dev), one_modality={"bag of words": floor})
    return {"accuracy": level}


def _mnli(request: SuiteRequest) -> dict[str, Level]:
    """By the names of the benchmark: over both files, and of each."""
    rows = _rows("mnli", request)
    train, matched, mismatched = (rows[name] for name in ("train", "dev_matched", "dev_mismatched"))
    floors = {
        "bag of words": logistic_baseline(bag_of_words, train),
        "hypothesis only": logistic_baseline(second_sentence, train),
    }
    return {
        metric: Level(
            ideal=100.0,
            chance=100.0 / 3,
            majority=majority_share(train, measured),
            one_modality={name: accuracy(reader, measured) for name, reader in floors.items()},
        )
        for metric, measured in (
            ("accuracy", [*matched, *mismatched]),
            ("accuracy[matched]", matched),
            ("accuracy[mismatched]", mismatched),
        )
    }


def _stsb(request: SuiteRequest) -> dict[str, Level]:
    rows = _rows("stsb", request)
    floor = ridge_pearson(rows["train"], rows["dev"])
    return {"pearson": Level(100.0, 0.0, one_modality={"word overlap": floor})}


_COMPUTED: dict[str, tuple[str, Callable[[SuiteRequest], dict[str, Level]]]] = {
    "coco": ("coco", _coco),
    "cola": ("cola", _cola),
    "flickr30k": ("flickr", _flickr),
    "imagenet": ("imagenet", _imagenet),
    "mnli": ("mnli", _mnli),
    "snli_ve": ("snli_ve", _snli_ve),
    "sst2": ("sst2", _sst2),
    "stsb": ("stsb", _stsb),
    "vqa": ("vqa", _vqa),
}
