"""Bad input, reader by reader: a missing file, malformed JSON, an unknown label, a duplicate id.

Every case is a small good file of two items; each fault is put into its second one.
"""

import gzip
import importlib
import inspect
import os
import pkgutil
from pathlib import Path

import pytest

from builders.format_cases import CASES, Case
from unimo2 import formats
from unimo2.errors import BadData, MissingData
from unimo2.formats import coco
from unimo2.formats.images import check_image
from unimo2.formats.parsing import BROKEN_ROW, DUPLICATE, UNKNOWN_LABEL, Skips

ALL = pytest.mark.parametrize("name", CASES)


def having(what: str) -> pytest.MarkDecorator:
    """The cases for which a kind of fault exists."""
    return pytest.mark.parametrize("name", [name for name in CASES if getattr(CASES[name], what)])


@ALL
def test_the_good_file_has_two_items(tmp_path: Path, name: str) -> None:
    """Against the two items of each file: what follows differs from it in the fault alone."""
    CASES[name].write(tmp_path)
    assert len(list(CASES[name].read(tmp_path, None))) == 2


@ALL
def test_a_missing_file_is_one_line(tmp_path: Path, name: str) -> None:
    """Against the same folder without the file that is read."""
    case = CASES[name]
    case.write(tmp_path).unlink()
    with pytest.raises(MissingData) as error:
        list(case.read(tmp_path, None))
    message = str(error.value)
    assert (
        "\n" not in message
        and str(tmp_path) in message
        and "not found" in message
        or (name == "text" and "no text in" in message)
    )


@pytest.mark.timeout(60)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Against a pipe that nobody writes to, as `<(command)` is once it was read."""
    pipe = tmp_path / "a.jpg"
    os.mkfifo(pipe)
    with pytest.raises(MissingData, match="image not found"):
        check_image(pipe)
    with pytest.raises(
        MissingData, match="results in a pipe or a device.*write it to a file first"
    ):
        coco.read_results(pipe)


@ALL
@pytest.mark.parametrize("form", ["UTF-16", "gzip"])
def test_a_text_in_another_form_is_named(tmp_path: Path, name: str, form: str) -> None:
    """Against the good file as an editor saves it, and compressed."""
    case = CASES[name]
    path = case.write(tmp_path)
    content = path.read_bytes()
    path.write_bytes(
        content.decode().encode("utf-16") if form == "UTF-16" else gzip.compress(content)
    )
    with pytest.raises(BadData, match=f"it is .*{form}") as error:
        list(case.read(tmp_path, None))
    assert "\n" not in str(error.value) and str(path) in str(error.value)


HALF = r"\ud83d"
TEXTS = {
    "karpathy": ('"raw": "a', r"images\[1\]\.sentences\[0\]: field 'raw'"),
    "coco captions": ('"caption": "x', r"annotations\[1\]: field 'caption'"),
    "coco results": ('"caption": "x', r"r\.json: \[1\]: field 'caption'"),
    "vqa questions": ('"question": "?', r"questions\[1\]: field 'question'"),
    "vqa annotations": ('"answer": "net', r"annotations\[1\]\.answers\[0\]: field 'answer'"),
    "vqa results": ('"answer": "x', r"r\.json: \[1\]: field 'answer'"),
    "snli_ve pairs": ('"sentence2": "B.', "line 2: field 'sentence2'"),
    "snli_ve predictions": ('"prediction": "neutral', "line 2: field 'prediction'"),
    "visual genome": ('"phrase": "a dog', r"item 1\.regions\[0\]: field 'phrase'"),
    "visual genome phrases": ('"phrase": "a dog', r"item 1\.regions\[0\]: field 'phrase'"),
    "sbu": ("a cat", r"captions\[1\]"),
    "object tags": ("cat", "image '2': a tag"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_half_of_a_character_is_one_line(tmp_path: Path, name: str) -> None:
    """Against a text cut in the middle of an emoji: file and entry are named, and it is counted."""
    text, says = TEXTS[name]
    case = CASES[name]
    path = case.write(tmp_path, text, text + HALF)
    with pytest.raises(BadData, match=says) as error:
        list(case.read(tmp_path, None))
    message = str(error.value)
    assert "an unpaired surrogate, '\\ud83d'" in message and str(path) in message
    assert message.isascii() and "\n" not in message
    if case.counts:
        broken = Skips()
        read = list(case.read(tmp_path, broken))
        assert broken.total == 1 and BROKEN_ROW in broken.counts
        assert len(read) == (2 if "visual genome" in name else 1)  # there, the image remains
    whole = HALF + r"\ude00"
    case.write(tmp_path, text, text + whole)
    if name != "snli_ve predictions":  # whose texts are labels
        assert len(list(case.read(tmp_path, None))) == 2


def test_every_reader_of_json_is_among_the_texts() -> None:
    """Against the cases with malformed JSON."""
    assert set(TEXTS) == {name for name, case in CASES.items() if case.malformed}


def test_half_of_a_label_or_key_is_one_line(tmp_path: Path) -> None:
    """Against halves where no caption is: a question type, a label, a file name as a key."""
    for name, old, new, says in (
        ("vqa annotations", '"answers"', f'"question_type": "{HALF}", "answers"', "question_type"),
        ("snli_ve pairs", '"neutral"', f'"{HALF}"', "line 2: field 'gold_label'"),
        ("object tags", '"2"', f'"{HALF}.jpg"', "the name of an image"),
    ):
        CASES[name].write(tmp_path, old, new)
        with pytest.raises(BadData, match=says) as error:
            list(CASES[name].read(tmp_path, None))
        assert str(error.value).isascii()


def test_the_shared_case_of_half_an_emoji(shared_cases: Path) -> None:
    """Against the case's result file, whose caption was cut in the middle of an emoji."""
    path = shared_cases / "01-half-emoji-caption" / "results.json"
    with pytest.raises(BadData, match=r"results\.json: \[\d\]: field 'caption' has an unpaired"):
        coco.read_results(path)


@ALL
def test_a_git_lfs_pointer_is_called_one(tmp_path: Path, name: str) -> None:
    """Against the text that git-LFS leaves where it did not fetch a file."""
    path = CASES[name].write(tmp_path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n")
    with pytest.raises(BadData, match=f"{path.name} is a git-LFS pointer"):
        list(CASES[name].read(tmp_path, None))


@having("malformed")
def test_malformed_json_names_its_line(tmp_path: Path, name: str) -> None:
    """Against a file that is no JSON from a known line on."""
    old, new, line = CASES[name].malformed
    path = CASES[name].write(tmp_path, old, new)
    with pytest.raises(BadData, match=rf"line {line}\b") as error:
        list(CASES[name].read(tmp_path, None))
    message = str(error.value)
    assert "malformed JSON" in message and str(path) in message and "\n" not in message


@having("label")
def test_an_unknown_label_is_one_line(tmp_path: Path, name: str) -> None:
    """Against a label, class, split or score that the data set does not have."""
    old, new, says = CASES[name].label
    CASES[name].write(tmp_path, old, new)
    with pytest.raises(BadData, match=says) as error:
        list(CASES[name].read(tmp_path, None))
    assert "\n" not in str(error.value)


@having("duplicate")
def test_a_duplicate_id_is_one_line(tmp_path: Path, name: str) -> None:
    """Against the first item's id on the second item."""
    old, new, says = CASES[name].duplicate
    CASES[name].write(tmp_path, old, new)
    with pytest.raises(BadData, match=says) as error:
        list(CASES[name].read(tmp_path, None))
    assert "\n" not in str(error.value)


@having("counts")
def test_faults_are_counted_where_asked_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    """Against the good first item, and one count under the reason of the fault."""
    case = CASES[name]
    for fault, reasons in (
        (case.label, (UNKNOWN_LABEL, BROKEN_ROW)),
        (case.duplicate, (DUPLICATE,)),
    ):
        if fault is not None:
            case.write(tmp_path, *fault[:2])
            broken = Skips()
            assert len(list(case.read(tmp_path, broken))) == 1
            assert broken.total == 1 and set(broken.counts) <= set(reasons)


def test_every_reader_is_among_the_cases() -> None:
    """Against the modules of `unimo2.formats`: each public reader is called by a case."""
    source = inspect.getsource(inspect.getmodule(Case))
    for module in pkgutil.iter_modules(formats.__path__):
        if module.name in ("parsing", "json_stream", "images", "weights"):
            continue  # tools of the readers
        content = importlib.import_module(f"{formats.__name__}.{module.name}")
        for name, _ in inspect.getmembers(content, inspect.isfunction):
            if name.startswith("read_") and getattr(content, name).__module__ == content.__name__:
                assert f"{module.name}.{name}(" in source, f"{module.name}.{name}"
