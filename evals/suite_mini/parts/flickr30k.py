"""Flickr30k in Karpathy's layout: image-text retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.suite_mini.captioned import (
    FLICKR_IMAGES,
    PictureJob,
    Written,
    flickr_entries,
    split_counts,
    write_karpathy,
)
from evals.suite_mini.part import Report
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
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [_JSON, *(entry.path for entry in flickr_entries(request))]


PART = _Flickr30k()
