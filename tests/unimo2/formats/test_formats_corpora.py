"""Visual Genome, Open Images, folders of classes and plain text: miniatures and bad input."""

import json
from pathlib import Path

import pytest

from unimo2.errors import BadData, MissingData
from unimo2.formats.imagenet import synset_images
from unimo2.formats.json_stream import json_items
from unimo2.formats.open_images import read_open_images
from unimo2.formats.parsing import Skips
from unimo2.formats.plain_text import text_lines
from unimo2.formats.visual_genome import read_regions

REGIONS = """[{"regions": [{"region_id": 1382, "width": 82, "height": 139, "image_id": 1,
  "phrase": "the clock is green in colour", "y": 57, "x": 421},
 {"region_id": 1383, "width": 182, "height": 139, "image_id": 1,
  "phrase": "shade is along the\\nstreet ", "y": 372, "x": 194}], "id": 1},
 {"image_id": 2407890, "regions": []}]"""
LABELS = """ImageID,Source,LabelName,Confidence
000026e7ee790996,verification,/m/04hgtk,0
000026e7ee790996,verification,/m/07j7r,1
000026e7ee790996,crowdsource-verification,/m/01bqvp,1
000062a39995e348,verification,/m/015p6,1
0000c64e1253d68f,verification,/m/015p6,0
"""
CLASSES = '/m/04hgtk,Human head\n/m/07j7r,Tree\n/m/01bqvp,"Sky, clear"\n/m/015p6,Bird\n'


def touch(path: Path) -> Path:
    """An empty file with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def regions(folder: Path, content: str) -> Path:
    """A folder with the region descriptions and both images of the miniature."""
    (folder / "region_descriptions.json").write_text(content)
    touch(folder / "VG_100K_2" / "1.jpg")
    touch(folder / "VG_100K" / "2407890.jpg")
    return folder


def test_visual_genome_is_read_from_both_image_folders(tmp_path: Path) -> None:
    """Against the miniature: both names of the image's id, phrases with line ends, no regions."""
    first, second = read_regions(regions(tmp_path, REGIONS))
    assert first.path == tmp_path / "VG_100K_2" / "1.jpg"
    assert [region.phrase for region in first.regions] == [
        "the clock is green in colour",
        "shade is along the street",
    ]
    assert (first.regions[0].id, first.regions[0].box) == (1382, (421, 57, 82, 139))
    assert (second.id, second.regions) == (2407890, ())
    (tmp_path / "VG_100K" / "2407890.jpg").unlink()
    lost = Skips()
    assert [image.id for image in read_regions(tmp_path, lost)] == [1] and lost.total == 1
    with pytest.raises(MissingData, match=r"item 1: image 2407890\.jpg is neither in"):
        list(read_regions(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"phrase": "the clock is green in colour"', '"phrase": " "', "item 0.*'phrase'"),
        ('"image_id": 1,', '"image_id": 2,', "image_id 2 inside the image with id 1"),
        ('"x": 421', '"x": "421"', "'x' must be of type int, found str"),
        ('"region_id": 1382, ', "", "'region_id' is missing"),
        ('"image_id": 2407890', '"image_id": 1', "item 1: image id 1 occurs twice"),
        ('{"image_id": 2407890, "regions": []}', '{"regions": []}', "item 1: field 'id'"),
        ('{"image_id": 2407890, "regions": []}', "7", "item 1: expected an object"),
        (
            '"regions": []',
            '"regions": null',
            "item 1: field 'regions' must be of type list, found NoneType",
        ),
    ],
)
def test_a_broken_region_is_named_and_can_be_counted(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """Against the miniature with one fault put into it."""
    assert old in REGIONS
    folder = regions(tmp_path, REGIONS.replace(old, new, 1))
    with pytest.raises(BadData, match=message):
        list(read_regions(folder))
    broken = Skips()
    list(read_regions(folder, broken=broken))
    assert broken.total == 1


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_a_json_list_streams_as_json_loads_reads_it(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against json.loads, with windows that end inside numbers, strings and characters."""
    monkeypatch.setattr("unimo2.formats.json_stream._CHUNK", chunk)
    content = [12345, {"é": [1.5, None, 'ünï\n"']}, "x" * 300, [], -7, True, {"a": {"b": {}}}]
    path = tmp_path / "list.json"
    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False, indent=1)):
        path.write_text(f"\ufeff \n{text} \n", encoding="utf-8")
        assert list(json_items(path)) == content
    path.write_text("[ ]")
    assert list(json_items(path)) == []


@pytest.mark.parametrize("chunk", [4, 1 << 20])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a JSON list"),
        ("{}", "expected a JSON list"),
        ("[1,\n2,\n3", "malformed JSON at line 3: "),
        ("[1,\n2,\n", "line 3: "),
        ('[1,\n{"a": tru},\n3]', "line 2: "),
        ('[1,\n"never ended\n]', "malformed JSON at line 2: "),
        ("[1 2]", "malformed JSON at line 1: "),
        ("[1]\n[2]", "malformed JSON at line 2: "),
        ("[1,\n" + "9" * 5_000 + "]", "line 2: "),
        ("[" * 100_000, "nested too deeply|line 1"),
    ],
)
def test_a_malformed_list_names_the_line(
    tmp_path: Path, text: str, message: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against texts whose fault stands in a known line."""
    monkeypatch.setattr("unimo2.formats.json_stream._CHUNK", chunk)
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(BadData, match=message):
        list(json_items(path))


def test_a_list_that_is_not_there_or_not_utf8_is_named(tmp_path: Path) -> None:
    """Against a missing file and a Latin-1 byte."""
    with pytest.raises(MissingData, match="file not found"):
        list(json_items(tmp_path / "no.json"))
    path = tmp_path / "latin.json"
    path.write_bytes(b'["caf\xe9"]')
    with pytest.raises(BadData, match="not UTF-8"):
        list(json_items(path))


def open_images(folder: Path, labels: str = LABELS, classes: str = CLASSES) -> Path:
    """A folder in the layout of Open Images, with the images of both labelled rows."""
    (folder / "train-annotations-human-imagelabels-boxable.csv").write_text(labels)
    (folder / "class-descriptions-boxable.csv").write_text(classes)
    touch(folder / "train" / "000026e7ee790996.jpg")
    touch(folder / "train_0" / "000062a39995e348.jpg")
    return folder


def test_open_images_keeps_the_labels_that_are_right(tmp_path: Path) -> None:
    """Against the miniature: confidence 0 means not in the picture; names may hold commas."""
    first, second = read_open_images(open_images(tmp_path))
    assert (first.id, first.labels) == ("000026e7ee790996", ("Tree", "Sky, clear"))
    assert first.path == tmp_path / "train" / "000026e7ee790996.jpg"
    assert second.path == tmp_path / "train_0" / "000062a39995e348.jpg"
    assert second.labels == ("Bird",)


def test_open_images_v7_names_and_header(tmp_path: Path) -> None:
    """Against the file names and the header of version 7."""
    (tmp_path / "oidv7-train-annotations-human-imagelabels.csv").write_text(LABELS)
    header = "LabelName,DisplayName\n"
    (tmp_path / "oidv7-class-descriptions.csv").write_text(header + CLASSES)
    lost = Skips()
    assert list(read_open_images(tmp_path, lost)) == []
    assert lost.total == 2
    with pytest.raises(MissingData, match=r"train/000026e7ee790996\.jpg"):
        list(read_open_images(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ImageID,Source", "image,Source", "csv:1: expected the header"),
        ("/m/07j7r,1", "/m/07j7r", "csv:3: 3 columns, expected 4"),
        ("/m/07j7r,1", "/m/07j7r,0.7", "csv:3: confidence '0.7'"),
        ("/m/07j7r,1", "x" * 140_000 + ",1", "csv:3: field larger than field limit"),
        ("/m/07j7r,1", "/m/none,1", "csv:3: label '/m/none' has no name"),
        ("000062a39995e348", "62a3", "csv:5: '62a3' is not an image id"),
    ],
)
def test_a_broken_row_of_open_images_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """Against the miniature with one fault put into it."""
    folder = open_images(tmp_path, LABELS.replace(old, new, 1))
    with pytest.raises(BadData, match=message):
        list(read_open_images(folder))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("/m/07j7r\n", "csv:1: expected label,name"),
        (CLASSES + "/m/07j7r,Bush\n", "csv:5: /m/07j7r is 'Bush' here, 'Tree' before"),
    ],
)
def test_a_broken_class_list_is_named(tmp_path: Path, classes: str, message: str) -> None:
    """Against class lists with one fault, and none at all."""
    folder = open_images(tmp_path, classes=classes)
    with pytest.raises(BadData, match=message):
        list(read_open_images(folder))
    (folder / "class-descriptions-boxable.csv").unlink()
    with pytest.raises(MissingData, match="class names not found"):
        list(read_open_images(folder))


@pytest.mark.parametrize(
    ("name", "row"),
    [("words.txt", "n01440764\ttench, Tinca tinca"), ("LOC_synset_mapping.txt", "n01440764 tench")],
)
def test_class_folders_are_named_by_either_list(tmp_path: Path, name: str, row: str) -> None:
    """Against both lists as distributed, one with a tab and one with a space."""
    (tmp_path / name).write_text(f"{row}\nn01443537 goldfish\n")
    touch(tmp_path / "n01443537" / "n01443537_2.JPEG")
    touch(tmp_path / "n01440764" / "n01440764_10026.JPEG")
    touch(tmp_path / "n01440764" / "n01440764_10.jpg")
    found = list(synset_images(tmp_path))
    assert [image.path.name for image in found] == [
        "n01440764_10.jpg",
        "n01440764_10026.JPEG",
        "n01443537_2.JPEG",
    ]
    assert found[0].names[0] == "tench" and found[2].names == ("goldfish",)


def test_broken_class_folders_are_named(tmp_path: Path) -> None:
    """Against no list, no folders, a class without a name, a stray file, a broken list."""
    with pytest.raises(MissingData, match=r"words\.txt or LOC_synset_mapping\.txt"):
        list(synset_images(tmp_path))
    (tmp_path / "words.txt").write_text("n01440764\ttench\n")
    with pytest.raises(MissingData, match="no class folder"):
        list(synset_images(tmp_path))
    touch(tmp_path / "n01440764" / "notes.txt")
    touch(tmp_path / "n00000001" / "a.JPEG")
    with pytest.raises(BadData, match="n00000001"):
        list(synset_images(tmp_path))
    broken = Skips()
    assert list(synset_images(tmp_path, broken)) == [] and broken.total == 2
    for text in ("tench\n", "n01440764\ttench\nn01440764\tcod\n"):
        (tmp_path / "words.txt").write_text(text)
        with pytest.raises(BadData, match=r"words\.txt:\d: "):
            list(synset_images(tmp_path))


def test_text_streams_file_by_file_without_blank_lines(tmp_path: Path) -> None:
    """Against shards in folders: sorted by path, WikiText's headings and blank lines as they are."""
    touch(tmp_path / "subset00" / "b.txt").write_text(
        " \n = Homarus gammarus = \n\n The lobster\r\n"
    )
    touch(tmp_path / "a.txt").write_text("café", encoding="utf-8")
    touch(tmp_path / "notes.md").write_text("not text of the corpus")
    touch(tmp_path / "wikitext-2" / "wiki.valid.tokens").write_text(" One <unk> \n")
    found = [(line.path.name, line.number, line.text) for line in text_lines(tmp_path)]
    assert found == [
        ("a.txt", 1, "café"),
        ("b.txt", 2, "= Homarus gammarus ="),
        ("b.txt", 4, "The lobster"),
        ("wiki.valid.tokens", 1, "One <unk>"),
    ]


def test_bad_text_is_named(tmp_path: Path) -> None:
    """Against no folder, no file, and a line that is not UTF-8."""
    with pytest.raises(MissingData, match="text corpus not found"):
        list(text_lines(tmp_path / "none"))
    with pytest.raises(MissingData, match="no text in"):
        list(text_lines(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"one\ncaf\xe9\nthree\n")
    with pytest.raises(BadData, match=r"a\.txt:2: not UTF-8"):
        list(text_lines(tmp_path))
    broken = Skips()
    assert [line.text for line in text_lines(tmp_path, broken)] == ["one", "three"]
    assert broken.total == 1


def test_real_wikitext_has_the_tokens_of_its_paper(real_data: Path) -> None:
    """Against WikiText-2's published 217,646 validation tokens: words, and one end a line."""
    path = real_data / "text" / "wikitext-2_valid.txt"
    words = sum(len(line.text.split()) for line in text_lines(path))
    ends = path.read_bytes().count(b"\n")
    assert words + ends == 217_646
