"""Cards: read strictly, found by name, loaded through their family's adapter."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import zoo
from builders.foreign_models import clip_folder
from unimo2.errors import BadCheckpoint, BadData, IncompatibleModel, MissingData, UsageError
from zoo import cards, hub, protocols, registry
from zoo.cards import Card, Source

CARD = """
name = "small"
family = "unimo2"
description = "a model"
capabilities = ["pair_scorer"]
licence = "MIT"
citation = "nobody, 2024"
training_data = ["drawn scenes"]
command = "unimo2 pretrain --config mini"

[source]
kind = "folder"
location = "somewhere"
"""


def _write(folder: Path, text: str, name: str = "small.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_card_is_read_as_written(tmp_path: Path) -> None:
    """Truth: the TOML text above."""
    assert cards.read(_write(tmp_path, CARD)) == Card(
        name="small",
        family="unimo2",
        description="a model",
        source=Source("folder", "somewhere"),
        capabilities=("pair_scorer",),
        licence="MIT",
        citation="nobody, 2024",
        training_data=("drawn scenes",),
        command="unimo2 pretrain --config mini",
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('licence = "MIT"', 'license = "MIT"', "unknown key 'license'"),
        ('licence = "MIT"', "", "'licence' is missing"),
        ('licence = "MIT"', "licence = 3", "'licence' must be a string"),
        ('licence = "MIT"', 'licence = " "', "'licence' must be a string"),
        ('["pair_scorer"]', '"pair_scorer"', "'capabilities' must be a list of strings"),
        ('["pair_scorer"]', '["telepathy"]', "unknown capability 'telepathy'"),
        ('kind = "folder"', 'kind = "usb"', "source.kind 'usb'"),
        ('location = "somewhere"', 'place = "somewhere"', "unknown key 'source.place'"),
        ('location = "somewhere"', "", "'source.location' is missing"),
        ("[source]", "[sauce]", "'source' must be a table"),
        ('name = "small"', 'name = "Small Model"', "name 'Small Model'"),
        ('name = "small"', 'name = "small"\nweights_sha256 = "abc"', "64 hexadecimal"),
        ('name = "small"', "name = small", "not valid TOML"),
    ],
)
def test_a_card_with_a_mistake_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Truth: the mistake that was made; the file is named."""
    path = _write(tmp_path, CARD.replace(old, new))
    with pytest.raises(BadData, match=says) as error:
        cards.read(path)
    assert "small.toml" in str(error.value)


def test_two_cards_of_one_name_are_refused(tmp_path: Path) -> None:
    """Truth: the same card in two files, both named."""
    _write(tmp_path, CARD, "a.toml")
    _write(tmp_path, CARD, "b.toml")
    with pytest.raises(BadData, match=r"named 'small'.*a\.toml.*b\.toml"):
        cards.read_all(tmp_path)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    """Truth: the folder holds one card; the package's own holds 'mini'."""
    _write(tmp_path, CARD)
    with pytest.raises(UsageError, match="unknown model 'big'; known are: small"):
        cards.find("big", tmp_path)
    with pytest.raises(UsageError, match=r"unknown model 'minni'; known are: .*mini"):
        zoo.load("minni")


def test_every_card_of_the_package_can_be_read_and_has_an_adapter() -> None:
    """Truth: the file's name is the card's name; what the family makes of the weights' config.json."""
    found = cards.read_all()
    assert "mini" in found
    assert sorted(found) == sorted(path.stem for path in cards.CARDS.glob("*.toml"))
    for card in found.values():
        assert card.family in {*registry.families(), "none"}
        if card.source.kind == "embedded" and card.runnable:
            folder = cards.CARDS.parent / card.source.location
            family, capabilities, config = registry.recognise(folder)
            assert (family, set(capabilities)) == (card.family, set(card.capabilities))
            assert card.finetuned_for == ((config["task"],) if config.get("task") else ())


def test_cards_are_read_without_torch() -> None:
    """Truth: a fresh interpreter's list of loaded modules."""
    code = (
        "import sys, zoo; from zoo import registry; "
        "zoo.cards.listing(list(zoo.cards.read_all().values())); registry.entry_points(); "
        "print(zoo.resolve('mini').name, registry.families()['clip'].recognises != {}, "
        "sorted({'torch', 'transformers', 'timm'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "mini True []"


def test_a_model_that_lacks_a_capability_is_refused() -> None:
    """Truth: the card lists pair_scorer only; the object has none of its members."""
    card = Card("small", "unimo2", "a", Source("folder", "x"), ("pair_scorer",), "MIT", "none")
    cards.require(card, "pair_scorer")
    with pytest.raises(
        IncompatibleModel, match="cannot be used as captioner .its card lists: pair_scorer"
    ):
        cards.require(card, "captioner")
    with pytest.raises(IncompatibleModel, match="as captioner: it lacks batch_size, caption,"):
        protocols.require(object(), "captioner")


def test_weights_are_compared_with_the_card(tmp_path: Path) -> None:
    """Truth: sha256 of the bytes by hashlib."""
    weights = b"\x02" + b"\0" * 7 + b"{}"  # safetensors without a tensor
    (tmp_path / "model.safetensors").write_bytes(weights)
    digest = hashlib.sha256(weights).hexdigest()
    source = Source("folder", str(tmp_path))
    card = Card("small", "unimo2", "a", source, ("pair_scorer",), "MIT", "none")
    assert cards.check_weights(card, tmp_path) == digest
    assert cards.check_weights(replace(card, weights_sha256=digest), tmp_path) == digest
    for wrong in ("0" * 64, digest[:12] + "0" * 52, digest[:63] + "0"):
        with pytest.raises(BadCheckpoint, match="are not those of the card 'small'"):
            zoo.load_card(replace(card, weights_sha256=wrong))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MissingData, match="no weights at"):
        zoo.load_card(card)


def test_a_card_whose_files_are_missing_says_how_they_are_made(tmp_path: Path) -> None:
    """Truth: the folder does not exist; the card names its command."""
    card = Card(
        "small", "unimo2", "a", Source("folder", str(tmp_path / "no")), ("pair_scorer",), "MIT",
        "none", command="unimo2 pretrain",
    )  # fmt: skip
    with pytest.raises(MissingData, match="train it with 'unimo2 pretrain'"):
        zoo.load_card(card)


def test_a_folder_is_a_model_if_its_configuration_says_so(tmp_path: Path) -> None:
    """Truth: config.json as written; a folder's card carries the folder's name."""
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(BadCheckpoint, match=r"has no config\.json"):
        zoo.resolve(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(BadCheckpoint, match="config.json: not JSON .*damaged"):
        zoo.resolve(folder)
    for family in ("roberta", "cards", "../unimo2", "__init__"):
        (folder / "config.json").write_text(json.dumps({"model_type": family}))
        with pytest.raises(BadCheckpoint, match="no adapter"):
            zoo.resolve(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "unimo2"}))
    card = zoo.resolve(folder)
    assert (card.name, card.family, card.source.kind) == ("mine", "unimo2", "folder")
    assert "pair_scorer" in card.capabilities
    with pytest.raises(MissingData, match="no model folder at"):
        zoo.resolve(tmp_path / "nowhere")


def test_a_cards_name_goes_before_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: a folder called mini in the working directory, which ./mini means."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "config.json").write_text('{"model_type": "unimo2"}')
    assert zoo.resolve("mini").source.kind == "embedded"
    assert zoo.resolve("./mini").source.kind == "folder"


def _hub(monkeypatch: pytest.MonkeyPatch, cached: dict[str, Path], online: bool = False) -> list:
    """Put a cache in the place of the hub's client; returns the calls that it receives."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    calls = []

    def download(repo_id, revision=None, local_files_only=False, **patterns):  # noqa: ANN001, ANN003, ANN202
        calls.append((repo_id, revision, local_files_only, patterns.get("allow_patterns")))
        if repo_id in cached and (local_files_only or online):
            return str(cached[repo_id])
        raise LocalEntryNotFoundError("no network\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return calls


def test_the_hub_is_asked_only_for_what_is_not_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Truth: the calls that the hub's client receives, in its place."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder in (whole, part):
        folder.mkdir()
        (folder / "config.json").write_text('{"model_type": "unimo2"}')
    (whole / "model.safetensors").write_bytes(b"")
    calls = _hub(monkeypatch, {"here/model": whole, "half/model": part})
    assert hub.fetch(Source("hub", "here/model", "v1")) == whole
    card = zoo.resolve("here/model@v1")
    assert (card.name, card.source) == ("here--model", Source("hub", "here/model", "v1"))
    assert calls == [("here/model", "v1", True, None)] * 2
    with pytest.raises(
        MissingData, match="cannot fetch 'far/model' from the hub .no network.;.*copy"
    ):
        zoo.resolve("far/model")
    assert [call[:3] for call in calls[2:]] == [
        ("far/model", None, True),
        ("far/model", None, False),
    ]
    with pytest.raises(MissingData, match="no network.; the cached copy lacks files of weights;"):
        zoo.resolve("half/model")
    _hub(monkeypatch, {"half/model": part}, online=True)
    with pytest.raises(MissingData, match="the hub has no more.; the cached copy lacks files"):
        zoo.resolve("half/model")


def test_a_partial_cache_is_completed_or_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Truth: files of a CLIP taken away in turn, with a hub and without one."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    clip_folder(whole)
    shutil.copytree(whole, part)
    lost = {
        "tokenizer.json": "the tokenizer's files",
        "preprocessor_config.json": "the image processor's files",
        "model.safetensors": "files of weights",
        "config.json": "config.json",
    }
    for name in ("processor_config.json", "vocab.json", *lost):
        (part / name).unlink(missing_ok=True)
        if name in lost:
            _hub(monkeypatch, {"half/clip": part})
            with pytest.raises(MissingData, match=f"the cached copy lacks .*{lost[name]}") as error:
                hub.fetch(Source("hub", "half/clip"))
            assert "\n" not in str(error.value)
    import huggingface_hub

    def download(repo_id, local_files_only=False, **given):  # noqa: ANN001, ANN003, ANN202
        if not local_files_only:
            assert "*.json" in given["allow_patterns"]
            shutil.copytree(whole, part, dirs_exist_ok=True)
        return str(part)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.fetch(Source("hub", "half/clip")) == part
    assert zoo.load_card(zoo.resolve("half/clip"), "cpu").similarity == "cosine"
