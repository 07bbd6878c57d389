"""COCO captions in Karpathy's layout: captioning, and pairs for pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.suite_mini.captioned import (
    COCO_FOLDER,
    PictureJob,
    Written,
    coco_entries,
    split_counts,
    write_karpathy,
)
from evals.suite_mini.part import Report
from evals.suite_mini.request import SuiteRequest

_JSON = f"{COCO_FOLDER}/dataset_coco.json"


class _Coco:
    name = "coco"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return sorted({entry.folder for entry in coco_entries(request)})

    def jobs(self, request: SuiteRequest) -> Sequence[PictureJob]:
        return [PictureJob(entry) for entry in coco_entries(request)]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Written]) -> Report:
        entries = coco_entries(request)
        write_karpathy(root / _JSON, self.name, entries, results)
        return Report(
            counts=split_counts(entries),
            unit="images with 5 captions each",
            digests=[result.digest for result in results],
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [_JSON, *(entry.path for entry in coco_entries(request))]


PART = _Coco()
