"""The table of ceilings and floors that `data make-mini` and `data list` print."""

from evals.cli.data import level_table


def test_every_level_is_in_its_column() -> None:
    """Against a table written by hand; a level that a metric does not have is a dash."""
    vqa = {
        "ideal": 99.04,
        "chance": 3.2,
        "majority": 22.55,
        "one_modality": {"text only": 41.0, "image only": 24.46},
    }
    levels = {
        "coco": {"CIDEr": {"ideal": 187.6, "chance": None, "majority": 4.0, "one_modality": {}}},
        "vqa": {"accuracy": vqa},
        "flickr": {"image_retrieval/R@1": {"ideal": 96.8}},
    }
    rule = "-" * 88
    assert list(level_table(levels)) == [
        rule,
        "benchmark  metric               ideal  chance  majority  one modality alone",
        rule,
        "coco       CIDEr                187.6       -       4.0  -",
        "vqa        accuracy              99.0     3.2      22.6  text only 41.0, image only 24.5",
        "flickr     image_retrieval/R@1   96.8       -         -  -",
        rule,
    ]


def test_no_levels_make_no_table() -> None:
    """Against a suite that says nothing of them: not even headings."""
    assert list(level_table({})) == []
