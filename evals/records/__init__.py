"""Records of runs: writing, reading and finding them.

A run folder is `<root>/<suite>/<benchmark>/<model>[+<variant>]/<run id>/` and holds `record.json`,
`samples.parquet` and, for retrieval, the score matrices. The record is written last: a folder
without one is a run that has not finished.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.metrics.ranking import Metric
from evals.records.protocol import facts
from unimo2.errors import BadData, MissingData
from unimo2.files import write_atomically, write_text

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2  # 1 had sentences in its protocol
_READ = (1, SCHEMA)
_LARGEST = 1e12  # of any number that is measured; more is a broken file, and overflows in sums
RECORD, SAMPLES = "record.json", "samples.parquet"
MEASURED = Path(__file__).parents[1] / "measured"  # records that ship with the package


@dataclass(frozen=True)
class Record:
    """One finished run; the fields are those of `record.json`.

    Attributes:
        status: "done".
        suite: "mini" or "paper".
        benchmark: For example "flickr".
        model: The card's name, or the folder's.
        variant: What distinguishes runs of one model (an ablation's row, another weight), or None.
        protocol: How it was measured, in enumerations and numbers (`evals.records.protocol`); sentences
            of schema 1 are translated.
        data: fingerprint, root_name, split, images, captions, official, note.
        metrics: By name, for example "image_retrieval/R@1".
        weights_sha256: sha256 of the weights.
        config: The model's configuration.
        seed: Seed for the bootstrap.
        versions: Versions of Python and the packages that matter.
        commit: Commit of the checkout that the package lies in; None for an installed one.
        dirty: Whether that checkout had changes; None without a checkout.
        device: Name of the processor or GPU.
        dtype: Dtype of the computation.
        seconds: Duration of the measurement, all sessions of a resumed run together.
        throughput: For example {"pairs_per_second": 612.0}.
        peak_memory_mb: Highest resident memory of the process, on a GPU its highest allocation.
        command: The command that measures the same again.
        notes: Notes for readers: a sample, a result at chance.
        created: UTC time, ISO 8601.
        schema: Version of this layout.
        path: Where the record was read from or written to; not part of the file.
    """

    status: str
    suite: str
    benchmark: str
    model: str
    variant: str | None
    protocol: Mapping[str, Any]
    data: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    weights_sha256: str
    config: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str]
    commit: str | None
    dirty: bool | None
    device: str
    dtype: str
    seconds: float
    throughput: Mapping[str, float]
    peak_memory_mb: float
    command: str
    notes: Sequence[str]
    created: str
    schema: int = SCHEMA
    path: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """A record has the protocol of its schema, wherever it comes from."""
        object.__setattr__(self, "protocol", facts(self.protocol))

    def to_dict(self) -> dict[str, Any]:
        """The content of `record.json`."""
        content = asdict(replace(self, path=None))
        del content["path"]
        return {"schema": content.pop("schema"), **content}

    def _repr_html_(self) -> str:
        """The metrics as a notebook shows them."""
        heads = ("metric", "value", "95 % interval", "n", "chance")
        lines = [
            (name, f"{m.value:.1f}", f"{m.ci95[0]:.1f} to {m.ci95[1]:.1f}", f"{m.n:,}", _chance(m))
            for name, m in self.metrics.items()
        ]
        rows = [
            "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
            for tag, cells in (("th", heads), *(("td", line) for line in lines))
        ]
        name = self.model + (f"+{self.variant}" if self.variant else "")
        sample = f" ({self.data['note']})" if self.data.get("note") else ""
        split = f"{self.data.get('split')} split{sample}"
        title = f"{self.benchmark}, {split}, suite {self.suite}: {name}"
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><caption>{escape(title)}</caption>{body}</table>"


def _chance(metric: Metric) -> str:
    level = "" if metric.chance is None else f"{metric.chance:.3g}"
    return f"{level} (within noise)" if metric.at_chance else level


def write(record: Record, folder: Path) -> Record:
    """Write `record.json` atomically.

    Args:
        record: Record to write.
        folder: The run folder; created if needed.

    Returns:
        The record with its path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RECORD
    text = json.dumps(record.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)
    return replace(record, path=path)


def read(path: Path) -> Record:
    """Read a record strictly.

    Args:
        path: `record.json`, or the folder that holds it.

    Returns:
        The record.

    Raises:
        MissingData: The file does not exist.
        BadData: Not a record of this schema; the message gives the reason.
    """
    if path.is_dir():
        path = path / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise MissingData(f"no record at {path}") from None
    except (ValueError, RecursionError) as error:
        raise BadData(f"record {path} is not valid JSON: {error}") from None
    if not isinstance(content, dict) or content.get("schema") not in _READ:
        found = content.get("schema") if isinstance(content, dict) else None
        raise BadData(f"record {path} has schema {found!r}; this version reads schemas 1 and 2")
    known = {item.name for item in fields(Record)} - {"path"}
    if set(content) != known:
        odd = sorted(set(content) ^ known)
        raise BadData(f"record {path}: missing or unknown keys: {', '.join(odd)}")
    try:
        metrics = {name: _metric(value) for name, value in content.pop("metrics").items()}
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise BadData(f"record {path}: a metric cannot be read: {error!r}") from None
    for name, kinds in _KINDS.items():
        if not isinstance(content[name], kinds) or not _is_finite(content[name]):
            raise BadData(f"record {path}: {name} cannot be {content[name]!r:.80}")
    for name, value in content["data"].items():
        if name not in NOT_COUNTS and not (value is None or type(value) is int):
            raise BadData(f"record {path}: data.{name} cannot be {value!r:.80}: expected a number")
    return Record(**{**content, "schema": SCHEMA}, metrics=metrics, path=path)


NOT_COUNTS = ("fingerprint", "root_name", "split", "official", "note")  # of a record's "data"
_NUMBER = (int, float)
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("suite", "benchmark", "model", "status", "command", "created"), str),
    **dict.fromkeys(("device", "dtype", "weights_sha256"), str),
    **dict.fromkeys(("protocol", "data", "config", "versions", "throughput"), dict),
    **{"variant": (str, type(None)), "commit": (str, type(None)), "notes": list},
    **{"seconds": _NUMBER, "peak_memory_mb": _NUMBER, "seed": int},
}


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _is_finite(value: object) -> bool:
    """Whether every number in a value of JSON is one that can be measured."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or (math.isfinite(value) and abs(value) <= _LARGEST)


def _metric(value: Mapping[str, Any]) -> Metric:
    low, high = value["ci95"]
    chance = [] if value["chance"] is None else [value["chance"]]
    for number in (value["value"], low, high, value["n"], *chance):
        whole = isinstance(number, _NUMBER) and not isinstance(number, bool)
        if not whole or not _is_finite(float(number)):
            raise ValueError(f"expected a finite number, got {number!r:.40}")
    return Metric(**{**value, "ci95": (low, high)})


def find(
    roots: Path | Iterable[Path],
    suite: str | None = None,
    benchmark: str | None = None,
    model: str | None = None,
) -> list[Record]:
    """Finished runs below some folders.

    Args:
        roots: Runs folders; one that does not exist holds no runs.
        suite: Only of this suite.
        benchmark: Only of this benchmark.
        model: Only of this model, all its variants included.

    Returns:
        The records, newest last.

    Raises:
        BadData: One of them cannot be read.
    """
    roots = [roots] if isinstance(roots, Path) else list(roots)
    paths = (path for root in roots for path in root.glob(f"*/*/*/*/{RECORD}"))
    wanted = {"suite": suite, "benchmark": benchmark, "model": model}
    records = [
        record
        for record in map(read, paths)
        if all(value is None or getattr(record, key) == value for key, value in wanted.items())
    ]
    return sorted(records, key=lambda record: (record.created, str(record.path)))


def write_samples(samples: pd.DataFrame, folder: Path) -> None:
    """Write the per-item rows of a run atomically as `samples.parquet`."""
    write_atomically(folder / SAMPLES, lambda stream: samples.to_parquet(stream, index=False))


def read_samples(folder: Path) -> pd.DataFrame:
    """Read the per-item rows of a run.

    Args:
        folder: The run folder.

    Returns:
        One row an item.

    Raises:
        MissingData: The run has no samples.
        BadData: They cannot be read.
    """
    import pandas as pd

    path = folder / SAMPLES
    if not path.is_file():
        raise MissingData(f"no samples at {path}; only the record was kept")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise BadData(f"{path}: not a table of samples ({error})") from None
