"""Training samples of every task, from the official files of a data root."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from unimo2.data.seeding import ORDER, stream
from unimo2.errors import BadData, MissingData, UsageError
from unimo2.formats import glue, snli_ve, vqa
from unimo2.formats.imagenet import read_labels, read_synsets
from unimo2.formats.karpathy import KarpathyImage, read_karpathy
from unimo2.formats.layout import (
    CocoFiles,
    Flickr30kFiles,
    GlueFiles,
    ImageNetFiles,
    SnliVeFiles,
    VqaFiles,
)
from unimo2.formats.parsing import first_few
from unimo2.formats.vqa import Annotation, clean, normalise
from unimo2.training.finetuning.classification import Classes, Numbers, SoftTargets, Targets


@dataclass(frozen=True)
class Samples:
    """Labelled samples as they come from the files."""

    targets: Targets  # what is to be said of each
    # names of the classes, in the order of their numbers; empty where the target is a number
    labels: tuple[str, ...]
    # of each sample one sentence, or a pair; empty for images alone
    texts: tuple[tuple[str, ...], ...] = ()
    images: tuple[Path, ...] = ()  # files, each once; empty for texts alone
    image_of: tuple[int, ...] = ()  # for each sample its place in `images`; empty for texts alone


def read_captioned(root: Path, name: str) -> list[KarpathyImage]:
    """The training images of "flickr" or "coco" (train and restval) with their captions.

    Raises:
        BadData: A broken file, or an image without captions.
    """
    if name == "flickr":
        path = Flickr30kFiles(root).annotations
        images = read_karpathy(path, Flickr30kFiles(root).images, ["train"])
    else:
        path = CocoFiles(root).annotations
        images = read_karpathy(path, CocoFiles(root).folder, ["train", "restval"])
    bare = [image.filename for image in images if not image.captions]
    if bare:
        raise BadData(f"{path}: images without captions: {first_few(bare)}")
    return images


def hold_out(
    images: Sequence[KarpathyImage], count: int
) -> tuple[list[KarpathyImage], list[KarpathyImage]]:
    """The images without `count` of them, spread evenly over the file, and those, for development.

    Raises:
        UsageError: More than half of the images would be kept.
    """
    if 2 * count > len(images):
        raise UsageError(
            f"training.select_on='train' keeps {count:,} of {len(images):,} training images for "
            f"development; use --set eval_limit={len(images) // 2} or less"
        )
    places = {len(images) * number // count for number in range(count)}
    kept = [image for place, image in enumerate(images) if place in places]
    return [image for place, image in enumerate(images) if place not in places], kept


def read_glue(root: Path, task: str) -> Samples:
    """The training rows of a GLUE task that have a label."""
    path = GlueFiles(root).rows(task, "train")
    rows = [row for row in glue.read_rows_of(task, path) if row.target is not None]
    if not rows:
        raise BadData(f"{path}: no row has a label")
    labels = glue.TASKS[task].labels
    texts = tuple(row.sentences for row in rows)
    if labels is None:
        return Samples(Numbers([float(row.target or 0.0) for row in rows]), (), texts)
    number = {label: place for place, label in enumerate(labels)}
    return Samples(Classes([number[str(row.target)] for row in rows]), labels, texts)


def read_snli_ve(root: Path) -> Samples:
    """The training pairs of SNLI-VE that have a label; those marked "-" are left out."""
    files = SnliVeFiles(root)
    path = files.pairs("train")
    pairs = [pair for pair in snli_ve.read_pairs(path) if pair.label is not None]
    if not pairs:
        raise BadData(f"{path}: no pair has a gold label")
    number = {label: place for place, label in enumerate(snli_ve.LABELS)}
    images, image_of = _each_once([files.image(pair.image) for pair in pairs])
    return Samples(
        Classes([number[str(pair.label)] for pair in pairs]),
        snli_ve.LABELS,
        tuple((pair.hypothesis,) for pair in pairs),
        images,
        image_of,
    )


def read_vqa(root: Path, splits: Sequence[str], threshold: int) -> Samples:
    """Training questions of some splits with soft targets over the answer list.

    The list is made of the annotations of train and val, whichever of them are there, as the usual
    3,129 answers are; `threshold` as for `answer_list`.

    Raises:
        BadData: A broken file, a question without annotation.
    """
    found: dict[str, list[vqa.Annotation]] = {}
    for split in ("train", "val"):
        path = VqaFiles(root).annotations(split)
        if split in splits or path.is_file():
            found[split] = vqa.read_annotations([path])
        if split in splits and not found[split]:
            raise BadData(f"{path}: no annotation in it")
    answers = answer_list([one for part in found.values() for one in part], threshold)
    asked: list[vqa.Question] = []
    annotations: list[vqa.Annotation] = []
    files: list[Path] = []
    for split in splits:
        path = VqaFiles(root).questions(split)
        questions = vqa.read_questions([path])
        if not questions:
            raise BadData(f"{path}: no question in it")
        known = {one.question_id: one for one in found[split]}
        lonely = [question.id for question in questions if question.id not in known]
        if lonely:
            raise BadData(f"{path}: questions without annotation: {first_few(lonely)}")
        asked += questions
        annotations += [known[question.id] for question in questions]
        files += [VqaFiles(root).image(split, question.image_id) for question in questions]
    images, image_of = _each_once(files)
    return Samples(
        SoftTargets(soft_targets(annotations, answers), len(answers)),
        tuple(answers),
        tuple((question.text,) for question in asked),
        images,
        image_of,
    )


_HOLDOUT_SEED = 0


def read_imagenet(root: Path, holdout: float) -> tuple[Samples, Samples]:
    """The training images of ImageNet, and those of each class that are kept for development.

    A share of `holdout`, rounded, is kept of each class; always the same images, so that runs with
    different seeds can be compared on them.

    Raises:
        MissingData: A file or folder is not there.
        BadData: A broken file, or a class that the mapping lacks.
    """
    mapping, folder = ImageNetFiles(root).mapping, ImageNetFiles(root).images("train")
    wnids = [synset.wnid for synset in read_synsets(mapping)]
    number = {wnid: place for place, wnid in enumerate(wnids)}
    if not folder.is_dir():
        raise MissingData(f"ImageNet training images not found: {folder} (<wnid>/*.JPEG)")
    of_class: dict[str, list[Path]] = defaultdict(list)
    for image in read_labels(folder):
        assert image.path is not None  # a folder was read
        of_class[image.wnid].append(image.path)
    unknown = sorted(set(of_class) - set(number))
    if unknown:
        raise BadData(f"{folder}: classes that {mapping} lacks: {first_few(unknown)}")
    generator = stream(_HOLDOUT_SEED, 0, ORDER)
    parts: tuple[list[tuple[int, Path]], list[tuple[int, Path]]] = ([], [])
    for wnid, paths in of_class.items():
        kept = set(
            torch.randperm(len(paths), generator=generator)[: round(holdout * len(paths))].tolist()
        )
        for place, path in enumerate(paths):
            parts[place in kept].append((number[wnid], path))
    train, development = (
        Samples(
            Classes([label for label, _ in part]),
            tuple(wnids),
            images=tuple(path for _, path in part),
            image_of=tuple(range(len(part))),
        )
        for part in parts
    )
    return train, development


def _each_once(files: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    places: dict[Path, int] = {}
    image_of = tuple(places.setdefault(file, len(places)) for file in files)
    return tuple(places), image_of


_ENOUGH = 3  # annotators whose answer is entirely right


def _normaliser() -> Callable[[str], str]:
    """Normalisation that remembers: a few thousand answers make up nearly all of VQA's millions."""
    return lru_cache(maxsize=200_000)(lambda answer: normalise(clean(answer)))


def most_common(annotation: Annotation) -> str:
    """The answer that most annotators gave; the first given of equally common ones."""
    if annotation.most_common is not None:
        return annotation.most_common
    return Counter(answer.text for answer in annotation.answers).most_common(1)[0][0]


def answer_list(annotations: Sequence[Annotation], threshold: int) -> list[str]:
    """The answers that are classes: normalised, the most frequent first, then by the alphabet.

    Args:
        annotations: Annotations of train and val.
        threshold: Questions whose most common answer an answer must be.

    Raises:
        BadData: No answer is that frequent.
    """
    normal = _normaliser()
    counts = Counter(normal(most_common(annotation)) for annotation in annotations)
    kept = [(-count, answer) for answer, count in counts.items() if count >= threshold]
    if not kept:
        raise BadData(
            f"no answer is the most common one of {threshold} of the {len(annotations)} questions; "
            "use a lower --set answer_threshold="
        )
    return [answer for _, answer in sorted(kept)]


def soft_targets(
    annotations: Sequence[Annotation], answers: Sequence[str]
) -> list[Mapping[int, float]]:
    """Score of each class as the answer to each question: min(times given / 3, 1)."""
    normal = _normaliser()
    number = {answer: place for place, answer in enumerate(answers)}
    targets: list[Mapping[int, float]] = []
    for annotation in annotations:
        given = Counter(normal(answer.text) for answer in annotation.answers)
        targets.append(
            {
                number[answer]: min(times / _ENOUGH, 1.0)
                for answer, times in given.items()
                if answer in number
            }
        )
    return targets
