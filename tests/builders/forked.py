"""Processes of their own that need not import torch first: a server that has it forks them.

A fresh interpreter spends seconds on importing torch and transformers, most of what a tiny training
takes. The children share nothing else with the tests: they are told what to call, have an
environment of their own, and end when they like, by a signal, too.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LOADED = ["evals.runner", "unimo2.training.finetuning.tasks"]


def start(
    function: Callable[..., None],
    *arguments: object,
    out: Path,
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Call a function in another process, whose standard output and error go to a file."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    with pytest.MonkeyPatch.context() as patch:
        # The server finds the packages as the tests do; small sums are faster on one thread.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
        patch.setenv("OMP_NUM_THREADS", "1")
        forkserver.ensure_running()
    process = context.Process(
        target=_call, args=(function, arguments, str(out), dict(environment or {}))
    )
    process.start()
    return process


def _call(
    function: Callable[..., None],
    arguments: tuple[object, ...],
    out: str,
    environment: Mapping[str, str],
) -> None:
    """In the new process."""
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.environ.update(environment)
    function(*arguments)
