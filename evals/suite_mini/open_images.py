"""Open Images: pictures of one to three things, with labels that people verified.

An annotator is shown a label and says whether it is right, so there are rejected labels, too, and
pictures of which no label is right. Labels are of three kinds: "Boat", "Red boat", "Striped boat".
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.suite_mini.classes import RARE_SHAPES, colour_words, noun_words
from evals.suite_mini.dice import Dice
from evals.suite_mini.lexicon import TEXTURE_WORDS
from evals.suite_mini.meaning import Mention
from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.pictures import write_scene
from evals.suite_mini.portraits import world_of
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.world import (
    BACKGROUNDS,
    COLOURS,
    GRID,
    SHAPES,
    Scene,
    Thing,
    colours_on,
    draw_texture,
)
from unimo2.formats.layout import OpenImagesFiles

_FOLDER = "open_images"
_IMAGES = 5_000
_REJECTED_EVERY = 50
"""One more picture for every fifty, of which no label is right."""
_THING_COUNT_WEIGHTS = (45, 35, 20)
_RARE_CHANCE = 0.5
_SMALL_CHANCE = 0.25
_SHOWN_CHANCES = {"plain": 0.55, "coloured": 0.75, "textured": 0.6}
_REJECTED_WEIGHTS = (45, 35, 20)
_SOURCES, _SOURCE_WEIGHTS = ("verification", "crowdsource-verification"), (3, 1)


@dataclass(frozen=True)
class Judged:
    """What a process hands back for a picture."""

    labels: tuple[tuple[Mention, str, bool], ...]
    """Label, who verified it, and whether it is right."""
    digest: str


@dataclass(frozen=True)
class OpenImage:
    """The work of one picture."""

    index: int
    rejected_only: bool

    @property
    def id(self) -> str:
        """16 hexadecimal digits, as Open Images has them."""
        return hashlib.sha256(f"{_FOLDER}:{self.index}".encode()).hexdigest()[:16]

    @property
    def path(self) -> str:
        """Relative to the suite's root."""
        return f"{_FOLDER}/train/{self.id}.jpg"

    def scene(self, seed: int) -> Scene:
        """What is to be seen: of the training world."""
        dice = Dice(seed, _FOLDER, self.index, "scene")
        while True:
            scene = _draw_scene(dice)
            if world_of(scene) == "train":
                return scene

    def run(self, root: Path, seed: int) -> Judged:
        """Draw and save it, and let people verify labels."""
        scene = self.scene(seed)
        dice = Dice(seed, _FOLDER, self.index, "labels")
        right = [] if self.rejected_only else _right_labels(scene, dice)
        wrong = _wrong_labels(scene, dice, at_least=1 if self.rejected_only else 0)
        labels = tuple(
            (label, _SOURCES[dice.weighted(_SOURCE_WEIGHTS)], label in right)
            for label in dice.shuffled([*right, *wrong])
        )
        texts = [f"{label_name(label)}: {verdict}" for label, _, verdict in labels]
        dice = Dice(seed, _FOLDER, self.index, "picture")
        return Judged(labels, write_scene(root / self.path, scene, dice, texts))


def all_labels() -> list[Mention]:
    """Every label there is: shapes, shapes in a colour, shapes with a texture."""
    return [
        label
        for shape in SHAPES + RARE_SHAPES
        for label in (
            Mention(shape),
            *(Mention(shape, colour) for colour in COLOURS),
            *(Mention(shape, texture=texture) for texture in ("striped", "dotted")),
        )
    ]


def label_name(label: Mention) -> str:
    """As in: Striped boat."""
    words = [] if label.texture is None else [TEXTURE_WORDS[label.texture][0][0]]
    words += [] if label.colour is None else [colour_words(label.colour)[0]]
    return " ".join([*words, noun_words(label.shape)[0]]).capitalize()


def label_id(label: Mention) -> str:
    """In the form of a Freebase id, "/m/0" and six letters or digits."""
    digest = hashlib.sha256(label_name(label).encode()).digest()
    return "/m/0" + "".join("0123456789bcdfghjklmnpqrstvwxyz_"[byte % 32] for byte in digest[:6])


def _draw_scene(dice: Dice) -> Scene:
    background = dice.pick(BACKGROUNDS)
    count = 1 + dice.weighted(_THING_COUNT_WEIGHTS)
    things = [
        Thing(
            cell=cell,
            shape=dice.pick(RARE_SHAPES if dice.chance(_RARE_CHANCE) else SHAPES),
            colour=dice.pick(colours_on(background)),
            size="small" if dice.chance(_SMALL_CHANCE) else "large",
            texture=draw_texture(dice),
        )
        for cell in dice.shuffled(range(GRID * GRID))[:count]
    ]
    return Scene(background, tuple(sorted(things)))


def _right_labels(scene: Scene, dice: Dice) -> list[Mention]:
    """Labels that fit; of the things that there are, at least the first gets one."""
    labels: dict[Mention, None] = {}
    for thing in dice.shuffled(scene.things):
        fitting = {"plain": Mention(thing.shape), "coloured": Mention(thing.shape, thing.colour)}
        if thing.texture != "plain":
            fitting["textured"] = Mention(thing.shape, texture=thing.texture)
        shown = [label for kind, label in fitting.items() if dice.chance(_SHOWN_CHANCES[kind])]
        labels |= dict.fromkeys(shown if shown or labels else [fitting["coloured"]])
    return list(labels)


def _wrong_labels(scene: Scene, dice: Dice, at_least: int) -> list[Mention]:
    """Labels that fit nothing in the picture, half of them with a shape that is there."""
    count = max(at_least, dice.weighted(_REJECTED_WEIGHTS))
    labels: dict[Mention, None] = {}
    while len(labels) < count:
        near = dice.chance(0.5)
        shape = dice.pick(scene.things).shape if near else dice.pick(SHAPES + RARE_SHAPES)
        coloured = near or dice.chance(0.5)
        label = Mention(shape, dice.pick(COLOURS) if coloured else None)
        if not any(label.fits(thing) for thing in scene.things):
            labels[label] = None
    return list(labels)


class _OpenImages(SuitePart):
    """Labelled pictures for pre-training with "a photo of [label]"."""

    name = _FOLDER

    def jobs(self, request: SuiteRequest) -> Sequence[OpenImage]:
        size = request.scaled(_IMAGES)
        total = size + size // _REJECTED_EVERY
        return [OpenImage(index, rejected_only=index >= size) for index in range(total)]

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        files = OpenImagesFiles.LABELS[0], OpenImagesFiles.CLASS_NAMES[0]
        return [f"{_FOLDER}/{file}" for file in files]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Judged]) -> Report:
        jobs = self.jobs(request)
        rows = (
            (job.id, source, label_id(label), int(right))
            for job, judged in sorted(zip(jobs, results, strict=True), key=lambda pair: pair[0].id)
            for label, source, right in judged.labels
        )
        header = ("ImageID", "Source", "LabelName", "Confidence")
        names = sorted((label_id(label), label_name(label)) for label in all_labels())
        tables: list[list[Sequence[object]]] = [[header, *rows], [*names]]
        for path, table in zip(self.annotations(request), tables, strict=True):
            with (root / path).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(table)
        return Report(
            counts={"train": sum(not job.rejected_only for job in jobs)},
            unit="images",
            digests=[judged.digest for judged in results],
        )


OPEN_IMAGES = _OpenImages()
