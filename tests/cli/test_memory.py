"""Freed memory is used again: as many fresh pages as the kernel counts."""

import platform
import resource
import subprocess
import sys

import pytest

_SCRIPT = """
import resource
import torch
from unimo2.cli.app import reuse_freed_memory
assert reuse_freed_memory()
def work():
    for _ in range(20):
        (torch.ones(2_000_000) + torch.ones(2_000_000)).sum()
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_memory_of_freed_tensors_is_not_asked_for_again():
    """Truth: page faults of a process that frees and allocates the same tensors twenty times."""
    command = [sys.executable, "-c", _SCRIPT]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    pages = 3 * 8_000_000 // resource.getpagesize()  # of one turn, were its tensors new memory
    assert int(done.stdout) < pages
