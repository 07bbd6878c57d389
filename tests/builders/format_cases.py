"""A small good file of two items for every reader of `unimo2.formats`, in which faults can be put."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

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
from unimo2.formats.parsing import Skips


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
REGIONS = Case(
    lambda root, broken: visual_genome.read_regions(root, None, broken),
    "region_descriptions.json",
    listed([region(1), region(2)]),
    malformed=('"a dog"', "a dog", 3),
    duplicate=('"id": 2', '"id": 1', "item 1: image id 1 occurs twice"),
    counts=True,
    others=VG_IMAGES,
)
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
    "visual genome": REGIONS,
    "visual genome phrases": replace(
        REGIONS, read=lambda root, broken: visual_genome.read_phrases(root, None, broken)
    ),
    "visual genome origins": Case(
        lambda root, _: visual_genome.read_origins(root),
        "image_data.json",
        listed([{"image_id": n, "coco_id": n, "flickr_id": None} for n in (1, 2)]),
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
