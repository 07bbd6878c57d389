"""CIDEr of a captioner in memory: what training looks at, without METEOR's and SPICE's programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evals import suites
from evals.benchmark import Request
from evals.benchmarks import coco
from evals.metrics.captions import quiet, tokenise

if TYPE_CHECKING:
    from zoo.protocols import Captioner


def cider_on(
    root: Path, split: str, limit: int | None = None, object_tags: Path | None = None
) -> Callable[[Captioner], float]:
    """Read a split of COCO once, and measure captioners on it.

    Args:
        root: The data root.
        split: Of Karpathy's.
        limit: Only the first images of the split.
        object_tags: File of object tags that captions are written with.

    Returns:
        CIDEr in percent of a model, the same as the benchmark's, captions searched for as there.

    Raises:
        UsageError: Or one of its kinds, for data that cannot be read.
    """
    request = Request(
        benchmark="coco",
        model="",
        data_root=root,
        split=split,
        limit=limit,
        object_tags=object_tags,
    )
    data = coco.read(suites.resolve(None, root), request)
    references = {image: list(texts) for image, texts in data.references.items()}
    truth = tokenise(references)

    def measure(model: Captioner) -> float:
        from pycocoevalcap.cider.cider import Cider

        everything = range(len(data.images))
        captions = coco.captions_of(model, data, everything, request.beam_size)
        given = tokenise({i: [text] for i, text in zip(data.ids, captions, strict=True)})
        with quiet():
            return 100.0 * float(Cider().compute_score(truth, given)[0])

    return measure
