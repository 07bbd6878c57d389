"""Visual Genome: pictures with phrases about many regions of each, pairs for pre-training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.suite_mini.dice import Dice
from evals.suite_mini.part import Report
from evals.suite_mini.pictures import write_scene
from evals.suite_mini.regions import RegionPhrase, region_phrases
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.world import make_scene
from unimo2.formats.layout import VisualGenomeFiles

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
    image_id: int
    path: str

    def run(self, root: Path, seed: int) -> _Written:
        key = (seed, _FOLDER, "train", self.index)
        scene = make_scene(*key)
        phrases = region_phrases(scene, Dice(*key, "regions"))
        texts = [f"{phrase.text} {phrase.box}" for phrase in phrases]
        digest = write_scene(root / self.path, scene, Dice(*key, "picture"), texts)
        return _Written(tuple(phrases), digest)


class _VisualGenome:
    name = "visual_genome"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return [f"{_FOLDER}/{folder}" for folder in VisualGenomeFiles.IMAGES]

    def jobs(self, request: SuiteRequest) -> Sequence[_RegionJob]:
        size = request.scaled(_IMAGES)
        return [_job(index, size) for index in range(size)]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[_Written]) -> Report:
        jobs = self.jobs(request)
        region_id = 0
        images: list[dict[str, Any]] = []
        for job, result in zip(jobs, results, strict=True):
            regions = []
            for phrase in result.phrases:
                region_id += 1
                x, y, width, height = phrase.box
                regions.append(
                    {"region_id": region_id, "width": width, "height": height}
                    | {"image_id": job.image_id, "phrase": phrase.text, "y": y, "x": x}
                )
            images.append({"id": job.image_id, "regions": regions})
        (root / _FOLDER / VisualGenomeFiles.REGIONS).write_text(
            json.dumps(images), encoding="utf-8"
        )
        return Report(
            counts={"train": len(jobs)},
            unit=f"images with {region_id:,} region phrases",
            digests=[result.digest for result in results],
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [f"{_FOLDER}/{VisualGenomeFiles.REGIONS}", *(job.path for job in self.jobs(request))]


def _job(index: int, size: int) -> _RegionJob:
    """The second half of the images lies in the second folder, as the two archives unpack."""
    folder = VisualGenomeFiles.IMAGES[2 * index // size]
    image_id = _FIRST_ID + _ID_STEP * index
    return _RegionJob(index, image_id, f"{_FOLDER}/{folder}/{image_id}.jpg")


PART = _VisualGenome()
