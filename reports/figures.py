"""Figures for papers and for the site: sweeps with the paper's curve beside them, recalls, training.

A figure is drawn by matplotlib without a display and written as SVG, PDF or PNG. Every one has a
sentence that says what it shows, for those who cannot see it. Colours are Okabe and Ito's, which
colour-blind readers can tell apart, and every series has a marker of its own.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evals.metrics.ranking import Metric
from evals.records import Record
from reports import paper
from reports.differences import Differences
from reports.selection import (
    FULL,
    PARAMETERS,
    PARTS,
    RUNS,
    SIZES,
    TOKENS,
    Sheet,
    arrange,
    comparable,
    gather,
    label_of,
    setting_name,
    setting_of,
    size_of,
)
from unimo2.console import visible
from unimo2.errors import UsageError
from unimo2.files import write_atomically
from unimo2.training import LOG, SUMMARY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
_TALL = 1.6  # inches of axes beside others
_DEEPEST = 6  # folders between a runs folder and a log
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_STYLE: Any = {
    "text.parse_math": False,  # names with a dollar sign are names
    "axes.unicode_minus": False,
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "unimo2",
    "pdf.fonttype": 42,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class DrawnFigure:
    """A figure and what it says.

    Attributes:
        figure: Of matplotlib.
        alt: The same in words.
    """

    figure: Figure
    alt: str

    def data(self, form: str = "svg") -> bytes:
        """The content of a file of one of `FORMATS`."""
        import matplotlib

        out = io.BytesIO()
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
        with matplotlib.rc_context(_STYLE):
            self.figure.savefig(out, format=form, dpi=200, metadata=metadata)
        return out.getvalue()

    def save(self, path: Path) -> None:
        """Write a file; its ending says in which format.

        Raises:
            UsageError: Another ending.
        """
        form = path.suffix.removeprefix(".").lower()
        if form not in FORMATS:
            raise UsageError(f"--output {path}: expected a name in .{', .'.join(FORMATS)}")
        content = self.data(form)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda stream: stream.write(content))

    def _repr_html_(self) -> str:
        text = self.data("svg").decode("utf-8")
        return text[text.index("<svg") :]


@dataclass(frozen=True)
class Log:
    """What a training run wrote while it went on.

    Attributes:
        name: Of the run: its folder below the runs folder.
        lines: One for each interval, as in `log.jsonl`.
        finished: The training said at its end what it did.
        last: UTC time of the last line.
        text: The file, of which the lines were made.
    """

    name: str
    lines: Sequence[Mapping[str, Any]] = field(compare=False)
    finished: bool
    last: str
    text: str

    @property
    def last_step(self) -> float:
        """How far it is."""
        return float(self.lines[-1]["step"])

    @property
    def state(self) -> str:
        """Whether it has ended, for a reader."""
        if self.finished:
            return "The training is finished."
        return f"Not finished: going on, or interrupted. The last line was written {self.last} UTC."

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of one entry, where it is a number."""
        points = [
            (float(line["step"]), float(line[key]))
            for line in self.lines
            if isinstance(line.get(key), (int, float)) and not isinstance(line[key], bool)
        ]
        return [step for step, _ in points], [value for _, value in points]

    def keys(self) -> list[str]:
        """Names of the entries that are numbers at least twice."""
        found = dict.fromkeys(key for line in self.lines for key in line)
        return [key for key in found if len(self.series(key)[0]) > 1]


def figure(
    name: str, records: Iterable[Record] | None = None, runs: Path | None = None
) -> DrawnFigure:
    """Draw one of the figures.

    Args:
        name: One of `FIGURES`.
        records: Those of the package and of the runs folder if None.
        runs: Folder of runs, for logs of training; "runs" in the working folder if None.

    Returns:
        The figure, which a notebook shows; `save` writes it.

    Raises:
        UsageError: Another name, or nothing to draw.
    """
    if name not in FIGURES:
        raise UsageError(f"--figure {name!r}: expected one of {', '.join(FIGURES)}")
    import matplotlib

    every = list(gather(runs) if records is None else records)
    with matplotlib.rc_context(_STYLE):
        return FIGURES[name](every, runs or RUNS)


def read_logs(runs: Path) -> list[Log]:
    """The logs of training below a folder, by name; lines that are not JSON are skipped."""
    logs = []
    for path in sorted(_found(runs)):
        lines = []
        text = path.read_text(encoding="utf-8", errors="replace")
        for written in text.splitlines():
            try:
                line = json.loads(written, parse_constant=lambda _: None)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), (int, float)):
                lines.append(line)
        if len(lines) > 1:
            name = path.parent.relative_to(runs).as_posix()
            ended = path.with_name(SUMMARY).is_file()
            last = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
            logs.append(Log(name, lines, ended, last.strftime("%Y-%m-%d %H:%M:%S"), text))
    return logs


def _found(runs: Path) -> Iterable[Path]:
    for depth in range(_DEEPEST):
        yield from runs.glob("*/" * depth + LOG)


def _new(columns: int, width: float = 7.0, height: float = 2.8) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    axes = made.subplots(1, columns, squeeze=False)
    return made, list(axes[0])


def _panels(count: int, legend_rows: int) -> tuple[Figure, list[Axes]]:
    """Axes side by side with room for a legend below; placed by hand, in a third of the time."""
    from matplotlib.figure import Figure

    left, right, top, bottom = 0.6, 0.15, 0.3, 0.55 + 0.16 * legend_rows  # inches
    width, height = 3.0, _TALL + bottom + top
    made = Figure(figsize=(count * width, height))
    size = (width - left - right) / (count * width), (height - bottom - top) / height
    corners = [
        ((place * width + left) / (count * width), bottom / height) for place in range(count)
    ]
    return made, [made.add_axes((*corner, *size)) for corner in corners]


def _legend_below(axes: Axes, columns: int) -> None:
    below = (0.5, -0.45 / _TALL)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=below, ncols=columns, borderpad=0)


def _style(place: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "markersize": 4,
        "linewidth": 1.4,
    }


# Sweeps of K and C, as in Table 5.


def _sweep(group: str, letter: str, records: list[Record], _: Path) -> DrawnFigure:
    """Recall at 1 over K or C: measured with intervals, and the paper's, each on its own axis."""
    sheets = _sheets(PARAMETERS, records)
    found = [(sheet, [row for row in sheet.rows if row.group == group]) for sheet in sheets]
    found = [(sheet, rows) for sheet, rows in found if len(rows) > 1]
    if not found:
        two = {"K": "--k 10 20", "C": "--c 64 128"}[letter]
        raise UsageError(
            f"no sweep of {letter} was measured: expected records of at least two {letter} of one "
            f"training; 'unimo2 ablate {two}' makes them"
        )
    sheet, rows = found[-1]
    made, (ours, theirs) = _new(2)
    said = []
    columns = [one for one in sheet.columns if one.metric == "R@1" and one.block in sheet.about]
    for place, column in enumerate(columns):
        points = [(int(row.label), m) for row in rows if (m := row.metric(column)) is not None]
        _draw_points(ours, points, column.task, place)
        said.append(f"{column.task} {_listed(points)}")
    ours.set_title(f"measured, {sheet.suite} suite")
    tasks = [column.task for column in columns]
    theirs_said = _published_sweep(theirs, group, tasks)
    theirs.set_title("paper, Table 5")
    for axes in (ours, theirs):
        at = sorted({int(x) for line in axes.lines for x in np.asarray(line.get_xdata())})
        axes.set_xscale("log")
        axes.set_xticks(at, [f"{tick:,}" for tick in at])
        axes.minorticks_off()
        axes.set_xlabel({"K": "K, grounded tokens", "C": "C, size of the dictionary"}[letter])
        axes.set_ylabel("R@1 (%)")
        axes.legend()
    return DrawnFigure(
        made,
        f"Recall at 1 over {letter}. Measured on the {sheet.suite} suite: {'; '.join(said)}. "
        f"The paper's, on other data: {'; '.join(theirs_said)}.",
    )


def _published_sweep(axes: Axes, group: str, tasks: Sequence[str]) -> list[str]:
    rows = [
        one
        for one in paper.number_rows(PARAMETERS)
        if one["row_group"] == group and one["metric"] == "R@1" and one["row_label"].isdigit()
    ]
    said = []
    for place, task in enumerate(tasks):
        points = sorted(
            (int(o["row_label"]), float(o["value"])) for o in rows if o["column"] == task
        )
        axes.plot(*zip(*points, strict=True), label=task, **_style(place))
        said.append(f"{task} " + ", ".join(f"{value} at {at:,}" for at, value in points))
    return said


def _draw_points(axes: Axes, points: list[tuple[int, Metric]], label: str, place: int) -> None:
    points.sort(key=lambda point: point[0])
    values = [metric.value for _, metric in points]
    below = [max(0.0, metric.value - metric.ci95[0]) for _, metric in points]
    above = [max(0.0, metric.ci95[1] - metric.value) for _, metric in points]
    at = [where for where, _ in points]
    axes.errorbar(at, values, yerr=[below, above], capsize=3, label=label, **_style(place))


def _listed(points: Sequence[tuple[int, Metric]]) -> str:
    return ", ".join(
        f"{m.value:.1f} ({m.ci95[0]:.1f} to {m.ci95[1]:.1f}) at {at:,}" for at, m in points
    )


# What is taken away, as in Table 4.


def _without(records: list[Record], _: Path) -> DrawnFigure:
    """Differences of recall at 1 to the full training, a dot per row."""
    sheets = [s for s in _sheets(PARTS, records) if any(row.label == FULL for row in s.rows)]
    sheets = [sheet for sheet in sheets if len(sheet.rows) > 1]
    if not sheets:
        raise UsageError(
            "no record of a training without a part, beside the full training; 'unimo2 ablate "
            "--without gd' or 'unimo2 ablate --one-to-one --full' makes both"
        )
    sheet = sheets[-1]
    full = next(row for row in sheet.rows if row.label == FULL)
    rows = [row for row in sheet.rows if row is not full]
    made, (axes,) = _new(1, height=1.2 + 0.35 * len(rows))
    columns = [one for one in sheet.columns if one.metric == "R@1" and one.block in sheet.about]
    differences, shown, said = Differences(), set(), []
    for place, column in enumerate(columns):
        offset = 0.16 * (place - (len(columns) - 1) / 2)
        for at, row in enumerate(rows):
            if row.metric(column) is None or full.metric(column) is None:
                continue
            change = differences.between(
                row.records[column.block], full.records[column.block], column.measure
            )
            low, high = max(0.0, change.by - change.low), max(0.0, change.high - change.by)
            axes.errorbar(
                [change.by], [at + offset], xerr=[[low], [high]], capsize=3, linestyle="none",
                label=None if column.task in shown else column.task, **_style(place),
            )  # fmt: skip
            shown.add(column.task)
            said.append(f"{row.label} {column.task} {change}")
    axes.axvline(0, color="#555555", linewidth=1)
    axes.set_yticks(range(len(rows)), [visible(row.label) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("difference of R@1 to the full training (points)")
    axes.legend()
    return DrawnFigure(made, f"Differences to the full training: {'; '.join(said)}.")


# Recalls of models.


def _retrieval(records: list[Record], _: Path) -> DrawnFigure:
    """Recall at 1, 5 and 10 of every model on Flickr30k, both ways."""
    newest: dict[str, Record] = {}
    for record in comparable(records)[0]:
        if record.benchmark == "flickr" and record.protocol.get("training") is None:
            where = f"{record.suite}, {record.data.get('split')}"
            how = setting_name(setting_of(record))
            newest[f"{label_of(record)} ({how}; {where})"] = record
    if not newest:
        raise UsageError(
            "no record of retrieval on a whole split; 'unimo2 eval flickr --zero-shot --rerank 16' "
            "makes one"
        )
    made, both = _new(2, height=1.4 + 0.5 * len(newest))
    said = []
    for axes, task in zip(both, ("image_retrieval", "text_retrieval"), strict=True):
        for place, k in enumerate((1, 5, 10)):
            metrics = [record.metrics.get(f"{task}/R@{k}") for record in newest.values()]
            kept = [(at, metric) for at, metric in enumerate(metrics) if metric is not None]
            axes.errorbar(
                [m.value for _, m in kept], [at + 0.18 * (place - 1) for at, _ in kept],
                xerr=[[m.value - m.ci95[0] for _, m in kept], [m.ci95[1] - m.value for _, m in kept]],
                capsize=2, linestyle="none", label=f"R@{k}", **_style(place),
            )  # fmt: skip
            said += [f"{list(newest)[at]} {task} R@{k} {m.value:.1f}" for at, m in kept]
        axes.set_title(task.replace("_", " "))
        axes.set_xlabel("recall (%)")
        axes.set_xlim(0, 102)
        axes.set_yticks(range(len(newest)), [visible(name) for name in newest])
        axes.set_ylim(len(newest) - 0.5, -0.5)
    both[1].set_yticklabels([])
    made.legend(*both[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    size = size_of(next(iter(newest.values())))
    return DrawnFigure(made, f"Recall on {size}: {'; '.join(said)}.")


# Training.

_NOT_LOSSES = re.compile(
    r"step|rate|speed|second|memory|norm|dictionary|temperature|weight|best|samples|accuracy|^eval/"
)


def _training(_: list[Record], runs: Path) -> DrawnFigure:
    """Loss over steps, a line per run."""
    logs = read_logs(runs)
    if not any("loss" in log.keys() for log in logs):
        raise UsageError(
            f"no {LOG} with two losses below {runs}; 'unimo2 pretrain' and 'unimo2 finetune' write "
            "one, and --runs names the folder"
        )
    made, (axes,) = _new(1)
    said = []
    for place, log in enumerate(log for log in logs if "loss" in log.keys()):
        steps, values = log.series("loss")
        axes.plot(steps, values, label=visible(log.name), **_line(place))
        said.append(
            f"{log.name} from {values[0]:.2f} to {values[-1]:.2f} in {steps[-1]:,.0f} steps"
        )
    axes.set(xlabel="step", ylabel="loss")
    made.legend(loc="outside lower center", ncols=3, fontsize=8)
    return DrawnFigure(made, f"Training loss: {'; '.join(said)}.")


def _dictionary(_: list[Record], runs: Path) -> DrawnFigure:
    """How much of the grounded dictionary is in use over steps, and how evenly."""
    logs = [log for log in read_logs(runs) if "dictionary_used" in log.keys()]
    if not logs:
        raise UsageError(
            f"no {LOG} that tells of a dictionary below {runs}; 'unimo2 pretrain' writes one, and "
            "--runs names the folder"
        )
    made, both = _panels(2, legend_rows=len(logs))
    said = []
    for place, log in enumerate(logs):
        for axes, key in zip(both, ("dictionary_used", "dictionary_perplexity"), strict=True):
            axes.set(xlabel="step", title=key.replace("_", " "))
            steps, values = log.series(key)
            if not values:
                continue
            axes.plot(steps, values, label=visible(log.name), **_line(place))
            said.append(f"{log.name} {key} {values[0]:.3g} to {values[-1]:.3g}")
    both[0].set_ylim(0, 1.02)
    _legend_below(both[0], columns=1)
    return DrawnFigure(made, f"Use of the dictionary: {'; '.join(said)}.")


_WITH_LEGEND = ("parts of the loss", "development")


def training_picture(log: Log) -> DrawnFigure:
    """The loss and its parts, the evaluations and the dictionary of one run, each on its own axes."""
    import matplotlib

    keys = log.keys()
    groups = {
        "loss": [key for key in keys if key == "loss"],
        "parts of the loss": [key for key in keys if not _NOT_LOSSES.search(key) and key != "loss"],
        "accuracy in training": [key for key in keys if key == "accuracy"],
        "development": [key for key in keys if key.startswith("eval/")],
        "dictionary used": [key for key in keys if key == "dictionary_used"],
        "dictionary perplexity": [key for key in keys if key == "dictionary_perplexity"],
    }
    shown = {name: members for name, members in groups.items() if members}
    with matplotlib.rc_context(_STYLE):
        most = max((len(m) for n, m in shown.items() if n in _WITH_LEGEND), default=0)
        made, axes = _panels(max(1, len(shown)), legend_rows=-(-most // 2))
        said = []
        for own, (name, members) in zip(axes, shown.items(), strict=False):
            for place, key in enumerate(members):
                steps, values = log.series(key)
                own.plot(steps, values, label=visible(key.removeprefix("eval/")), **_line(place))
                said.append(f"{key} from {values[0]:.3g} to {values[-1]:.3g}")
            own.set(title=name, xlabel="step")
            if name == "dictionary used":
                own.set_ylim(0, 1.02)
            if name in _WITH_LEGEND:
                _legend_below(own, columns=2)
    return DrawnFigure(made, f"{log.name}: {'; '.join(said)}.")


def _line(place: int) -> dict[str, Any]:
    dashes = ("-", "--", "-.", ":")
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "linestyle": dashes[place // len(_COLOURS) % len(dashes)],
        "linewidth": 1.3,
    }


def _sheets(table: int, records: Iterable[Record]) -> list[Sheet]:
    whole = comparable(records)[0]
    return [
        sheet
        for sheet in arrange(table, whole)[0]
        if "training" in next(iter(sheet.about.values())).protocol
    ]


FIGURES: Mapping[str, Callable[[list[Record], Path], DrawnFigure]] = {
    "k-sweep": lambda records, runs: _sweep(TOKENS, "K", records, runs),
    "c-sweep": lambda records, runs: _sweep(SIZES, "C", records, runs),
    "without": _without,
    "retrieval": _retrieval,
    "training": _training,
    "dictionary": _dictionary,
}
OF_LOGS = ("training", "dictionary")  # the others are of records


def concerns(name: str, record: Record) -> bool:
    """Whether a figure may show something of a record."""
    trained = record.protocol.get("training") is not None
    return name not in OF_LOGS and (trained or record.benchmark == "flickr")
