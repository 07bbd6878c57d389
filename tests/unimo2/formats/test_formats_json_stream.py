"""Streaming a list that is a field of a JSON object, as VQA's files are."""

import json
from pathlib import Path

import pytest

from unimo2.errors import BadData
from unimo2.formats.json_stream import json_items, json_items_under


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_list_in_an_object_streams_as_json_loads_reads_it(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against json.loads, with other fields before and after, and windows that end anywhere."""
    monkeypatch.setattr("unimo2.formats.json_stream._CHUNK", chunk)
    items = [1, {"é": [1.5, None, 'x\n"']}, "y" * 300, [], True]
    path = tmp_path / "x.json"
    for content in (
        {"info": {"items": [0]}, "items": items, "license": ["]", "}"]},
        {"items": items},
        {"a": 1.5, "items": []},
    ):
        for text in (json.dumps(content), json.dumps(content, ensure_ascii=False, indent=1)):
            path.write_text(f"\ufeff{text}\n", encoding="utf-8")
            assert list(json_items_under(path, "items")) == json.loads(text)["items"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "malformed JSON at line 1"),
        ("[1]", "expected an object with a list 'items'"),
        ("{}", "expected an object with a list 'items'"),
        ('{"other": [1]}', "expected an object with a list 'items'"),
        ('{"items": {}}', "expected an object with a list 'items'"),
        ('{"items": 1}', "expected an object with a list 'items'"),
        ('{"a": {"items": [1]}}', "expected an object with a list 'items'"),
        ('{"items": [1], "items": [2]}', "expected an object with a list 'items'"),
        ('{"items": [], "items": {}}', "expected an object with a list 'items'"),
        ('{"a": 1\n"items": []}', "malformed JSON at line 2: "),
        ('{"a" 1}', "malformed JSON at line 1: "),
        ("{'items': []}", "malformed JSON at line 1: "),
        ('{"items": [1,\n2}', "malformed JSON at line 2: "),
        ('{"items": [1]\n', "malformed JSON at line 2: "),
        ('{"items": [1]}\n{}', "malformed JSON at line 2: "),
        ('{"a": 1,\n', "malformed JSON at line 2: "),
        ('{"a": 1,\n"items": ["\\q"]}', "malformed JSON at line 2: "),
        ('{"items": [\n1e999]}', "malformed JSON at line 2: "),
    ],
)
def test_an_object_that_is_no_such_object_is_named(tmp_path: Path, text: str, says: str) -> None:
    """Against texts whose fault stands in a known line."""
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadData, match=says):
        list(json_items_under(path, "items"))


@pytest.mark.parametrize("text", ['{"items": ' + "[" * 30_000, '{"items": [' + '{"a": ' * 30_000])
def test_deep_nesting_is_refused(tmp_path: Path, text: str) -> None:
    """Against ijson, which takes gigabytes for this: memory grows with the square of the depth."""
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadData, match="nested too deeply"):
        list(json_items_under(path, "items"))


def test_brackets_inside_strings_are_no_depth(tmp_path: Path) -> None:
    """Against the items that were written: a thousand texts with a bracket that is never closed."""
    items = ["a [ b {"] * 1_000
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"items": items}))
    assert list(json_items_under(path, "items")) == items
    path.write_text(json.dumps(items))
    assert list(json_items(path)) == items


def test_surrogates_are_those_of_json_loads(tmp_path: Path) -> None:
    """Against json.loads: pairs become one character, a half stays a half for the reader to name."""
    text = r'{"items": ["\ud83d\ude00", "a\ud83d", "\ud83d\u0041", "\ude00", "\\ud83d"]}'
    path = tmp_path / "x.json"
    path.write_text(text)
    assert list(json_items_under(path, "items")) == json.loads(text)["items"]


def test_what_is_not_utf8_is_named(tmp_path: Path) -> None:
    """Against a Latin-1 letter and an encoded surrogate, whose byte is known."""
    path = tmp_path / "x.json"
    for bad in (b"caf\xe9", b"\xed\xa0\xbd"):
        path.write_bytes(b'{"items": [\n"' + bad + b'"]}')
        with pytest.raises(BadData, match=r"not UTF-8 text \(near byte 1[36]\)"):
            list(json_items_under(path, "items"))
