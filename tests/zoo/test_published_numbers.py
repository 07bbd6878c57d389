"""Cards of the paper's rows hold the paper's numbers; cards that cannot run say why."""

import csv
from pathlib import Path

import pytest

import zoo
from unimo2.errors import BadData, IncompatibleModel, UsageError
from zoo import cards

PUBLISHED = Path(__file__).resolve().parents[2] / "reports" / "published"
CARDS = {
    "ViLBERT": "vilbert", "VilBERT": "vilbert", "ViLBERT-base": "vilbert", "UNITER": "uniter-base",
    "CLIP†": "clip-vit-l14-336", "CLIP": "clip-vit-l14-336", "CLIP-ViT(B/16)": "clip-vit-b16",
    "ViLT": "vilt-paper", "UNIMO": "unimo-base", "SimCLRv2 (Chen et al., 2020b)": "simclrv2",
    "BERT": "bert-base", "RoBERTa": "roberta-base", "Our Baseline": "unimo2-baseline",
    "UNIMO-2": "unimo2-base",
}  # fmt: skip


def printed():
    """Every number of Tables 1, 2, 3 and 10: card, benchmark, setting, measure and value."""
    with (PUBLISHED / "columns.csv").open(encoding="utf-8") as stream:
        columns = {(r["table"], r["column"], r["metric"]): r for r in csv.DictReader(stream)}
    for table in ("01", "02", "03", "10"):
        with (PUBLISHED / f"table{table}.csv").open(encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                column = columns[row["table"], row["column"], row["metric"]]
                label = row["row_label"]
                card = CARDS.get(label, label.lower())
                # The column's first, or the paper's own rows', which are of val.
                own = column["split"] == "test val" and card.startswith("unimo2-")
                split = "val" if own else column["split"].split()[0]
                place = (column["benchmark"], split, column["setting"], column["measure"])
                yield card, place, float(row["value"])


def test_cards_hold_every_number_of_the_papers_tables():
    """Truth: the tables as printed, in reports/published; and no card gives another for the paper."""
    known, found = cards.read_all(), {}
    for name, card in known.items():
        for benchmark, some in card.published.items():
            for one in some:
                if one.source.startswith("UNIMO-2 paper"):
                    for measure, value in one.metrics.items():
                        found[name, (benchmark, one.split, one.setting, measure)] = value
    expected = {(card, place): value for card, place, value in printed()}
    assert found == expected and len(expected) > 200


def test_the_papers_own_retrieval_is_of_the_validation_split_at_384_pixels():
    """Truth: the figures as fractions of 1,014 images and 5,070 captions; the release's settings."""
    for name in ("unimo2-base", "unimo2-baseline"):
        for one in cards.read_all()[name].published["flickr"]:
            for measure, value in one.metrics.items():
                queries = 1014 if measure.startswith("text") else 5070
                nearest = round(value * queries / 100)
                assert round(100 * nearest / queries, 2) == pytest.approx(value), (name, measure)
            wanted = {"split": "val", "image_size": 384, "contrastive_weight": 0.3}
            assert one.split == "val" and dict(one.options) == wanted


def test_published_numbers_have_a_protocol_and_a_source():
    """Truth: the cards themselves; recalls rise with k, and none is above 100."""
    for card in cards.read_all().values():
        for some in card.published.values():
            for one in some:
                assert one.protocol and one.source and one.metrics
                assert all(
                    0 < value <= (100 if name != "CIDEr" else 1000)
                    for name, value in one.metrics.items()
                )
                for kind in ("image_retrieval", "text_retrieval"):
                    rising = [one.metrics.get(f"{kind}/R@{k}", 0) for k in (1, 5, 10)]
                    given = [value for value in rising if value]
                    assert given == sorted(given), card.name


def test_a_card_that_cannot_run_says_why_with_its_numbers():
    """Truth: UNITER's card; the paper's number by hand."""
    with pytest.raises(
        IncompatibleModel, match="'uniter-base' cannot be run here: .*region.*zoo show"
    ):
        zoo.load("uniter-base")
    card = cards.find("uniter-base")
    with pytest.raises(IncompatibleModel, match="cannot be run here"):
        cards.require(card, "pair_scorer")
    shown = dict(cards.lines(card))
    assert shown["runnable"] == "no" and "region" in shown["why not runnable"]
    assert any("image_retrieval/R@1 66.16" in text for _, text in cards.lines(card))


def test_the_list_can_be_narrowed_to_a_capability():
    """Truth: the capabilities that cards list."""
    every = list(cards.read_all().values())
    assert len(cards.listing(every)) == len(every)
    captioners = cards.listing(every, "captioner")
    assert (
        {"mini-coco", "blip-captioning-base"}
        <= {row[0] for row in captioners}
        < {row[0] for row in cards.listing(every)}
    )
    runs = {row[0]: row[3] for row in cards.listing(every)}
    assert (runs["mini"], runs["soho"]) == ("yes", "no")
    with pytest.raises(UsageError, match="unknown capability 'telepathy'"):
        cards.listing(every, "telepathy")


BASE = 'name = "a"\nfamily = "clip"\ndescription = "b"\ncapabilities = []\nlicence = "c"\ncitation = "d"\n'
SOURCE = '[source]\nkind = "folder"\nlocation = "x"\n'
TABLE = '[[published.flickr]]\nprotocol = "p"\nsource = "s"\nmetrics = {"R@1" = 1}\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BASE + "runnable = false\n" + SOURCE, "why_not_runnable"),
        (BASE + 'why_not_runnable = "e"\n' + SOURCE, "why_not_runnable"),
        (BASE + 'runnable = "no"\n' + SOURCE, "'runnable' must be true or false"),
        (BASE + SOURCE.replace("folder", "none"), "'none' is for runnable = false"),
        (BASE + 'may_be_new = ["("]\n' + SOURCE, "not a regular expression"),
        (BASE + "options = 3\n" + SOURCE, "'options' must be a table"),
        (BASE + SOURCE + TABLE.replace("= 1", '= "1"'), "must be a table of numbers"),
        (
            BASE + SOURCE + TABLE.replace('source = "s"\n', ""),
            "'published.flickr.source' is missing",
        ),
        (BASE + SOURCE + "[published]\nflickr = 3\n", "must be tables"),
    ],
)
def test_a_card_with_a_mistake_in_its_newer_fields_is_refused(tmp_path, text, says):
    """Truth: the mistake that was made."""
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(BadData, match=says):
        cards.read(path)


def test_such_a_card_without_a_mistake_is_read(tmp_path):
    """Truth: the text above."""
    path = tmp_path / "a.toml"
    path.write_text(
        BASE + 'may_be_new = ["head.*"]\noptions = {backend = "pil"}\n' + SOURCE + TABLE
    )
    card = cards.read(path)
    assert card.options == {"backend": "pil"} and card.may_be_new == ("head.*",)
    assert card.published["flickr"][0].metrics == {"R@1": 1}
