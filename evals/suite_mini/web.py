"""Pictures with a text from the web, pairs for pre-training: Conceptual Captions and SBU.

Most texts say what is to be seen; one in five is noise, as in what was collected from the web.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.language import ANNOTATORS, Description, describe
from evals.suite_mini.meaning import Mention, Statement, is_true
from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.pictures import write_scene
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.speaker import Speaker
from evals.suite_mini.world import COLOURS, SHAPES, Scene, make_scene, split_of
from unimo2.formats.layout import ConceptualCaptionsFiles, SbuFiles

FITS = "captions that fit"
OTHER = "captions of another picture"
DETAIL = "captions with a wrong detail"
VAGUE = "captions that hardly say anything"
NOISE = (OTHER, DETAIL, VAGUE)
_KINDS = (FITS, *NOISE)
_WEIGHTS = (80, 7, 7, 6)
"""Percent: a fifth is noise."""
_WORDS: dict[str, lexicon.Words] = lexicon.TABLES["web"]
_PAIRS = 4_000

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

    It is true of the scene, unless it is of kind `OTHER` or `DETAIL`: then it is false, though it
    describes a scene of the training world.
    """
    dice = Dice(seed, collection, "train", index, "captions")
    kind = _KINDS[dice.weighted(_WEIGHTS)]
    if kind == VAGUE:
        description = _vague(scene, dice)
    elif kind == FITS:
        description = describe(scene, dice)[0]
    else:
        description = _false(scene, kind, seed, collection, index, dice)
    return WebCaption(wording(description, dice), kind, description.statement)


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
        description = describe(other, dice)[0]
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
    pattern = dice.pick(_WORDS["vague"])
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


_PUNCTUATION = re.compile(r"\s*([,.:])")
_OWNERS = 311
_CHATTER = 0.3
"""How often an owner says something before the description, and something after it."""


def in_owners_words(description: Description, dice: Dice) -> str:
    """What the owner says of the picture, with a little talk around it."""
    before = dice.pick(_WORDS["before"]) + " " if dice.chance(_CHATTER) else ""
    after = " " + dice.pick(_WORDS["after"]) if dice.chance(_CHATTER) else ""
    text = description.text if dice.chance(0.5) else description.text.lower()
    if after and text[-1] != ".":
        text += "."
    return before + text + after


def cleaned(description: Description, dice: Dice) -> str:
    """As Google's filter leaves a text: lower case, punctuation apart."""
    return _PUNCTUATION.sub(r" \1", description.text.lower())


@dataclass(frozen=True)
class WebPart(SuitePart):
    """One collection of pairs from the web."""

    name: str
    """Of the data set, its folder too."""
    listing: str
    """The file of captions and addresses."""
    image: Callable[[int], str]
    """Path of a picture by its number, from the address as the downloaders name it."""
    wording: Wording
    """How the site puts a description."""
    write: Callable[[Sequence[str]], str]
    """The listing's text from the captions."""

    def jobs(self, request: SuiteRequest) -> Sequence[WebJob]:
        """One for each picture."""
        return [
            WebJob(self.name, index, f"{self.name}/{self.image(index)}", self.wording)
            for index in range(request.scaled(_PAIRS))
        ]

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        """The listing."""
        return [f"{self.name}/{self.listing}"]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[WebWritten]) -> Report:
        """Write the listing."""
        text = self.write([result.caption.text for result in results])
        (root / self.name / self.listing).write_text(text, encoding="utf-8")
        counts = Counter(result.caption.kind for result in results)
        return Report(
            counts={"train": len(results)},
            unit="pairs",
            digests=[result.digest for result in results],
            dropped={kind: counts[kind] for kind in NOISE},
        )


def _address(index: int) -> str:
    return f"http://pictures.example.org/{index % 97:02d}/drawing-{index:06d}.jpg"


def _cc_image(index: int) -> str:
    """Named by the CRC-32 of the address, as ViLBERT's downloader does."""
    return f"{ConceptualCaptionsFiles.IMAGES['train']}/{zlib.crc32(_address(index).encode('utf-8'))}.jpg"


def _tsv(captions: Sequence[str]) -> str:
    return "".join(f"{text}\t{_address(index)}\n" for index, text in enumerate(captions))


def _photo(index: int) -> str:
    """Flickr's names: a number and a secret."""
    secret = hashlib.sha256(f"sbu {index}".encode()).hexdigest()[:10]
    return f"{2_300_000_000 + 104_729 * index}_{secret}.jpg"


def _sbu_image(index: int) -> str:
    return f"{SbuFiles.IMAGES}/{_photo(index)}"


def _lists(captions: Sequence[str]) -> str:
    indices = range(len(captions))
    content = {
        "image_urls": [f"http://photos.example.org/{_photo(index)}" for index in indices],
        "user_ids": [f"{Dice('sbu', index).below(_OWNERS):08d}@N00" for index in indices],
        "captions": list(captions),
    }
    return json.dumps(content)


CONCEPTUAL_CAPTIONS = WebPart(
    "conceptual_captions", ConceptualCaptionsFiles.CAPTIONS["train"], _cc_image, cleaned, _tsv
)
SBU = WebPart("sbu", SbuFiles.JSON, _sbu_image, in_owners_words, _lists)
