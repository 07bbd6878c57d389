"""The report site holds the records' numbers, opens offline, and executes nothing of theirs."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

import reports
from evals import records
from reports import paper, site
from reports.examples import MOST
from reports.selection import gather
from reports.site import SiteRequest, build
from unimo2.errors import MissingData, UsageError


class Page(HTMLParser):
    """Elements of a page with their attributes and texts."""

    def __init__(self, path):
        """Read a file."""
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Keep a text."""
        self.texts.append(data)

    def addresses(self):
        """What the page refers to."""
        for _, attributes in self.elements:
            for name in ("href", "src"):
                if attributes.get(name):
                    yield attributes[name]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site of the records that come with the package."""
    runs = tmp_path_factory.mktemp("runs")
    folder = tmp_path_factory.mktemp("site") / "site"
    return build(folder, SiteRequest(runs=runs)).index.parent


def pages(folder):
    """Every page by name."""
    return {path.name: Page(path) for path in sorted(folder.glob("*.html"))}


@pytest.mark.parametrize("number", paper.RESULT_TABLES)
def test_the_site_has_the_numbers_of_the_json_report(built, number):
    """Against `report --format json`, cell by cell: value, interval and n of each."""
    cells = sorted(
        (
            a["data-group"], a["data-model"], a["data-task"], a["data-metric"],
            float(a["data-value"]), float(a["data-low"]), float(a["data-high"]), int(a["data-n"]),
        )
        for tag, a in Page(built / f"table-{number}.html").elements
        if tag == "a" and "data-value" in a
    )  # fmt: skip
    wanted = sorted(
        tuple(line[k] for k in ("group", "model", "task", "metric", "value", "low", "high", "n"))
        for line in reports.report_json(number, records.find([records.MEASURED]))["measured"]
    )
    assert cells == wanted and (cells or number == 4)


def test_the_site_has_the_remarks_of_the_json_report(tmp_path, monkeypatch, seen_records):
    """Against `report --format json`, cell by cell, and the remarks that the rows show."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    made, said = seen_records
    for record in made:
        records.write(record, tmp_path / "runs" / "paper" / "flickr" / record.model / "a")
    folder = build(tmp_path / "site", SiteRequest(runs=tmp_path / "runs")).index.parent
    page = Page(folder / "table-1.html")
    cells = sorted(
        (a["data-model"], a["data-metric"], a["data-remark"])
        for tag, a in page.elements
        if tag == "a" and "data-value" in a
    )
    lines = reports.report_json(1, made)["measured"]
    assert cells == sorted((line["model"], line["metric"], line["remark"]) for line in lines)
    texts = [text.strip() for text in page.texts if text.strip()]
    rows = texts[texts.index("remark") : texts.index("As published")]
    for name, remark in said.items():
        after = rows[rows.index(name) + 1 :]
        row = after[: min((after.index(other) for other in said if other in after), default=None)]
        assert (remark in row) if remark else not set(said.values()) & set(row) - {""}


@pytest.mark.parametrize(("name", "says"), [("clean", "yes"), ("blip", "not plainly: fine-tuned")])
def test_a_headline_says_what_its_model_had_seen(tmp_path, monkeypatch, seen_records, name, says):
    """Against one record on the paper's own data, split and protocol."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    record = next(one for one in seen_records[0] if one.model == name)
    record = replace(record, data={**record.data, "split": "val", "official": True})
    records.write(record, tmp_path / "runs" / "paper" / "flickr" / name / "a")
    folder = build(tmp_path / "site", SiteRequest(runs=tmp_path / "runs")).index.parent
    assert any(text.startswith(says) for text in Page(folder / "index.html").texts)


@pytest.mark.parametrize("number", paper.TABLES)
def test_the_site_has_the_published_tables(built, number):
    """Against the paper's cells, in order."""
    texts = [text.strip() for text in Page(built / f"table-{number}.html").texts]
    place = texts.index("As published")
    for _, rows in paper.as_printed(number).groups():
        for cell in (cell for row in rows for cell in row if cell):
            place = texts.index(cell, place)


def test_every_run_has_its_page_with_every_metric(built):
    """Against the records: metrics with exact values, fingerprint, weights and command."""
    for record in records.find([records.MEASURED]):
        path = built / site.address_of(record)
        page = Page(path)
        values = [float(a["data-value"]) for tag, a in page.elements if "data-value" in a]
        assert values == [metric.value for metric in record.metrics.values()]
        text = " ".join(page.texts)
        for fact in (record.data["fingerprint"], record.weights_sha256, record.command):
            assert fact in text


def test_no_link_is_broken_and_nothing_is_fetched_from_elsewhere(built):
    """Against the files of the folder; the pages allow no address outside it."""
    for name, page in pages(built).items():
        policy = [a["content"] for tag, a in page.elements if a.get("http-equiv")]
        assert policy and "default-src 'none'" in policy[0]
        ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        for address in page.addresses():
            if address.startswith("#"):
                assert address[1:] in ids, (name, address)
            elif address != "data:,":
                assert not re.match(r"\w+:|//|/", address), (name, address)
                assert (built / unquote(address.partition("#")[0])).is_file(), (name, address)
    style = (built / "style.css").read_text(encoding="utf-8")
    assert "url(" not in style and "@import" not in style
    assert "http" not in (built / "site.js").read_text(encoding="utf-8")


def test_pages_can_be_used_without_seeing_them(built):
    """Against what WCAG asks for: language, title, heading, alternative texts, table heads."""
    for name, page in pages(built).items():
        tags = [tag for tag, _ in page.elements]
        assert ("html", {"lang": "en"}) in page.elements and tags.count("h1") == 1, name
        assert "title" in tags and "main" in tags and "nav" in tags
        for tag, attributes in page.elements:
            if tag == "img":
                assert attributes.get("alt"), name
            if tag == "th":
                assert attributes.get("scope") in ("col", "row", "rowgroup"), name
            if tag == "textarea":
                assert attributes.get("aria-label"), name
        assert tags.count("table") == tags.count("caption")


def test_nothing_of_a_record_is_executed(tmp_path, vqa):
    """Against the elements that the templates have: no other script, no handler, no markup."""
    runs, root, _ = vqa
    folder = build(tmp_path / "site", SiteRequest(runs=runs, data_root=root)).index.parent
    for page in pages(folder).values():
        for tag, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on")]
            if tag == "script":
                assert re.fullmatch(r"site\.js|data/[a-z0-9-]+\.js", attributes["src"])
            if tag == "img":
                assert attributes["src"] != "x"
    for path in folder.rglob("*"):
        if path.suffix in (".html", ".js") and path.name != "site.js":
            text = path.read_text(encoding="utf-8")
            assert "\x1b" not in text and "<script>alert" not in text
    assert any("alert(1)" in text for text in pages(folder)["runs.html"].texts)


def items(folder, benchmark="vqa"):
    """The items that a page's script reads, of each run."""
    for path in sorted((folder / "data").glob(f"run-{benchmark}-*.js")):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("unimo2Rows(") and text.endswith(");\n") and "<" not in text
        _, about, rows = json.loads(f"[{text[len('unimo2Rows(') : -3]}]")
        yield {**about, "rows": rows}


def test_items_come_with_question_answers_and_picture(tmp_path, vqa):
    """Against the data set; pictures are copied only when that is asked for."""
    runs, root, data = vqa
    request = SiteRequest(runs=runs, data_root=root, images="all")
    folder = build(tmp_path / "site", request).index.parent
    for content in items(folder):
        assert [row[1] for row in content["rows"]] == [one.text for one in data.questions]
        assert all((folder / address).is_file() for address in content["images"])
        for row in content["rows"]:
            assert row[8][0].startswith("annotators: ")
            assert content["images"][row[7]].startswith("thumbs/")
    (compared,) = [page for name, page in pages(folder).items() if name.startswith("compare-")]
    text = " ".join(compared.texts)
    assert f"From right to wrong ({len(data.questions)})" in text or (
        f"From wrong to right ({len(data.questions)})" in text
    )
    assert "100.00" in text


def test_pictures_of_real_data_are_left_where_they_are(tmp_path, vqa):
    """Against the folder: no picture of a data set but the embedded ones; references instead."""
    runs, root, data = vqa
    folder = build(tmp_path / "site", SiteRequest(runs=runs, data_root=root)).index.parent
    assert not (folder / "thumbs").exists()
    request = SiteRequest(runs=runs, data_root=root, images="none")
    folder = build(tmp_path / "other", request).index.parent
    for content in items(folder):
        found = {(folder / unquote(address)).resolve() for address in content["images"]}
        assert found == {path.resolve() for path in data.images}


def test_thumbnails_keep_to_their_budget(tmp_path, vqa):
    """Against the bytes in the folder, and the pictures that are counted as left out."""
    runs, root, _ = vqa
    request = SiteRequest(runs=runs, data_root=root, images="all", budget=1)
    found = build(tmp_path / "site", request)
    assert len(list((tmp_path / "site" / "thumbs").iterdir())) == 1 and found.left_out > 0
    assert found.size == sum(
        p.stat().st_size for p in (tmp_path / "site").rglob("*") if p.is_file()
    )


def test_data_that_was_not_measured_is_not_shown(tmp_path, vqa):
    """Against runs whose fingerprint is another: their items have ids and answers only."""
    runs, root, _ = vqa
    for path in runs.rglob("record.json"):
        record = records.read(path)
        other = {**record.data, "fingerprint": "f" * 64}
        records.write(replace(record, data=other), path.parent)
    folder = build(tmp_path / "site", SiteRequest(runs=runs, data_root=root)).index.parent
    for content in items(folder):
        assert {row[1] for row in content["rows"]} == {""} and content["images"] == []
    assert any(
        "not the data that was measured" in " ".join(page.texts) for page in pages(folder).values()
    )


def test_long_runs_are_shown_in_part(tmp_path, make_record):
    """Against a run of more items than a page holds: the best and worst are among them."""
    count = MOST + 5000
    scores = [0.5] * count
    scores[7], scores[12_345] = 0.0, 1.0
    samples = pd.DataFrame(
        {"id": range(count), "prediction": "a", "target": "b", "score": scores, "logit": 0.1}
    )
    folder = tmp_path / "runs" / "mini" / "sst2" / "x" / "a"
    made = replace(make_record("x", zero_shot=False), benchmark="sst2")
    records.write(replace(made, data={**made.data, "split": "dev"}), folder)
    records.write_samples(samples, folder)
    built = build(tmp_path / "site", SiteRequest(runs=tmp_path / "runs")).index.parent
    (content,) = items(built, "sst2")
    assert len(content["rows"]) <= MOST
    assert {"7", "12345"} <= {row[0].split()[-1] for row in content["rows"]}
    page = built / next(p.name for p in built.glob("run-sst2-x-*.html"))
    assert f"of {count:,} items" in page.read_text(encoding="utf-8")


def test_unfinished_runs_are_named(tmp_path):
    """Against a run folder without a record."""
    folder = tmp_path / "runs" / "mini" / "flickr" / "mini" / "20260101T000000Z-abcdef"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}", encoding="utf-8")
    site_folder = build(tmp_path / "site", SiteRequest(runs=tmp_path / "runs")).index.parent
    assert any("20260101T000000Z-abcdef" in text for text in Page(site_folder / "runs.html").texts)


def test_logs_of_training_become_curves(tmp_path):
    """Against a log of three lines, one of them cut off by a kill."""
    folder = tmp_path / "runs" / "pretrain" / "<b>mini"
    folder.mkdir(parents=True)
    lines = [{"step": n, "loss": 3.0 - n, "dictionary_used": 0.5, "x": None} for n in (1, 2)]
    text = "\n".join(map(json.dumps, lines)) + '\n{"step": 3, "lo'
    (folder / "log.jsonl").write_text(text, encoding="utf-8")
    built = build(tmp_path / "site", SiteRequest(runs=tmp_path / "runs")).index.parent
    page = Page(built / "training.html")
    (image,) = [a for tag, a in page.elements if tag == "img"]
    assert "loss from 2 to 1" in image["alt"] and (built / image["src"]).is_file()
    assert "pretrain/<b>mini" in " ".join(page.texts)
    assert "<b>" not in (built / image["src"]).read_text(encoding="utf-8")


def test_only_an_older_site_is_replaced(tmp_path, monkeypatch):
    """Against a folder with somebody's file, one of an older site, and a build that fails."""
    runs = tmp_path / "runs"
    runs.mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="holds something else"):
        build(tmp_path / "mine", SiteRequest(runs=runs))
    with pytest.raises(MissingData, match="no folder of runs"):
        build(tmp_path / "site", SiteRequest(runs=tmp_path / "nowhere"))
    build(tmp_path / "site", SiteRequest(runs=runs))
    (tmp_path / "site" / "old.html").write_text("x", encoding="utf-8")
    monkeypatch.setattr(site._Site, "write", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(tmp_path / "site", SiteRequest(runs=runs))
    assert (tmp_path / "site" / "old.html").is_file()
    monkeypatch.undo()
    build(tmp_path / "site", SiteRequest(runs=runs))
    assert not (tmp_path / "site" / "old.html").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "runs", "site"]


def test_a_site_without_records_says_so(tmp_path, monkeypatch):
    """Against no records at all: every page is there."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    (tmp_path / "runs").mkdir()
    assert gather(tmp_path / "runs") == []
    built = build(tmp_path / "site", SiteRequest(runs=tmp_path / "runs")).index.parent
    assert "not measured" in Path(built / "index.html").read_text(encoding="utf-8")
    assert len(pages(built)) == 16


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "yes"),
        ({"split": "test"}, "no: of test, published is val"),
        ({"official": False}, "no: other data"),
        ({"variant": "rerank-64"}, "no: rerank-64"),
    ],
)
def test_only_the_papers_own_data_split_and_protocol_are_comparable(
    tmp_path, make_record, monkeypatch, change, says
):
    """Against the paper, whose own zero-shot recalls are of the validation split, all pairs."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    made = make_record("x", change.pop("variant", None), suite="paper")
    data = {**made.data, "split": "val", "official": True, **change}
    records.write(replace(made, data=data), tmp_path / "runs" / "paper" / "flickr" / "x" / "a")
    folder = build(tmp_path / "site", SiteRequest(runs=tmp_path / "runs")).index.parent
    texts = [text.strip() for text in Page(folder / "index.html").texts if text.strip()]
    place = texts.index("ZS-IR", texts.index("Comparable?"))
    assert (
        texts[place : place + 4] == ["ZS-IR", "R@1", "72.70", "61.0"] and texts[place + 8] == says
    )
