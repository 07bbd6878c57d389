"""Adapters of task models: what they give equals the model's own forward pass, item by item."""

import json

import pytest
import torch

import zoo
from builders.tiny_models import TEXTS, images, processor, task_model, text_encoder
from unimo2.errors import BadCheckpoint
from unimo2.modeling.generation import BeamSettings, TagTokens, generate
from unimo2.modeling.heads import Unimo2ForPairs
from zoo import protocols

VARIANTS = {"topk": {}, "nearest": {"grounding": "nearest"}, "none": {"grounding": "none"}}
THREE = ["entailment", "neutral", "contradiction"]


def adapter(task, model, tools=None):
    """The adapter of a model in memory."""
    return zoo.task_adapter(task, model, tools or processor(), "tiny", "0" * 64)


@torch.no_grad()
def direct(model, pictures, texts):
    """Logits of each pair alone, by the model's own forward pass."""
    tools, rows = processor(), []
    for picture, text in zip(pictures, texts, strict=True):
        batch = tools(images=[picture], text=[text])
        rows.append(model(batch["pixel_values"], batch["input_ids"]).logits[0])
    return torch.stack(rows)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pairs_are_classified_as_one_by_one(variant):
    """Truth: the task model's forward pass on every pair alone; images repeat as in VQA."""
    model = task_model("snli_ve", THREE, **VARIANTS[variant])
    pictures = images(3)
    pictures = [pictures[i] for i in (2, 0, 0, 1)]
    classifier = adapter("snli_ve", model)
    expected = direct(model, pictures, TEXTS)
    for classifier.batch_size in (1, 2, 50):
        found = classifier.classify_pairs(pictures, TEXTS)
        assert (found - expected).abs().max() < 1e-5
    assert classifier.pair_classes == tuple(THREE)
    protocols.require(classifier, "pair_classifier")
    assert expected.std(dim=0).max() > 1e-3


def test_an_image_of_several_questions_is_encoded_once():
    """Truth: the number of pictures that reach the vision tower, counted."""
    model = task_model("vqa", ["yes", "no", "2"])
    seen = []
    model.unimo2.vision.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    one, two = images(2)
    answerer = adapter("vqa", model)
    answers = answerer.answer([one, one, two, one], TEXTS)
    assert sum(seen) == 2
    numbers = direct(model, [one, one, two, one], TEXTS).argmax(1).tolist()
    assert answers == [["yes", "no", "2"][number] for number in numbers]
    protocols.require(answerer, "answerer")


def test_images_are_classified_as_one_by_one():
    """Truth: the task model's forward pass on every image alone."""
    model = task_model("imagenet", ["n01", "n02", "n03"])
    classifier = adapter("imagenet", model)
    with torch.no_grad():
        rows = [model(processor().pixel_values(image)).logits[0] for image in images(5)]
    for classifier.batch_size in (2, 5):
        assert (classifier.classify_images(images(5)) - torch.stack(rows)).abs().max() < 1e-5
    assert classifier.image_classes == ("n01", "n02", "n03")
    protocols.require(classifier, "image_classifier")


@pytest.mark.parametrize("second", [None, TEXTS[::-1]])
@pytest.mark.parametrize("family", ["unimo2", "text_encoders"])
def test_texts_are_classified_as_one_by_one(family, second):
    """Truth: each text, or pair of texts in RoBERTa's form, alone through the model's forward."""
    labels = ["0", "1"]
    model = task_model("sst2", labels) if family == "unimo2" else text_encoder(labels)
    tokenizer = processor().tokenizer
    classifier = adapter("sst2", model, tokenizer if family == "text_encoders" else None)
    rows = []
    for place, first in enumerate(TEXTS):
        pair = (first,) if second is None else (first, second[place])
        ids = tokenizer(*pair, truncation=True, max_length=48, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            rows.append(model(input_ids=ids).logits[0])
    for classifier.batch_size in (1, 8):
        found = classifier.classify_texts(TEXTS, second)
        assert (found - torch.stack(rows)).abs().max() < 1e-5
    assert classifier.text_classes == ("0", "1")
    protocols.require(classifier, "text_classifier")


def test_long_texts_are_cut_to_the_positions_of_the_encoder():
    """Truth: RoBERTa's table of 50 positions begins after padding's: 48 tokens, as by hand."""
    classifier = adapter("sst2", text_encoder(["0", "1"]), processor().tokenizer)
    text = "red " * 100
    ids = processor().tokenizer(text, truncation=True, max_length=48, return_tensors="pt")
    with torch.no_grad():
        expected = classifier.model(**ids).logits
    assert torch.allclose(classifier.classify_texts([text], None), expected, atol=1e-6)


def test_captions_are_those_of_the_search():
    """Truth: `generate` on every image alone, its best beam decoded."""
    model = task_model("coco")
    captioner = adapter("coco", model)
    expected = []
    for image in images(3):
        best = generate(model, processor().pixel_values(image), BeamSettings(beam_size=3))[0][0]
        expected.append(processor().tokenizer.decode(list(best.tokens)).strip())
    for captioner.batch_size in (1, 3):
        assert captioner.caption(images(3), 3) == expected
    assert captioner.settings["search"]["max_length"] == 50
    protocols.require(captioner, "captioner")


def test_captions_with_tags_are_those_of_the_search_with_tags():
    """Truth: `generate` on every image alone with its tags as a text; without tags as `caption`."""
    model = task_model("coco", initializer_range=1.0)  # so that captions differ
    captioner, tools = adapter("coco", model), processor()
    tags = [["red", "big square"], [], ["blue"] * 60]
    expected = []
    for image, names in zip(images(3), tags, strict=True):
        tokens = None
        if names:
            rows = tools.tokenizer(" ".join(names), truncation=True, max_length=100)["input_ids"]
            tokens = TagTokens(torch.tensor([rows]), torch.ones(1, len(rows), dtype=torch.long))
        best = generate(model, tools.pixel_values(image), BeamSettings(beam_size=3), tags=tokens)
        expected.append(tools.tokenizer.decode(list(best[0][0].tokens)).strip())
    for captioner.batch_size in (1, 3):
        assert captioner.caption_with_tags(images(3), tags, 3) == expected
    plain = captioner.caption(images(3), 3)
    assert captioner.caption_with_tags(images(3), [[], [], []], 3) == plain
    assert plain[1] == expected[1] and plain[0] != expected[0]
    assert isinstance(captioner, protocols.TagReader)


def test_a_model_in_training_is_evaluated_without_dropout_and_goes_on_training():
    """Truth: the same model in evaluation mode."""
    model = task_model("snli_ve", THREE, hidden_dropout=0.5)
    expected = adapter("snli_ve", model).classify_pairs(images(4), TEXTS)
    model.train()
    found = adapter("snli_ve", model).classify_pairs(images(4), TEXTS)
    assert torch.equal(found, expected)
    assert model.training
    assert model.unimo2.fusion.training


@pytest.mark.parametrize(
    ("task", "labels", "capability"),
    [
        ("vqa", ["yes", "no"], "answerer"),
        ("snli_ve", THREE, "pair_classifier"),
        ("imagenet", ["n01", "n02"], "image_classifier"),
        ("cola", ["0", "1"], "text_classifier"),
        ("coco", None, "captioner"),
        ("flickr", None, "pair_scorer"),
        (None, None, "pair_scorer"),
    ],
)
def test_a_folder_is_loaded_for_its_task(tmp_path, task, labels, capability):
    """Truth: the task that config.json names, and the weights that were saved."""
    model = task_model(task, labels)
    model.save_pretrained(tmp_path / "m")
    processor().save_pretrained(tmp_path / "m")
    card = zoo.resolve(tmp_path / "m")
    assert capability in card.capabilities
    assert card.finetuned_for == (() if task is None else (task,))
    loaded = zoo.load(tmp_path / "m", device="cpu")
    protocols.require(loaded, capability)
    assert loaded.settings["task"] == task
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_a_text_encoder_is_recognised_by_its_architecture(tmp_path):
    """Truth: config.json of transformers' own save_pretrained."""
    encoder = text_encoder(["0", "1"])
    encoder.config.task = "sst2"
    encoder.save_pretrained(tmp_path / "m")
    processor().tokenizer.save_pretrained(tmp_path / "m")
    card = zoo.resolve(tmp_path / "m")
    assert (card.family, card.finetuned_for) == ("text_encoders", ("sst2",))
    loaded = zoo.load(tmp_path / "m", device="cpu")
    direct = adapter("sst2", encoder, processor().tokenizer)
    # Weights read from a file may lie otherwise in memory, and products differ in the last bit.
    found, wanted = loaded.classify_texts(TEXTS, None), direct.classify_texts(TEXTS, None)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_an_encoder_without_a_head_is_refused(tmp_path):
    """Truth: the encoder alone is saved, and called what it is not."""
    text_encoder(["0", "1"]).roberta.save_pretrained(tmp_path / "m")
    processor().tokenizer.save_pretrained(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    with pytest.raises(BadCheckpoint, match="no adapter"):
        zoo.resolve(tmp_path / "m")
    path.write_text(json.dumps({**config, "architectures": ["RobertaForSequenceClassification"]}))
    with pytest.raises(BadCheckpoint, match=r"4 weights are missing, .*: classifier\."):
        zoo.load(tmp_path / "m", device="cpu")


def test_a_task_folder_without_its_head_is_refused(tmp_path):
    """Truth: pre-trained weights whose config.json claims a task."""
    model = task_model("vqa", ["yes", "no"])
    assert isinstance(model, Unimo2ForPairs)
    model.unimo2.save_pretrained(tmp_path / "m")
    processor().save_pretrained(tmp_path / "m")
    with pytest.raises(BadCheckpoint, match=r"lack the head: head\."):
        zoo.load(tmp_path / "m", device="cpu")
