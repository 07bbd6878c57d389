"""A data root with as many files as the paper's corpora have, in little room: to measure start-ups.

    python examples/real_counts.py DATA                  # 28 million names, about 2 GB, minutes
    python examples/real_counts.py DATA --share 0.001    # a thousandth of it

Every folder, name, list and shard is one that the official layouts have, in the counts of the paper's
Table 6 (and OpenWebText's 8 million files). Images and texts are a few, each under very many names
(hard links), and folders of ImageNet-21k and OpenWebText are links to a few folders, so that `unimo2
pretrain --data-root DATA` lists, reads and decodes what it would of the real corpora; only what the
images show is nothing, and one disk block serves many.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unimo2.formats.layout import (
    CocoFiles,
    ConceptualCaptionsFiles,
    ImageNet21kFiles,
    OpenImagesFiles,
    SbuFiles,
    VisualGenomeFiles,
)

COCO, VISUAL_GENOME, CONCEPTUAL_CAPTIONS, SBU = 113_287, 108_077, 3_010_000, 867_000
CLASSES, CLASS_IMAGES, OPEN_IMAGES = 21_841, 650, 1_743_042
TEXT_FOLDERS, FOLDER_TEXTS, BOOKS = 20_610, 389, 250
CAPTIONS, PHRASES = 5, 50  # of an image
SHARD = 10_000  # samples, as img2dataset has them
FOLDERS = 50  # with files in them; the others are links to these
LINKS = 60_000  # names that one file may have (ext4: 65,000)
WORDS = (
    "a the of in on with two man woman dog street red green blue small large old young sitting "
    "standing near table water beach city night people playing holding white black grass field"
).split()


@dataclass
class Linked:
    """One content under as many names as are asked for."""

    folder: Path
    suffix: str
    content: bytes
    names: int = 0

    def link(self, path: Path | str) -> None:
        """Give it another name."""
        number, used = divmod(self.names, LINKS)
        source = self.folder / f"{number}{self.suffix}"
        if not used:
            self.folder.mkdir(parents=True, exist_ok=True)
            source.write_bytes(self.content)
        os.link(source, path)
        self.names += 1


def sentence(dice: random.Random) -> str:
    """Words as long as captions are: nine of them."""
    return " ".join(dice.choices(WORDS, k=9))


def picture() -> bytes:
    """A small JPEG."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", quality=30)
    return stream.getvalue()


def write(root: Path, share: float) -> None:
    """Write all corpora, a share of each."""
    dice = random.Random(0)
    image = Linked(root / "contents", ".jpg", picture())

    def some(count: int) -> int:
        return max(2, round(count * share))

    for name, step in (
        ("coco", lambda: coco(root, image, some(COCO), dice)),
        ("visual_genome", lambda: visual_genome(root, image, some(VISUAL_GENOME), dice)),
        ("conceptual_captions", lambda: web(root, some(CONCEPTUAL_CAPTIONS), some(SBU), dice)),
        ("imagenet21k", lambda: imagenet21k(root, image, some(CLASSES))),
        ("open_images", lambda: open_images(root, image, some(OPEN_IMAGES))),
        ("openwebtext", lambda: texts(root, some(TEXT_FOLDERS), some(BOOKS), dice)),
    ):
        print(f"writing {name}", file=sys.stderr, flush=True)
        step()


def coco(root: Path, image: Linked, count: int, dice: random.Random) -> None:
    """Karpathy's JSON, and the images that it names; a few images of Flickr30k's, for validation."""
    files, folder = CocoFiles(root), "train2014"
    files.images(folder).mkdir(parents=True)
    texts = [json.dumps(sentence(dice)) for _ in range(10_000)]
    words = [json.dumps(json.loads(text).split()) for text in texts]
    with files.annotations.open("w") as stream:
        stream.write('{"dataset": "coco", "images": [')
        for number in range(count):
            path = files.image(folder, number)
            image.link(path)
            said = ", ".join(
                f'{{"sentid": {sentid}, "imgid": {number}, "raw": {texts[sentid % 10_000]}, '
                f'"tokens": {words[sentid % 10_000]}}}'
                for sentid in range(CAPTIONS * number, CAPTIONS * (number + 1))
            )
            stream.write(
                f'{", " if number else ""}{{"imgid": {number}, "cocoid": {number}, "filepath": '
                f'"{folder}", "filename": "{path.name}", "split": "train", "sentences": [{said}]}}'
            )
        stream.write("]}")


def visual_genome(root: Path, image: Linked, count: int, dice: random.Random) -> None:
    """Phrases about regions: the file has most of a gigabyte."""
    folder = root / VisualGenomeFiles.NAME
    for name in VisualGenomeFiles.IMAGES:
        (folder / name).mkdir(parents=True)
    phrases = [json.dumps(sentence(dice)[:30].strip()) for _ in range(10_000)]
    with (folder / VisualGenomeFiles.REGIONS).open("w") as stream:
        for number in range(1, count + 1):
            image.link(folder / VisualGenomeFiles.IMAGES[number % 2] / f"{number}.jpg")
            regions = ", ".join(
                f'{{"region_id": {n}, "width": 9, "height": 9, "image_id": {number}, "phrase": '
                f'{phrases[n % 10_000]}, "y": 1, "x": 1}}'
                for n in range(PHRASES * number, PHRASES * (number + 1))
            )
            stream.write(
                f'{"[" if number == 1 else ", "}{{"id": {number}, "regions": [{regions}]}}'
            )
        stream.write("]")


def web(root: Path, captions: int, sbu: int, dice: random.Random) -> None:
    """Shards as img2dataset writes them: one of them under many names, and one with the rest."""
    places = (
        (root / ConceptualCaptionsFiles.NAME / ConceptualCaptionsFiles.IMAGES["train"], captions),
        (root / SbuFiles.NAME / SbuFiles.IMAGES, sbu),
    )
    whole = Linked(root / "contents", ".tar", shard(SHARD, dice))
    for folder, count in places:
        folder.mkdir(parents=True)
        full, rest = divmod(count, SHARD)
        for number in range(full):
            whole.link(folder / f"{number:05d}.tar")
        if rest:
            (folder / f"{full:05d}.tar").write_bytes(shard(rest, dice))


def shard(count: int, dice: random.Random) -> bytes:
    """A tar of so many samples: image, caption and what the download noted."""
    stream, jpeg = io.BytesIO(), picture()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(count):
            caption = sentence(dice)
            noted = json.dumps({"caption": caption, "url": f"http://host/{number}.jpg"})
            for suffix, content in (
                ("jpg", jpeg),
                ("json", noted.encode()),
                ("txt", caption.encode()),
            ):
                member = tarfile.TarInfo(f"{number:09d}.{suffix}")
                member.size, member.mtime = len(content), 1_600_000_000
                archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def imagenet21k(root: Path, image: Linked, classes: int) -> None:
    """One folder a class."""
    folder = root / ImageNet21kFiles.NAME
    folder.mkdir()
    wnids = [f"n{number:08d}" for number in range(classes)]
    names = (f"{wnid}\t{WORDS[n % len(WORDS)]} {n}, other name" for n, wnid in enumerate(wnids))
    (folder / ImageNet21kFiles.CLASS_NAMES[0]).write_text("\n".join(names) + "\n")
    for number, wnid in enumerate(wnids):
        if number < FOLDERS:
            (folder / wnid).mkdir()
            for place in range(CLASS_IMAGES):
                image.link(f"{folder}/{wnid}/{wnid}_{place}.JPEG")
        else:
            (folder / wnid).symlink_to(wnids[number % FOLDERS])


def open_images(root: Path, image: Linked, count: int) -> None:
    """Images in one folder, and the labels that people verified, right and wrong ones."""
    folder = root / OpenImagesFiles.NAME
    (folder / "train").mkdir(parents=True)
    classes = [f"/m/{number:05x}" for number in range(600)]
    lines = "".join(f"{label},Thing {n}\n" for n, label in enumerate(classes))
    (folder / OpenImagesFiles.CLASS_NAMES[0]).write_text(lines)
    with (folder / OpenImagesFiles.LABELS[0]).open("w") as stream:
        stream.write("ImageID,Source,LabelName,Confidence\n")
        for number in range(count):
            identifier = f"{number * 2_654_435_761:016x}"
            image.link(f"{folder}/train/{identifier}.jpg")
            for place in range(3):
                label = classes[(number + 7 * place) % len(classes)]
                stream.write(f"{identifier},verification,{label},{int(place < 2)}\n")


def texts(root: Path, folders: int, books: int, dice: random.Random) -> None:
    """OpenWebText's folders of small files, and some large ones for books and Wikipedia."""
    page = Linked(root / "contents", ".txt", " ".join(_sentences(dice, 5_000)).encode())
    home = root / "openwebtext"
    for number in range(folders):
        folder = home / f"{number:05d}"
        if number < FOLDERS:
            folder.mkdir(parents=True)
            for place in range(FOLDER_TEXTS):
                page.link(f"{folder}/{number:07d}-{place:032x}.txt")
        else:
            folder.symlink_to(f"{number % FOLDERS:05d}")
    book = Linked(root / "contents", ".book.txt", "\n".join(_sentences(dice, 16_000_000)).encode())
    (root / "bookwiki").mkdir()
    for number in range(books):
        book.link(root / "bookwiki" / f"{number:03d}.txt")


def _sentences(dice: random.Random, size: int) -> Iterator[str]:
    """Sentences of about so many bytes together."""
    some = [sentence(dice) for _ in range(1000)]
    return (some[number % len(some)] for number in range(size // 45))


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder that is not there yet")
    parser.add_argument("--share", type=float, default=1.0, help="of the counts")
    given = parser.parse_args()
    given.root.mkdir(parents=True)
    write(given.root, given.share)


if __name__ == "__main__":
    main()
