"""Any bytes, to every reader: data or one of our errors in one line, and never another exception.

hypothesis draws the files: bytes of any kind, good files with a piece replaced, and good JSON with a
value replaced by another. The draws are the same in every run.
"""

import contextlib
import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from builders.drawing import drawn
from builders.format_cases import CASES, Case
from evals.datasets.entry import HubFile, HubForm
from evals.datasets.hub import _tsv_lines
from evals.suite_mini.vqa import write_questions
from unimo2.errors import BadData, MissingData
from unimo2.formats import coco, glue, json_stream, vqa
from unimo2.formats.images import load_image
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import shard_pairs

DRAWN = drawn(20)
ALL = pytest.mark.parametrize("name", CASES)
JSON = pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.malformed])
PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [b"", b"\xff", b"\0", b'"', b"{", b"]", b"\n", b"\r", b"\t", b",", b"\\ud800", b"\\udc00\\"]
        + [
            b"NaN",
            b"1e999",
            b"-",
            b"null",
            b"9" * 5_000,
            b"[" * 2_000,
            b"\xc2\x85",
            b"\xe2\x80\xa8",
        ]
        + ["é".encode(), b"..", b"/", b"\xef\xbb\xbf", b"\xed\xa0\xbd", b"1_0", "١".encode()]
    ),
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.just(2**64), st.just(-0.0))
TEXTS = st.one_of(
    st.text(max_size=5), st.sampled_from(["\ud83d", "-", "../x", "\0", "\n", "test", "n" * 300])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=2)),
    max_leaves=4,
)


def read_both_ways(case: Case, root: Path, content: bytes) -> None:
    """Read the content of a case's file, strictly and counting."""
    (root / case.file).write_bytes(content)
    for broken in (None, Skips()):
        try:
            list(case.read(root, broken))
        except (BadData, MissingData) as error:
            message = str(error)
            assert message and "\n" not in message
            message.encode()  # no halves of characters


@ALL
@DRAWN
@given(content=st.binary(max_size=120))
def test_any_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    """Against our two errors: bytes of any kind."""
    CASES[name].write(tmp_path)
    read_both_ways(CASES[name], tmp_path, content)


@ALL
@DRAWN
@given(data=st.data())
def test_a_good_file_with_pieces_replaced(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Against our two errors: up to three pieces of a good file become something else."""
    CASES[name].write(tmp_path)
    content = CASES[name].text.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 8)))
        content = content[:start] + data.draw(PIECES) + content[end:]
    read_both_ways(CASES[name], tmp_path, content)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The paths of all values inside a JSON value."""
    nested = value.items() if isinstance(value, dict) else ()
    nested = enumerate(value) if isinstance(value, list) else nested
    return [path, *(place for key, one in nested for place in places(one, (*path, key)))]


def replaced(value: Any, path: tuple, new: Any) -> Any:
    """A JSON value with another one at a path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def documents(case: Case) -> list[Any]:
    """The JSON values of a good file: one, or one a line."""
    lines = case.text.splitlines() if case.file.endswith(".jsonl") else [case.text]
    return [json.loads(line) for line in lines]


@JSON
@DRAWN
@given(data=st.data())
def test_good_json_with_a_value_replaced(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Against our two errors: any value of a good file becomes any other."""
    CASES[name].write(tmp_path)
    values = documents(CASES[name])
    which = data.draw(st.integers(0, len(values) - 1))
    known = [place for place in places(values[which])]
    values[which] = replaced(values[which], data.draw(st.sampled_from(known)), data.draw(VALUES))
    content = "\n".join(json.dumps(value) for value in values)
    read_both_ways(CASES[name], tmp_path, content.encode())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
@DRAWN
@given(data=st.data())
def test_pictures_with_pieces_replaced(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    """Against our two errors: a picture that opens is RGB, any other is refused."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (9, 7), (200, 30, 30)).save(buffer, kind, exif=exif)
    content = buffer.getvalue()
    start = data.draw(st.integers(0, len(content)))
    end = start + data.draw(st.integers(0, 40))
    path = tmp_path / "a"
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=40)) + content[end:])
    try:
        assert load_image(path).mode == "RGB"
    except BadData as error:
        assert "\n" not in str(error)


@DRAWN
@given(data=st.data())
def test_shards_with_pieces_replaced(tmp_path: Path, data: st.DataObject) -> None:
    """Against our two errors: a tar of two samples of which some bytes are others."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (
            ("1.jpg", b"x"), ("1.txt", b"a"), ("2.png", b"y"), ("2.json", b'{"caption": "b"}'),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    content = buffer.getvalue()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, 5_000))
        piece = data.draw(st.one_of(PIECES, st.sampled_from([b"7" * 11, b"-" * 12, b"\x80" * 12])))
        content = content[:start] + piece + content[start + len(piece) :]
    path = tmp_path / "a.tar"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for skips in (None, Skips()):
        with contextlib.suppress(BadData, MissingData):
            for pair in shard_pairs(path, skips, skips):
                pair.path.read()


@DRAWN
@given(content=st.dictionaries(TEXTS, VALUES, max_size=4), items=st.lists(VALUES, max_size=4))
def test_streamed_items_are_those_of_json_loads(tmp_path: Path, content: dict, items: list) -> None:
    """Against json.loads: what streams is what it reads, or the file is refused."""
    path = tmp_path / "a.json"
    text = json.dumps(content | {"items": items})
    path.write_text(text)
    with contextlib.suppress(BadData):  # NaN and numbers beyond 64 bits are refused
        streamed = list(json_stream.json_items_under(path, "items"))
        assert repr(streamed) == repr(json.loads(text)["items"])


@DRAWN
@given(st.dictionaries(st.integers(-(2**40), 2**40), st.text(st.characters(codec="utf-8"))))
def test_captions_come_back(tmp_path: Path, captions: dict[int, str]) -> None:
    """Against what was written: results as the COCO server takes them."""
    path = tmp_path / "r.json"
    path.write_text(
        json.dumps([{"image_id": key, "caption": one} for key, one in captions.items()])
    )
    assert coco.read_results(path) == captions


@DRAWN
@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=5))
def test_questions_come_back(tmp_path: Path, texts: list[str]) -> None:
    """Against what the generated suite's writer was given."""
    entries = [
        SimpleNamespace(image_id=number, question=text, question_id=10 * number)
        for number, text in enumerate(texts)
    ]
    write_questions(tmp_path / "q.json", "val2014", entries)
    assert vqa.read_questions([tmp_path / "q.json"]) == [
        vqa.Question(one.question_id, one.image_id, one.question) for one in entries
    ]


@DRAWN
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r")), min_size=1))
def test_sentences_from_the_hub_come_back(tmp_path: Path, texts: list[str]) -> None:
    """Against what was given to the writer of official TSV files, tabs and line ends as spaces."""
    rows = [{"sentence": text, "idx": number} for number, text in enumerate(texts)]
    form = HubForm("", "", "", (), {"sentence": "sentence"})
    lines = _tsv_lines("sst2", form, HubFile("test", "test.tsv", ("index", "sentence")), rows)
    path = tmp_path / "test.tsv"
    path.write_bytes("".join(lines).encode())
    read = [row.sentences[0] for row in glue.read_rows_of("sst2", path)]
    assert read == [text.replace("\t", " ").replace("\n", " ") for text in texts]
