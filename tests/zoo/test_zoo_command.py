"""`unimo2 zoo`: list, show, check and features print what the functions behind them give."""

import json

from builders.region_tsv import tsv
from unimo2.cli.app import main
from zoo import cards


def run(capsys, *words):
    """Status and output of a command."""
    status = main(["zoo", *words])
    return status, capsys.readouterr().out


def test_the_list_says_what_runs(capsys):
    """Truth: the cards."""
    status, text = run(capsys, "list")
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert not status and set(cards.read_all()) <= set(lines)
    assert "  no  " in lines["soho"] and "  yes  " in lines["mini"]
    status, text = run(capsys, "list", "--capability", "captioner", "--json")
    names = [card["name"] for card in json.loads(text)]
    assert "mini-coco" in names and "mini" not in names


def test_a_card_is_shown_with_reason_numbers_and_lineage(capsys):
    """Truth: the cards' own words."""
    _, text = run(capsys, "show", "uniter-base")
    assert "why not runnable" in text and "image_retrieval/R@1 66.16" in text
    _, text = run(capsys, "show", "vilt-b32-vqa")
    assert "seen along the way" in text and "visual_genome" in text
    _, text = run(capsys, "show", "clip-vit-b32", "--json")
    assert json.loads(text)["published"]["imagenet"][0]["metrics"] == {"accuracy": 63.3}


def test_a_model_is_checked(capsys):
    """Truth: what the embedded captioner can do."""
    status, text = run(capsys, "check", "mini-coco", "--device", "cpu", "--json")
    assert not status and set(json.loads(text)["ran"]) == {"captioner"}
    _, text = run(capsys, "check", "mini-coco", "--device", "cpu")
    assert "as captioner" in text


def test_features_are_converted(tmp_path, capsys):
    """Truth: a TSV of one image, coded by hand."""
    status, text = run(capsys, "features", str(tsv(tmp_path / "f.tsv")), str(tmp_path / "out"))
    assert not status and "3 images with 12 regions" in text
