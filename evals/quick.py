"""A benchmark's metrics of a model in memory, without a record: evaluation in the midst of training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from evals import items, suites
from evals.benchmark import Request, silent
from evals.modules import canonical, module_of, needed
from zoo import interfaces

if TYPE_CHECKING:
    from evals.metrics import Metric
    from zoo.interfaces import Model


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
    module = module_of(name)
    request = Request(
        benchmark=name,
        model=model.name,
        data_root=root,
        split=split,
        limit=limit,
        batch_size=batch_size,
    )
    interfaces.require(model, needed(module, request))
    module.protocol(model, request)
    data = module.read(suites.resolve(None, root), request)
    with tempfile.TemporaryDirectory() as folder, items.batch_size(model, batch_size):
        outcome = module.measure(model, data, request, Path(folder), silent)
    return dict(outcome.metrics)
