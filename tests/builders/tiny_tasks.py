"""Tiny files of every fine-tuning task, in the official layouts, and a tiny model to start from.

Images are a coloured square on gray, so that colour is what tasks are about.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image

from builders.tiny_training import SIZES
from unimo2 import Unimo2Config, Unimo2Model
from unimo2.processing import Unimo2Processor, train_tokenizer

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230), "white": (250,) * 3}
WNIDS = {"red": "n00000001", "green": "n00000002", "blue": "n00000003", "white": "n00000004"}
SIDE = 16
_NAMES = list(COLOURS)


def colour(number: int) -> str:
    """The colour of image `number`."""
    return _NAMES[number % len(_NAMES)]


def _picture(path: Path, number: int) -> None:
    image = Image.new("RGB", (SIDE, SIDE), (90, 90, 90))
    left = 2 + number % 5
    image.paste(COLOURS[colour(number)], (left, 4, left + 8, 12))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95)


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _karpathy(root: Path, data_set: str, splits: dict[str, int]) -> None:
    records = []
    for split, count in splits.items():
        for _ in range(count):
            number = len(records)
            sentences = [
                {"sentid": 2 * number + i, "imgid": number, "raw": text, "tokens": text.split()}
                for i, text in enumerate(
                    [f"a {colour(number)} square", f"here is one square that is {colour(number)}"]
                )
            ]
            record = {"imgid": number, "split": split, "sentences": sentences}
            if data_set == "coco":
                folder = "train2014" if split == "train" else "val2014"
                name = f"COCO_{folder}_{number:012d}.jpg"
                record |= {"filepath": folder, "filename": name, "cocoid": number}
                _picture(root / "coco" / folder / name, number)
            else:
                record["filename"] = f"{number}.jpg"
                _picture(root / "flickr30k/flickr30k-images" / f"{number}.jpg", number)
            records.append(record)
    _json(root / data_set / f"dataset_{data_set}.json", {"dataset": data_set, "images": records})


def write_vqa(root: Path, split: str, images: range) -> None:
    """Questions about COCO's images; two annotators of ten say something else."""
    questions, annotations = [], []
    for number in images:
        _picture(root / f"coco/{split}2014/COCO_{split}2014_{number:012d}.jpg", number)
        asked = (("what color is it?", colour(number), "grey"), ("is it red?", *_yes_no(number)))
        for place, (question, right, wrong) in enumerate(asked):
            key = {"question_id": 10 * number + place, "image_id": number}
            questions.append({**key, "question": question})
            answers = [
                {
                    "answer": right if i < 8 else wrong,
                    "answer_confidence": "yes",
                    "answer_id": i + 1,
                }
                for i in range(10)
            ]
            annotations.append({**key, "multiple_choice_answer": right, "answers": answers})
    _json(root / f"vqa/v2_OpenEnded_mscoco_{split}2014_questions.json", {"questions": questions})
    _json(root / f"vqa/v2_mscoco_{split}2014_annotations.json", {"annotations": annotations})


def _yes_no(number: int) -> tuple[str, str]:
    return ("yes", "no") if colour(number) == "red" else ("no", "yes")


def _snli_ve(root: Path) -> None:
    for split, count in (("train", 24), ("dev", 8)):
        lines = []
        for number in range(count):
            label = ("entailment", "contradiction", "neutral", "-")[number % 4]
            said = colour(number % 8 + (label == "contradiction"))
            lines.append(
                {
                    "Flickr30K_ID": str(number % 8),
                    "gold_label": label,
                    "pairID": f"{split}{number}",
                    "sentence1": "a square",
                    "sentence2": f"the square is {said}",
                }
            )
        path = root / f"snli_ve/snli_ve_{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _glue(root: Path) -> None:
    def write(name: str, header: str, rows: list[str]) -> None:
        path = root / "glue" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(([header] if header else []) + rows) + "\n")

    for split in ("train", "dev"):
        good = [f"a {('good', 'bad')[i % 2]} {colour(i)} square\t{1 - i % 2}" for i in range(12)]
        write(f"SST-2/{split}.tsv", "sentence\tlabel", good)
        rows = [f"src\t{i % 2}\t*\tthe square {('be', 'is')[i % 2]} {colour(i)}" for i in range(12)]
        write(f"CoLA/{split}.tsv", "", rows)
        header = "index\tsentence1\tsentence2\tscore"
        pairs = [
            f"{i}\tit is {colour(i)}\tit is {colour(i + i % 2)}\t{5.0 - 4 * (i % 2)}"
            for i in range(12)
        ]
        write(f"STS-B/{split}.tsv", header, pairs)
    labels = ("contradiction", "entailment", "neutral")
    header = "index\tsentence1\tsentence2\tgold_label"
    for name in ("train", "dev_matched", "dev_mismatched"):
        rows = [f"{i}\tit is red\tit is {colour(i)}\t{labels[i % 3]}" for i in range(12)]
        write(f"MNLI/{name}.tsv", header, rows)


def _imagenet(root: Path) -> None:
    lines = "".join(f"{wnid} {name}\n" for name, wnid in WNIDS.items())
    (root / "imagenet").mkdir(parents=True)
    (root / "imagenet/LOC_synset_mapping.txt").write_text(lines)
    for split, count in (("train", 24), ("val", 8)):
        for number in range(count):
            wnid = WNIDS[colour(number)]
            _picture(root / f"imagenet/{split}/{wnid}/{split}_{number}.JPEG", number)


def write_root(root: Path) -> Path:
    """All files of all tasks."""
    _karpathy(root, "flickr30k", {"train": 12, "val": 4, "test": 4})
    _karpathy(root, "coco", {"train": 8, "restval": 4, "val": 4, "test": 4})
    write_vqa(root, "train", range(100, 112))
    write_vqa(root, "val", range(200, 204))
    _snli_ve(root)
    _glue(root)
    _imagenet(root)
    return root


def write_model(folder: Path, **changes) -> Path:
    """A pre-trained model's folder: random weights, a tokenizer of these words, 16 pixels."""
    texts = [f"here is one square that is {name}, what color is it?" for name in COLOURS]
    tokenizer = train_tokenizer(texts, vocab_size=300)
    processor = Unimo2Processor(tokenizer=tokenizer, image_size=SIDE)
    sizes = {
        **SIZES,
        "image_size": SIDE,
        "hidden_dropout": 0.1,
        "dictionary_size": 16,
        "grounded_tokens": 4,
        "vocab_size": len(processor.tokenizer),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Unimo2Model(Unimo2Config.mini(**{**sizes, **changes})).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
