"""Where files lie: written once, and as the official distributions have it."""

import ast
import re
from pathlib import Path

import pytest

from unimo2.formats import layout
from unimo2.formats.layout import CocoFiles, Flickr30kFiles, GlueFiles, SnliVeFiles, VqaFiles

ROOT = Path(__file__).resolve().parents[3]
OFFICIAL = re.compile(
    r"v2_OpenEnded_mscoco|v2_mscoco|dataset_(flickr30k|coco)\.json|flickr30k-images"
    r"|snli_ve_(train|dev|test|$)|LOC_(synset|val)_|captions_val20|VG_100K|region_descriptions"
    r"|GCC-|sbu-captions|SBU_captioned|human-imagelabels|class-descriptions|words\.txt"
    r"|COCO_(train|val|test)20|\b(train|dev|test)(_mis|_)?(matched)?\.tsv"
)
SOURCES = [
    path
    for package in ("unimo2", "evals", "zoo", "reports")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path != Path(layout.__file__)
]


def typed_paths(path: Path) -> list[str]:
    """Text constants that name an official file; sentences and patterns for people do not count."""
    return [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if OFFICIAL.search(node.value) and not re.search(r"[\s*]|\.$", node.value)
    ]


def test_the_pattern_finds_every_official_name() -> None:
    """Against the layout itself, which types them all."""
    found = "".join(typed_paths(Path(layout.__file__)))
    for name in ("flickr30k-images", "VG_100K_2", "words.txt", "LOC_val_solution.csv", "v2_mscoco"):
        assert name in found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_official_name_is_typed_elsewhere(path: Path) -> None:
    """Against the names of the official distributions."""
    assert not typed_paths(path)


@pytest.mark.parametrize(
    ("path", "official"),
    [
        (Flickr30kFiles(Path()).annotations, "flickr30k/dataset_flickr30k.json"),
        (CocoFiles(Path()).image("val2014", 42), "coco/val2014/COCO_val2014_000000000042.jpg"),
        (CocoFiles(Path()).references("val2017"), "coco/annotations/captions_val2017.json"),
        (
            VqaFiles(Path()).questions("test-dev"),
            "vqa/v2_OpenEnded_mscoco_test-dev2015_questions.json",
        ),
        (VqaFiles(Path()).annotations("val"), "vqa/v2_mscoco_val2014_annotations.json"),
        (
            VqaFiles(Path()).annotations("test-std"),
            "vqa/server/v2_mscoco_test2015_annotations.json",
        ),
        (
            VqaFiles(Path()).image("test-dev", 7),
            "coco/test2015/COCO_test2015_000000000007.jpg",
        ),
        (SnliVeFiles(Path()).image("77"), "flickr30k/flickr30k-images/77.jpg"),
        (GlueFiles(Path()).rows("mnli", "dev_matched"), "glue/MNLI/dev_matched.tsv"),
    ],
)
def test_paths_are_the_official_ones(path: Path, official: str) -> None:
    """Against the paths as the distributions unpack below a data root."""
    assert path.as_posix() == official
