"""ImageNet folders, classes and csv files: small ones, the real ones, and broken ones."""

import pytest

from unimo2.errors import BadData, MissingData
from unimo2.formats.imagenet import (
    NO_CLASS,
    LabelledImage,
    Synset,
    find_mapping,
    read_labels,
    read_predictions,
    read_synsets,
)
from unimo2.formats.images import load_image
from unimo2.formats.parsing import NOT_AN_IMAGE, Skips

KNOWN = {"n01440764", "n01443537"}


@pytest.fixture
def folder(tmp_path):
    """Three images of two classes in val/, the mapping beside it, and what else lies in folders."""
    (tmp_path / "LOC_synset_mapping.txt").write_text(
        "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"
    )
    for name in ("n01443537/b.JPEG", "n01440764/c.JPEG", "n01440764/a.jpg", "n01440764/notes.txt"):
        path = tmp_path / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "val" / "README").touch()
    return tmp_path


def test_synsets(folder):
    """Against what was written: ids, names split at commas, in the order of the file."""
    assert read_synsets(folder / "LOC_synset_mapping.txt") == [
        Synset("n01440764", ("tench", "Tinca tinca")),
        Synset("n01443537", ("goldfish", "Carassius auratus")),
    ]


def test_images_of_folders(folder):
    """Against what was written: classes and images in order, other files passed over."""
    val = folder / "val"
    assert read_labels(val) == [
        LabelledImage("a", "n01440764", val / "n01440764" / "a.jpg"),
        LabelledImage("c", "n01440764", val / "n01440764" / "c.JPEG"),
        LabelledImage("b", "n01443537", val / "n01443537" / "b.JPEG"),
    ]
    assert find_mapping(val) == folder.resolve() / "LOC_synset_mapping.txt"


def test_images_of_every_kind_are_read_and_the_rest_is_counted(folder):
    """Against what was written: names that Pillow reads; the text, the raw photo and a stray one."""
    val = folder / "val"
    for name in ("n01440764/d.webp", "n01440764/e.BMP", "n01443537/f.tiff", "n01443537/g.gif"):
        (val / name).touch()
    (val / "n01443537" / "h.heic").touch()
    (val / "stray.JPEG").touch()
    left_out = Skips()
    found = read_labels(val, left_out=left_out)
    assert [image.name for image in found] == list("acdebfg")
    assert left_out.counts == {NOT_AN_IMAGE: 2, NO_CLASS: 1}
    assert f"2 x {NOT_AN_IMAGE}, first {val / 'n01440764' / 'notes.txt'}" in left_out.lines()


def test_class_folders_of_the_shared_case(shared_cases):
    """Against the case's own five images, of which three are .webp or .bmp."""
    data = shared_cases / "13-webp-bmp-class-folders" / "data" / "imagenet" / "val"
    found = read_labels(data)
    assert [image.path.name for image in found] == [
        "a1.JPEG",
        "a2.webp",
        "b1.jpg",
        "b2.bmp",
        "c1.webp",
    ]
    assert {load_image(image.path).mode for image in found} == {"RGB"}


def test_what_systems_leave_beside_images_is_no_image(folder):
    """Against the same folder before."""
    val = folder / "val"
    before = read_labels(val)
    for name in (".ipynb_checkpoints/x.JPEG", "__MACOSX/y.JPEG", "n01440764/._a.jpg"):
        (val / name).parent.mkdir(exist_ok=True)
        (val / name).touch()
    assert read_labels(val) == before


def test_labels_of_the_flat_distribution(tmp_path):
    """Against rows as in LOC_val_solution.csv: a class and its box, one to many times."""
    path = tmp_path / "LOC_val_solution.csv"
    path.write_text(
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00048981,n03995372 85 1 499 272 \n"
        "ILSVRC2012_val_00037956,n03481172 131 0 499 254 n03481172 1 2 3 4 \n"
    )
    assert [(image.name, image.wnid) for image in read_labels(path)] == [
        ("ILSVRC2012_val_00048981", "n03995372"),
        ("ILSVRC2012_val_00037956", "n03481172"),
    ]


@pytest.mark.parametrize("boxes", ["", "n01440764 1 2 3 4 n01443537 1 2 3 4"])
def test_a_row_without_a_class_or_with_two_is_refused(tmp_path, boxes):
    """Against the rows of LOC_val_solution.csv, each of which has the boxes of one class."""
    path = tmp_path / "LOC_val_solution.csv"
    path.write_text(f"ImageId,PredictionString\nv_1,n01440764 1 2 3 4\nv_2,{boxes}\n")
    with pytest.raises(BadData, match="line 3: expected the boxes of one class"):
        read_labels(path)


def test_flat_images_have_their_classes_from_the_official_list(tmp_path):
    """Against val as distributed: one folder, the list above it; what is in one of them alone."""
    val = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    val.mkdir(parents=True)
    for name in ("v_2.JPEG", "v_1.JPEG"):
        (val / name).touch()
    with pytest.raises(BadData, match="2 images in no class folder, and no LOC_val_solution.csv"):
        read_labels(val)
    solution = tmp_path / "LOC_val_solution.csv"
    head = "ImageId,PredictionString\nv_1,n01443537 1 2 3 4\n"
    solution.write_text(head + "v_2,n01440764 1 2 3 4\n")
    assert read_labels(val) == [
        LabelledImage("v_1", "n01443537", val / "v_1.JPEG"),
        LabelledImage("v_2", "n01440764", val / "v_2.JPEG"),
    ]
    solution.write_text(head)
    with pytest.raises(BadData, match="v_2.JPEG: .* does not name this image"):
        read_labels(val)
    solution.write_text(head + "v_2,n01440764 1 2 3 4\nv_3,n01440764 1 2 3 4\n")
    with pytest.raises(MissingData, match="image v_3 of "):
        read_labels(val)


def test_the_real_sample(real_data):
    """Against ../shared/real/imagenet: 1,000 classes, 24 photos whose names begin with their class."""
    folder = real_data / "imagenet"
    synsets = read_synsets(folder / "LOC_synset_mapping.txt")
    assert (len(synsets), synsets[0].names[0], synsets[999].wnid) == (1000, "tench", "n15075141")
    images = read_labels(folder / "val")
    assert len(images) == 24
    assert all(image.name.startswith(image.wnid) and image.path.is_file() for image in images)
    assert find_mapping(folder / "val") == (folder / "LOC_synset_mapping.txt").resolve()


def test_predictions(tmp_path):
    """Against what was written: an image may have its folder and suffix or not, cells may be quoted."""
    path = tmp_path / "p.csv"
    path.write_text('image,prediction\r\nval/n01/a.JPEG,n01440764\r\n"b","n01443537"\r\n')
    assert read_predictions(path, KNOWN) == {"a": "n01440764", "b": "n01443537"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: expected the header image,prediction"),
        ("a.JPEG,n01440764\n", "line 1: expected the header"),
        ("image,prediction\na,tench\n", "line 2: unknown class 'tench'"),
        ("image,prediction\na,n01440764\na.JPEG,n01440764\n", "image occurs more than once: a"),
        ("image,prediction\n\na\n", "line 3: expected 2 columns, found 1"),
        ('image,prediction\n"a"x,n01440764\n', "line 2: malformed csv"),
    ],
)
def test_broken_predictions_are_refused(tmp_path, text, says):
    """Against files that are wrong by construction."""
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(BadData, match=says):
        read_predictions(path, KNOWN)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tench n01440764\n", "line 1: expected a synset id"),
        ("n01440764\n", "line 1: expected a synset id and its names"),
        ("n01440764 a\nn01440764 b\n", "more than once: n01440764"),
        ("\n", "no synsets"),
    ],
)
def test_broken_mappings_are_refused(tmp_path, text, says):
    """Against files that are wrong by construction."""
    path = tmp_path / "LOC_synset_mapping.txt"
    path.write_text(text)
    with pytest.raises(BadData, match=says):
        read_synsets(path)


def test_odd_folders_are_refused(folder):
    """Against a folder with a name for a class, an image twice, no image, and no folder at all."""
    with pytest.raises(BadData, match="not synset ids: val"):
        read_labels(folder)
    (folder / "empty").mkdir()
    with pytest.raises(BadData, match="no images in folders"):
        read_labels(folder / "empty")
    (folder / "val" / "n01443537" / "a.JPEG").touch()
    with pytest.raises(BadData, match="image name occurs more than once: a"):
        read_labels(folder / "val")
    (folder / "val" / "tench").mkdir()
    with pytest.raises(BadData, match="not synset ids: tench"):
        read_labels(folder / "val")
    with pytest.raises(MissingData, match="ImageNet labels not found"):
        read_labels(folder / "train")
