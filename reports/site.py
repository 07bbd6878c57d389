"""The report site: a folder of static pages that opens without a network and without a server.

Pages are made by jinja2 from the templates in `reports/site/`; figures are SVG files of matplotlib.
Every text is escaped for HTML, and control characters are shown as escapes. Scripts sort, copy and
filter; pages can be read without them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evals.compare import Comparison, compare
from evals.datasets.suites import MINI
from evals.records import Record, protocol
from reports import figures, paper
from reports.comparison import (
    changed_items,
    comparison_table,
    graded_items,
    pairs_of,
    told_apart,
    verdict,
)
from reports.keeping import Kept, state_of
from reports.levels import Levels
from reports.listing import record_lines, table_lines
from reports.render import Table
from reports.selection import RUNS, arrange, columns_of, comparable, gather, label_of, records_of
from reports.site_items import SiteItems
from reports.site_parts import (
    TEMPLATES,
    Thumbs,
    address_of,
    copied_forms,
    environment,
    facts_of,
    filled_columns,
    first_of,
    headline_of,
    in_words,
    metric_line,
    once,
    reference_note,
    sheet_groups,
    spaced,
)
from reports.tables import REMARK, measured_tables, sheet_heads, sheet_notes, sheet_title
from reports.unfinished import unfinished
from unimo2 import __version__
from unimo2.console import stage, tracked
from unimo2.errors import Unimo2Error, UsageError
from unimo2.files import expanded

BUDGET = 12_000_000  # bytes of thumbnails in a site, so that the whole stays below 15 MB
MARK = "unimo2-site.json"  # lies in a folder that a site may be written over
_ASSETS = ("style.css", "site.js")
_PAIRS = 12  # comparisons of runs
_CHANGED = 12  # items of a comparison that went one way

Tell = Callable[[str], None]


@dataclass(frozen=True)
class SiteRequest:
    """What a site is made of.

    Attributes:
        runs: Folder of runs; "runs" in the working folder if None.
        data_root: Data for texts and images of runs; the embedded suite's usual place if None.
        images: "suite" embeds thumbnails of the embedded suite only, "all" of every data set,
            "none" refers to the files where they lie.
        dictionary: Model whose grounded dictionary is shown; None for none.
        budget: Bytes of thumbnails.
    """

    runs: Path | None = None
    data_root: Path | None = None
    images: str = "suite"
    dictionary: str | None = None
    budget: int = BUDGET


@dataclass(frozen=True)
class Built:
    """What was written.

    Attributes:
        index: The page to start at.
        pages: Number of pages.
        size: Bytes of the whole folder.
        pictures: Thumbnails in it.
        left_out: Pictures that the budget had no room for.
    """

    index: Path
    pages: int
    size: int
    pictures: int
    left_out: int


def build(
    folder: Path,
    request: SiteRequest | None = None,
    tell: Tell = lambda text: None,
    kept: Kept | None = None,
) -> Built:
    """Write a site.

    Args:
        folder: Where; made if needed. An older site there is replaced, anything else is refused.
        request: What it shows.
        tell: Called with a line about each part that may take a while.
        kept: Parts of the site before, for one that is written again and again.

    Returns:
        What was written.

    Raises:
        UsageError: The folder holds something else.
        MissingData: The runs folder is named and is not there.
        BadData: A record cannot be read.
    """
    request = request or SiteRequest()
    folder = expanded(folder)
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).is_file())
    ):
        raise UsageError(f"{folder} holds something else; expected a new folder or an older site")
    records, kept = once(gather(request.runs)), kept or Kept(request.data_root)
    folder = folder.resolve() if folder.is_symlink() else folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        new = beside / "new"
        new.mkdir()
        site = _Site(new, folder, request, records, tell, kept)
        site.write()
        if folder.exists():
            folder.rename(beside / "old")  # whoever reads the site misses it for a moment only
        new.rename(folder)
        kept.turn()
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    pages = sum(path.suffix == ".html" for path in files)
    size = sum(path.stat().st_size for path in files)
    thumbs = site.thumbs
    return Built(folder / "index.html", pages, size, len(thumbs.known), thumbs.left_out)


class _Site:
    """One site while it is written."""

    def __init__(
        self,
        folder: Path,
        home: Path,
        request: SiteRequest,
        records: list[Record],
        tell: Tell,
        kept: Kept,
    ) -> None:
        """Look at what there is."""
        self.folder, self.request, self.records, self.tell = folder, request, records, tell
        self.kept = kept
        self.thumbs = Thumbs(folder, home.absolute(), request.budget)
        self.items = SiteItems(folder, request.images, self.thumbs, kept)
        self.templates = environment()
        self.whole = comparable(records)[0]
        self.levels = self._levels()
        self.logs = figures.read_logs(request.runs or RUNS)
        self.compared: dict[str, list[dict[str, str]]] = {}
        self.about = (
            f"Made by unimo2 {__version__} from {len(records):,} records. Numbers of other suites, "
            "data or protocols never share a column."
        )
        self.pages = [
            ("Overview", "index.html"),
            ("Tables", "table-1.html"),
            ("Ablations", "ablations.html"),
            ("Training", "training.html"),
            ("Runs", "runs.html"),
            ("Compare", "compare.html"),
            ("Dictionary", "dictionary.html"),
        ]

    def _levels(self) -> Levels | None:
        from evals.suite_mini import default_root

        if not any(record.suite == MINI for record in self.records):
            return None
        root = self.request.data_root
        return (None if root is None else Levels.at(root)) or Levels.at(default_root())

    def write(self) -> None:
        """Write every page."""
        (self.folder / "data").mkdir()
        (self.folder / "figures").mkdir()
        for name in _ASSETS:
            shutil.copyfile(TEMPLATES / name, self.folder / name)
        for record in tracked(self.records, "reading items", "runs"):
            if self.items.read(record):
                self.tell(f"items of {label_of(record)} on {record.benchmark}")
        self._comparisons()
        for record in tracked(self.records, "drawing pages", "runs"):
            self._run(record)
        for number in tracked(paper.TABLES, "drawing tables", "tables"):
            self._table(number)
        with stage("drawing figures"):
            self._runs()
            self._ablations()
            self._training()
            self._dictionary()
            self._overview()
        mark = {"made_by": f"unimo2 {__version__}", "records": len(self.records)}
        (self.folder / MARK).write_text(json.dumps(mark) + "\n", encoding="utf-8")

    def page(self, name: str, template: str, **content: Any) -> None:
        """Write one page."""
        here = "table-1.html" if name.startswith("table-") else name
        text = self.templates.get_template(template).render(site=self, here=here, **content)
        (self.folder / name).write_text(text, encoding="utf-8")

    def figure(self, name: str, made: tuple[bytes, str], caption: str) -> dict[str, str]:
        """Write a figure and say where it is."""
        address, (content, alt) = f"figures/{name}.svg", made
        (self.folder / address).write_bytes(content)
        return {"address": address, "alt": alt, "caption": caption}

    def try_figure(self, name: str, caption: str) -> tuple[dict[str, str] | None, str]:
        """A figure of `figures.FIGURES`, or None and why there is nothing to draw."""
        about: Hashable = tuple(self.logs)
        records = [one for one in self.records if figures.concerns(name, one)]
        if name not in figures.OF_LOGS:
            about = tuple(map(self.kept.state, records))

        def draw() -> tuple[tuple[bytes, str] | None, str]:
            try:
                made = figures.figure(name, records, self.request.runs or RUNS)
            except UsageError as error:
                return None, str(error)
            return (made.data("svg"), made.alt), ""

        made, why = self.kept.get(("figure", name, about), draw)
        return (None if made is None else self.figure(name, made, caption)), why

    # Pages.

    def _overview(self) -> None:
        records = self.records
        dates = sorted(record.created[:10] for record in records)
        facts = [
            ("Records", f"{len(records):,}"),
            ("Models", first_of(label_of(record) for record in records)),
            ("Benchmarks", first_of(record.benchmark for record in records)),
            ("Suites", first_of(record.suite for record in records)),
            ("Measured", f"{dates[0]} to {dates[-1]}" if dates else "nothing yet"),
            ("Machines", first_of(record.device for record in records)),
            ("Torch", first_of(r.versions.get("torch", "") for r in records)),
            ("Runs with items", f"{len(self.items.by_run):,}"),
        ]
        waiting = unfinished(self.request.runs or RUNS)
        if waiting:
            going_on = sum(one.going_on for one in waiting)
            facts.append(("Not finished", f"{len(waiting):,}, {going_on:,} of them still running"))
        warnings = []
        if any(record.suite == MINI for record in records):
            warnings.append(
                "Numbers of the suite 'mini' are measured on embedded, drawn scale models of the "
                "data sets. They are not comparable with the paper's and say nothing about it."
            )
        found, _ = self.try_figure("retrieval", "Recall on Flickr30k with 95 % intervals.")
        tables = [
            {
                "address": f"table-{line['table']}.html",
                "number": line["table"],
                "title": line["title"],
                "measured": filled_columns(line["columns"], line["measured"]),
            }
            for line in table_lines(records)
        ]
        self.page(
            "index.html",
            "index.html",
            lead="What was measured with this project, beside what the paper 'UNIMO-2: End-to-End "
            "Unified Vision-Language Grounded Learning' (Findings of ACL 2022) reports.",
            facts=facts,
            warnings=warnings,
            headlines=self._headlines(),
            comparability="A measured number may be compared with the published one only where it "
            "is of the same data, split and protocol; the last column says so.",
            figures=[found] if found else [],
            tables=tables,
        )

    def _headlines(self) -> list[dict[str, str]]:
        lines = []
        for number in (1, 2, 3):
            printed = {
                (one["column"], one["metric"]): (one["value"], split)
                for one, split in zip(paper.number_rows(number), paper.splits(number), strict=True)
                if one["row_label"] == "UNIMO-2"
            }
            sheets = arrange(number, records_of(number, self.whole))[0]
            for column in columns_of(number):
                value, split = printed.get((column.task, column.metric), ("-", ""))
                line = {"task": column.task, "metric": column.metric, "published": value}
                lines.append({**line, **headline_of(column, sheets, split)})
        return lines

    def _table(self, number: int) -> None:
        whole, left_out = comparable(records_of(number, self.records))
        sheets, remarks = arrange(number, whole)
        texts = measured_tables(number, whole, self.levels) if sheets else []
        shown = []
        for sheet, table in zip(sheets, texts, strict=True):
            groups = sheet_groups(sheet, self.levels, self.kept.differences)
            shown.append(
                {
                    "title": sheet_title(sheet),
                    "heads": [head for head, _, _ in sheet_heads(sheet)],
                    "remark": REMARK if any(r["remark"] for _, rs in groups for r in rs) else "",
                    "groups": groups,
                    "notes": [*sheet_notes(sheet), *reference_note(sheet, groups)],
                    "forms": copied_forms(table),
                }
            )
        published = paper.as_printed(number)
        measurable = number in paper.RESULT_TABLES
        self.page(
            f"table-{number}.html",
            "table.html",
            number=number,
            numbers=list(paper.TABLES),
            caption=paper.caption(number),
            sheets=shown,
            nothing="Nothing of this table was measured."
            if measurable
            else "A table of settings or data, without measured values.",
            remarks=[*left_out, *remarks],
            published=published,
            published_forms=copied_forms(published),
        )

    def _runs(self) -> None:
        by_path = {str(r.path.as_posix()): r for r in self.records if r.path is not None}
        lines = []
        for line in record_lines(self.records):
            record = by_path.get(str(line["record"]))
            if record is None:
                continue
            value = line["value"]
            sample = f" ({line['sample']})" if line["sample"] else ""
            lines.append(
                {
                    "address": address_of(record),
                    "label": label_of(record),
                    **{key: line[key] for key in ("benchmark", "setting", "suite", "date")},
                    "split": f"{line['split']}{sample}",
                    "metric": line["metric"] or "none: the truth is not public",
                    "value": "" if value is None else f"{value:.1f}",
                    "interval": "" if value is None else f"{line['low']:.1f} to {line['high']:.1f}",
                    "n": "" if value is None else f"{line['n']:,}",
                }
            )
        waiting = list(map(str, unfinished(self.request.runs or RUNS)))
        lead = f"{len(lines):,} finished runs."
        self.page("runs.html", "runs.html", lead=lead, lines=lines, unfinished=waiting)

    def _run(self, record: Record) -> None:
        address = address_of(record)
        title = f"{label_of(record)} on {record.benchmark} ({record.data.get('split')})"
        told = protocol.texts(record.protocol)
        training = told.pop("training", None)
        warnings = []
        if record.data.get("note"):
            warnings.append(f"A sample of the data: {record.data['note']}.")
        if record.dirty:
            warnings.append("The checkout had changes that are in no commit.")
        if record.status != "done":
            warnings.append(f"The run is not finished: {record.status}.")
        lines = [metric_line(name, metric) for name, metric in record.metrics.items()]
        config = {"model": record.config, "versions": record.versions, "training": training}
        self.page(
            address,
            "run.html",
            title=title,
            warnings=warnings,
            metrics=[line for line in lines if "[" not in line["name"]],
            parts=[line for line in lines if "[" in line["name"]],
            notes=list(record.notes),
            facts=[*facts_of(record), *((spaced(k), in_words(v)) for k, v in told.items())],
            command=record.command,
            config=json.dumps(config, indent=2, ensure_ascii=True, default=str),
            examples=self.items.of_page(record),
            compared=self.compared.get(address, []),
        )

    def _ablations(self) -> None:
        wanted = {
            "k-sweep": "R@1 over K with 95 % intervals, and the paper's Table 5.",
            "c-sweep": "R@1 over C with 95 % intervals, and the paper's Table 5.",
            "without": "What is taken away and the 1-to-1 map, as differences to the full training "
            "(Table 4), paired where both runs kept their items.",
        }
        found = [self.try_figure(name, caption) for name, caption in wanted.items()]
        self.page(
            "ablations.html",
            "ablations.html",
            figures=[made for made, _ in found if made],
            missing=[f"{why[:1].upper()}{why[1:]}." for made, why in found if not made],
            embedded=all(one.suite == MINI for one in self.whole if "training" in one.protocol),
        )

    def _training(self) -> None:
        logs = []
        for place, log in enumerate(self.logs):
            made = self.kept.get(("log", log), partial(_drawn, log))
            about = f"{len(log.lines):,} lines, the last of step {log.last_step:,.0f}. {log.state}"
            caption = f"Values over steps of {log.name}."
            shown = self.figure(f"training-{place}", made, caption)
            logs.append({"name": log.name, "about": about, "figure": shown})
        self.page("training.html", "training.html", logs=logs)

    def _comparisons(self) -> None:
        """Pages of pairs of runs on the same data that kept their items."""
        pairs, left_out = [], []
        wanted = pairs_of([one for one in self.records if address_of(one) in self.items.by_run])
        if len(wanted) > _PAIRS:
            left_out.append(f"{len(wanted) - _PAIRS:,} further pairs have no page.")
        for a, b in tracked(wanted[:_PAIRS], "comparing runs", "pairs"):
            if a.path is None or b.path is None:
                continue
            title = f"{label_of(a)} and {label_of(b)} on {a.benchmark} ({a.data.get('split')})"
            self.tell(f"comparing {title}")
            key = ("compared", self.kept.state(a), self.kept.state(b))
            found = self.kept.get(key, partial(_compared, a.path.parent, b.path.parent))
            if not isinstance(found, Comparison):
                left_out.append(f"{title}: {found}")
                continue
            ids = (address_of(a), address_of(b))
            digest = hashlib.sha256("".join(ids).encode()).hexdigest()[:12]
            address = f"compare-{digest}.html"
            pairs.append({"address": address, "title": title, "said": verdict(found.metrics)})
            for own, other in ((a, b), (b, a)):
                shown = {"address": address, "label": label_of(other)}
                self.compared.setdefault(address_of(own), []).append(shown)
            self._comparison(address, title, found)
        self.page("compare.html", "comparisons.html", pairs=pairs, left_out=left_out)

    def _comparison(self, address: str, title: str, found: Comparison) -> None:
        """The page of one pair, with the items that changed."""
        first, second = (self.items.by_run[address_of(one)] for one in (found.a, found.b))
        graded = second.graded
        changed = (graded_items if graded else changed_items)(first.items, second.items)
        groups = []
        for head, pairs in changed.items():
            cards = [
                {
                    **self.items.card(found.b, new),
                    "given": f"{old.given} (A), {new.given} (B)",
                    "more": [*new.more, f"{old.score:.3g} (A), {new.score:.3g} (B)"]
                    if graded
                    else new.more,
                }
                for old, new in pairs[:_CHANGED]
            ]
            groups.append((f"{head} ({len(pairs):,})", cards))
        table = comparison_table(found)
        table = Table(table.title, table.grid, table.notes[-1:])  # places of this machine aside
        self.page(
            address,
            "comparison.html",
            title=title,
            a={"address": address_of(found.a), "label": label_of(found.a)},
            b={"address": address_of(found.b), "label": label_of(found.b)},
            table=table,
            forms=copied_forms(table),
            differs=told_apart(found),
            groups=groups,
            words=second.words,
        )

    def _dictionary(self) -> None:
        figure, _ = self.try_figure("dictionary", "Use of the dictionary over training steps.")
        rows: list[dict[str, Any]] = []
        lead = "No model was named: 'unimo2 report --html DIR --dictionary MODEL' shows its rows."
        if self.request.dictionary is not None:
            self.tell(f"the dictionary of {self.request.dictionary}")
            lead, found = self._dictionary_rows(self.request.dictionary)
            for row in found:
                patches = [{**p, "image": self._patch(p)} for p in row["patches"]]
                rows.append({**row, "patches": patches})
        self.page("dictionary.html", "dictionary.html", lead=lead, figure=figure, rows=rows)

    def _dictionary_rows(self, model: str) -> tuple[str, list[dict[str, Any]]]:
        from reports.dictionary import dictionary_rows

        weights = state_of(Path(model)) if Path(model).is_dir() else model
        key = ("dictionary", weights)
        return self.kept.get(key, lambda: dictionary_rows(model, self.request.data_root))

    def _patch(self, patch: Mapping[str, Any]) -> str | None:
        """Write a patch's pixels as an image."""
        if self.request.images == "none" or self.thumbs.budget <= 0:
            return None
        content: bytes = patch["content"]
        address = f"thumbs/{hashlib.sha256(content).hexdigest()[:16]}.png"
        (self.folder / "thumbs").mkdir(exist_ok=True)
        (self.folder / address).write_bytes(content)
        self.thumbs.budget -= len(content)
        return address


def _drawn(log: figures.Log) -> tuple[bytes, str]:
    """The curves of one training."""
    made = figures.training_picture(log)
    return made.data("svg"), made.alt


def _compared(a: Path, b: Path) -> Comparison | str:
    """The comparison of two runs, or why there is none."""
    try:
        return compare(a, b)
    except Unimo2Error as error:
        return str(error)
