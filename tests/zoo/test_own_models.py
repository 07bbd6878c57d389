"""Own models: a Python file, a card's file, a folder and another package's entry point."""

import hashlib
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo
from builders.foreign_models import CAPTIONS, clip_folder, photos
from unimo2.errors import BadCheckpoint, BadData, IncompatibleModel, MissingData, UsageError
from zoo import cards, protocols, registry
from zoo.check import check

FILE = '''
import torch
from beside import DIMENSION

class Mine:
    """The mean colour against the text's length."""
    def __init__(self, device):
        self.device = device
        self.projection = torch.nn.Linear(3, DIMENSION)

    def embed_images(self, images):
        means = [torch.tensor(image.resize((1, 1)).getpixel((0, 0))).float() for image in images]
        return self.projection(torch.stack(means)).detach()

    def embed_texts(self, texts):
        return torch.tensor([[float(len(text))] * DIMENSION for text in texts])

def load(device, dtype):
    torch.manual_seed(0)
    assert dtype == "float32"
    return Mine(device)

def other(device, dtype):
    return type("Empty", (), {})()
'''


@pytest.fixture
def own(tmp_path):
    """A file `my_model.py` beside another that it imports."""
    (tmp_path / "beside.py").write_text("DIMENSION = 4\n")
    (tmp_path / "my_model.py").write_text(FILE)
    yield tmp_path / "my_model.py"
    sys.modules.pop("beside", None)


def test_a_python_file_is_a_model(own):
    """Truth: the object's own results; what it does not say about itself is filled in."""
    card = zoo.resolve(str(own))
    assert (card.name, card.source.kind, card.untold) == ("my_model", "python", True)
    cards.require(card, "dual_encoder")
    model = zoo.load(own, device="cpu")
    protocols.require(model, "dual_encoder")
    assert model.embed_images(photos()).shape == (3, 4)
    assert (model.name, model.device, model.dtype, model.batch_size) == (
        "my_model",
        "cpu",
        "float32",
        32,
    )
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    assert model.settings == {"code": "my_model.py", "code_sha256": digest}
    same, other = zoo.load(own, device="cpu"), zoo.load(own, device="cpu")
    assert same.weights_sha256 == model.weights_sha256
    own.write_text(FILE.replace("manual_seed(0)", "manual_seed(1)"))
    other = zoo.load(own, device="cpu")
    assert other.weights_sha256 != model.weights_sha256


def test_what_is_wrong_with_a_python_file_is_one_line(own):
    """Truth: a function without a capability, a missing one, code that fails, no file."""
    with pytest.raises(
        IncompatibleModel, match="the members of no capability; add those of one of"
    ):
        zoo.load(f"{own}:other", device="cpu")
    with pytest.raises(BadCheckpoint, match=r"has no function absent\(device, dtype\): add it"):
        zoo.load(f"{own}:absent", device="cpu")
    with pytest.raises(MissingData, match="no Python file at"):
        zoo.load(own.with_name("gone.py"), device="cpu")
    own.write_text("import no_such_module\n")
    with pytest.raises(
        BadCheckpoint, match="my_model.py raised ModuleNotFoundError: No module named"
    ):
        zoo.load(own, device="cpu")
    own.write_text("def load(device, dtype):\n    raise KeyError('weights')\n")
    with pytest.raises(BadCheckpoint, match="raised KeyError: 'weights'"):
        zoo.load(own, device="cpu")


CARD = """
name = "my-clip"
family = "clip"
description = "my own CLIP"
capabilities = ["dual_encoder"]
licence = "MIT"
citation = "nobody"
training_data = ["coco"]
options = { backend = "pil" }
[source]
kind = "folder"
location = "m"
"""


def test_a_cards_file_describes_a_folder_beside_it(tmp_path, monkeypatch):
    """Truth: the folder's own vectors; the working directory is another."""
    clip_folder(tmp_path / "m")
    (tmp_path / "my.toml").write_text(CARD)
    monkeypatch.chdir(tmp_path.parent)
    model = zoo.load(tmp_path / "my.toml", device="cpu")
    assert model.name == "my-clip" and model.settings["image_processor"]["backend"] == "pil"
    plain = zoo.load(tmp_path / "m", device="cpu")
    assert torch.equal(model.embed_texts(CAPTIONS), plain.embed_texts(CAPTIONS))
    with pytest.raises(MissingData, match="no card at"):
        zoo.resolve("./none.toml")
    (tmp_path / "my.toml").write_text("name = 3")
    with pytest.raises(BadData, match="my.toml"):
        zoo.resolve(tmp_path / "my.toml")


def points(monkeypatch, *pairs):
    """Let these entry points be installed."""
    found = [metadata.EntryPoint(name, value, registry.GROUP) for name, value in pairs]
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: found)


def test_a_package_registers_a_model_and_a_broken_one_costs_one_line(own, monkeypatch):
    """Truth: the entry points as given; nothing of them is imported before they are loaded."""
    monkeypatch.syspath_prepend(str(own.parent))
    points(
        monkeypatch, ("theirs", "my_model:load"), ("gone", "no_such_package.module:load"),
        ("odd", "not a module:load"), ("twice", "my_model:load"), ("twice", "my_model:other"),
        ("mini", "my_model:load"),
    )  # fmt: skip
    sys.modules.pop("my_model", None)
    listed = registry.entry_points()
    assert "my_model" not in sys.modules
    assert {name: bool(point.problem) for name, point in listed.items()} == {
        "theirs": False, "gone": True, "odd": True, "twice": True, "mini": False,
    }  # fmt: skip
    assert "'no_such_package' is not installed" in listed["gone"].problem
    model = zoo.load("theirs", device="cpu")
    assert model.name == "theirs" and model.embed_texts(["red"]).tolist() == [[3.0] * 4]
    for name in ("gone", "odd", "twice"):
        with pytest.raises(BadCheckpoint, match=f"model '{name}' cannot be loaded: "):
            zoo.load(name, device="cpu")
    assert zoo.resolve("mini").source.kind == "embedded"
    sys.modules.pop("my_model", None)


FAMILY = """
RECOGNISES = {"PixelCounter": ("image_classifier",)}

class Counter:
    name, weights_sha256, device, dtype, batch_size, settings = "c", "0", "cpu", "float32", 1, {}
    image_classes = ("few", "many")
    def classify_images(self, images):
        import torch
        return torch.zeros(len(images), 2)

def load(folder, card, device, dtype):
    return Counter()
"""


def test_a_package_registers_a_family(tmp_path, monkeypatch):
    """Truth: a folder whose architecture only the package knows."""
    (tmp_path / "counters.py").write_text(FAMILY)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["PixelCounter"], "model_type": "x"}')
    (folder / "model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    with pytest.raises(BadCheckpoint, match="a 'PixelCounter', which has no adapter; families are"):
        zoo.resolve(folder)
    points(monkeypatch, ("counters", "counters"))
    assert zoo.resolve(folder).capabilities == ("image_classifier",)
    assert zoo.load(folder, device="cpu").image_classes == ("few", "many")


def test_an_unknown_name_says_what_else_can_be_given():
    """Truth: the kinds of models that `resolve` takes."""
    with pytest.raises(UsageError, match="unknown model 'nothing'; .*hub id.*Python file"):
        zoo.resolve("nothing")


def test_the_page_about_own_models_does_as_it_says(tmp_path, monkeypatch):
    """Truth: the page's own card and file, executed; red is nearest to the text that names it."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "zoo" / "own-models.md").read_text()
    found = re.findall(r"<!-- (?:card|file): (\S+) -->\n```\w+\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in found] == ["my.toml", "my_model.py"]
    for name, text in found:
        (tmp_path / name).write_text(text)
    clip_folder(tmp_path / "my-clip")
    monkeypatch.chdir(tmp_path)
    assert zoo.load("my.toml", device="cpu").embed_texts(CAPTIONS).shape == (5, 16)
    model = zoo.load("my_model.py", device="cpu")
    red = model.embed_images([Image.new("RGB", (8, 8), (200, 10, 10))])
    scores = red @ model.embed_texts(["a green one", "a red one", "a blue one"]).T
    assert scores.argmax().item() == 1
    assert set(check("my_model.py")["ran"]) == {"dual_encoder"}
    points(monkeypatch, ("mean-colour", "my_model:load"))
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("my_model", None)
    assert zoo.load("mean-colour", device="cpu").name == "mean-colour"
    sys.modules.pop("my_model", None)
