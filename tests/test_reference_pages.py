"""The API reference names what there is, and all that the packages export."""

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "reference").glob("*.md"))


def resolved(name):
    """A module, or a member of one."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        home, _, member = name.rpartition(".")
        return getattr(import_module(home), member)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_of_the_reference_names_what_there_is(page):
    """Against the packages: every name resolves and is documented, every export is on its page."""
    names = re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    found = [resolved(name) for name in names]
    assert all(one.__doc__ for one in found)
    package = import_module(page.stem)
    shown = {id(member) for one in found for member in (one, *vars(one).values())}
    exports = [name for name in package.__all__ if not name.startswith("__")]
    assert [name for name in exports if id(getattr(package, name)) not in shown] == []
