"""Corpora are listed in columns: the same as plain readers, written here, find one by one."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from unimo2.data.corpora import CaptionedFolder, TrainingImage, read_classes, read_pair_columns
from unimo2.data.index import Index, TextFiles
from unimo2.errors import BadData
from unimo2.formats import json_stream, open_images, shards
from unimo2.formats.parsing import IMAGE_SUFFIXES, Skips
from unimo2.formats.shards import PairColumns, TarMember

SEEDS = pytest.mark.parametrize("seed", range(6))
Found = list[tuple[object, tuple[str, ...]]]


def listed(found: Iterator) -> tuple[Found, list[type]]:
    """Places and texts as an index holds them, and what they came in."""
    kinds: list[type] = []

    def noted() -> Iterator:
        for one in found:
            kinds.append(type(one))
            yield one

    index = Index(noted())
    texts = iter(index.texts)
    return [
        (index.sources[number], tuple(next(texts) for _ in range(count)))
        for number, count in enumerate(index.counts.tolist())
    ], kinds


def odd_caption(dice: random.Random) -> bytes:
    """What a caption may be; mostly plain."""
    some = [
        "a red dog",
        "zwei Wörter",
        " a  b\n",
        "x\x00y",
        "\ufeffz",
        "",
        "\xa0",
        "tab\there",
        "q",
    ]
    text = dice.choices(some, [60, 5, 5, 3, 3, 2, 2, 3, 5])[0].encode()
    return b"caf\xe9" if dice.random() < 0.03 else text


def write_tar(path: Path, seed: int, odd: bool) -> None:
    """A shard of 60 samples; `odd` ones among them."""
    dice = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    form = dice.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(path, "w", format=form) as archive:
        home = dice.choice(["", "./", "v1.0/", "a/b/"])
        for number in range(60):
            caption = odd_caption(dice) if odd else b"two words"
            files = {".jpg": b"x" * dice.randrange(2_000), ".json": b"{}", ".txt": caption}
            if odd and dice.random() < 0.3:
                key, value = dice.choice(
                    [(".png", b"p"), (".seg.png", b"s"), (".JPEG", b"j"), (".cls", b"1"),
                     ("", b"n"), (".\u0130jpg", b"i"), (".TXT", b"again"), (".jpeg.very.long", b"l")]
                )  # fmt: skip
                files[key] = value
                for gone in dice.sample([".jpg", ".json", ".txt"], dice.randrange(3)):
                    del files[gone]
            if odd and dice.random() < 0.1:
                files[".json"] = json.dumps({"caption": "of the json"}).encode()
                files.pop(".txt", None)
            for suffix, content in files.items():
                member = tarfile.TarInfo(f"{home}{number:04d}{suffix}")
                member.size = len(content)
                member.mtime = number + (0.5 if form == tarfile.PAX_FORMAT else 0)
                archive.addfile(member, io.BytesIO(content))


def plain_tar(path: Path) -> tuple[Found, Counter]:
    """By tarfile, sample by sample."""
    found, skips, samples = [], Counter(), {}
    with tarfile.open(path) as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            stem, dot, rest = name.partition(".")
            content = archive.extractfile(member).read()
            sample = samples.setdefault((folder, stem), {})
            suffix = (dot + rest).lower()
            if suffix in sample:
                skips["id that occurs twice"] += 1
            sample.setdefault(suffix, (member, content))
    for sample in samples.values():
        try:
            if ".txt" in sample:
                text = sample[".txt"][1].decode().removeprefix("\ufeff")
            else:
                text = json.loads(sample[".json"][1])["caption"]
        except (KeyError, UnicodeDecodeError):
            text = ""
        text = " ".join(text.split())
        image = next((sample[one][0] for one in IMAGE_SUFFIXES if one in sample), None)
        if not text:
            skips["broken row"] += 1
        elif image is None:
            skips["image not on disk"] += 1
        else:
            place = TarMember(path, image.name, image.offset_data, image.size)
            found.append((place, (text,)))
    return found, skips


@SEEDS
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("at_once", [50, 4096])
def test_shards_are_what_tarfile_finds(tmp_path, monkeypatch, seed, odd, at_once):
    """Truth: tarfile; samples that are not plain stand between others, in three formats of tar."""
    monkeypatch.setattr(shards, "_AT_ONCE", at_once)
    path = tmp_path / "shards" / "a.tar"
    write_tar(path, seed, odd)
    lost = Skips()
    found, kinds = listed(read_pair_columns(tmp_path, ["shards"], lost))
    assert (found, lost.counts) == plain_tar(path)
    assert PairColumns in kinds and (odd or kinds.count(TrainingImage) == 1)


@SEEDS
def test_folders_of_img2dataset_are_read_file_by_file(tmp_path, seed):
    """Truth: the files, opened one by one."""
    dice, expected, skips = random.Random(seed), [], Counter()
    for folder in (tmp_path / "shards" / "00000", tmp_path / "shards" / "00001"):
        folder.mkdir(parents=True)
        for number in range(30):
            caption, image = odd_caption(dice), folder / f"{number}{dice.choice(IMAGE_SUFFIXES)}"
            (folder / f"{number}.txt").write_bytes(caption)
            (folder / f"{number}.json").touch()
            there = dice.random() < 0.9
            if there:
                image.touch()
            try:
                text = " ".join(caption.decode().removeprefix("\ufeff").split())
            except UnicodeDecodeError:
                text = ""
            if text and there:
                expected.append((image, (text,)))
            elif text or caption:
                skips["image not on disk" if text else "broken row"] += 1
    order = [str(place) for place, _ in expected]
    expected = [one for _, one in sorted(zip(order, expected, strict=True), key=by_stem)]
    lost = Skips()
    found, kinds = listed(read_pair_columns(tmp_path, ["shards"], lost))
    assert found == expected and lost.counts == skips and set(kinds) == {PairColumns}


def by_stem(one: tuple[str, object]) -> tuple[str, str]:
    path = Path(one[0])
    return str(path.parent), f"{path.stem}.txt"


def region(dice: random.Random, number: int, image: int, odd: float) -> dict:
    entry = {"region_id": number, "width": 1, "height": 1, "image_id": image, "x": 1, "y": 1}
    entry["phrase"] = f"part {number}"
    if dice.random() < odd:
        entry |= dice.choice(
            [{"phrase": " two  words\n"}, {"phrase": "größer"}, {"phrase": '}]}, {"id": 3, "x'},
             {"phrase": ""}, {"phrase": 5}, {"phrase": "\ud83d"}, {"x": None}, {"x": 1.5},
             {"image_id": -1}, {"y": True}, {"further": [{"id": 1}]}, {"width": 2**60}]
        )  # fmt: skip
    return entry


def is_good(entry: dict, image: int) -> bool:
    numbers = [entry[name] for name in ("region_id", "width", "height", "image_id", "x", "y")]
    phrase = entry["phrase"]
    good = isinstance(phrase, str) and phrase.split() and "\ud83d" not in phrase
    return bool(good) and all(type(one) is int for one in numbers) and entry["image_id"] == image


@SEEDS
@pytest.mark.parametrize("odd", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("escaped", [False, True])
def test_phrases_are_those_of_json(tmp_path, monkeypatch, seed, odd, escaped):
    """Truth: json.loads, region by region; the file is cut into many pieces, oddly, too."""
    monkeypatch.setattr(json_stream, "_PIECE", 700)
    dice, folder, items, expected = random.Random(seed), tmp_path / "visual_genome", [], []
    (folder / "VG_100K").mkdir(parents=True)
    skips: Counter[str] = Counter()
    for image in range(60):
        again = bool(items) and dice.random() < odd / 3
        number = items[-1]["id"] if again else image
        found = [region(dice, 9 * image + n, number, odd) for n in range(dice.randrange(6))]
        items.append(
            {"id": number, "regions": found} if image % 2 else {"regions": found, "id": number}
        )
        skips["id that occurs twice"] += again
        if again:
            continue
        good = [one for one in found if is_good(one, number)]
        skips["broken row"] += len(found) - len(good)
        if dice.random() < 0.1:
            skips["image not on disk"] += 1
            continue
        (folder / "VG_100K" / f"{number}.jpg").touch()
        if good:
            texts = tuple(" ".join(one["phrase"].split()) for one in good)
            expected.append((folder / "VG_100K" / f"{number}.jpg", texts))
    written = json.dumps(items, ensure_ascii=escaped or odd > 0)
    (folder / "region_descriptions.json").write_text(written)
    lost = Skips()
    assert listed(read_pair_columns(tmp_path, ["visual_genome"], lost))[0] == expected
    assert lost.counts == +skips


@pytest.mark.parametrize(
    "spoilt", ["", "[", "[]]", '{"id": 1}', "%s]", "[%s", "[%s}", "[%s, ]", "[%s] [%s]", "[%s], 1",
               '[%s], "b": [%s]', "[%s,, %s]", '[{"id": 9876543210987654321}, %s]',
               '[{"id": 1, "z": 98765432109876543219}, %s]', '[{"id": NaN}, %s]', '[%s, {"id": 1e999}]',
               '[%s, {"id": 9, "regions": [], "z": ' + "[" * 600 + "]" * 600 + "}]"]
)  # fmt: skip
def test_a_malformed_list_of_regions_is_refused_as_before(tmp_path, monkeypatch, spoilt):
    """Truth: the reader of single regions, which ijson parses for."""
    from unimo2.formats.visual_genome import read_phrases, read_regions

    monkeypatch.setattr(json_stream, "_PIECE", 100)
    (tmp_path / "VG_100K").mkdir()
    (tmp_path / "VG_100K" / "1.jpg").touch()
    item = json.dumps({"id": 1, "regions": [region(random.Random(0), 1, 1, 0.0)]})
    (tmp_path / "region_descriptions.json").write_text(spoilt.replace("%s", item))
    said = []
    for read in (read_phrases, read_regions):
        with pytest.raises(BadData) as caught:
            list(read(tmp_path, Skips(), Skips()))
        said.append(str(caught.value))
    assert said[0] == said[1]


def karpathy(root: Path, images: int = 6) -> list[dict]:
    found = []
    for number in range(images):
        folder = root / "coco" / "train2014"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").touch()
        sentences = [
            {"sentid": 2 * number + n, "imgid": number, "raw": f" né {number} ", "tokens": ["a"]}
            for n in range(2)
        ]
        split = ["train", "val", "restval"][number % 3]
        found.append(
            {"imgid": number, "cocoid": number, "filename": f"{number}.jpg", "split": split,
             "filepath": "train2014", "sentences": sentences, "sentids": [0, 1]}
        )  # fmt: skip
    return found


def test_captions_are_those_of_json(tmp_path):
    """Truth: json.loads."""
    images = karpathy(tmp_path)
    expected = [
        (tmp_path / "coco" / "train2014" / one["filename"], (f"né {one['imgid']}",) * 2)
        for one in images
        if one["split"] != "val"
    ]
    path = tmp_path / "coco" / "dataset_coco.json"
    path.write_text(json.dumps({"dataset": "coco", "images": images}))
    assert listed(read_pair_columns(tmp_path, ["coco"]))[0] == expected


@SEEDS
@pytest.mark.parametrize("odd", [0.0, 0.02, 0.3])
def test_labels_are_those_of_csv(tmp_path, monkeypatch, seed, odd):
    """Truth: the csv module, row by row; the file is cut into many blocks."""
    monkeypatch.setattr(open_images, "_BLOCK", 300)
    dice, folder = random.Random(seed), tmp_path / "open_images"
    names = {f"/m/{n}": f"Thing {n // 2}" for n in range(9)}
    lines, images, skips = [], list[tuple[str, list[str]]](), Counter()
    for number in range(60):
        identifier = f"{number * 2_654_435_761:016x}"
        for _ in range(dice.randrange(1, 6)):
            row = [identifier, "verification", dice.choice(list(names)), dice.choice("01")]
            fault = ""
            if dice.random() < odd:
                kind = dice.randrange(7)
                fault = "broken row" if kind < 4 else ""
                if kind < 3:
                    row[(0, 3, 0)[kind]] = ("XYZ", "0.5", "0" * 17)[kind]
                elif kind == 3:
                    row.append("more")
                elif kind == 4:
                    row[2], fault = "/m/none", "label without a name"
                elif kind == 5:
                    row[1] = '"quoted"'
                else:
                    row[3] = "1.0\r"
            lines += [",".join(row), *([""] if dice.random() < odd else [])]
            (read,) = csv.reader([lines[-1] or lines[-2]])
            skips[fault] += 1
            if fault == "broken row":
                continue
            if not images or images[-1][0] != identifier:
                images.append((identifier, []))
            if not fault and read[3] in ("1", "1.0"):
                images[-1][1].append(names[read[2]].lower())
    (folder / "train").mkdir(parents=True)
    expected = []
    for identifier, labels in images:
        if labels and dice.random() < 0.9:
            place = folder / ("train" if dice.random() < 0.5 else f"train_{identifier[0]}")
            place.mkdir(exist_ok=True)
            (place / f"{identifier}.jpg").touch()
            expected.append((place / f"{identifier}.jpg", tuple(dict.fromkeys(labels))))
        elif labels:
            skips["image not on disk"] += 1
    text = "\n".join(["ImageID,Source,LabelName,Confidence", *lines])
    (folder / "train-annotations-human-imagelabels-boxable.csv").write_bytes(text.encode())
    content = "".join(f"{label},{name}\n" for label, name in names.items())
    (folder / "class-descriptions-boxable.csv").write_text(content)
    lost = Skips()
    assert listed(read_classes(tmp_path, ["open_images"], lost))[0] == expected
    assert lost.counts == {reason: n for reason, n in skips.items() if reason and n}


@pytest.mark.parametrize("beside", ["", ".hidden.JPEG", "__MACOSX", "notes.txt", "b.JPG", "JPEG"])
def test_images_of_a_class_are_its_files_with_a_suffix_of_images(tmp_path, beside):
    """Truth: the names, one by one."""
    folder = tmp_path / "imagenet21k" / "n00000001"
    folder.mkdir(parents=True)
    names = ["n1_2.JPEG", "n1_10.JPEG", *([beside] if beside else [])]
    for name in names:
        (folder / name).touch()
    (folder.parent / "words.txt").write_text("n00000001\ttench\n")
    lost = Skips()
    (found,) = read_classes(tmp_path, ["imagenet21k"], lost)
    images = [
        one for one in sorted(names) if one[0] not in "._" and "." in one and "txt" not in one
    ]
    assert isinstance(found, CaptionedFolder) and list(found.files) == images
    assert lost.total == len(names) - len(images)


def test_texts_are_those_of_a_walk(tmp_path):
    """Truth: os.walk, file by file; empty files, folders named like texts, links, other files."""
    for name, content in {
        "b/2.txt": "abc", "b/10.txt": "", "b/c.txt/x.raw": "1", "a.txt": "22", "a/z.tokens": "4",
        "a/é.txt": "ü", "b/note.md": "no", "b.c/1.txt": "q",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "d").symlink_to("a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    expected = []
    for home, folders, names in os.walk(tmp_path, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "up")
        texts = [Path(home, name) for name in sorted(names) if not name.endswith(".md")]
        expected += [(path, path.stat().st_size) for path in texts if path.stat().st_size]
    found = TextFiles([tmp_path])
    assert [(found.path(n), found.sizes[n]) for n in range(len(found))] == expected
    assert len(expected) == 8  # those of one folder twice, by a link
