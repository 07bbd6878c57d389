"""`--dtype auto`: what decides, and that the record says so."""

import numpy as np
import pytest

from builders.retrieval_fakes import ColourScorer, write_flickr
from evals.benchmark import Request
from evals.benchmarks import flickr
from evals.datasets.suites import resolve
from evals.retrieval.dtype_choice import choose
from evals.runner import make_request

DELAY = 0.004


def _sample(tmp_path, images: int = 6):
    root = write_flickr(tmp_path / "data", images=images)
    data = flickr.Flickr().read(resolve(None, root), make_request("flickr", "colours", {}))
    return [i.path for i in data.images], [i.captions[0].text for i in data.images]


class Rough(ColourScorer):
    """Scores as a coarse number format gives them, so that some become equal."""

    def score_pairs(self, images, text):  # noqa: ANN001, ANN201
        """The scores in steps of eight."""
        parts = super().score_pairs(images, text)
        return {name: (part / 8).round() * 8 for name, part in parts.items()}


@pytest.mark.parametrize(
    ("exact_delay", "fast", "taken", "changed"),
    [
        (DELAY, ColourScorer(), True, False),
        (0.0, ColourScorer(delay=DELAY), False, False),
        (DELAY, Rough(), False, True),
    ],
    ids=["faster", "slower", "other ranks"],
)
def test_the_faster_format_is_taken_where_ranks_stay(tmp_path, exact_delay, fast, taken, changed):
    """Truth: the delays, and scores rounded until they tie."""
    found = choose(ColourScorer(delay=exact_delay), fast, *_sample(tmp_path))
    assert (found.fast, found.changed > 0) == (taken, changed)
    assert (found.images, found.captions, found.queries) == (6, 6, 12)
    assert (found.speedup > 1) == (exact_delay > 0)
    note = found.note("float32", "bfloat16")
    assert f"{'bfloat16' if taken else 'float32'} is used" in note
    assert ("other ranks" in note) == changed


def test_a_slow_model_is_measured_on_fewer_captions(tmp_path):
    """Truth: one caption takes longer than all the time there is."""
    found = choose(ColourScorer(), ColourScorer(), *_sample(tmp_path), seconds=0.0)
    assert (found.captions, found.queries) == (1, 2)


def test_the_sample_is_one_caption_of_each_image(tmp_path):
    """Truth: the models count what they were shown; 40 images are more than a sample."""
    root = write_flickr(tmp_path / "data", images=40)
    data = flickr.Flickr().read(resolve(None, root), make_request("flickr", "colours", {}))
    exact, fast = ColourScorer(), ColourScorer()
    found = flickr.Flickr().choose_dtype(exact, fast, data)
    assert (exact.images, exact.texts) == (fast.images, fast.texts) == (32, 32)
    assert found.changed == 0 and np.isfinite(found.speedup)


def test_a_benchmark_that_cannot_measure_it_says_so():
    """Truth: benchmarks that score no pairs; the message names the formats to choose from."""
    from evals.registry import get_benchmark
    from evals.runner import _check_dtype
    from unimo2.errors import UsageError

    vqa, imagenet = get_benchmark("vqa"), get_benchmark("imagenet")
    for benchmark, capability in (
        (vqa, "pair_scorer"), (imagenet, "image_classifier"), (flickr.Flickr(), "dual_encoder"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="choose float32 or bfloat16"):
            _check_dtype(benchmark, Request("x", "mini", dtype="auto"), capability)
    _check_dtype(vqa, Request("vqa", "mini", dtype="bfloat16"), "answerer")
    for benchmark in (flickr.Flickr(), imagenet):
        _check_dtype(benchmark, Request("x", "mini", dtype="auto"), "pair_scorer")
