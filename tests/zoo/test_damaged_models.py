"""Model folders whose files are damaged, or pointers: one line that names the file, for every family."""

import json
import shutil

import pytest
from timm.models import save_for_hf
from transformers import AutoTokenizer

import zoo
from builders.foreign_models import (
    blip_folder,
    clip_folder,
    siglip_folder,
    text_folder,
    vilt_folder,
)
from builders.tiny_models import processor, task_model
from unimo2.cli import main
from unimo2.errors import BadCheckpoint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 21355344\n"
SAYS = "damaged, or a pointer whose content was not fetched"


def own_folder(folder, task=None, labels=None):
    """Save a UNIMO-2 of the project's own."""
    task_model(task, labels).save_pretrained(folder)
    processor().save_pretrained(folder)


def timm_folder(folder):
    """Save a classifier as timm does."""
    import timm

    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=7, img_size=32, depth=1, embed_dim=32, num_heads=2
    )
    arguments = {"img_size": 32, "depth": 1, "embed_dim": 32, "num_heads": 2}
    save_for_hf(model, folder, {"num_classes": 7}, model_args=arguments, safe_serialization=True)


FAMILIES = {
    "unimo2": own_folder,
    "unimo2-snli-ve": lambda folder: own_folder(folder, "snli_ve", ["a", "b", "c"]),
    "unimo2-sst2": lambda folder: own_folder(folder, "sst2", ["0", "1"]),
    "clip": clip_folder,
    "siglip": siglip_folder,
    "blip": blip_folder,
    "vilt": vilt_folder,
    "vilt-vqa": lambda folder: vilt_folder(folder, "vqa"),
    "bert": text_folder,
    "gpt2": lambda folder: text_folder(folder, "gpt2"),
    "timm": timm_folder,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A sound folder of each family, saved when it is first asked for."""
    home = tmp_path_factory.mktemp("models")

    def sound(family):
        folder = home / family
        if not folder.is_dir():
            FAMILIES[family](folder)
        return folder

    return sound


def header_lies(content):
    """A safetensors file whose header names more bytes than follow."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")
    header[name]["data_offsets"][1] += 4096
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


FAULTS = {
    "empty": lambda content: b"",
    "pointer": lambda content: POINTER,
    "garbage": lambda content: bytes(range(256)) * 8,
    "cut off": lambda content: content[: len(content) // 2],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_any_file_that_is_damaged_is_named(family, folders, tmp_path):
    """Truth: which file was spoiled, one at a time; the sound folder loads."""
    sound = folders(family)
    zoo.load(sound, device="cpu")
    faults = [(name, fault) for name in ("model.safetensors", "config.json") for fault in FAULTS]
    tools = [path.name for path in sound.iterdir() if path.name.startswith("token")]
    faults += [(name, fault) for name in tools for fault in ("empty", "pointer", "cut off")]
    for number, (name, fault) in enumerate(faults):
        broken = tmp_path / str(number) / "m"
        shutil.copytree(sound, broken)
        (broken / name).write_bytes(FAULTS[fault]((sound / name).read_bytes()))
        with pytest.raises(BadCheckpoint, match=f"m/{name}: .*{SAYS}"):
            zoo.load(broken, device="cpu")
    (broken / "model.safetensors").write_bytes(
        header_lies((sound / "model.safetensors").read_bytes())
    )
    shutil.copy(sound / name, broken / name)
    with pytest.raises(BadCheckpoint, match=f"m/model.safetensors: .*{SAYS}"):
        zoo.load(broken, device="cpu")


def changed(config, field, value):
    """A configuration with a field changed wherever it has it."""
    for key, old in config.items():
        if key == field:
            config[key] = value
        elif isinstance(old, dict):
            changed(old, field, value)
    return config


SIZES = [
    ("hidden_size", 10**9), ("n_embd", 10**9), ("embed_dim", 10**9), ("vocab_size", 10**9),
    ("num_classes", 10**9), ("num_hidden_layers", 10**9), ("vision_layers", 10**9),
    ("n_layer", 10**9),
]  # fmt: skip
OTHERS = [
    ("hidden_size", -5), ("hidden_size", "wide"), ("id2label", {"a": "b"}), ("id2label", 7),
    ("num_attention_heads", 0), ("architectures", 5), ("model_type", 5), ("patch_size", 0),
]  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_configuration_that_the_weights_cannot_be_of_is_refused(family, folders, tmp_path):
    """Truth: sizes and counts that were changed; what they ask for would fill any memory."""
    sound = folders(family)
    text = (sound / "config.json").read_text()
    shutil.copytree(sound, tmp_path / "m")
    tried = 0
    for field, value in [*SIZES, *OTHERS]:
        config = changed(json.loads(text), field, value)
        if config == json.loads(text):
            continue
        (tmp_path / "m" / "config.json").write_text(json.dumps(config))
        says = (
            f"m/config.json: {field} = 1,000,000,000, .*{SAYS}"
            if value == 10**9
            else "m(/config.json:| cannot be read as| is a ')"
        )
        with pytest.raises(BadCheckpoint, match=says):
            zoo.load(tmp_path / "m", device="cpu")
        tried += 1
    assert tried >= 2


@pytest.mark.parametrize("family", ["unimo2-snli-ve", "vilt-vqa", "bert", "gpt2"])
def test_other_names_of_classes_than_the_head_has_are_refused(family, folders, tmp_path):
    """Truth: nine names, where the heads have 2, 3 and 5 columns; the message names the head."""
    shutil.copytree(folders(family), tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    names = {str(number): f"class {number}" for number in range(9)}
    path.write_text(json.dumps({**json.loads(path.read_text()), "id2label": names}))
    with pytest.raises(
        BadCheckpoint, match="of another shape.* head|another shape than in .*(9,|9, )"
    ):
        zoo.load(tmp_path / "m", device="cpu")


@pytest.mark.parametrize(
    "content", ['{"model": 5}', "[]", '{"version": "1.0", "model": {"type": "BPE"}}']
)
@pytest.mark.parametrize("family", ["unimo2", "clip", "siglip", "blip", "vilt", "bert"])
def test_a_tokenizer_that_is_json_and_no_tokenizer_is_refused(family, content, folders, tmp_path):
    """Truth: files that parse, and that no tokenizer can be made of."""
    shutil.copytree(folders(family), tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").write_text(content)
    with pytest.raises(BadCheckpoint, match="m cannot be read as a"):
        zoo.load(tmp_path / "m", device="cpu")


@pytest.mark.parametrize("family", ["unimo2", "clip", "siglip", "blip", "vilt", "bert"])
def test_a_tokenizer_with_more_tokens_than_the_model_embeds_is_refused(family, folders, tmp_path):
    """Truth: tokens added and saved without resizing the embedding, as after an unfinished tuning."""
    shutil.copytree(folders(family), tmp_path / "m")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    tokenizer.add_tokens([f"added{number}" for number in range(50)])
    tokenizer.save_pretrained(tmp_path / "m")
    with pytest.raises(BadCheckpoint, match="another model's"):
        zoo.load(tmp_path / "m", device="cpu")


def test_the_command_line_says_it_in_one_line(folders, tmp_path, capsys):
    """Truth: exit status 2, one line, no traceback."""
    shutil.copytree(folders("bert"), tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(POINTER)
    assert main(["eval", "sst2", "--model", str(tmp_path / "m")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    # Before it there may be a line that the suite is drawn.
    assert "m/model.safetensors" in said[-1] and SAYS in said[-1] and len(said) < 3
    assert (
        main(
            ["finetune", "sst2", "--model", str(tmp_path / "m"), "--output", str(tmp_path / "out")]
        )
        == 2
    )
    said = capsys.readouterr().err.strip().splitlines()
    # Before it there may be a line that the suite is drawn.
    assert "m/model.safetensors" in said[-1] and SAYS in said[-1] and len(said) < 3
