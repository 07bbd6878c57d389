"""Freed memory is used again: as many fresh pages as the kernel counts."""

import platform
import resource

import pytest
import torch

from builders import forked
from unimo2.cli.app import reuse_freed_memory


def _pages() -> None:
    """Prints how many pages this process gets while it works as it has worked before."""
    assert reuse_freed_memory()

    def work() -> int:
        for _ in range(20):
            (torch.ones(2_000_000) + torch.ones(2_000_000)).sum()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    before = work()
    print(work() - before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_memory_of_freed_tensors_is_not_asked_for_again(tmp_path):
    """Truth: page faults of a process that frees and allocates the same tensors twenty times."""
    process = forked.start(_pages, out=tmp_path / "out.txt")
    process.join()
    pages = 3 * 8_000_000 // resource.getpagesize()  # of one turn, were its tensors new memory
    assert int((tmp_path / "out.txt").read_text()) < pages
