"""Visual Genome: pictures with phrases about parts of them, pairs for pre-training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.language import ANNOTATORS
from evals.suite_mini.meaning import RELATIONS, Link, Mention, Statement, related
from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.pictures import write_scene
from evals.suite_mini.render import SIDE
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.speaker import Speaker
from evals.suite_mini.world import GRID, Scene, Thing, make_scene
from unimo2.formats.layout import VisualGenomeFiles

_SAY_COLOUR, _SAY_SIZE, _SAY_TEXTURE, _SAY_PLAIN = 0.85, 0.4, 0.6, 0.06
_SECOND_PHRASE = 0.4
_PREDICATE = 0.25
_RELATED_PAIRS = 2
_MARGIN = 1
"""Pixels by which a large thing may leave its cell."""

Box = tuple[int, int, int, int]
"""x, y of the left upper corner, width, height, in pixels."""


@dataclass(frozen=True)
class RegionPhrase:
    """What one person wrote about a part of a picture."""

    text: str
    statement: Statement
    """What the phrase says; "exactly one" is never meant."""
    box: Box


def region_phrases(scene: Scene, dice: Dice) -> list[RegionPhrase]:
    """Phrases about every thing, a few pairs of things, and what is behind them.

    They are five to eleven in random order, each true of the scene.
    """
    phrases = [_about_thing(thing, dice) for thing in scene.things]
    phrases += [_about_thing(thing, dice) for thing in scene.things if dice.chance(_SECOND_PHRASE)]
    pairs = [(one, other) for one in scene.things for other in scene.things if one is not other]
    phrases += [_about_pair(*pair, dice) for pair in dice.shuffled(pairs)[:_RELATED_PAIRS]]
    phrases.append(_about_background(scene, dice))
    return dice.shuffled(phrases)


def _about_thing(thing: Thing, dice: Dice) -> RegionPhrase:
    """As in: a small red star with stripes; or: the star is red."""
    speaker = _somebody(dice)
    box = _box([thing])
    if dice.chance(_PREDICATE):
        noun, _ = speaker.say(lexicon.NOUNS[thing.shape])
        colour = speaker.say(lexicon.COLOUR_WORDS[thing.colour])
        statement = Statement((Mention(thing.shape, thing.colour),))
        return RegionPhrase(f"the {noun} is {colour}", statement, box)
    mention = _mention(thing, dice)
    say = speaker.thing if dice.chance(0.5) else speaker.bare_thing
    return RegionPhrase(say(mention), Statement((mention,)), box)


def _about_pair(first: Thing, second: Thing, dice: Dice) -> RegionPhrase:
    """As in: red star to the left of a house."""
    speaker = _somebody(dice)
    mentions = _mention(first, dice), _mention(second, dice)
    name = dice.pick([name for name in RELATIONS if related(name, first, second)])
    say = speaker.thing if dice.chance(0.5) else speaker.bare_thing
    text = f"{say(mentions[0])} {speaker.relation(name)} {speaker.thing(mentions[1])}"
    return RegionPhrase(text, Statement(mentions, (Link(name, 0, 1),)), _box([first, second]))


def _about_background(scene: Scene, dice: Dice) -> RegionPhrase:
    """As in: grass; the whole picture is its box."""
    name = _somebody(dice).say(lexicon.BACKGROUND_NAMES[scene.background])
    text = f"{name} in the background" if dice.chance(0.5) else name
    return RegionPhrase(text, Statement((), (), scene.background), (0, 0, SIDE, SIDE))


def _somebody(dice: Dice) -> Speaker:
    return Speaker(dice.below(len(ANNOTATORS)), dice)


def _mention(thing: Thing, dice: Dice) -> Mention:
    plain = thing.texture == "plain"
    return Mention(
        thing.shape,
        thing.colour if dice.chance(_SAY_COLOUR) else None,
        thing.size if dice.chance(_SAY_SIZE) else None,
        thing.texture if dice.chance(_SAY_PLAIN if plain else _SAY_TEXTURE) else None,
    )


def _box(things: Sequence[Thing]) -> Box:
    """The rectangle around the cells of some things, with the margin that they may need."""
    cell = SIDE // GRID
    left = max(min(thing.column for thing in things) * cell - _MARGIN, 0)
    top = max(min(thing.row for thing in things) * cell - _MARGIN, 0)
    right = min((max(thing.column for thing in things) + 1) * cell + _MARGIN, SIDE)
    bottom = min((max(thing.row for thing in things) + 1) * cell + _MARGIN, SIDE)
    return left, top, right - left, bottom - top


_FOLDER = "visual_genome"
_IMAGES = 2_000
_FIRST_ID, _ID_STEP = 2_315_001, 3


@dataclass(frozen=True)
class _Written:
    phrases: tuple[RegionPhrase, ...]
    digest: str


@dataclass(frozen=True)
class _RegionJob:
    index: int
    folder: str

    @property
    def image_id(self) -> int:
        return _FIRST_ID + _ID_STEP * self.index

    @property
    def path(self) -> str:
        return f"{_FOLDER}/{self.folder}/{self.image_id}.jpg"

    def run(self, root: Path, seed: int) -> _Written:
        key = (seed, _FOLDER, "train", self.index)
        scene = make_scene(*key)
        phrases = region_phrases(scene, Dice(*key, "regions"))
        texts = [f"{phrase.text} {phrase.box}" for phrase in phrases]
        digest = write_scene(root / self.path, scene, Dice(*key, "picture"), texts)
        return _Written(tuple(phrases), digest)


class _VisualGenome(SuitePart):
    name = _FOLDER

    def jobs(self, request: SuiteRequest) -> Sequence[_RegionJob]:
        size = request.scaled(_IMAGES)
        # The second half of the images lies in the second folder, as the two archives unpack.
        return [
            _RegionJob(index, VisualGenomeFiles.IMAGES[2 * index // size]) for index in range(size)
        ]

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        return [f"{_FOLDER}/{VisualGenomeFiles.REGIONS}"]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[_Written]) -> Report:
        jobs = self.jobs(request)
        region_ids = count(1)
        images: list[dict[str, Any]] = []
        for job, result in zip(jobs, results, strict=True):
            regions = []
            for phrase in result.phrases:
                x, y, width, height = phrase.box
                regions.append(
                    {"region_id": next(region_ids), "width": width, "height": height}
                    | {"image_id": job.image_id, "phrase": phrase.text, "y": y, "x": x}
                )
            images.append({"id": job.image_id, "regions": regions})
        (path,) = self.annotations(request)
        (root / path).write_text(json.dumps(images), encoding="utf-8")
        phrases = sum(len(result.phrases) for result in results)
        return Report(
            counts={"train": len(jobs)},
            unit=f"images with {phrases:,} region phrases",
            digests=[result.digest for result in results],
        )


VISUAL_GENOME = _VisualGenome()
