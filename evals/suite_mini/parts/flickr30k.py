"""Flickr30k in Karpathy's layout: image-text retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.suite_mini.captioned import (
    FLICKR_IMAGES,
    PictureJob,
    Written,
    flickr_entries,
    scene_and_descriptions,
    split_counts,
    write_karpathy,
)
from evals.suite_mini.ideal import chance_recall, holds_as_words, ideal_recall
from evals.suite_mini.part import Level, Report
from evals.suite_mini.request import SuiteRequest
from unimo2.formats.layout import Flickr30kFiles

_JSON = Flickr30kFiles(Path()).annotations.as_posix()


class _Flickr30k:
    name = "flickr30k"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return [FLICKR_IMAGES]

    def jobs(self, request: SuiteRequest) -> Sequence[PictureJob]:
        return [PictureJob(entry) for entry in flickr_entries(request)]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Written]) -> Report:
        entries = flickr_entries(request)
        write_karpathy(root / _JSON, self.name, entries, results)
        return Report(
            counts=split_counts(entries),
            unit="images with 5 captions each",
            digests=[result.digest for result in results],
            levels={"flickr": _levels(request)},
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [_JSON, *(entry.path for entry in flickr_entries(request))]


def _levels(request: SuiteRequest) -> dict[str, Level]:
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


PART = _Flickr30k()
