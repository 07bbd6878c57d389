"""A package of somebody else: a benchmark, a model and a verb, known by entry points alone."""

from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "docs" / "contributing"


def blocks_of(page: str, language: str = "python") -> list[str]:
    """The code of a page for contributors, so that what it shows is what the tests run."""
    text = (PAGES / page).read_text(encoding="utf-8")
    return [block.split("```")[0] for block in text.split(f"```{language}\n")[1:]]


def code_of(page: str) -> str:
    """The first block of Python of a page."""
    return blocks_of(page)[0]


BENCHMARK = code_of("a-benchmark.md")
MODEL = code_of("a-model.md")

VERB = """
import typer


def register(app):
    app.command("hello", help="Say hello.")(hello)


def hello() -> None:
    typer.echo("hello")
"""

ENTRY_POINTS = """
[unimo2.benchmarks]
toy = toy_package.benchmark:Toy
broken = toy_package.nothing:Toy

[unimo2.models]
toy-reader = toy_package.model:load

[unimo2.commands]
hello = toy_package.verb
"""


def install(folder: Path) -> Path:
    """Write the package and its metadata as an installer does.

    Args:
        folder: To be put on Python's path.

    Returns:
        The folder.
    """
    package, metadata = folder / "toy_package", folder / "toy_package-1.0.dist-info"
    for path, text in {
        package / "__init__.py": "",
        package / "benchmark.py": BENCHMARK,
        package / "model.py": MODEL,
        package / "verb.py": VERB,
        metadata / "METADATA": "Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n",
        metadata / "entry_points.txt": ENTRY_POINTS,
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    return folder
