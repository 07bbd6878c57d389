"""A real UNIMO-2 with random weights through the whole of `unimo2 eval`: it guesses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from builders.retrieval_fakes import write_flickr
from evals import records
from unimo2.cli import main


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data root with 40 images, and a small model that was never trained."""
    from unimo2 import Unimo2Config, Unimo2Model, Unimo2Processor
    from unimo2.processing import train_tokenizer

    base = tmp_path_factory.mktemp("untrained")
    data = write_flickr(base / "data", images=40)
    annotations = json.loads((data / "flickr30k" / "dataset_flickr30k.json").read_text())
    texts = [s["raw"] for image in annotations["images"] for s in image["sentences"]]
    tokenizer = train_tokenizer(texts, 400)
    torch.manual_seed(0)
    config = Unimo2Config.mini(
        image_size=16, patch_size=8, hidden_size=32, intermediate_size=64, vision_layers=1, text_layers=1,
        fusion_layers=2, dictionary_size=32, grounded_tokens=4, vocab_size=len(tokenizer),
    )  # fmt: skip
    model = base / "untrained"
    Unimo2Model(config).save_pretrained(model)
    Unimo2Processor(tokenizer, image_size=16, max_text_length=64).save_pretrained(model)
    return data, model


def _eval(folders: tuple[Path, Path], output: Path, *options: str) -> int:
    data, model = folders
    return main(
        ["eval", "flickr", "--zero-shot", "--model", str(model), "--data-root", str(data)]
        + ["--device", "cpu", "--output", str(output), *options]
    )


def test_an_untrained_model_is_at_chance(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: a model that has seen nothing can only guess; 1 of 40 images is right by chance."""
    assert _eval(folders, tmp_path) == 0
    shown = capsys.readouterr().out
    (record,) = records.find(tmp_path)
    assert all(metric.at_chance for metric in record.metrics.values())
    assert record.metrics["image_retrieval/R@1"].chance == pytest.approx(2.5)
    assert "at chance in every metric" in shown
    assert "40 of 1,000" in shown
    assert str(record.path) in shown
    for name in ("R@1", "R@5", "R@10", "95 % interval", "pairs/s", "MiB"):
        assert name in shown


def test_json_is_all_that_is_printed(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: the record on disk."""
    assert _eval(folders, tmp_path, "--json", "--limit", "8") == 0
    out, err = capsys.readouterr()
    printed = json.loads(out)
    record = records.read(Path(printed["record"]))
    assert printed["metrics"] == json.loads(record.path.read_text())["metrics"]
    assert set(printed["metrics"]["text_retrieval/R@1"]) >= {"value", "n", "ci95"}
    assert printed["data"]["images"] == 8
    assert err == ""


def test_scores_do_not_depend_on_the_batch(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Truth: the same pairs in calls of one image and text each, within 1e-5."""
    assert _eval(folders, tmp_path / "a", "--batch-size", "64", "--limit", "12") == 0
    assert _eval(folders, tmp_path / "b", "--batch-size", "1", "--limit", "12") == 0
    (a,), (b,) = records.find(tmp_path / "a"), records.find(tmp_path / "b")
    for name in ("scores", "itm", "contrastive"):
        left, right = (np.load(record.path.parent / f"{name}.npy") for record in (a, b))
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_scores_equal_the_model_called_by_hand(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Truth: `Unimo2Model.forward` on one image and one caption at a time."""
    from PIL import Image

    from unimo2 import Unimo2Model, Unimo2Processor

    data, folder = folders
    assert _eval(folders, tmp_path, "--limit", "3") == 0
    (record,) = records.find(tmp_path)
    scores = np.load(record.path.parent / "scores.npy")
    model = Unimo2Model.from_pretrained(folder).eval()
    processor = Unimo2Processor.from_pretrained(folder)
    annotations = json.loads((data / "flickr30k" / "dataset_flickr30k.json").read_text())
    texts = [s["raw"] for image in annotations["images"][:3] for s in image["sentences"]]
    for i in range(3):
        with Image.open(data / "flickr30k" / "flickr30k-images" / f"{i}.png") as image:
            for j, text in enumerate(texts):
                with torch.no_grad():
                    out = model(**processor(images=image, text=text))
                weight = model.config.contrastive_weight
                expected = out.itm_logits[0, 1] + weight * out.cmcl_score.flatten()[0]
                assert scores[i, j] == pytest.approx(expected.item(), abs=1e-5)


def test_the_adapter_offers_what_it_says(folders: tuple[Path, Path]) -> None:
    """Truth: the protocols of each capability that the folder's card lists."""
    card = zoo.resolve(folders[1])
    model = zoo.load(folders[1], device="cpu")
    assert model.name == "untrained"
    assert model.weights_sha256 == zoo.cards.weights_sha256(folders[1])
    for capability in card.capabilities:
        zoo.protocols.require(model, capability)


def test_mistakes_are_one_line_and_status_2(
    folders: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Truth: each command is wrong by construction; the line says what to do."""
    data, model = folders
    nowhere = str(tmp_path / "nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", nowhere)
    monkeypatch.delenv("UNIMO2_DATA", raising=False)
    wrong = [
        (
            ["eval", "sst2", "--model", "mini", "--data-root", str(data)],
            "cannot be used as text_classifier",
        ),
        (["eval", "flickr", "--model", "mini", "--data-root", str(data)], "add --zero-shot"),
        (
            ["eval", "flickr", "--zero-shot", "--data-root", nowhere],
            "not found, expected a folder to read",
        ),
        (["eval", "flickr", "--zero-shot", "--suite", "paper"], "--data-root or UNIMO2_DATA"),
        (
            ["eval", "flickr", "--zero-shot", "--model", "no-such", "--data-root", str(data)],
            "unknown model 'no-such'; known are:",
        ),
        (
            ["eval", "flickr", "--model", str(model), "--data-root", str(data), "--dtype", "int4"],
            "option --dtype got 'int4'",
        ),
    ]
    for command, says in wrong:
        assert main(command) == 2, command
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("unimo2: error: ")
        assert says in err
        assert err.count("\n") == 1


def test_a_shortlist_keeps_the_scores_of_its_pairs(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: the exhaustive run of the same model, within 1e-5 where a pair was fused."""
    assert _eval(folders, tmp_path / "a", "--limit", "12") == 0
    assert _eval(folders, tmp_path / "b", "--limit", "12", "--rerank", "2") == 0
    assert "shortlist of 2 images a caption" in capsys.readouterr().out
    (a,), (b,) = records.find(tmp_path / "a"), records.find(tmp_path / "b")
    whole, chosen = (np.load(record.path.parent / "scores.npy") for record in (a, b))
    fused = ~np.isnan(chosen)
    assert 2 * 60 <= fused.sum() <= 2 * 60 + 2 * 12
    np.testing.assert_allclose(chosen[fused], whole[fused], atol=1e-5)


def test_the_number_format_is_measured_and_recorded(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """Truth: the record names the format that its own note says is used."""
    assert _eval(folders, tmp_path, "--limit", "6", "--dtype", "auto") == 0
    (record,) = records.find(tmp_path)
    (note,) = (note for note in record.notes if note.startswith("dtype auto"))
    assert f"{record.dtype} is used" in note
    assert "12 sampled queries (6 images x 6 captions)" in note
    assert "--dtype auto" in record.command
