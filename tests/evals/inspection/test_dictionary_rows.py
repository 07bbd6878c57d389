"""`unimo2 inspect dictionary`: who chooses a row, and what is near it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_interventions import _scorer

from evals.inspection.dictionary_rows import inspect
from evals.suite_mini import SuiteRequest, make_suite
from evals.suite_mini.patches import ATTRIBUTES, flickr_scenes, patch_values
from evals.suite_mini.world import Scene, Thing
from unimo2.cli import main
from unimo2.errors import IncompatibleModel
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import KarpathyImage, read_karpathy


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dictionary") / "suite"
    make_suite(folder, SuiteRequest(scale=0.001, flickr_test=10), 1, parts=["flickr30k"])
    return folder


@pytest.fixture(scope="module")
def images(root: Path) -> list[KarpathyImage]:
    folder = root / "flickr30k"
    return read_karpathy(folder / "dataset_flickr30k.json", folder / "flickr30k-images", ["test"])


def test_a_patch_shows_what_stands_in_its_cell() -> None:
    """Truth: a scene written by hand, on grids of 3 and of 6 patches a side."""
    star = Thing(cell=0, shape="star", colour="red", size="small", texture="plain")
    scene = Scene("sea", (star,))
    found = patch_values(scene, 3)
    assert found[0] == ("star", "red", "plain", "small", "0", "sea")
    assert found[8] == ("nothing", "nothing", "nothing", "nothing", "8", "sea")
    fine = patch_values(scene, 6)
    assert [place for place, value in enumerate(fine) if value[0] == "star"] == [0, 1, 6, 7]


def test_rows_are_counted_and_described_as_the_model_chooses_them(
    root: Path, images: list[KarpathyImage], tmp_path: Path
) -> None:
    """Independent truth: the model's forward pass on images and on texts alone, one by one."""
    scorer = _scorer(tmp_path, images)
    found = inspect(scorer, images, flickr_scenes(root))
    by_number = {row.row: row for row in found.rows}
    pixels = scorer.processor(images=[load_image(image.path) for image in images])["pixel_values"]
    texts = [caption.text for image in images for caption in image.captions]
    with torch.no_grad():
        vision = scorer.base.encode_image(pixels)
        of_images = scorer.base.ground(vision, None, with_loss=False).indices
        encoded = [
            scorer.base.encode_text(scorer.to_device(scorer.tokens([text]))) for text in texts
        ]
        of_texts = [scorer.base.ground(None, t, with_loss=False).indices[0] for t in encoded]
        nearest = vision[:, 1:] @ scorer.base.dictionary.embedding.T  # [images, patches, C]
    for row in range(16):
        chosen_images = (of_images == row).any(dim=1)
        chosen_texts = torch.stack([(indices == row).any() for indices in of_texts])
        both = chosen_images.repeat_interleave(5) & chosen_texts
        assert by_number[row].images == pytest.approx(float(chosen_images.float().mean()))
        assert by_number[row].texts == pytest.approx(float(chosen_texts.float().mean()))
        assert by_number[row].both == pytest.approx(float(both.float().mean()))
        image, patch = divmod(int(nearest[..., row].argmax()), nearest.shape[1])
        assert by_number[row].patches[0] == (images[image].filename, patch)
    assert set(found.purity) == set(found.chance) == set(ATTRIBUTES)
    assert all(0.0 < found.chance[name] <= 1.0 for name in ATTRIBUTES)


def test_without_scene_graphs_there_is_no_purity(
    images: list[KarpathyImage], tmp_path: Path
) -> None:
    """Truth: a folder that is no embedded suite, and a model that chooses no rows."""
    assert flickr_scenes(tmp_path) is None
    found = inspect(_scorer(tmp_path / "model", images), images)
    assert found.purity == {} and found.chance == {} and all(row.words for row in found.rows)
    with pytest.raises(IncompatibleModel):
        inspect(_scorer(tmp_path / "none", images, grounding="none"), images)


def test_the_command_prints_rows_and_purity(
    root: Path, images: list[KarpathyImage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: the numbers of `inspect`."""
    found = inspect(_scorer(tmp_path / "model", images), images, flickr_scenes(root))
    arguments = ["inspect", "dictionary", "--model", str(tmp_path / "model"), "--split", "test"]
    arguments += ["--data-root", str(root)]
    assert main([*arguments, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)["dictionary"]
    assert content["purity"] == pytest.approx(dict(found.purity))
    assert [row["row"] for row in content["rows"]] == [row.row for row in found.rows]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert f"purity of colour: {100 * found.purity['colour']:.1f} %" in shown
