"""VQA v2: COCO's photos with questions, and the answers that are public."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples, by_picture
from unimo2.formats.coco import image_file
from unimo2.formats.parsing import MISSING_IMAGE, Skips
from unimo2.formats.vqa import Annotation, read_annotations, read_questions

# Split -> name in the files of questions and annotations, folder of the photos.
_FILES = {
    "val": ("val2014", "val2014"),
    "train": ("train2014", "train2014"),
    "test-dev": ("test-dev2015", "test2015"),
    "test-std": ("test2015", "test2015"),
}


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    yield from by_picture(_lines(root, split, skips))


def _lines(root: Path, split: str, skips: Skips) -> Iterator[tuple[Path, str]]:
    """Photo, and question with its answers."""
    name, folder = _FILES[split]
    questions = read_questions([root / "vqa" / f"v2_OpenEnded_mscoco_{name}_questions.json"])
    annotations = root / "vqa" / f"v2_mscoco_{name}_annotations.json"
    answers: dict[int, Annotation] = {}
    if annotations.is_file():  # the answers of the test splits are on a server
        answers = {one.question_id: one for one in read_annotations([annotations])}
    for question in questions:
        path = image_file(root, folder, question.image_id)
        if not path.is_file():
            skips.add(MISSING_IMAGE, str(path))
            continue
        annotation = answers.get(question.id)
        yield path, question.text + (f" {_said(annotation)}" if annotation else "")


def _said(annotation: Annotation) -> str:
    """As in: yes (8), no (2)."""
    counts = Counter(answer.text for answer in annotation.answers)
    return ", ".join(f"{text} ({count})" for text, count in counts.most_common())


SAMPLES = Samples(tuple(_FILES), _read)
