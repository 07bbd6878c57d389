"""Any bytes as predictions or annotations of `unimo2 score`: figures, or one of our errors in a line."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_score import CASES

from builders.drawing import drawn
from evals.benchmarks import coco
from evals.metrics.captions import CaptionScores
from evals.registry import get_benchmark
from unimo2.errors import UsageError

DRAWN = drawn(25)
PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [b"", b"\xff", b"\0", b'"', b"{", b"]", b"\n", b"\r", b"\t", b",", b"\\ud800", b"NaN", b"-1",
         b"1e999", b"null", b"9" * 400, b"[" * 3_000, b"\xc2\x85", b"\xef\xbb\xbf", b"0.5", b"true"]
    ),
)  # fmt: skip


def coco_files(root):
    """Two images with a caption each, and two results."""
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2)]
    captions = [{"id": n, "image_id": n, "caption": "a dog"} for n in (1, 2)]
    (root / "a").write_text(json.dumps({"images": images, "annotations": captions}))
    (root / "p").write_text(json.dumps([{"image_id": n, "caption": "a cat"} for n in (1, 2)]))
    return ["--annotations", root / "a"]


WRITERS = {**{name: files for name, (files, _) in CASES.items()}, "coco": coco_files}


def arguments(name, root, options):
    """What the command gives to the benchmark's function."""
    given = {}
    for word in options:
        if str(word).startswith("--"):
            given[key := str(word).removeprefix("--")] = []
        else:
            given[key].append(word)
    several = ("questions", "annotations") if name == "vqa" else ()
    found = {key: some if key in several else some[0] for key, some in given.items()}
    first = {"vqa": "results", "coco": "results", "flickr": "scores"}.get(name, "predictions")
    return {first: root / "p", **found}


@pytest.mark.parametrize("name", WRITERS)
@DRAWN
@given(data=st.data())
def test_any_file_gives_figures_or_one_line(tmp_path, name, data):
    """Against our errors: files with pieces replaced, and files of any bytes."""
    benchmark = get_benchmark(name)
    options = WRITERS[name](tmp_path)
    files = [tmp_path / "p", *(path for path in tmp_path.glob("a*") if path.is_file())]
    path = data.draw(st.sampled_from(files))
    content = path.read_bytes()
    if data.draw(st.booleans()):
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(content)))
            end = min(len(content), start + data.draw(st.integers(0, 8)))
            content = content[:start] + data.draw(PIECES) + content[end:]
    else:
        content = data.draw(st.binary(max_size=80))
    path.write_bytes(content)
    allow = {} if name == "flickr" else {"allow_missing": data.draw(st.booleans())}
    with pytest.MonkeyPatch.context() as patch:
        # Java takes seconds a call, and reads no file of the user's.
        patch.setattr(coco, "caption_scores", lambda *_: CaptionScores({}, (), {}, {}, []))
        try:
            scored = benchmark.score(**arguments(name, tmp_path, options), **allow)
        except UsageError as error:
            assert str(error) and "\n" not in str(error)
            str(error).encode()
        else:
            for metric in scored.metrics.values():
                assert math.isfinite(metric.value) and metric.n > 0
