"""The shape of the code: imports one way, small files, tests that test, no machine's paths."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# design: reports -> evals -> zoo -> unimo2, an arrow reads "imports"
MAY_IMPORT = {
    "unimo2": {"unimo2"},
    "zoo": {"unimo2", "zoo"},
    "evals": {"unimo2", "zoo", "evals"},
    "reports": {"unimo2", "zoo", "evals", "reports"},
}
CLI = ROOT / "unimo2" / "cli"
LONGEST = 400
PATHS_OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|Users|mnt|opt|srv|tmp)/\w")

SOURCES = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def name_of(path):
    """A file's path as the tests print it."""
    return str(path.relative_to(ROOT))


def imported(path):
    """The dotted names that a file imports, wherever in it."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_there_is_something_to_look_at():
    """Against the packages of the design: none of them is empty."""
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_one_way(path):
    """Against the arrows of the design; only unimo2/cli may import all four packages."""
    package = path.relative_to(ROOT).parts[0]
    inside_cli = CLI in path.parents
    allowed = set(MAY_IMPORT) if inside_cli else MAY_IMPORT[package]
    names = list(imported(path))
    assert {name.split(".")[0] for name in names} & set(MAY_IMPORT) <= allowed
    entry = path == ROOT / "unimo2" / "__main__.py"
    if not inside_cli and not entry:
        assert not [name for name in names if name.startswith("unimo2.cli")]


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_no_file_is_too_long(path):
    """Against the style's limit for a file."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize(
    "path", [path for path in TESTS if path.name.startswith("test_")], ids=name_of
)
def test_every_test_tests_and_says_against_what(path):
    """Against each test's own syntax: an assertion or an expected error, and a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    tests = [function for function in functions if function.name.startswith("test_")]
    assert tests
    for test in tests:
        assert ast.get_docstring(test), f"{test.name} does not say what it checks against"
    text = ast.unparse(tree)
    assert "assert " in text or "raises(" in text


@pytest.mark.parametrize(
    "path",
    [
        path
        for package in MAY_IMPORT
        for path in sorted((ROOT / package).rglob("*"))
        if path.suffix in {".py", ".toml", ".json", ".csv", ".md"}
    ],
    ids=name_of,
)
def test_no_path_of_one_machine(path):
    """Against the folders where people and machines keep their own files."""
    assert not PATHS_OF_A_MACHINE.findall(path.read_text(encoding="utf-8"))
