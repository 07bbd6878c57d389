"""SNLI-VE: hypotheses about Flickr30k's pictures; the scene decides the label.

Left out of the official fields are the four parses of the sentences, which no reader here uses.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.suite_mini.captioned import CaptionedEntry as Picture
from evals.suite_mini.captioned import flickr_entries, scene_and_descriptions
from evals.suite_mini.dice import Dice
from evals.suite_mini.entailment import hypothesis_pairs
from evals.suite_mini.pairing import PictureGroup, groups
from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.request import SuiteRequest
from unimo2.formats.layout import SnliVeFiles
from unimo2.formats.snli_ve import LABELS, NO_MAJORITY

# Pairs per picture: 30,000 in training, 1,500 for development, 1,500 in the test, at scale 1.
_PER_PICTURE = {"train": 15, "dev": 5, "test": 5}
_TEST_PICTURES = 300
_FLICKR_SPLITS = {"train": "train", "dev": "val", "test": "test"}
_VALIDATED_CHANCE = {"train": 0.1, "dev": 1.0, "test": 1.0}
"""How many pairs have four more labels beside their author's, as in SNLI."""
_VALIDATORS = 4
_AGREEMENT = 0.82


@dataclass(frozen=True)
class EntailmentJobResult:
    """What a job hands back."""

    split: str
    rows: tuple[dict[str, Any], ...]
    labels: tuple[str, ...]
    """What the scene says, row by row; also where the annotators have no majority."""
    forms: tuple[str, ...]
    """How the hypothesis of each row is built."""
    digests: tuple[str, ...]


@dataclass(frozen=True)
class HypothesisJob(PictureGroup):
    """Say things about a group of pictures."""

    path = ""

    def run(self, root: Path, seed: int) -> EntailmentJobResult:
        """Word the hypotheses and label them; see `evals.suite_mini.part.Job`."""
        described = [scene_and_descriptions(seed, picture) for picture in self.pictures]
        dice = Dice(seed, "snli_ve", self.split, self.number, "hypotheses")
        said_of = Counter[int]()
        rows, labels, forms, digests = [], [], [], []
        pairs = hypothesis_pairs([scene for scene, _ in described], self.pairs, dice)
        for hypothesis in (member for pair in pairs for member in pair):
            scene, captions = described[hypothesis.picture]
            said_of[hypothesis.picture] += 1
            caption = dice.below(len(captions))
            name = self.pictures[hypothesis.picture].stem
            votes = annotator_labels(hypothesis.label, _VALIDATED_CHANCE[self.split], dice)
            source = f"{name}.jpg#{caption}"
            row = {
                "Flickr30K_ID": name,
                "annotator_labels": votes,
                "captionID": source,
                "gold_label": gold_label(votes),
                "pairID": f"{source}r{said_of[hypothesis.picture]}{hypothesis.label[0]}",
                "sentence1": captions[caption].text,
                "sentence2": hypothesis.text,
            }
            rows.append(row)
            labels.append(hypothesis.label)
            forms.append(hypothesis.form.name)
            text = f"{scene.key()}\n{json.dumps(row)}"
            digests.append(hashlib.sha256(text.encode()).hexdigest())
        return EntailmentJobResult(
            self.split, tuple(rows), tuple(labels), tuple(forms), tuple(digests)
        )


def annotator_labels(label: str, validated: float, dice: Dice) -> list[str]:
    """The author's label, and those of four others if the pair was shown to them.

    Args:
        label: what the scene says, which is the author's.
        validated: chance that it was shown.
        dice: for who errs.

    Returns:
        One label or five.
    """
    if not dice.chance(validated):
        return [label]
    others = [other for other in LABELS if other != label]
    return [
        label,
        *(label if dice.chance(_AGREEMENT) else dice.pick(others) for _ in range(_VALIDATORS)),
    ]


def gold_label(votes: Sequence[str]) -> str:
    """SNLI's rule: the label of more than half of the annotators, or "-"."""
    label, count = Counter(votes).most_common(1)[0]
    return label if 2 * count > len(votes) else NO_MAJORITY


def pictures(request: SuiteRequest) -> dict[str, list[Picture]]:
    """The pictures that each split speaks of."""
    flickr = flickr_entries(request)
    chosen = {
        split: [picture for picture in flickr if picture.split == name]
        for split, name in _FLICKR_SPLITS.items()
    }
    chosen["test"] = chosen["test"][: request.scaled(_TEST_PICTURES)]
    return chosen


class _SnliVe(SuitePart):
    name = "snli_ve"

    def jobs(self, request: SuiteRequest) -> Sequence[HypothesisJob]:
        return [
            job
            for split, own in pictures(request).items()
            for job in groups(HypothesisJob, split, own, _PER_PICTURE[split])
        ]

    def finish(
        self, root: Path, request: SuiteRequest, results: Sequence[EntailmentJobResult]
    ) -> Report:
        counts = Counter[str]()
        undecided = 0
        for split in _PER_PICTURE:
            rows = [row for result in results if result.split == split for row in result.rows]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            SnliVeFiles(root).pairs(split).write_text(lines, encoding="utf-8")
            counts[split] = len(rows)
            undecided += sum(row["gold_label"] == NO_MAJORITY for row in rows)
        return Report(
            counts=dict(counts),
            unit="pairs",
            digests=[digest for result in results for digest in result.digests],
            dropped={"pairs without a majority label ('-')": undecided} if undecided else {},
        )

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        return [SnliVeFiles(Path()).pairs(split).as_posix() for split in _PER_PICTURE]


SNLI_VE = _SnliVe()
