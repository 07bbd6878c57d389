"""Pictures with the text that the web has beside them: most fits, some hardly, some not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.language import ANNOTATORS, Description, describe
from evals.suite_mini.meaning import Mention, Statement, is_true
from evals.suite_mini.pictures import write_scene
from evals.suite_mini.speaker import Speaker
from evals.suite_mini.world import COLOURS, SHAPES, Scene, make_scene, split_of

FITS = "captions that fit"
OTHER = "captions of another picture"
DETAIL = "captions with a wrong detail"
VAGUE = "captions that hardly say anything"
NOISE = (OTHER, DETAIL, VAGUE)
_KINDS = (FITS, *NOISE)
_WEIGHTS = (80, 7, 7, 6)
"""Percent: a fifth is noise."""
_VAGUE_PHRASES = (
    "some {things} {background}",
    "{things} {background}",
    "{opening} some {things}",
    "a {noun} and more",
    "{noun} {background}",
    "{opening} a {noun} among other {things}",
)

Wording = Callable[[Description, Dice], str]
"""How a web site puts what an annotator says."""


@dataclass(frozen=True)
class WebCaption:
    """The text beside a picture."""

    text: str
    kind: str
    """`FITS` or one of `NOISE`."""
    statement: Statement
    """What it says, be it true or not."""


@dataclass(frozen=True)
class WebWritten:
    """What a process hands back for a picture."""

    caption: WebCaption
    digest: str


@dataclass(frozen=True)
class WebJob:
    """Draw one picture of the training world and find a text for it."""

    collection: str
    index: int
    path: str
    """Of the picture, relative to the suite's root."""
    wording: Wording
    """A function at module level, so that it can be sent to a process."""

    def run(self, root: Path, seed: int) -> WebWritten:
        """Save the picture; see `evals.suite_mini.part.Job`."""
        key = (seed, self.collection, "train", self.index)
        scene = make_scene(*key)
        caption = web_caption(scene, seed, self.collection, self.index, self.wording)
        digest = write_scene(root / self.path, scene, Dice(*key, "picture"), [caption.text])
        return WebWritten(caption, digest)


def web_caption(
    scene: Scene, seed: int, collection: str, index: int, wording: Wording
) -> WebCaption:
    """The text beside a picture; one in five is noise.

    Args:
        scene: what the picture shows.
        seed: of the suite.
        collection: name of the data set.
        index: of the picture.
        wording: how the site puts it.

    Returns:
        A text that is true of the scene, unless it is of kind `OTHER` or `DETAIL`: then it is
        false, though it describes a scene of the training world.
    """
    dice = Dice(seed, collection, "train", index, "captions")
    kind = _KINDS[dice.weighted(_WEIGHTS)]
    if kind == VAGUE:
        description = _vague(scene, dice)
    elif kind == FITS:
        description = _first(describe(scene, dice))
    else:
        description = _false(scene, kind, seed, collection, index, dice)
    return WebCaption(wording(description, dice), kind, description.statement)


def noise_counts(written: Sequence[WebWritten]) -> dict[str, int]:
    """How many captions are noise, by kind."""
    counts = Counter(result.caption.kind for result in written)
    return {kind: counts[kind] for kind in NOISE}


def _false(
    scene: Scene, kind: str, seed: int, collection: str, index: int, dice: Dice
) -> Description:
    """A sentence about another scene that does not hold in this one."""
    attempt = 0
    while True:
        if kind == OTHER:
            other = make_scene(seed, f"{collection}-elsewhere", "train", 64 * index + attempt)
        else:
            other = _altered(scene, dice)
        attempt += 1
        description = _first(describe(other, dice))
        if split_of(other) == "train" and not is_true(description.statement, scene):
            return description


def _altered(scene: Scene, dice: Dice) -> Scene:
    """The scene with another shape or colour for one of its things."""
    thing = dice.pick(scene.things)
    if dice.chance(0.5):
        other = replace(thing, colour=dice.pick([c for c in COLOURS if c != thing.colour]))
    else:
        other = replace(thing, shape=dice.pick([s for s in SHAPES if s != thing.shape]))
    things = (other if one is thing else one for one in scene.things)
    return Scene(scene.background, tuple(sorted(things)))


def _vague(scene: Scene, dice: Dice) -> Description:
    """As in: some shapes on the beach; a star and more."""
    speaker = Speaker(dice.below(len(ANNOTATORS)), dice)
    pattern = dice.pick(_VAGUE_PHRASES)
    shape = dice.pick(scene.things).shape
    (background,) = speaker.background(scene.background)
    noun, _ = speaker.say(lexicon.NOUNS[shape])
    text = pattern.format(
        things=speaker.say(lexicon.THINGS),
        background=background,
        opening=speaker.say(lexicon.OPENINGS),
        noun=noun,
    )
    mentions = (Mention(shape),) if "{noun}" in pattern else ()
    said = scene.background if "{background}" in pattern else None
    return Description(text, Statement(mentions, (), said))


def _first(descriptions: Sequence[Description]) -> Description:
    """One annotator's: they come in random order."""
    return descriptions[0]
