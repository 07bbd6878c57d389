"""`--official`: the options of a card's own protocol, and measured minus published."""

import json
from dataclasses import replace

import pytest

from builders.foreign_models import clip_folder
from builders.retrieval_fakes import write_flickr
from evals import records
from evals.cli import official
from evals.registry import get_benchmark
from evals.runner import make_request
from unimo2.cli import main
from unimo2.errors import UsageError
from zoo import cards

FLICKR = get_benchmark("flickr")
EVERY = [
    (card, name, one)
    for card in cards.read_all().values()
    for name, some in card.published.items()
    for one in some
    if one.official
]
CARD = """
name = "our-clip"
family = "clip"
description = "a CLIP"
capabilities = ["dual_encoder"]
licence = "MIT"
citation = "nobody"
training_data = ["coco"]

[source]
kind = "folder"
location = "our-clip"

[[published.flickr]]
split = "test"
setting = "zero-shot"
protocol = "a prompt before each caption"
source = "a table"
options = { text_prompt = "a photo of {}" }
official = true
metrics = { "image_retrieval/R@1" = 40.0, "text_retrieval/R@1" = 10 }
"""


@pytest.mark.parametrize(
    "case", EVERY, ids=lambda case: f"{case[0].name} {case[1]} {case[2].split}"
)
def test_the_protocols_of_all_cards_can_be_run(case):
    """Truth: the benchmark takes the options, and has split and metrics of such names."""
    card, name, published = case
    benchmark = get_benchmark(name)
    found = official.options(published, benchmark, {"limit": 3})
    request = make_request(name, card.name, found)
    assert request.split == published.split in benchmark.splits and request.limit == 3
    assert request.zero_shot == (published.setting == "zero-shot") and published.metrics
    assert card.runnable and official.find(card, benchmark, published.split) == published


def test_clip_is_measured_as_its_authors_did():
    """Truth: CLIP's paper: a prompt on Flickr30k, 80 templates and its own names on ImageNet."""
    card = cards.find("clip-vit-l14-336")
    published = official.find(card, FLICKR, None)
    assert official.options(published, FLICKR, {})["text_prompt"] == "a photo of {}"
    imagenet = get_benchmark("imagenet")
    found = official.options(official.find(card, imagenet, None), imagenet, {})
    assert (found["templates"], found["class_names"], found["zero_shot"]) == (80, "clip", True)


def test_another_protocol_is_not_the_official_one():
    """Truth: options beside those of the card, a split and a benchmark that it has no numbers of."""
    card = cards.find("blip-itm-base-flickr")
    published = official.find(card, FLICKR, None)
    assert official.options(published, FLICKR, {"rerank": 128})["rerank"] == 128
    for given in ({"rerank": 64}, {"text_prompt": "a {}"}, {"zero_shot": True}):
        with pytest.raises(UsageError, match=r"--official sets the protocol .*: leave --\S+ out"):
            official.options(published, FLICKR, given)
    with pytest.raises(UsageError, match="split val .it has one of the splits test."):
        official.find(card, FLICKR, "val")
    with pytest.raises(UsageError, match="for imagenet .it has one of flickr."):
        official.find(card, get_benchmark("imagenet"), None)


def test_measured_minus_published_or_why_not(tmp_path, monkeypatch, capsys):
    """Truth: subtraction by hand; a toy data set is no official one, nor is another split."""
    monkeypatch.chdir(tmp_path)
    root = write_flickr(tmp_path / "data", 6, 2)
    clip_folder(tmp_path / "our-clip")
    (tmp_path / "my.toml").write_text(CARD)
    words = ["eval", "flickr", "--model", "my.toml", "--official", "--data-root", str(root)]
    assert main([*words, "--output", "runs"]) == 0
    shown = capsys.readouterr().out
    assert "image_retrieval/R@1 40" in shown and "not compared: the data are" in shown
    assert main([*words, "--output", "runs", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["variant"] == "prompt-a-photo-of"
    assert "suite paper" in content["published"]["not_compared"]
    assert content["published"]["metrics"][0]["difference"] is None

    [record] = records.find(tmp_path / "runs")[:1]
    published = official.find(cards.read(tmp_path / "my.toml"), FLICKR, None)
    whole = replace(record, data={**record.data, "official": True})
    found = official.compare(whole, published)
    assert found.refused is None
    metric = record.metrics["image_retrieval/R@1"]
    [first, _] = found.differences
    assert first.difference == pytest.approx(metric.value - 40)
    assert first.ci95 == pytest.approx((metric.ci95[0] - 40, metric.ci95[1] - 40))
    assert f"{metric.value - 40:+.2f}" in found.lines()[0]
    other = replace(whole, data={**whole.data, "split": "val"})
    assert "of the split test, not val" in official.compare(other, published).refused
    secret = replace(whole, metrics={})
    assert "not public" in official.compare(secret, published).refused
