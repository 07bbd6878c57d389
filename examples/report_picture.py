"""Take the picture of the report site that the documentation shows; needs Chromium.

    python examples/report_picture.py docs/images/report-site.png [--runs runs] [--page table-1.html]

The site is built in a temporary folder from the records that come with the package and those of a
runs folder, and opened offline.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from reports.site import SiteRequest, build
from unimo2.errors import MissingData

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def main() -> None:
    """Build the site and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--page", default="index.html")
    parser.add_argument("--size", default="1280,1000", help="Width and height in pixels.")
    chosen = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise MissingData("no Chromium; install the package 'chromium'")
    with tempfile.TemporaryDirectory() as folder:
        site = build(Path(folder) / "site", SiteRequest(chosen.runs)).index.parent
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        command = [
            browser,
            *_FLAGS,
            f"--user-data-dir={folder}/profile",
            f"--window-size={chosen.size}",
            f"--screenshot={chosen.output.resolve()}",
            (site / chosen.page).as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    print(f"wrote {chosen.output}")


if __name__ == "__main__":
    main()
