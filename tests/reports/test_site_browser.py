"""The report site in a real browser; skipped where Chromium and its driver are not installed."""

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from builders import chromium
from evals import records
from reports.site import SiteRequest, build

pytestmark = pytest.mark.skipif(not chromium.is_there(), reason="no chromium with chromedriver")
# Of the npm package axe-core; the check of accessibility is skipped without it.
AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))


@pytest.fixture
def folder(tmp_path, vqa):
    """A site with two runs whose items have pictures."""
    runs, root, _ = vqa
    request = SiteRequest(runs=runs, data_root=root, images="all")
    return build(tmp_path / "site", request).index.parent


@pytest.fixture
def browser(tmp_path):
    """A browser with a profile of its own."""
    opened = chromium.Chromium(tmp_path / "profile")
    yield opened
    opened.close()


def test_every_page_opens_without_an_error_or_a_request_elsewhere(browser, folder):
    """Against the browser's own log and its requests, at 360 and at 1,440 pixels."""
    for width in (360, 1440):
        browser.resize(width, 900)
        for page in sorted(folder.glob("*.html")):
            browser.open(page)
            assert [m for m in browser.log() if m["level"] in ("SEVERE", "WARNING")] == [], page
            inside = folder.resolve().as_uri()
            assert [
                u for u in browser.requests() if not u.startswith((inside, "data:", "chrome:"))
            ] == []
            assert browser.run("return document.documentElement.scrollWidth") <= width, page
            assert browser.run("return window.alerted") is None


def test_tables_sort_and_items_can_be_searched(browser, folder):
    """Against the order of numbers, and the items that hold a word."""
    browser.open(folder / "table-1.html")
    browser.run("document.querySelectorAll('thead button')[0].click()")
    assert browser.run("return document.querySelector('th[aria-sort]').ariaSort") == "ascending"
    browser.open(next(folder.glob("run-vqa-one*.html")))
    rows = "return document.querySelectorAll('.browser tbody tr').length"
    every = browser.run(rows)
    assert every > 1
    name = browser.run("return document.querySelector('.browser td').textContent")
    browser.run(
        "const i = document.querySelector('.browser input'); i.value = arguments[0];"
        "i.dispatchEvent(new Event('input'))",
        name,
    )
    found = browser.run_later(f"setTimeout(() => {{ arguments[0]((() => {{ {rows} }})()) }}, 400)")
    assert 1 <= found < every
    status = browser.run("return document.querySelector('[role=status]').textContent")
    assert status.startswith(f"{found} of")


def test_print_has_the_heads_of_tables_as_text(browser, folder):
    """Against the heads on screen: a browser repeats text on every page of paper, no buttons."""
    browser.open(folder / "table-1.html")
    names = (
        "return Array.from(document.querySelectorAll('thead th'), (one) => one.innerText.trim())"
    )
    shown = browser.run(names)
    browser.command("Emulation.setEmulatedMedia", {"media": "print"})
    printed = browser.run(
        "return Array.from(document.querySelectorAll('thead th'), (one) => "
        "JSON.parse(getComputedStyle(one, '::before').content))"
    )
    assert printed == shown and "Model" in printed and set(browser.run(names)) == {""}


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; AXE_CORE names its file")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_a_readers_way(browser, folder, scheme):
    """Against axe-core's rules of WCAG 2.2 AA: no serious violation, contrast included."""
    feature = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.command("Emulation.setEmulatedMedia", {"features": feature})
    rules = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}"
    for page in sorted(folder.glob("*.html")):
        browser.open(page)
        browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
        browser.run(AXE.read_text(encoding="utf-8"))
        found = browser.run_later(
            f"axe.run(document, {rules}).then((r) => arguments[0](r.violations.map("
            "(v) => [v.impact, v.id, v.nodes.slice(0, 3).map((n) => n.html)])))"
        )
        assert [one for one in found if one[0] in ("serious", "critical")] == [], page


def test_ten_thousand_items_are_filtered_at_once(browser, tmp_path, make_record, monkeypatch):
    """Against the browser's clock: the quickest of five orders of 10,000 items, and the words found."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    count = 10_000
    words = [f"word{number % 100} {number}" for number in range(count)]
    samples = pd.DataFrame({"id": range(count), "prediction": words, "target": "b", "score": 0.5})
    made = replace(make_record("x", zero_shot=False), benchmark="sst2")
    run = tmp_path / "runs" / "mini" / "sst2" / "x" / "a"
    records.write(replace(made, data={**made.data, "split": "dev"}), run)
    records.write_samples(samples, run)
    folder = build(tmp_path / "site", SiteRequest(runs=tmp_path / "runs")).index.parent
    browser.open(next(folder.glob("run-sst2-x-*.html")))
    milliseconds = browser.run(
        "const [input, , order] = document.querySelectorAll('.browser input, .browser select');"
        "input.value = 'word7 '; let best = 1e9;"
        "for (let i = 0; i < 5; i++) { const start = performance.now(); order.selectedIndex = i % 4;"
        "order.dispatchEvent(new Event('change')); best = Math.min(best, performance.now() - start); }"
        "return best"
    )
    status = browser.run("return document.querySelector('[role=status]').textContent")
    assert status.startswith(f"{sum('word7' in text for text in words):,} of 10,000")
    assert milliseconds < 250
