"""Compute the ceilings and floors of the embedded suite's benchmarks: a few minutes.

    unimo2 data make-mini --root DIR --seed 1
    python -m examples.embedded_levels DIR              write them into DIR/suite.json
    python -m examples.embedded_levels DIR --keep       and into evals/suite_mini/levels.json

The package keeps those of seed 0 at scale 1, by the fingerprint of each part, so drawing does not
compute them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from evals.suite_mini import SuiteRequest, read_suite
from evals.suite_mini.suite import LEVELS_FILE, SUITE_FILE
from examples.embedded_levels.parts import levels_of
from unimo2.files import write_text


def kept_levels() -> list[dict[str, Any]]:
    """What the package keeps: part, request, fingerprint and levels of each."""
    kept: list[dict[str, Any]] = json.loads(LEVELS_FILE.read_text(encoding="utf-8"))
    return kept


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root", type=Path, help="folder of an embedded suite")
    parser.add_argument("--keep", action="store_true", help="keep them in the package as well")
    parser.add_argument("--only", nargs="+", metavar="PART", help="some of its parts")
    asked = parser.parse_args()
    suite = read_suite(asked.root)
    if suite is None:
        parser.error(f"{asked.root} holds no embedded suite; draw one with 'unimo2 data make-mini'")
    request = SuiteRequest(suite["seed"], suite["scale"], suite["flickr_test"])
    kept = kept_levels()
    for part, fingerprint in suite["fingerprints"].items():
        levels = {} if asked.only and part not in asked.only else levels_of(part, request)
        if not levels:
            continue
        print(part, json.dumps(levels))
        suite["levels"] |= levels
        kept = [entry for entry in kept if entry["fingerprint"] != fingerprint]
        about = {"part": part, "request": vars(request), "fingerprint": fingerprint}
        kept.append({**about, "levels": levels})
    suite["levels"] = dict(sorted(suite["levels"].items()))
    write_text(asked.root / SUITE_FILE, json.dumps(suite, indent=2) + "\n")
    if asked.keep:
        write_text(LEVELS_FILE, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
