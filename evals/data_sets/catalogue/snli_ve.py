"""SNLI-VE: does a sentence follow from a photo of Flickr30k."""

from __future__ import annotations

from evals.data_sets.entry import DataSet, Official, Place

_SOURCE = "README of the SNLI-VE repository (Xie et al., 2019)"

DATA_SET = DataSet(
    name="snli_ve",
    title="SNLI-VE",
    role="benchmark",
    about="Sentences of SNLI with the Flickr30k photo that stood behind the premise: entailment, "
    "neutral or contradiction.",
    licence="Code BSD-2-Clause; SNLI is CC BY-SA 4.0; photos as for Flickr30k.",
    source="https://github.com/necla-ml/SNLI-VE",
    places=(
        Place(("snli_ve/snli_ve_train.jsonl",), "training pairs"),
        Place(("snli_ve/snli_ve_dev.jsonl",), "development pairs"),
        Place(("snli_ve/snli_ve_test.jsonl",), "test pairs"),
        Place(("flickr30k/flickr30k-images/",), "<Flickr30K_ID>.jpg", needed=False),
    ),
    official=(
        Official("train", "pairs", 529_527, _SOURCE, "529.5K (as images)"),
        Official("dev", "pairs", 17_858, _SOURCE, "17.9K (as images)"),
        Official("test", "pairs", 17_901, _SOURCE, "17.9K (as images)"),
        Official("train", "images", 29_783, _SOURCE),
        Official("dev", "images", 1_000, _SOURCE),
        Official("test", "images", 1_000, _SOURCE),
    ),
    notes=(
        "the paper's table 7 counts SNLI-VE's image-sentence pairs as images: 529.5K / 17.9K / "
        "17.9K are pairs, of 29,783 / 1,000 / 1,000 images",
    ),
    benchmark="snli_ve",
)
