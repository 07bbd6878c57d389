"""Streaming a list that is a field of a JSON object, as VQA's files are."""

import json
from pathlib import Path

import pytest

from unimo2.errors import BadData
from unimo2.formats.json_stream import json_items_under


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
        ('{"a": 1\n"items": []}', "line 2: expected ',' or '}'"),
        ('{"a" 1}', "line 1: expected ':'"),
        ("{'items': []}", "line 1: expected the name of a field in double quotes"),
        ('{"items": [1,\n2}', "line 2: expected ',' or ']'"),
        ('{"items": [1]\n', "line 2: expected ',' or '}'"),
        ('{"items": [1]}\n{}', "line 2: more text after the end of the object"),
        ('{"a": 1,\n', "line 2: expected the name of a field"),
    ],
)
def test_an_object_that_is_no_such_object_is_named(tmp_path: Path, text: str, says: str) -> None:
    """Against texts whose fault stands in a known line."""
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadData, match=says):
        list(json_items_under(path, "items"))
