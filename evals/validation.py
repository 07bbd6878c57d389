"""A benchmark's metrics of a model in memory, without a record: evaluation in the midst of training."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evals import prediction, suites
from evals.benchmark import Request, silent
from evals.benchmarks import coco
from evals.metrics.captions import quiet, tokenise
from evals.registry import canonical, get_benchmark, require_one

if TYPE_CHECKING:
    from evals.metrics.ranking import Metric
    from zoo.protocols import Captioner, Model


def measure(
    benchmark: str,
    model: Model,
    root: Path,
    split: str,
    limit: int | None = None,
    batch_size: int | None = None,
) -> dict[str, Metric]:
    """Measure as `unimo2 eval` does: the same reader, the same protocol, the same metrics.

    Args:
        benchmark: Its name, for example "snli_ve".
        model: An adapter, for example of `zoo.task_adapter`.
        root: The data root.
        split: Of the data.
        limit: Only the first items of the split.
        batch_size: Instead of the model's own.

    Returns:
        The metrics of the benchmark's record.

    Raises:
        IncompatibleModel: The model lacks what the benchmark needs.
        UsageError: Or one of its kinds, for data that cannot be read.
    """
    name = canonical(benchmark)
    request = _request(name, model.name, root, split, limit, batch_size)
    require_one(get_benchmark(name).alternatives(request), model)
    return measuring(benchmark, root, split, limit, batch_size)(model)


def measuring(
    benchmark: str, root: Path, split: str, limit: int | None = None, batch_size: int | None = None
) -> Callable[[Model], dict[str, Metric]]:
    """Read a split once, and measure models on it; arguments and errors as for `measure`."""
    name = canonical(benchmark)
    found = get_benchmark(name)
    data = found.read(
        suites.resolve(None, root), _request(name, "", root, split, limit, batch_size)
    )

    def measured(model: Model) -> dict[str, Metric]:
        request = _request(name, model.name, root, split, limit, batch_size)
        found.protocol(model, request)
        with tempfile.TemporaryDirectory() as folder, prediction.batch_size(model, batch_size):
            outcome = found.measure(model, data, request, Path(folder), silent)
        return dict(outcome.metrics)

    return measured


def _request(
    name: str, model: str, root: Path, split: str, limit: int | None, batch_size: int | None
) -> Request:
    """What is asked of a benchmark."""
    return Request(
        benchmark=name,
        model=model,
        data_root=root,
        split=split,
        limit=limit,
        batch_size=batch_size,
        options=get_benchmark(name).Options(),
    )


# CIDEr of a captioner in memory: what training looks at, without METEOR's and SPICE's programs.


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
        options=coco.CocoOptions(object_tags=object_tags),
    )
    data = coco.Coco().read(suites.resolve(None, root), request)
    references = {image: list(texts) for image, texts in data.references.items()}
    truth = tokenise(references)

    def measure(model: Captioner) -> float:
        from pycocoevalcap.cider.cider import Cider

        everything = range(len(data.images))
        captions = coco.captions_of(model, data, everything, request.options.beam_size)
        given = tokenise({i: [text] for i, text in zip(data.ids, captions, strict=True)})
        with quiet():
            return 100.0 * float(Cider().compute_score(truth, given)[0])

    return measure
