"""The report site: a folder of static pages that opens without a network and without a server.

Pages are made by jinja2 from the templates in `reports/site/`; figures are SVG files of matplotlib.
Every text is escaped for HTML, and control characters are shown as escapes. Scripts sort, copy and
filter; pages can be read without them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from evals import protocol
from evals.metrics.ranking import Metric
from evals.records import RECORD, Record
from evals.suites import MINI
from reports import figures, paper
from reports.examples import Example, Examples, Sources, confusions, examples
from reports.figures import Picture, difference
from reports.levels import GROUP, Levels, level_rows
from reports.listing import record_lines, table_lines
from reports.render import FORMS, Table, visible
from reports.selection import (
    FULL,
    RUNS,
    Column,
    Row,
    Sheet,
    arrange,
    columns_of,
    comparable,
    gather,
    label_of,
    records_of,
    setting_name,
    setting_of,
)
from reports.tables import (
    NOT_MEASURED,
    NOTHING,
    measured_tables,
    sheet_heads,
    sheet_notes,
    sheet_title,
)
from unimo2 import __version__
from unimo2.errors import Unimo2Error, UsageError
from zoo import cards

BUDGET = 12_000_000  # bytes of thumbnails in a site, so that the whole stays below 15 MB
MARK = "unimo2-site.json"  # lies in a folder that a site may be written over
_TEMPLATES = Path(__file__).parent / "site"
_ASSETS = ("style.css", "site.js")
_SIDE = 160  # of a thumbnail, pixels
_SHOWN = 6  # examples of a kind on a run's page
_PAIRS = 12  # comparisons of runs
_CHANGED = 12  # items of a comparison that went one way
_COPIED = {"Markdown": "md", "LaTeX": "latex", "CSV": "csv"}

Tell = Callable[[str], None]


@dataclass(frozen=True)
class SiteRequest:
    """What a site is made of.

    Attributes:
        runs: Folder of runs; "runs" in the working folder if None.
        data_root: Real data, for texts and pictures of runs on it.
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
    folder: Path, request: SiteRequest | None = None, tell: Tell = lambda text: None
) -> Built:
    """Write a site.

    Args:
        folder: Where; made if needed. An older site there is replaced, anything else is refused.
        request: What it shows.
        tell: Called with a line about each part that may take a while.

    Returns:
        What was written.

    Raises:
        UsageError: The folder holds something else.
        MissingData: The runs folder is named and is not there.
        BadData: A record cannot be read.
    """
    request = request or SiteRequest()
    folder = folder.expanduser()
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).is_file())
    ):
        raise UsageError(f"{folder} holds something else; expected a new folder or an older site")
    records = gather(request.runs)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        partial.chmod(0o755)
        site = _Site(partial, folder, request, records, tell)
        site.write()
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    pages = sum(path.suffix == ".html" for path in files)
    size = sum(path.stat().st_size for path in files)
    thumbs = site.thumbs
    return Built(folder / "index.html", pages, size, len(thumbs.known), thumbs.left_out)


def _finalize(value: Any) -> Any:
    """Shows control characters of every text that a template prints."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def environment() -> Environment:
    """The templates, with everything escaped."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def script(content: object) -> str:
    """JSON that is safe inside a script: no "<", no line separators, no control characters."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def address_of(record: Record) -> str:
    """The name of a run's page: letters and digits, whatever the model is called."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{record.benchmark}-{label_of(record)}".lower()).strip("-")
    where = "" if record.path is None else record.path.parent.name
    about = f"{record.suite}/{record.benchmark}/{label_of(record)}/{where}/{record.created}"
    return f"run-{words[:48]}-{hashlib.sha256(about.encode()).hexdigest()[:8]}.html"


@dataclass
class Thumbs:
    """Pictures of a site: copies within a budget, or references to where they lie.

    Attributes:
        folder: Of the site that is being written.
        home: Where the site will lie, for references.
        budget: Bytes that may still be written.
        known: Address of each picture by its file.
        left_out: Pictures without a copy, because the budget is spent.
    """

    folder: Path
    home: Path
    budget: int
    known: dict[Path, str | None] = field(default_factory=dict)
    left_out: int = 0

    def address(self, image: Path | None, embed: bool, refer: bool) -> str | None:
        """The address of a picture on a page, or None where there is none."""
        if image is None or not (embed or refer):
            return None
        if refer:
            return _link(image, self.home)
        if image not in self.known:
            self.known[image] = self._copy(image)
        return self.known[image]

    def _copy(self, image: Path) -> str | None:
        if self.budget <= 0:
            self.left_out += 1
            return None
        from PIL import Image

        name = hashlib.sha256(str(image).encode()).hexdigest()[:16]
        target = self.folder / "thumbs" / f"{name}.jpg"
        target.parent.mkdir(exist_ok=True)
        try:
            with Image.open(image) as picture:
                if picture.format == "JPEG" and max(picture.size) <= _SIDE:
                    shutil.copyfile(image, target)
                else:
                    picture.draft("RGB", (_SIDE * 2, _SIDE * 2))
                    small = picture.convert("RGB")
                    small.thumbnail((_SIDE, _SIDE))
                    small.save(target, quality=80)
        except (OSError, ValueError, Image.DecompressionBombError):
            target.unlink(missing_ok=True)
            return None
        self.budget -= target.stat().st_size
        return f"thumbs/{name}.jpg"


def _link(image: Path, home: Path) -> str:
    from urllib.parse import quote

    return quote(Path(os.path.relpath(image, home)).as_posix())


class _Site:
    """One site while it is written."""

    def __init__(
        self, folder: Path, home: Path, request: SiteRequest, records: list[Record], tell: Tell
    ) -> None:
        self.folder, self.request, self.records, self.tell = folder, request, records, tell
        self.thumbs = Thumbs(folder, home.absolute(), request.budget)
        self.templates = environment()
        self.whole = comparable(records)[0]
        self.levels = self._levels()
        self.logs = figures.read_logs(request.runs or RUNS)
        self.sources = Sources(request.data_root)
        self.examples: dict[str, Examples] = {}  # by a run's address
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

        on_mini = any(record.suite == MINI for record in self.records)
        return Levels.at(default_root()) if on_mini else None

    def write(self) -> None:
        """Write every page."""
        (self.folder / "data").mkdir()
        (self.folder / "figures").mkdir()
        for name in _ASSETS:
            shutil.copyfile(_TEMPLATES / name, self.folder / name)
        for record in self.records:
            found = examples(record, self.sources)
            if found is not None:
                self.tell(f"items of {label_of(record)} on {record.benchmark}")
                self.examples[address_of(record)] = found
        self._comparisons()
        for record in self.records:
            self._run(record)
        for number in paper.TABLES:
            self._table(number)
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

    def figure(self, name: str, made: Picture, caption: str) -> dict[str, str]:
        """Write a figure and say where it is."""
        address = f"figures/{name}.svg"
        (self.folder / address).write_bytes(made.data("svg"))
        return {"address": address, "alt": made.alt, "caption": caption}

    def try_figure(self, name: str, caption: str) -> tuple[dict[str, str] | None, str]:
        """A figure of `figures.FIGURES`, or None and why there is nothing to draw."""
        try:
            made = figures.figure(name, self.records, self.request.runs or RUNS)
        except UsageError as error:
            return None, str(error)
        return self.figure(name, made, caption), ""

    def image(self, record: Record, path: Path | None) -> str | None:
        """The address of a picture of a run's data."""
        how = self.request.images
        own = record.suite == MINI
        return self.thumbs.address(path, how == "all" or (how == "suite" and own), how == "none")

    # Pages.

    def _overview(self) -> None:
        records = self.records
        dates = sorted(record.created[:10] for record in records)
        facts = [
            ("Records", f"{len(records):,}"),
            ("Models", _listed(label_of(record) for record in records)),
            ("Benchmarks", _listed(record.benchmark for record in records)),
            ("Suites", _listed(record.suite for record in records)),
            ("Measured", f"{dates[0]} to {dates[-1]}" if dates else "nothing yet"),
            ("Machines", _listed(record.device for record in records)),
            ("Torch", _listed(r.versions.get("torch", "") for r in records)),
            ("Runs with items", f"{len(self.examples):,}"),
        ]
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
                "measured": _filled(line["columns"], line["measured"]),
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
                (one["column"], one["metric"]): one["value"]
                for one in paper.number_rows(number)
                if one["row_label"] == "UNIMO-2"
            }
            sheets = arrange(number, records_of(number, self.whole))[0]
            for column in columns_of(number):
                line = {
                    "task": column.task,
                    "metric": column.metric,
                    "published": printed.get((column.task, column.metric), "-"),
                }
                lines.append({**line, **_headline(column, sheets)})
        return lines

    def _table(self, number: int) -> None:
        whole, left_out = comparable(records_of(number, self.records))
        sheets, remarks = arrange(number, whole)
        texts = measured_tables(number, whole, self.levels) if sheets else []
        shown = [
            {
                "title": sheet_title(sheet),
                "heads": [head for head, _, _ in sheet_heads(sheet)],
                "groups": _sheet_groups(sheet, self.levels),
                "notes": [*sheet_notes(sheet), *_reference_note(sheet)],
                "forms": _forms(table),
            }
            for sheet, table in zip(sheets, texts, strict=True)
        ]
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
            else "A table of settings or data: there is nothing to measure.",
            remarks=[*left_out, *remarks],
            published=published,
            published_forms=_forms(published),
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
        runs = self.request.runs or RUNS
        unfinished = sorted(
            path.parent.relative_to(runs).as_posix()
            for path in runs.glob("*/*/*/*/run.json")
            if not (path.parent / RECORD).is_file()
        )
        lead = f"{len(lines):,} finished runs."
        self.page("runs.html", "runs.html", lead=lead, lines=lines, unfinished=unfinished)

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
        config = {"model": record.config, "versions": record.versions, "training": training}
        self.page(
            address,
            "run.html",
            title=title,
            warnings=warnings,
            metrics=[_metric_line(name, metric) for name, metric in record.metrics.items()],
            notes=list(record.notes),
            facts=[*_facts(record), *((_words(k), _said(v)) for k, v in told.items())],
            command=record.command,
            config=json.dumps(config, indent=2, ensure_ascii=True, default=str),
            examples=self._examples(record, address),
            compared=self.compared.get(address, []),
        )

    def _examples(self, record: Record, address: str) -> dict[str, Any] | None:
        found = self.examples.get(address)
        if found is None:
            return None
        name = address.removesuffix(".html")
        groups = [
            ("Worst", found.worst(_SHOWN)),
            ("Best", found.best(_SHOWN)),
            ("Most undecided", found.undecided(_SHOWN)),
        ]
        cards = [(head, [self.card(record, o) for o in some]) for head, some in groups if some]
        self._rows(record, found, name)
        lead = f"{len(found.items):,} of {found.of:,} items are listed below. {found.note}"
        labels = len({one.truth for one in found.items}) < len(found.items) / 2
        wrong = confusions(found.items) if labels and record.benchmark != "flickr" else []
        return {
            **{"name": name, "lead": lead, "groups": cards, "words": found.words},
            "confusions": wrong,
        }

    def _rows(self, record: Record, found: Examples, name: str) -> None:
        """The items of a run, for the page's script."""
        images: dict[str, int] = {}

        def place(path: Path | None) -> int | None:
            address = self.image(record, path)
            return None if address is None else images.setdefault(address, len(images))

        rows = [
            [
                *(visible(text) for text in (one.key, one.about, one.given, one.truth)),
                _rounded(one.score),
                _rounded(one.margin),
                one.right,
                place(one.image),
                list(map(visible, one.more)),
                [
                    [visible(c.text), f"{c.score:.3g}", c.true, place(c.image)]
                    for c in one.candidates
                ],
            ]
            for one in found.items
        ]
        content = {"words": found.words, "images": list(images), "rows": rows}
        text = f"unimo2Rows({script(name)},{script(content)});\n"
        (self.folder / "data" / f"{name}.js").write_text(text, encoding="utf-8")

    def card(self, record: Record, one: Example) -> dict[str, Any]:
        """An item as the templates show it."""
        verdict = {True: "right", False: "wrong", None: ""}[one.right]
        graded = record.benchmark == "coco"
        return {
            "state": "" if graded else verdict,
            "verdict": "" if graded else verdict.capitalize(),
            "score": None if one.score is None else f"{one.score:.3g}",
            "image": self.image(record, one.image),
            "alt": one.about or one.truth or f"item {one.key}",
            **{"key": one.key, "about": one.about, "given": one.given},
            **{"truth": one.truth, "more": one.more},
            "candidates": [
                {
                    **{"text": other.text, "true": other.true, "score": f"{other.score:.3g}"},
                    "image": self.image(record, other.image),
                }
                for other in one.candidates
            ],
        }

    def _ablations(self) -> None:
        wanted = {
            "k-sweep": "R@1 over K with 95 % intervals, and the paper's Table 5.",
            "c-sweep": "R@1 over C with 95 % intervals, and the paper's Table 5.",
            "without": "What is taken away, as differences to the full training (Table 4); "
            "intervals as if the runs were independent.",
        }
        found = [self.try_figure(name, caption) for name, caption in wanted.items()]
        self.page(
            "ablations.html",
            "ablations.html",
            figures=[made for made, _ in found if made],
            missing=[why for made, why in found if not made],
        )

    def _training(self) -> None:
        logs = []
        for place, log in enumerate(self.logs):
            made = figures.training_picture(log)
            last = log.lines[-1]
            steps = last["step"]
            about = f"{len(log.lines):,} lines, the last of step {steps:,.0f}."
            caption = f"Values over steps of {log.name}."
            shown = self.figure(f"training-{place}", made, caption)
            logs.append({"name": log.name, "about": about, "figure": shown})
        self.page("training.html", "training.html", logs=logs)

    def _comparisons(self) -> None:
        """Pages of pairs of runs on the same data that kept their items."""
        from evals.compare import compare

        pairs, left_out = [], []
        wanted = _pairs([one for one in self.records if address_of(one) in self.examples])
        if len(wanted) > _PAIRS:
            left_out.append(f"{len(wanted) - _PAIRS:,} further pairs have no page.")
        for a, b in wanted[:_PAIRS]:
            if a.path is None or b.path is None:
                continue
            title = f"{label_of(a)} and {label_of(b)} on {a.benchmark} ({a.data.get('split')})"
            self.tell(f"comparing {title}")
            try:
                found = compare(a.path.parent, b.path.parent)
            except Unimo2Error as error:
                left_out.append(f"{title}: {error}")
                continue
            ids = (address_of(a), address_of(b))
            digest = hashlib.sha256("".join(ids).encode()).hexdigest()[:12]
            address = f"compare-{digest}.html"
            lines = [_difference_line(name, one) for name, one in found.metrics.items()]
            first = lines[0]
            said = f"{first['name']} {first['difference']} ({first['verdict']})"
            pairs.append({"address": address, "title": title, "said": said})
            for own, other in ((a, b), (b, a)):
                shown = {"address": address, "label": label_of(other)}
                self.compared.setdefault(address_of(own), []).append(shown)
            self._comparison(address, title, (a, b), lines, found.differs)
        self.page("compare.html", "comparisons.html", pairs=pairs, left_out=left_out)

    def _comparison(
        self,
        address: str,
        title: str,
        pair: tuple[Record, Record],
        lines: Sequence[Mapping[str, str]],
        differs: Mapping[str, tuple[Any, Any]],
    ) -> None:
        """The page of one pair, with the items that changed."""
        a, b = pair
        first, second = (self.examples[address_of(one)] for one in pair)
        before = {one.key: one for one in first.items}
        changed: dict[str, list[dict[str, Any]]] = {
            "From right to wrong": [],
            "From wrong to right": [],
        }
        heads = {(True, False): "From right to wrong", (False, True): "From wrong to right"}
        counts = dict.fromkeys(changed, 0)
        for one in second.items:
            old = before.get(one.key)
            head = heads.get((old.right, one.right)) if old and old.right is not None else None
            if head is None or old is None or a.benchmark == "coco":
                continue
            counts[head] += 1
            if len(changed[head]) < _CHANGED:
                shown = self.card(b, one)
                changed[head].append({**shown, "given": f"{old.given} (A), {one.given} (B)"})
        self.page(
            address,
            "comparison.html",
            title=title,
            a={"address": address_of(a), "label": label_of(a)},
            b={"address": address_of(b), "label": label_of(b)},
            lines=lines,
            differs=[
                (_words(name), f"{_said(x)} and {_said(y)}") for name, (x, y) in differs.items()
            ],
            groups=[(f"{head} ({counts[head]:,})", some) for head, some in changed.items()],
            words=second.words,
        )

    def _dictionary(self) -> None:
        figure, _ = self.try_figure("dictionary", "Use of the dictionary over training steps.")
        rows: list[dict[str, Any]] = []
        lead = "No model was named: 'unimo2 report --html DIR --dictionary MODEL' shows its rows."
        if self.request.dictionary is not None:
            self.tell(f"the dictionary of {self.request.dictionary}")
            from reports.dictionary import dictionary_rows

            lead, found = dictionary_rows(self.request.dictionary, self.request.data_root)
            for row in found:
                patches = [{**p, "image": self._patch(p)} for p in row.pop("patches")]
                rows.append({**row, "patches": patches})
        self.page("dictionary.html", "dictionary.html", lead=lead, figure=figure, rows=rows)

    def _patch(self, patch: Mapping[str, Any]) -> str | None:
        """Write a patch's pixels as a picture."""
        if self.request.images == "none" or self.thumbs.budget <= 0:
            return None
        content: bytes = patch["content"]
        address = f"thumbs/{hashlib.sha256(content).hexdigest()[:16]}.png"
        (self.folder / "thumbs").mkdir(exist_ok=True)
        (self.folder / address).write_bytes(content)
        self.thumbs.budget -= len(content)
        return address


# Cells and lines.


def _listed(values: Iterable[str], most: int = 8) -> str:
    found = list(dict.fromkeys(value for value in values if value))
    more = f" and {len(found) - most:,} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def _filled(columns: int, measured: Mapping[str, int]) -> str:
    if not columns:
        return "nothing to measure"
    said = "; ".join(f"{n} of {columns} columns on {suite}" for suite, n in measured.items())
    return said or f"none of {columns} columns"


def _forms(table: Table) -> dict[str, str]:
    return {name: FORMS[form](table) for name, form in _COPIED.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 5)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _said(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_said, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(str(key))} {_said(one)}" for key, one in value.items())
    if value is None:
        return "none"
    return (
        {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )


def _headline(column: Column, sheets: Sequence[Sheet]) -> dict[str, str]:
    """What was measured of a column: on real data if there is any, else the first sheet's."""
    found = [
        (sheet, row, metric)
        for sheet in sorted(sheets, key=lambda sheet: sheet.suite == MINI)
        for row in sheet.rows
        if (metric := row.metric(column)) is not None
    ]
    if not found:
        blank = dict.fromkeys(("value", "interval", "n", "model", "suite", "address"), "")
        return {**blank, "comparable": ""}
    sheet, row, metric = found[0]
    record = row.records[column.block]
    real = sheet.suite != MINI and record.data.get("official")
    return {
        "value": f"{metric.value:.1f}",
        "interval": f"{metric.ci95[0]:.1f} to {metric.ci95[1]:.1f}",
        "n": f"{metric.n:,}",
        "model": row.label,
        "suite": sheet.suite,
        "address": address_of(record),
        "comparable": "yes" if real else "no: other data",
    }


def _reference(sheet: Sheet) -> Row | None:
    """The row that the others are compared with; None for a single one."""
    if len(sheet.rows) < 2:
        return None
    return next((row for row in sheet.rows if row.label == FULL), sheet.rows[0])


def _reference_note(sheet: Sheet) -> list[str]:
    reference = _reference(sheet)
    if reference is None:
        return []
    return [
        f"Differences are to row '{' '.join(filter(None, (reference.group, reference.label)))}'; "
        "'tied' where 0 lies in their 95 % interval, taken as if the runs were independent. Paired "
        "differences of runs that kept their items are under Compare."
    ]


def _sheet_groups(sheet: Sheet, levels: Levels | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of a sheet in their groups, each cell a list of numbers."""
    reference = _reference(sheet)
    groups: list[tuple[str, list[dict[str, Any]]]] = []
    for row in sheet.rows:
        cells = [
            [_cell(row, one, reference) for one in columns if row.metric(one) is not None]
            for _, _, columns in sheet_heads(sheet)
        ]
        if not groups or groups[-1][0] != row.group:
            groups.append((row.group, []))
        groups[-1][1].append({"label": row.label, "cells": cells, "missing": NOT_MEASURED})
    computed = [
        {
            "label": name,
            "cells": [
                [{"computed": True, "text": f"{values[c]:.1f}"} for c in columns if c in values]
                for _, _, columns in sheet_heads(sheet)
            ],
            "missing": NOTHING,
        }
        for name, values in level_rows(levels, sheet)
    ]
    return [*groups, *([(GROUP, computed)] if computed else [])]


def _cell(row: Row, column: Column, reference: Row | None) -> dict[str, Any]:
    """One measured number with everything that is needed to judge it."""
    metric = row.records[column.block].metrics[column.measure]
    low, high = metric.ci95
    base = None if reference is None or reference is row else reference.metric(column)
    change = ""
    if base is not None:
        by, half = difference(metric, base)
        change = f"{by:+.1f} ± {half:.1f}{', tied' if abs(by) <= half else ''}"
    return {
        "address": address_of(row.records[column.block]),
        "text": f"{metric.value:.1f}",
        "half": f"{(high - low) / 2:.1f}",
        "low_text": f"{low:.1f}",
        "high_text": f"{high:.1f}",
        "n_text": f"{metric.n:,}",
        **{"task": column.task, "metric": column.metric, "at_chance": metric.at_chance},
        **{"value": repr(metric.value), "low": repr(low), "high": repr(high), "n": metric.n},
        "change": change,
    }


def _metric_line(name: str, metric: Metric) -> dict[str, str]:
    remarks = ["within noise of chance"] if metric.at_chance else []
    remarks += [f"{metric.ties:,} ties"] if metric.ties else []
    return {
        "name": name,
        "exact": repr(metric.value),
        "value": f"{metric.value:.2f}",
        "interval": f"{metric.ci95[0]:.2f} to {metric.ci95[1]:.2f}",
        "n": f"{metric.n:,}",
        "chance": "" if metric.chance is None else f"{metric.chance:.3g}",
        "remark": ", ".join(remarks),
    }


def _difference_line(name: str, one: Any) -> dict[str, str]:
    return {
        "name": name,
        "a": f"{one.a:.2f}",
        "b": f"{one.b:.2f}",
        "difference": f"{one.difference:+.2f}",
        "interval": f"{one.ci95[0]:+.2f} to {one.ci95[1]:+.2f}",
        "p": f"{one.p_value:.3g}",
        "n": f"{one.n:,}",
        "verdict": "tied" if one.tied else "B is higher" if one.difference > 0 else "B is lower",
    }


def _facts(record: Record) -> list[tuple[str, str]]:
    """What a record says of its data, weights and machine."""
    card = cards.read_all().get(record.model)
    counts = {key: n for key, n in record.data.items() if isinstance(n, int) and n is not True}
    found = [
        ("suite", record.suite),
        ("setting", setting_name(setting_of(record))),
        ("data", f"{record.data.get('root_name')}, {_said(counts)}"),
        ("fingerprint of the data", str(record.data.get("fingerprint"))),
        ("sha256 of the weights", record.weights_sha256),
        ("measured", record.created),
        ("commit", f"{record.commit or 'not known'}{' with changes' if record.dirty else ''}"),
        ("device", f"{record.device}, {record.dtype}"),
        ("time", f"{record.seconds:,.1f} s"),
        (
            "throughput",
            _said({k: f"{v:,.1f}" for k, v in record.throughput.items()}) or "not known",
        ),
        ("memory at most", f"{record.peak_memory_mb:,.0f} MiB"),
        ("versions", _said(record.versions)),
        ("seed of the bootstrap", str(record.seed)),
    ]
    if card is not None:
        found += [
            ("model", card.description),
            ("licence", card.licence),
            ("trained on", ", ".join(card.training_data) or "not said"),
            ("adapted from", card.adapted_from or "nothing"),
            ("trained by", card.command or "not said"),
        ]
    return found


def _pairs(records: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Pairs of the newest runs of different labels on the same data, the newest pairs first."""
    groups: dict[tuple[Any, ...], dict[str, Record]] = {}
    for record in records:
        key = (record.suite, record.benchmark, record.data.get("split"))
        groups.setdefault((*key, record.data.get("fingerprint")), {})[label_of(record)] = record
    found = [
        (a, b)
        for same in groups.values()
        for place, a in enumerate(list(same.values()))
        for b in list(same.values())[place + 1 :]
    ]
    return sorted(found, key=lambda pair: max(one.created for one in pair), reverse=True)
