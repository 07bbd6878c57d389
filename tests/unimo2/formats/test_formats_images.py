"""Pictures of every kind become upright 8-bit RGB, and broken ones are named."""

import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unimo2.errors import BadData, MissingData
from unimo2.formats.images import load_image, to_rgb
from unimo2.formats.parsing import IMAGE_SUFFIXES
from unimo2.formats.shards import shard_pairs

ORIENTATION = 0x0112  # EXIF tag
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def corners() -> Image.Image:
    """8 x 6 pixels, with a red block in the top left corner."""
    pixels = np.full((6, 8, 3), 255, dtype=np.uint8)
    pixels[:3, :4] = (255, 0, 0)
    return Image.fromarray(pixels)


def test_colour_picture_keeps_its_pixels(tmp_path: Path) -> None:
    """Against the array that was saved, losslessly."""
    corners().save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert loaded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(corners()))


@pytest.mark.parametrize(
    ("orientation", "where"),
    [(1, (0, 0)), (2, (0, 1)), (3, (1, 1)), (4, (1, 0)), (6, (0, 1)), (8, (1, 0))],
)
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, where: tuple[int, int]) -> None:
    """Against the EXIF standard: 6 means "turn by 90 degrees clockwise to see it upright", ..."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    corners().save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif)
    loaded = load_image(tmp_path / "a.jpg")
    assert loaded.size == ((6, 8) if orientation in (6, 8) else (8, 6))
    pixels = np.asarray(loaded).astype(int)
    row, column = (where[0] * (loaded.height - 1), where[1] * (loaded.width - 1))
    assert pixels[row, column, 0] > 200 and pixels[row, column, 1] < 60
    opposite = pixels[loaded.height - 1 - row, loaded.width - 1 - column]
    assert opposite.min() > 200


def unsound_exif(tag: int, kind: int, value: bytes) -> bytes:
    """EXIF with orientation 6 and an entry whose type is not the tag's own."""
    entries = struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0) + struct.pack("<HHI", tag, kind, 1)
    count = struct.pack("<H", 2)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + count + entries + value + bytes(4)


@pytest.mark.parametrize(
    "entry",
    [
        (0x0100, 11, struct.pack("<f", 1.5)),  # a width that is no whole number
        (0x0100, 9, struct.pack("<i", -5)),  # a negative one
        (0x0103, 4, struct.pack("<I", 70_000)),  # a compression that no 16 bits hold
        (0x011A, 11, struct.pack("<f", float("nan"))),  # a resolution that is no number
    ],
)
def test_a_sound_picture_needs_no_sound_metadata(
    tmp_path: Path, entry: tuple[int, int, bytes]
) -> None:
    """Against the pixels: metadata that Pillow cannot write anew refuses no picture."""
    corners().save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=unsound_exif(*entry))
    loaded = load_image(tmp_path / "a.jpg")
    assert loaded.size == (6, 8)
    assert np.asarray(loaded).astype(int)[0, 5].tolist()[0] > 200


def test_metadata_that_is_garbage_turns_nothing(tmp_path: Path) -> None:
    """Against the picture as it was saved."""
    corners().save(tmp_path / "a.jpg", quality=100, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert load_image(tmp_path / "a.jpg").size == (8, 6)


def test_a_turned_picture_is_turned_once(tmp_path: Path) -> None:
    """Against the picture itself: what is upright stays as it is, and has no orientation left."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    corners().save(tmp_path / "a.jpg", exif=exif)
    loaded = load_image(tmp_path / "a.jpg")
    assert loaded.size == (6, 8) and ORIENTATION not in loaded.getexif()
    assert to_rgb(loaded) is loaded


def test_a_git_lfs_pointer_is_called_one(tmp_path: Path) -> None:
    """Against the text that git-LFS leaves where it did not fetch a file, alone and in a shard."""
    (tmp_path / "a.jpg").write_text(POINTER)
    with pytest.raises(BadData, match=r"a\.jpg is a git-LFS pointer"):
        load_image(tmp_path / "a.jpg")
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for name, content in (("1.jpg", POINTER.encode()), ("1.txt", b"a dog")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    (pair,) = shard_pairs(tmp_path / "a.tar")
    with pytest.raises(BadData, match=r"a\.tar:1\.jpg is a git-LFS pointer"):
        load_image(pair.path)


def test_names_of_images_are_those_that_pillow_reads() -> None:
    """Against Pillow's own list: each has a reader, and the usual ones are among them."""
    known = Image.registered_extensions()
    assert all(known[suffix] in Image.OPEN for suffix in IMAGE_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tiff"} <= set(IMAGE_SUFFIXES)
    assert len(set(IMAGE_SUFFIXES)) == len(IMAGE_SUFFIXES)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    """A white picture of any mode is white."""
    if mode in ("I", "I;16"):
        white = Image.fromarray(np.full((4, 4), 65535, dtype=np.uint16)).convert(mode)
    else:
        white = Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode)
    assert white.mode == mode
    converted = to_rgb(white)
    assert converted.mode == "RGB"
    assert np.asarray(converted).min() >= 254


def test_gray_and_cmyk_jpegs(tmp_path: Path) -> None:
    """Against the colours that were put in; JPEG stores CMYK inverted, as Adobe does."""
    Image.new("L", (16, 16), 90).save(tmp_path / "gray.jpg", quality=100)
    assert abs(np.asarray(load_image(tmp_path / "gray.jpg")).astype(int) - 90).max() <= 2
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    red.save(tmp_path / "cmyk.jpg", quality=100)
    pixel = np.asarray(load_image(tmp_path / "cmyk.jpg"))[8, 8].astype(int)
    assert pixel[0] > 240 and pixel[1] < 15 and pixel[2] < 15


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    """ImageNet's n02105855_2933.JPEG is a PNG; nothing but its first bytes says so."""
    path = tmp_path / "n02105855_2933.JPEG"
    corners().save(path, format="PNG")
    np.testing.assert_array_equal(np.asarray(load_image(path)), np.asarray(corners()))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    """Against the frame that was saved first; web collections hold animated GIFs."""
    second = Image.new("RGB", (8, 6), (0, 0, 255))
    corners().save(tmp_path / "a.gif", save_all=True, append_images=[second])
    loaded = np.asarray(load_image(tmp_path / "a.gif")).astype(int)
    assert np.abs(loaded - np.asarray(corners()).astype(int)).max() <= 2


def test_sixteen_bit_gray_keeps_its_proportions(tmp_path: Path) -> None:
    """Against 65535 = 257 x 255; a plain conversion would clip the middle gray to white."""
    expected = {0: 0, 256: 0, 257: 1, 257 * 100 - 1: 99, 257 * 100: 100, 257 * 200: 200, 65535: 255}
    levels = np.array([list(expected)], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    loaded = np.asarray(load_image(tmp_path / "deep.png"))
    assert loaded[0].tolist() == [[value] * 3 for value in expected.values()]


def test_palette_with_transparency(tmp_path: Path) -> None:
    """The colours of the palette count, as with any other palette picture."""
    picture = corners().quantize(4)
    picture.save(tmp_path / "a.png", transparency=bytes([0, 255, 255, 255]))
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png")), np.asarray(corners()))


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "bmp"])
def test_truncated_files_are_named(tmp_path: Path, ending: str) -> None:
    """The second half of each file is cut off."""
    path = tmp_path / f"cut.{ending}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadData, match=f"cannot be decoded: .*cut.{ending}"):
        load_image(path)


def test_no_image_at_all(tmp_path: Path) -> None:
    """Text, an empty file, a folder, nothing: one error of one line each."""
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    (tmp_path / "empty.jpg").touch()
    for name in ("text.jpg", "empty.jpg"):
        with pytest.raises(BadData, match=name) as caught:
            load_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    for path in (tmp_path, tmp_path / "none.jpg"):
        with pytest.raises(MissingData, match="image not found"):
            load_image(path)


def test_real_photos_are_decoded(real_data: Path) -> None:
    """Every real photo of the samples is an RGB picture of the size that its own header says."""
    paths = [*real_data.glob("coco/val2014/*.jpg"), *real_data.glob("imagenet/val/*/*")]
    assert len(paths) >= 36
    for path in paths:
        with Image.open(path) as header:
            size = header.size
        loaded = load_image(path)
        assert loaded.mode == "RGB"
        assert loaded.size in (size, size[::-1])
