"""Any record, card, recipe and suite description: read or refused in a line, and shown if it is read."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from builders.drawing import drawn
from evals import batch_sizes, records
from evals.datasets import suites
from reports.render import render
from reports.tables import report_tables
from unimo2.errors import Unimo2Error, UsageError
from unimo2.training.recipes import load_recipe
from zoo import cards
from zoo.region_files import MANIFEST, RegionFolder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DRAWN = drawn(40)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**64, -0.0, 1e308, True]))
TEXTS = st.one_of(
    st.text(max_size=5), st.sampled_from(["\ud83d", "\0", "\n", "n" * 300, "\x1b[2J"])
)
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=2)),
    max_leaves=4,
)
PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([b"", b"\xff", b"\0", b'"', b"[", b"]", b"\n", b"=", b"{", b"nan", b"inf", b"1e999",
                     b"[" * 2_000, b"\xef\xbb\xbf", b"true", b"-1", b"1979-05-27", b"'''", b"a.b.c"]),
)  # fmt: skip
RECORD = sorted(records.MEASURED.glob("**/record.json"))[0]
CARD = cards.CARDS / "mini.toml"


def places(value, path=()):
    """The paths of all values inside a JSON value."""
    nested = value.items() if isinstance(value, dict) else ()
    nested = enumerate(value) if isinstance(value, list) else nested
    return [path, *(place for key, one in nested for place in places(one, (*path, key)))]


def replaced(value, path, new):
    """A JSON value with another one at a path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def refused_in_a_line(read):
    """What was read; None where it was refused in one line."""
    try:
        return read()
    except Unimo2Error as error:
        assert isinstance(error, UsageError), error
        assert str(error)
        str(error).encode("utf-8", "backslashreplace")
        return None


@DRAWN
@given(data=st.data())
def test_a_record_with_a_value_replaced_is_refused_or_shown(tmp_path: Path, data: st.DataObject):
    """Against our errors: any value of a shipped record becomes another."""
    content = json.loads(RECORD.read_text())
    place = data.draw(st.sampled_from(places(content)))
    path = tmp_path / "mini" / "flickr" / "m" / "r" / "record.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(replaced(content, place, data.draw(VALUES))))
    found = refused_in_a_line(lambda: records.read(path))
    if found is not None:
        assert found._repr_html_()
        for number, form in ((1, "text"), (1, "csv"), (4, "md"), (4, "html")):
            assert refused_in_a_line(partial(rendered, number, found, form))


def rendered(number: int, record: records.Record, form: str) -> str:
    """A table of the paper with a record beneath it."""
    return render(report_tables(number, [record], form), form)


def spoiled(content: bytes, data: st.DataObject) -> bytes:
    """Bytes with up to three pieces replaced."""
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 12)))
        content = content[:start] + data.draw(PIECES) + content[end:]
    return content


@DRAWN
@given(data=st.data())
def test_a_card_with_pieces_replaced_is_a_card_or_refused(tmp_path: Path, data: st.DataObject):
    """Against our errors, and tomllib for what is a sound file."""
    path = tmp_path / "card.toml"
    path.write_bytes(spoiled(CARD.read_bytes(), data))
    card = refused_in_a_line(lambda: zoo.resolve(path))
    if card is not None:
        assert card.name == tomllib.loads(path.read_text())["name"]
        assert cards.lines(card) and cards.listing([card])
        if card.source.kind != "hub":
            refused_in_a_line(lambda: zoo.weights_folder(card))


@DRAWN
@given(content=st.binary(max_size=60))
def test_any_bytes_as_a_card_recipe_record_and_description(tmp_path: Path, content: bytes):
    """Against our errors: files of any bytes."""
    for name in ("card.toml", "record.json", "suite.json", "batch_size.json", MANIFEST):
        (tmp_path / name).write_bytes(content)
    refused_in_a_line(lambda: zoo.resolve(tmp_path / "card.toml"))
    refused_in_a_line(lambda: load_recipe(str(tmp_path / "card.toml")))
    refused_in_a_line(lambda: records.read(tmp_path))
    refused_in_a_line(lambda: suites.description(tmp_path))
    refused_in_a_line(lambda: RegionFolder(tmp_path))
    assert batch_sizes.read(tmp_path) is None


@DRAWN
@given(data=st.data())
def test_a_recipe_with_pieces_replaced_is_a_recipe_or_refused(tmp_path: Path, data: st.DataObject):
    """Against our errors: a shipped recipe of which some bytes are others."""
    shipped = Path(load_recipe.__code__.co_filename).parent / "recipes" / "mini.toml"
    path = tmp_path / "recipe.toml"
    path.write_bytes(spoiled(shipped.read_bytes(), data))
    refused_in_a_line(lambda: load_recipe(str(path)))


@pytest.mark.parametrize("content", ["[" * 5_000, "a = " + "[" * 5_000, "a." * 5_000 + "b = 1"])
def test_depth_is_no_way_out(tmp_path: Path, content: str):
    """Against our errors: files that nest deeper than Python goes."""
    (tmp_path / "card.toml").write_text(content)
    (tmp_path / "record.json").write_text(content)
    for read in (zoo.resolve, lambda path: load_recipe(str(path))):
        assert refused_in_a_line(partial(read, tmp_path / "card.toml")) is None
    assert refused_in_a_line(lambda: records.read(tmp_path)) is None
