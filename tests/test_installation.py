"""What an installation holds: package data, bounds and the versions that were tested together."""

import ast
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("unimo2", "evals", "zoo", "reports")
NOT_NEEDED = {"evals/suite_mini/README.md"}


def pinned():
    """Versions by normalised name, of a file in which every line is nothing but a pin."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            matched = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)", line)
            assert matched, f"constraints.txt: {line!r} is more than a name and a version"
            found[normalised(matched[1])] = matched[2]
    return found


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_are_within_the_bounds_and_name_every_dependency():
    """Truth: pyproject.toml, as packaging reads it."""
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [Requirement(one) for one in PROJECT["project"]["dependencies"]]
    optional = [Requirement(one) for some in extras.values() for one in some]
    versions = pinned()
    for one in wanted:
        assert normalised(one.name) in versions or one.marker, f"constraints.txt lacks {one.name}"
    for one in [*wanted, *optional]:
        version = versions.get(normalised(one.name))
        assert version is None or one.specifier.contains(version), f"{one} and {version}"
        assert one.specifier, f"{one.name} has no lower bound"
        assert one.url is None


def imported(tree):
    """Top names of the modules that run: those of annotations only are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]
        else:
            yield from imported(node)


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Python 3.10 does not know the owners of all packages"
)
def test_whatever_is_imported_is_a_requirement():
    """Truth: the distributions that own the imported names, by their own metadata.

    What comes with another package today may not come with its next version.
    """
    extras = PROJECT["project"]["optional-dependencies"].values()
    texts = [*PROJECT["project"]["dependencies"], *(one for some in extras for one in some)]
    required = {normalised(Requirement(text).name) for text in texts}
    owners = packages_distributions()
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    names = {name for path in files for name in imported(ast.parse(path.read_text()))}
    for name in names - {*sys.stdlib_module_names, *PACKAGES}:
        found = {normalised(one) for one in owners.get(name, ())}
        named = any(one.startswith(normalised(name)) for one in required)  # an extra not installed
        assert found & required if found else named, f"{name}, of {found}, is not required"


def test_every_extra_of_the_documents_is_one():
    """Truth: the commands that documents print."""
    extras = set(PROJECT["project"]["optional-dependencies"])
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    found = {
        extra
        for path in documents
        for some in re.findall(r"pip install [^\n`]*?\.\[([a-z,-]+)\]", path.read_text())
        for extra in some.split(",")
    }
    assert {"open-clip", "slurm", "wandb", "docs"} <= found <= extras


def test_the_wheel_holds_every_file_of_the_packages():
    """Truth: the files that git tracks, against the patterns of package data."""
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode or not listed.stdout:
        pytest.skip("not a git checkout")
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for name in set(listed.stdout.splitlines()) - NOT_NEEDED:
        package, _, below = name.partition("/")
        if name.endswith(".py"):
            for folder in list(Path(name).parents)[:-1]:
                assert (ROOT / folder / "__init__.py").is_file(), f"{folder} is no package"
        else:
            assert any(fnmatch(below, one) for one in patterns[package]), (
                f"not in the wheel: {name}"
            )
