"""The text corpora of the embedded suite, read back by the reader of plain text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evals.datasets.checks import check_text
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import related
from evals.suite_mini.parts import bookwiki, openwebtext
from evals.suite_mini.prose.corpus import TextPart
from evals.suite_mini.prose.narrator import Narrator
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.world import make_scene
from unimo2.formats.plain_text import text_lines

PARTS = (bookwiki.PART, openwebtext.PART)


def _written(part: TextPart, root: Path, request: SuiteRequest) -> list[str]:
    for folder in part.folders(request):
        (root / folder).mkdir(parents=True)
    results = [job.run(root, request.seed) for job in part.jobs(request)]
    return list(part.finish(root, request, results).digests)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_reader_of_plain_text_reads_every_paragraph(part: TextPart, tmp_path: Path) -> None:
    """Truth: as many lines as digests, in the folder that the catalogue names, and no other file."""
    request = SuiteRequest(scale=0.1)
    digests = _written(part, tmp_path, request)
    lines = [line.text for line in text_lines(tmp_path / part.name)]
    assert len(lines) == len(digests) == request.scaled(part.paragraphs)
    on_disk = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert on_disk == set(part.files(request))
    assert not check_text(tmp_path / part.name).problems


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_paragraphs_are_prose(part: TextPart, tmp_path: Path) -> None:
    """Truth: rules of English spelling: a/an before the sound, capitals, no doubled words or gaps."""
    _written(part, tmp_path, SuiteRequest(scale=0.1))
    for line in text_lines(tmp_path / part.name):
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n (?!hour)[^aeiou]", line.text), line.text
        assert not re.search(r"  | [.,;?!]|\.\.|\b(\w+) \1\b", line.text), line.text
        assert re.match(r'"?[A-Z]', line.text), line.text
        assert line.text[-1] in '.?!"', line.text


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_same_seed_gives_the_same_text(part: TextPart, tmp_path: Path) -> None:
    """Truth: a second run, and a run with another seed."""
    small = SuiteRequest(scale=0.02)
    first = _written(part, tmp_path / "first", small)
    assert first == _written(part, tmp_path / "second", small)
    assert first != _written(part, tmp_path / "other", SuiteRequest(seed=1, scale=0.02))


def test_a_narrators_relations_hold_in_the_scene() -> None:
    """Truth: the relation of the meaning module, on names that fit one thing only."""
    for index in range(200):
        scene = make_scene(0, "prose", "train", index)
        teller = Narrator(scene, Dice(0, "prose", index))
        triple = teller.relation()
        if triple is not None:
            assert related(triple[1], triple[0], triple[2])
        for thing in teller.named:
            fitting = [other for other in scene.things if teller.mention(thing).fits(other)]
            assert fitting == [thing]
