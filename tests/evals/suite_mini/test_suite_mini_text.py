"""The text corpora of the embedded suite, read back by the reader of plain text."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest

from evals.datasets.checks import check_text
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import related
from evals.suite_mini.part import make_folders
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.texts import CORPORA, TASKS, GluePart, TextPart, read_lines
from evals.suite_mini.world import make_scene
from examples.embedded_text.__main__ import corpus_lines, lines_of, task_lines
from examples.embedded_text.narrator import Narrator
from unimo2.formats.plain_text import text_lines


def _written(part: TextPart, root: Path, request: SuiteRequest) -> list[str]:
    make_folders(root, [part], request)
    return list(part.finish(root, request, []).digests)


@pytest.mark.parametrize("part", CORPORA, ids=lambda part: part.name)
def test_the_reader_of_plain_text_reads_every_paragraph(part: TextPart, tmp_path: Path) -> None:
    """Truth: as many lines as digests, in the folder that the catalogue names, and no other file."""
    request = SuiteRequest(scale=0.1)
    digests = _written(part, tmp_path, request)
    lines = [line.text for line in text_lines(tmp_path / part.name)]
    assert len(lines) == len(digests) == request.scaled(part.paragraphs)
    on_disk = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert on_disk == set(part.files(request))
    assert not check_text(tmp_path / part.name).problems


@pytest.mark.parametrize("part", CORPORA, ids=lambda part: part.name)
def test_paragraphs_are_prose(part: TextPart, tmp_path: Path) -> None:
    """Truth: rules of English spelling: a/an before the sound, capitals, no doubled words or gaps."""
    _written(part, tmp_path, SuiteRequest(scale=0.1))
    for line in text_lines(tmp_path / part.name):
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n (?!hour)[^aeiou]", line.text), line.text
        assert not re.search(r"  | [.,;?!]|\.\.|\b(\w+) \1\b", line.text), line.text
        assert re.match(r'"?[A-Z]', line.text), line.text
        assert line.text[-1] in '.?!"', line.text


@pytest.mark.parametrize("part", (*CORPORA, *TASKS), ids=lambda part: part.name)
def test_package_holds_what_the_generator_makes(part: TextPart | GluePart) -> None:
    """Truth: the first lines of each split, generated anew."""
    stored = read_lines(part.name)
    if isinstance(part, TextPart):
        assert len(stored) == part.paragraphs
        assert stored[:12] == list(islice(corpus_lines(part, SuiteRequest()), 12))
        return
    start = 0
    for split in part.splits:
        generated = task_lines(part, split, SuiteRequest())
        assert stored[start : start + 12] == list(islice(generated, 12))
        start += part.stored(split, SuiteRequest())
    assert len(stored) == start


@pytest.mark.slow
@pytest.mark.parametrize("part", (*CORPORA, *TASKS), ids=lambda part: part.name)
def test_package_holds_all_that_the_generator_makes(part: TextPart | GluePart) -> None:
    """Truth: all of it, generated anew (half a minute)."""
    assert lines_of(part, SuiteRequest()) == read_lines(part.name)


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
