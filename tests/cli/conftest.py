"""A data root small enough to train and evaluate on in a second."""

import json

import pytest
from PIL import Image

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230), "white": (250,) * 3}
RECIPE = """
[model]
preset = "mini"
image_size = 16
hidden_size = 32
intermediate_size = 64
num_attention_heads = 2
vision_layers = 1
text_layers = 1
fusion_layers = 2
dictionary_size = 16
grounded_tokens = 4

[training]
steps = 6
batch_size = 4
learning_rate = 1e-3
max_text_length = 24
vocab_size = 300
precision = "fp32"
log_every = 1
checkpoint_every = 2
"""


def _pictures(folder, splits, field):
    """Twelve images of two halves with a caption each way, spread over the splits in turn."""
    images = []
    pairs = [(left, right) for left in COLOURS for right in COLOURS if left != right]
    for number, (left, right) in enumerate(pairs):
        image = Image.new("RGB", (16, 16), COLOURS[left])
        image.paste(COLOURS[right], (8, 0, 16, 16))
        name = f"{number:03d}.png"
        (folder / field).mkdir(parents=True, exist_ok=True)
        image.save(folder / field / name)
        texts = [f"{left} on the left and {right} on the right", f"{right} beside {left}"]
        sentences = [
            {"raw": text, "tokens": text.split(), "sentid": 2 * number + place, "imgid": number}
            for place, text in enumerate(texts)
        ]
        images.append(
            {
                **{"filename": name, "imgid": number, "split": splits[number % len(splits)]},
                **{"sentids": [s["sentid"] for s in sentences], "sentences": sentences},
            }
        )
    return images


@pytest.fixture
def tiny_root(tmp_path):
    """A suite called "mini" in the layout of the real data: coco/ to train, flickr30k/ to test."""
    root = tmp_path / "data"
    coco = _pictures(root / "coco", ["train"], "train2014")
    for image in coco:
        image |= {"filepath": "train2014", "cocoid": image["imgid"]}
    flickr = _pictures(root / "flickr30k", ["val", "test"], "flickr30k-images")
    for name, images in (("coco", coco), ("flickr30k", flickr)):
        path = root / name / f"dataset_{name}.json"
        path.write_text(json.dumps({"dataset": name, "images": images}), encoding="utf-8")
    suite = {"suite": "mini", "fingerprint": "5" * 64}
    (root / "suite.json").write_text(json.dumps(suite), encoding="utf-8")
    return root


@pytest.fixture
def tiny_recipe(tmp_path):
    """A recipe file for a model of some ten thousand parameters and six steps."""
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path
