"""The command line: one Typer application, one small module a verb.

The only package that may import unimo2, zoo, evals and reports together. It does so inside the
command functions, so that `unimo2 --help` loads neither torch nor transformers nor pandas.
"""

from unimo2.cli.app import main

__all__ = ["main"]
