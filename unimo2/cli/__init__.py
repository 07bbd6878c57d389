"""The shell of the command line: one Typer application that loads each verb from its package."""

from unimo2.cli.app import main

__all__ = ["main"]
