"""Environment of a run: packages, commit, processor, memory."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("unimo2", "timm", "transformers", "tokenizers", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a number."""
    import torch

    # torch's own word, because it names the build ("+cu126"), which the package's metadata may not
    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # run from a checkout that is not installed: the commit says it all
    return found


def commit() -> tuple[str | None, bool | None]:
    """Commit of the checkout that this package lies in, and whether it had changes.

    Returns:
        (commit, dirty); (None, None) for an installed package, even inside somebody else's
        checkout, or without git.
    """
    here = Path(__file__)
    # An environment inside a user's own repository is not tracked there, so git refuses here.
    if _git("ls-files", "--error-unmatch", here.name) is None:
        return None, None
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", ":/")
    if head is None or changes is None:
        return None, None
    return head, bool(changes)


def _git(*arguments: str) -> str | None:
    """Output of a git command in this file's folder; None if it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def device_name(device: str) -> str:
    """What the hardware calls itself.

    Args:
        device: As torch spells it, "cpu" or "cuda:0".

    Returns:
        The GPU's name, or the processor's with the number of threads in use.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    """The processor's model name where the system tells it, its architecture otherwise."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip() not in ("", "unknown"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory_mb(device: str) -> float:
    """Highest memory in use so far, in MiB.

    Args:
        device: As torch spells it.

    Returns:
        On a GPU the highest allocation there, otherwise the highest resident size of the process.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(torch.device(device)) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB
