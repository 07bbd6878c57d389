"""Small corpora of every kind, written in their official layouts."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

SIZE = 16


def _picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = (40 * number) % 256
    Image.new("RGB", (SIZE, SIZE), (shade, 255 - shade, 128)).save(path)


def visual_genome(root: Path, images: int = 4, regions: int = 3) -> None:
    """Images with phrases about regions; the last image has none."""
    folder = root / "visual_genome"
    items = []
    for number in range(1, images + 2):
        _picture(folder / ("VG_100K" if number % 2 else "VG_100K_2") / f"{number}.jpg", number)
        found = [
            {"region_id": 10 * number + n, "image_id": number, "phrase": f"part {n} of {number}"}
            | {"x": 0, "y": 0, "width": 4, "height": 4}
            for n in range(regions if number <= images else 0)
        ]
        items.append({"id": number, "regions": found})
    (folder / "region_descriptions.json").write_text(json.dumps(items))


def conceptual_captions(root: Path, images: int = 4) -> None:
    """Images with one caption each; the second column is the image's path."""
    folder = root / "conceptual_captions"
    lines = []
    for number in range(images):
        _picture(folder / "training" / f"{number}.jpg", number)
        lines.append(f"picture {number} of the web\ttraining/{number}.jpg")
    (folder / "Train_GCC-training.tsv").write_text("\n".join(lines) + "\n")


def sbu(root: Path, images: int = 4) -> None:
    """Images with one caption each, in SBU's JSON."""
    folder = root / "sbu"
    for number in range(images):
        _picture(folder / "images" / f"{number}.jpg", number)
    content = {
        "image_urls": [f"http://host/{number}.jpg" for number in range(images)],
        "user_ids": ["somebody"] * images,
        "captions": [f"my photo {number}" for number in range(images)],
    }
    (folder / "sbu-captions-all.json").write_text(json.dumps(content))


def imagenet21k(root: Path, images: int = 3) -> None:
    """Two classes with several names each."""
    folder = root / "imagenet21k"
    names = {"n00000001": "tench, Tinca tinca", "n00000002": "goldfish"}
    for wnid in names:
        for number in range(images):
            _picture(folder / wnid / f"{wnid}_{number}.JPEG", number)
    text = "".join(f"{wnid}\t{name}\n" for wnid, name in names.items())
    (folder / "words.txt").write_text(text)


def open_images(root: Path, images: int = 3) -> None:
    """Images with one right and one wrong label each, and two right ones for the first."""
    folder = root / "open_images"
    rows = ["ImageID,Source,LabelName,Confidence"]
    for number in range(images):
        identifier = f"{number:016x}"
        _picture(folder / "train" / f"{identifier}.jpg", number)
        rows += [f"{identifier},verification,/m/01,1", f"{identifier},verification,/m/02,0"]
        rows += [f"{identifier},verification,/m/03,1"] if not number else []
    name = "train-annotations-human-imagelabels-boxable.csv"
    (folder / name).write_text("\n".join(rows) + "\n")
    classes = "/m/01,Palm tree\n/m/02,Tortoise\n/m/03,Beach\n"
    (folder / "class-descriptions-boxable.csv").write_text(classes)


def text(root: Path, lines: int = 30, name: str = "text") -> None:
    """A few files of plain text."""
    folder = root / name
    folder.mkdir(parents=True)
    for number in range(2):
        content = [f"sentence {line} of book {number} is about rain" for line in range(lines)]
        (folder / f"{number}.txt").write_text("\n".join(content) + "\n")


def everything(root: Path) -> None:
    """All of them, but those of Karpathy's form."""
    for write in (visual_genome, conceptual_captions, sbu, imagenet21k, open_images, text):
        write(root)
