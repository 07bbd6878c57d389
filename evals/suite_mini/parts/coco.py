"""COCO captions in Karpathy's layout: captioning, and pairs for pre-training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from evals.suite_mini.captioned import (
    COCO_FOLDER,
    Entry,
    PictureJob,
    Written,
    coco_entries,
    split_counts,
    write_karpathy,
)
from evals.suite_mini.part import Report
from evals.suite_mini.render import SIDE
from evals.suite_mini.request import SuiteRequest
from unimo2.formats.layout import CocoFiles

_JSON = CocoFiles(Path()).annotations.as_posix()
_ANNOTATIONS = f"{COCO_FOLDER}/annotations"
_REFERENCES = CocoFiles(Path()).references("val2014").as_posix()
_LICENCE = {"id": 1, "name": "Drawn by unimo2 data make-mini", "url": ""}


class _Coco:
    name = "coco"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return [_ANNOTATIONS, *sorted({entry.folder for entry in coco_entries(request)})]

    def jobs(self, request: SuiteRequest) -> Sequence[PictureJob]:
        return [PictureJob(entry) for entry in coco_entries(request)]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Written]) -> Report:
        entries = coco_entries(request)
        write_karpathy(root / _JSON, self.name, entries, results)
        _write_references(root / _REFERENCES, entries, results)
        return Report(
            counts=split_counts(entries),
            unit="images with 5 captions each",
            digests=[result.digest for result in results],
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [_JSON, _REFERENCES, *(entry.path for entry in coco_entries(request))]


def _write_references(path: Path, entries: Sequence[Entry], written: Sequence[Written]) -> None:
    """Save the captions of all images in val2014 as COCO's own annotation file has them."""
    chosen = [
        (entry, result)
        for entry, result in zip(entries, written, strict=True)
        if entry.folder.endswith("val2014")
    ]
    images = [
        {"license": 1, "file_name": entry.filename, "coco_url": "", "height": SIDE, "width": SIDE}
        | {"date_captured": "2026-01-01 00:00:00", "flickr_url": "", "id": entry.cocoid}
        for entry, _ in chosen
    ]
    captions = [(entry.cocoid, text) for entry, result in chosen for text, _ in result.captions]
    annotations = [
        {"image_id": image, "id": number, "caption": text}
        for number, (image, text) in enumerate(captions, start=1)
    ]
    content = {
        "info": {"description": "COCO captions of the mini suite", "version": "1.0", "year": 2026},
        "images": images,
        "licenses": [_LICENCE],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content), encoding="utf-8")


PART = _Coco()
