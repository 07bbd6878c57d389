"""Bad input, reader by reader: a missing file, malformed JSON, an unknown label, a duplicate id.

Every case is a small good file of two items; each fault is put into its second one.
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from unimo2 import formats
from unimo2.errors import BadData, MissingData
from unimo2.formats import (
    coco,
    glue,
    imagenet,
    karpathy,
    object_tags,
    open_images,
    plain_text,
    snli_ve,
    visual_genome,
    vqa,
    web_captions,
)
from unimo2.formats import imagenet as synset_folders
from unimo2.formats.parsing import BROKEN_ROW, DUPLICATE, UNKNOWN_LABEL, Skips


@dataclass(frozen=True)
class Case:
    """One reader with a good file.

    Attributes:
        read: takes the folder and, where the reader counts, a Skips or None.
        file: that it reads, relative to the folder.
        text: of the good file.
        malformed: what makes a line of it no JSON, and the line; None for other formats.
        label: (good, wrong) text of a label, and what the error says; None where there is none.
        duplicate: (good, wrong) text of an id, and what the error says; None where there is none.
        counts: whether the reader counts faults where it is given a Skips.
        others: further files that it needs.
    """

    read: Callable[[Path, Skips | None], Iterable[object]]
    file: str
    text: str
    malformed: tuple[str, str, int] | None = None
    label: tuple[str, str, str] | None = None
    duplicate: tuple[str, str, str] | None = None
    counts: bool = False
    others: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path, old: str = "", new: str = "") -> Path:
        """Write the files, with the last `old` of the main one replaced; its path."""
        before, found, after = self.text.rpartition(old) if old else (self.text, "", "")
        assert bool(found) == bool(old)
        main = before + (new if found else "") + after
        for name, content in {**self.others, self.file: main}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return root / self.file


def lines(*records: object) -> str:
    """One JSON value a line."""
    return "".join(json.dumps(record) + "\n" for record in records)


def listed(records: Iterable[object]) -> str:
    """A JSON list with one item a line, from line 2."""
    return "[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]"


def under(name: str, records: Iterable[object], **other: object) -> str:
    """A JSON object with one list, one item a line, from line 2."""
    head = "".join(f'"{key}": {json.dumps(value)}, ' for key, value in other.items())
    return f'{{{head}"{name}": {listed(records)}}}'


def entry(number: int) -> dict:
    """An image of a Karpathy file."""
    sentence = {"raw": "a", "tokens": ["a"], "imgid": number, "sentid": number}
    name = f"{number}.jpg"
    return {"imgid": number, "filename": name, "split": "test", "sentences": [sentence]}


def answers(number: int) -> dict:
    """An annotation of VQA."""
    return {"question_id": number, "image_id": 1, "answers": [{"answer": "net", "answer_id": 1}]}


def pair(number: int) -> dict:
    """A pair of SNLI-VE."""
    return {"pairID": f"p{number}", "Flickr30K_ID": "1", "gold_label": "neutral", "sentence2": "B."}


def region(number: int) -> dict:
    """An image of Visual Genome."""
    box = {"x": 1, "y": 1, "width": 1, "height": 1}
    return {"id": number, "regions": [{"region_id": number, "phrase": "a dog", **box}]}


def rows(task: str, header: str | None, *cells: str) -> Case:
    """A reader of GLUE files."""
    text = "\n".join([*([header] if header else []), *cells]) + "\n"
    target = glue.TASKS[task].labels
    good = cells[1].split("\t")[1 if task == "cola" else -1]
    has_index = (header or "").startswith("index")
    wrong = "5.5" if target is None else "maybe"
    if task == "cola":
        label = (f"\t{good}\t", f"\t{wrong}\t", "unknown label 'maybe'")
    else:
        label = (
            good,
            wrong,
            "score '5.5' is not from 0 to 5" if target is None else "unknown label",
        )
    return Case(
        lambda root, broken: glue.read_rows_of(task, root / "dev.tsv", broken),
        "dev.tsv",
        text,
        label=label,
        duplicate=("\n1\t", "\n0\t", "index occurs more than once: 0") if has_index else None,
        counts=True,
    )


VG_IMAGES = {f"VG_100K/{number}.jpg": "" for number in (1, 2)}
LABELS = (
    "ImageID,Source,LabelName,Confidence\n0000000000000001,v,/m/1,1\n0000000000000002,v,/m/2,1\n"
)
OPEN_IMAGES = {f"train/000000000000000{number}.jpg": "" for number in (1, 2)}
WNIDS = "n00000001 tench\nn00000002 cod\n"
CASES = {
    "karpathy": Case(
        lambda root, _: karpathy.read_karpathy(root / "d.json", root),
        "d.json",
        under("images", [entry(1), entry(2)], dataset="flickr30k"),
        malformed=('"imgid": 2,', '"imgid": ,', 3),
        label=('"test"', '"tset"', "unknown split 'tset'"),
        duplicate=('"sentid": 2', '"sentid": 1', "sentid 1 occurs twice"),
        others={"1.jpg": "", "2.jpg": ""},
    ),
    "coco captions": Case(
        lambda root, _: [
            text for one in coco.read_captions(root / "c.json") for text in one.captions
        ],
        "c.json",
        under(
            "annotations",
            [{"id": number, "image_id": 5, "caption": "x"} for number in (1, 2)],
            images=[{"id": 5}],
        ),
        malformed=('"image_id": 5', '"image_id": ', 3),
        duplicate=('"id": 2', '"id": 1', "annotation id occurs more than once: 1"),
    ),
    "coco results": Case(
        lambda root, _: coco.read_results(root / "r.json"),
        "r.json",
        listed([{"image_id": number, "caption": "x"} for number in (1, 2)]),
        malformed=('"caption"', "caption", 3),
        duplicate=('"image_id": 2', '"image_id": 1', "image_id occurs more than once: 1"),
    ),
    "vqa questions": Case(
        lambda root, broken: vqa.read_questions([root / "q.json"], broken),
        "q.json",
        under(
            "questions",
            [{"question_id": number, "image_id": 1, "question": "?"} for number in (1, 2)],
            info={"version": "2.0"},
        ),
        malformed=('"image_id": 1', '"image_id" 1', 3),
        duplicate=('"question_id": 2', '"question_id": 1', "question_id occurs more than once: 1"),
        counts=True,
    ),
    "vqa annotations": Case(
        lambda root, broken: vqa.read_annotations([root / "a.json"], broken),
        "a.json",
        under("annotations", [answers(1), answers(2)]),
        malformed=('"net"', "net", 3),
        duplicate=('"question_id": 2', '"question_id": 1', "question_id occurs more than once: 1"),
        counts=True,
    ),
    "vqa results": Case(
        lambda root, _: vqa.read_results(root / "r.json"),
        "r.json",
        listed([{"question_id": number, "answer": "x"} for number in (1, 2)]),
        malformed=('"answer"', "answer", 3),
        duplicate=('"question_id": 2', '"question_id": 1', "question_id occurs more than once: 1"),
    ),
    "snli_ve pairs": Case(
        lambda root, broken: snli_ve.read_pairs(root / "p.jsonl", broken),
        "p.jsonl",
        lines(pair(1), pair(2)),
        malformed=('"pairID": "p2"', '"pairID": p2', 2),
        label=('"neutral"', '"maybe"', "line 2: unknown label 'maybe'"),
        duplicate=('"p2"', '"p1"', "pairID occurs more than once: p1"),
        counts=True,
    ),
    "snli_ve predictions": Case(
        lambda root, _: snli_ve.read_predictions(root / "p.jsonl"),
        "p.jsonl",
        lines(*({"pairID": f"p{number}", "prediction": "neutral"} for number in (1, 2))),
        malformed=('"p2"', "p2", 2),
        label=('"neutral"', '"-"', "line 2: unknown label '-'"),
        duplicate=('"p2"', '"p1"', "pairID occurs more than once: p1"),
    ),
    "sst2": rows("sst2", "sentence\tlabel", "a\t1", "b\t0"),
    "cola": rows("cola", None, "x\t1\t\ta", "x\t0\t\tb"),
    "stsb": rows("stsb", "index\tsentence1\tsentence2\tscore", "0\ta\tb\t1.5", "1\ta\tb\t2.5"),
    "mnli": rows(
        "mnli", "index\tsentence1\tsentence2\tgold_label", "0\ta\tb\tneutral", "1\ta\tb\tentailment"
    ),
    "glue predictions": Case(
        lambda root, _: glue.read_predictions("mnli", root / "p.tsv"),
        "p.tsv",
        "index\tprediction\n0\tneutral\n1\tneutral\n",
        label=("neutral", "maybe", "line 3: unknown label 'maybe'"),
        duplicate=("\n1\t", "\n0\t", "index occurs more than once: 0"),
    ),
    "imagenet classes": Case(
        lambda root, broken: imagenet.read_synsets(root / "LOC_synset_mapping.txt", broken),
        "LOC_synset_mapping.txt",
        WNIDS,
        duplicate=("n00000002", "n00000001", "synset id occurs more than once: n00000001"),
        counts=True,
    ),
    "imagenet labels": Case(
        lambda root, broken: imagenet.read_labels(root / "LOC_val_solution.csv", broken),
        "LOC_val_solution.csv",
        "ImageId,PredictionString\na,n00000001 1 2 3 4\nb,n00000002 1 2 3 4\n",
        label=("n00000002", "cod", "line 3: expected the boxes of one class"),
        duplicate=("\nb,", "\na,", "image name occurs more than once: a"),
        counts=True,
    ),
    "imagenet predictions": Case(
        lambda root, _: imagenet.read_predictions(root / "p.csv", {"n00000001", "n00000002"}),
        "p.csv",
        "image,prediction\na,n00000001\nb,n00000002\n",
        label=("n00000002", "n00000003", "line 3: unknown class 'n00000003'"),
        duplicate=("\nb,", "\na,", "image occurs more than once: a"),
    ),
    "imagenet-21k": Case(
        lambda root, broken: synset_folders.synset_images(root, broken),
        "words.txt",
        "n00000001\ttench\nn00000002\tcod\n",
        label=("n00000002", "n00000003", "n00000002 .the list of names does not know it"),
        duplicate=("n00000002", "n00000001", "words.txt:2: n00000001 occurs twice"),
        others={"n00000001/a.JPEG": "", "n00000002/b.JPEG": ""},
    ),
    "open images": Case(
        lambda root, broken: open_images.read_open_images(root, None, broken),
        "train-annotations-human-imagelabels-boxable.csv",
        LABELS,
        label=("/m/2", "/m/3", "csv:3: label '/m/3' has no name"),
        others={"class-descriptions-boxable.csv": "/m/1,Tree\n/m/2,Bird\n", **OPEN_IMAGES},
    ),
    "visual genome": Case(
        lambda root, broken: visual_genome.read_regions(root, None, broken),
        "region_descriptions.json",
        listed([region(1), region(2)]),
        malformed=('"a dog"', "a dog", 3),
        duplicate=('"id": 2', '"id": 1', "item 1: image id 1 occurs twice"),
        counts=True,
        others=VG_IMAGES,
    ),
    "conceptual captions": Case(
        lambda root, broken: web_captions.conceptual_captions(root, "train", None, broken),
        web_captions.CC_FILES["train"],
        "a dog\tx.jpg\na cat\ty.jpg\n",
        others={"x.jpg": "", "y.jpg": ""},
    ),
    "sbu": Case(
        lambda root, broken: web_captions.sbu(root, None, broken),
        web_captions.SBU_JSON,
        '{"image_urls": ["http://h/x.jpg", "http://h/y.jpg"],\n"captions": ["a dog", "a cat"]}',
        malformed=('"a cat"', "a cat", 2),
        others={"x.jpg": "", "y.jpg": ""},
    ),
    "object tags": Case(
        lambda root, broken: object_tags.read_object_tags(root / "tags.json").of_id,
        "tags.json",
        '{"1": ["dog"],\n"2": ["cat"]}',
        malformed=('"cat"', "cat", 2),
        duplicate=('"2"', '"1"', "image occurs more than once: 1"),
    ),
    "text": Case(lambda root, broken: plain_text.text_lines(root, broken), "a.txt", "one\ntwo\n"),
}
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
    assert "half of a character, '\\ud83d'" in message and str(path) in message
    assert message.isascii() and "\n" not in message
    if case.counts:
        broken = Skips()
        read = list(case.read(tmp_path, broken))
        assert broken.total == 1 and BROKEN_ROW in broken.counts
        assert len(read) == (2 if name == "visual genome" else 1)  # there, the image remains
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
    with pytest.raises(BadData, match=r"results\.json: \[\d\]: field 'caption' has half"):
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
        if module.name in ("parsing", "json_stream", "images"):
            continue  # tools of the readers
        content = importlib.import_module(f"{formats.__name__}.{module.name}")
        for name, _ in inspect.getmembers(content, inspect.isfunction):
            if name.startswith("read_") and getattr(content, name).__module__ == content.__name__:
                assert f"{module.name}.{name}(" in source, f"{module.name}.{name}"
