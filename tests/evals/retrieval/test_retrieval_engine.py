"""Planner, scorer and writer: each item once, finished blocks kept, a kill survived."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import evals
from builders import forked
from builders.retrieval_fakes import ColourScorer, run_slowly, write_flickr
from evals.retrieval import scorer
from evals.retrieval.planner import PairBlock, make_plan
from evals.retrieval.writer import BlockWriter
from unimo2.errors import BadCheckpoint, IncompatibleModel


def _run(data: Path, output: Path, model: ColourScorer, **options: object) -> evals.Record:
    return evals.run(
        "flickr", model=model, zero_shot=True, data_root=data, output=output, **options
    )


def _scores(record: evals.Record, name: str = "scores") -> np.ndarray:
    return np.load(record.path.parent / f"{name}.npy")


@pytest.mark.parametrize(("images", "captions"), [(1, 1), (60, 300), (1000, 5000), (5000, 25)])
def test_blocks_cover_every_caption_once(images: int, captions: int) -> None:
    """Truth: the numbers 0 to captions - 1."""
    plan = make_plan(images, captions)
    covered = [i for block in plan.blocks for i in range(block.start, block.stop)]
    assert covered == list(range(captions))
    assert plan.pairs == plan.remaining_pairs == images * captions


def test_plan_leaves_out_finished_blocks_only() -> None:
    """Truth: by hand; a block of another cut does not count as finished."""
    plan = make_plan(64, 200, [PairBlock(0, 64), PairBlock(64, 100)])
    assert plan.remaining == plan.blocks[1:]
    assert plan.remaining_pairs == 64 * 136


def test_scores_equal_each_pair_scored_alone(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: each image with each caption in a call of its own, towers run again."""
    from evals.benchmarks.flickr import Flickr
    from evals.datasets.suites import resolve
    from evals.runner import make_request
    from unimo2.formats.images import load_image
    from zoo.protocols import StackedFeatures

    record = _run(flickr_root, tmp_path / "runs", ColourScorer(batch_size=7))
    data = Flickr().read(resolve(None, flickr_root), make_request("flickr", "colours", {}))
    alone = np.empty((20, 100), dtype=np.float32)
    model = ColourScorer()
    for i, image in enumerate(data.images):
        for j, caption in enumerate(data.captions):
            stack = StackedFeatures.of(model.encode_images([load_image(image.path)]))
            text = model.encode_texts([caption])[0]
            alone[i, j] = model.score_pairs(stack, text)["score"].item()
    np.testing.assert_array_equal(_scores(record), alone)


def test_each_tower_runs_once_per_item(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: 20 images, 100 captions, 2,000 pairs, counted by the model itself."""
    model = ColourScorer()
    _run(flickr_root, tmp_path / "runs", model)
    assert (model.images, model.texts, model.pairs) == (20, 100, 2000)


def test_a_long_run_is_estimated_before_all_images_are_encoded(
    flickr_root: Path, tmp_path: Path
) -> None:
    """Truth: images of a second and pairs of half a second, by a clock that the model moves."""
    now = [0.0]

    class Slow(ColourScorer):
        def encode_images(self, images):  # noqa: ANN001, ANN202
            now[0] += len(images)
            return super().encode_images(images)

        def score_pairs(self, images, text):  # noqa: ANN001, ANN202
            now[0] += 0.5 * len(images)
            return super().score_pairs(images, text)

    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorer.time, "perf_counter", lambda: now[0])
        _run(flickr_root, tmp_path / "runs", Slow(batch_size=5), on_progress=seen.append)
    [place] = [place for place, progress in enumerate(seen) if progress.estimated]
    assert seen[place].seconds_left == 20 * 1.0 + 2000 * 0.5
    assert seen[place - 1].stage == "images" and seen[place - 1].done == 5
    assert "--rerank" not in str(seen[place].hint)  # 64 of 20 images would be all


def test_progress_ends_at_all_pairs(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: 20 x 100 pairs, in steps of one caption."""
    seen = []
    _run(flickr_root, tmp_path / "runs", ColourScorer(), on_progress=seen.append)
    pairs = [progress for progress in seen if progress.stage == "pairs"]
    assert [progress.done for progress in pairs] == list(range(20, 2001, 20))
    assert (pairs[-1].total, pairs[-1].seconds_left) == (2000, 0.0)


def test_a_run_killed_by_sigkill_goes_on_and_ends_with_the_same_numbers(tmp_path: Path) -> None:
    """Truth: the same run, uninterrupted."""
    data = write_flickr(tmp_path / "data", images=60)  # 300 captions in 5 blocks
    output = tmp_path / "runs"
    process = forked.start(run_slowly, data, output, 0.001, out=tmp_path / "out.txt")
    try:
        deadline = time.monotonic() + 120
        while len(finished := list(output.glob("*/*/*/*/blocks/*.npz"))) < 2:
            assert process.is_alive(), "the run ended before it could be killed"
            assert time.monotonic() < deadline, "the run wrote no blocks"
            time.sleep(0.01)
    finally:
        process.kill()  # by SIGKILL
        process.join()
    assert process.exitcode == -signal.SIGKILL
    folder = finished[0].parents[1]
    assert not (folder / "record.json").exists()

    model = ColourScorer()
    resumed = _run(data, output, model)
    assert resumed.path.parent == folder
    assert model.pairs <= 60 * (300 - 2 * 64)  # the blocks that were there are not done again
    assert model.pairs % 60 == 0

    whole = _run(data, tmp_path / "other", ColourScorer())
    for name in ("scores", "itm", "contrastive"):
        np.testing.assert_array_equal(_scores(resumed, name), _scores(whole, name))
    assert resumed.metrics == whole.metrics
    assert not (folder / "blocks").exists()


def _interrupt(data: Path, output: Path, **options: object) -> Path:
    """Begin a run and stop it in its third block; returns the run folder."""

    class Stops(ColourScorer):
        def score_pairs(self, images, text):  # noqa: ANN001, ANN202
            if self.texts > 2 * 64:
                raise KeyboardInterrupt
            return super().score_pairs(images, text)

    with pytest.raises(KeyboardInterrupt):
        _run(data, output, Stops(), **options)
    (folder,) = output.glob("*/*/*/*")
    assert len(list((folder / "blocks").iterdir())) == 2
    return folder


@pytest.mark.parametrize(
    "change", ["weights", "batch size", "seed", "caption", "pixel", "protocol", "fresh"]
)
def test_a_run_is_not_continued_by_a_different_one(tmp_path: Path, change: str) -> None:
    """Truth: the model counts the pairs it scores; all 60 x 300 mean that nothing was reused."""
    data, output = write_flickr(tmp_path / "data", images=60), tmp_path / "runs"
    folder = _interrupt(data, output)
    model = ColourScorer(weights="b" * 64 if change == "weights" else "a" * 64)
    options: dict[str, object] = {}
    if change == "batch size":
        options["batch_size"] = 4
    elif change == "seed":
        options["seed"] = 1
    elif change == "caption":
        path = data / "flickr30k" / "dataset_flickr30k.json"
        path.write_text(path.read_text().replace("wording0", "wording9", 1))
    elif change == "pixel":
        from PIL import Image

        Image.new("RGB", (8, 8)).save(data / "flickr30k" / "flickr30k-images" / "0.png")
    elif change == "protocol":
        model.contrastive_weight = 0.5
    elif change == "fresh":
        options["fresh"] = True
    record = _run(data, output, model, **options)
    assert model.pairs == 60 * 300
    assert record.path.parent != folder


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Truth: two of five blocks (128 captions) are on disk, so 172 captions are left."""
    data, output = write_flickr(tmp_path / "data", images=60), tmp_path / "runs"
    folder = _interrupt(data, output)
    model = ColourScorer()
    assert _run(data, output, model).path.parent == folder
    assert (model.pairs, model.texts, model.images) == (60 * 172, 172, 60)
    again = ColourScorer()
    assert _run(data, output, again).path.parent != folder  # a finished run is not taken up
    assert again.pairs == 60 * 300


def test_a_damaged_block_is_done_again(tmp_path: Path) -> None:
    """Truth: the uninterrupted run; one of the two blocks on disk is cut off in the middle."""
    data, output = write_flickr(tmp_path / "data", images=60), tmp_path / "runs"
    folder = _interrupt(data, output)
    path = folder / "blocks" / "0-64.npz"
    path.write_bytes(path.read_bytes()[:1000])
    model = ColourScorer()
    record = _run(data, output, model)
    assert model.pairs == 60 * (300 - 64)
    np.testing.assert_array_equal(
        _scores(record), _scores(_run(data, tmp_path / "other", ColourScorer()))
    )


def test_two_processes_do_not_write_into_one_run(tmp_path: Path) -> None:
    """Truth: while a run's folder is held, the same run gets another folder."""
    from evals.records import workspace

    with workspace.opened(tmp_path, {"a": 1}, fresh=False) as first:
        with workspace.opened(tmp_path, {"a": 1}, fresh=False) as second:
            assert second.folder != first.folder
    with workspace.opened(tmp_path, {"a": 1}, fresh=False) as third:
        assert third.folder in (first.folder, second.folder)


def test_blocks_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Truth: the arrays that were written."""
    writer = BlockWriter(tmp_path, images=3)
    left, right = np.ones((3, 2), np.float32), np.full((3, 1), 2, np.float32)
    writer.write(PairBlock(2, 3), {"score": right}, 0.5)
    writer.write(PairBlock(0, 2), {"score": left}, 1.0)
    assert writer.finished() == [PairBlock(0, 2), PairBlock(2, 3)]
    parts, seconds = writer.assemble([PairBlock(0, 2), PairBlock(2, 3)])
    assert parts["score"].tolist() == [[1, 1, 2]] * 3
    assert seconds == 1.5
    assert BlockWriter(tmp_path, images=4).finished() == []  # blocks of another size


def test_a_block_with_a_part_of_another_shape_is_not_finished(tmp_path: Path) -> None:
    """Truth: the shapes that were written; the second block's ITM part lacks a caption."""
    writer = BlockWriter(tmp_path, images=3)
    for block, width in ((PairBlock(0, 2), 2), (PairBlock(2, 4), 1)):
        parts = {"score": np.ones((3, 2), np.float32), "itm": np.ones((3, width), np.float32)}
        writer.write(block, parts, 1.0)
    assert writer.finished() == [PairBlock(0, 2)]


def test_scores_that_are_no_numbers_stop_the_run_at_once(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the model returns NaN from its first caption on."""

    class Broken(ColourScorer):
        def score_pairs(self, images, text):  # noqa: ANN001, ANN202
            return {"score": super().score_pairs(images, text)["score"] * torch.nan}

    model = Broken()
    with pytest.raises(BadCheckpoint, match="returns NaN scores"):
        _run(flickr_root, tmp_path / "runs", model)
    assert model.pairs == 20


def test_a_model_must_return_one_score_per_image(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the model returns one number for three images."""

    class Wrong(ColourScorer):
        def score_pairs(self, images, text):  # noqa: ANN001, ANN202
            return {"score": torch.zeros(1)}

    with pytest.raises(IncompatibleModel, match=r"shape \(3,\)"):
        _run(flickr_root, tmp_path / "runs", Wrong())


def test_what_does_not_fit_a_gpu_is_halved_until_it_does(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the matrix of a model with room for all; this one has room for 4 images, 2 pairs."""
    from evals.batch_sizes import Search
    from evals.benchmarks.flickr import Flickr
    from evals.datasets.suites import resolve
    from evals.retrieval import scorer
    from evals.runner import make_request

    class Small(ColourScorer):
        device = "cuda"

        def encode_images(self, images):  # noqa: ANN001, ANN202
            if len(images) > 4:
                raise torch.OutOfMemoryError("no room")
            return super().encode_images(images)

        def score_pairs(self, images, text):  # noqa: ANN001, ANN202
            if len(images) > 2:
                raise torch.OutOfMemoryError("no room")
            return super().score_pairs(images, text)

    data = Flickr().read(resolve(None, flickr_root), make_request("flickr", "colours", {}))
    paths, matrices = [image.path for image in data.images], []
    for number, model in enumerate((ColourScorer(), Small())):
        writer = BlockWriter(tmp_path / str(number), len(paths))
        plan = make_plan(len(paths), len(data.captions))
        scorer.score(model, paths, data.captions, plan, writer, Search(16), lambda _: None)
        matrices.append(writer.assemble(plan.blocks)[0]["score"])
    assert (matrices[0] == matrices[1]).all()
