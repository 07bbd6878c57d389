"""Lineage: what "zero-shot" means follows from all that the weights have seen."""

from dataclasses import replace

import pytest

from zoo import cards
from zoo.cards import Card, Source
from zoo.lineage import lineage

PLAIN = Card("plain", "clip", "a", Source("folder", "x"), (), "MIT", "none")
KNOWN = cards.read_all()


def of(card, **others):
    """The lineage among some cards."""
    return lineage(card, {card.name: card, **others})


@pytest.mark.parametrize(
    ("data", "tuned", "answer"),
    [
        (("coco", "sbu"), (), "yes"),
        (("flickr30k: train split", "sbu"), (), "no"),
        (("coco",), ("flickr",), "no"),
        (("unknown: the web",), (), "unknown"),
        (("coco", "unknown: and more"), (), "unknown"),
        (("flickr30k", "unknown: and more"), (), "no"),
        ((), (), "unknown"),
    ],
)
def test_one_card_decides_by_its_own_data(data, tuned, answer):
    """Truth: by hand; what is not known is never a yes."""
    found = of(replace(PLAIN, training_data=data, finetuned_for=tuned))
    assert found.zero_shot("flickr30k") == answer
    assert found.sentence("flickr30k").startswith(f"zero-shot: {answer} ")


def test_training_data_is_the_union_along_the_way():
    """Truth: by hand, three generations; a missing or circular ancestor is not known."""
    base = replace(PLAIN, name="base", training_data=("coco", "sbu"))
    tuned = replace(PLAIN, name="tuned", adapted_from="base", finetuned_for=("vqa",))
    last = replace(PLAIN, name="last", adapted_from="tuned", training_data=("snli_ve",))
    found = of(last, base=base, tuned=tuned)
    assert found.models == ("last", "tuned", "base")
    assert found.seen == {"coco", "sbu", "vqa", "snli_ve"} and found.complete
    assert found.tuned_for == ("vqa",)
    assert (found.zero_shot("coco"), found.zero_shot("flickr30k")) == ("no", "yes")
    assert of(last, tuned=tuned).zero_shot("flickr30k") == "unknown"
    assert of(last, tuned=tuned).zero_shot("vqa") == "no"
    assert of(last, tuned=replace(tuned, adapted_from="last")).complete is False


def test_a_generated_suite_is_other_data_than_the_real_one():
    """Truth: the cards of the embedded models and of CLIP."""
    tuned, clip = lineage(KNOWN["mini-flickr"], KNOWN), lineage(KNOWN["clip-vit-b32"], KNOWN)
    assert tuned.models == ("mini-flickr", "mini")
    assert tuned.zero_shot("flickr30k", "mini") == "no"
    assert tuned.zero_shot("flickr30k") == "yes"
    assert tuned.zero_shot("imagenet21k", "mini") == "no"
    assert lineage(KNOWN["mini-sst2"], KNOWN).zero_shot("sst2", "mini") == "no"
    assert lineage(KNOWN["mini"], KNOWN).zero_shot("flickr30k", "mini") == "yes"
    assert clip.zero_shot("flickr30k") == "unknown"


def test_a_model_tuned_on_coco_says_so_beside_flickr():
    """Truth: BLIP's card; Flickr30k is not among its data."""
    found = lineage(KNOWN["blip-itm-large-coco"], KNOWN)
    assert found.zero_shot("flickr30k") == "yes" and "coco" in found.sentence("flickr30k")
    assert lineage(KNOWN["vilt-b32-flickr"], KNOWN).zero_shot("flickr30k") == "no"
    assert lineage(KNOWN["vilt-b32-vqa"], KNOWN).seen >= {"coco", "vqa", "sbu"}
