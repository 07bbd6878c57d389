"""`unimo2 doctor`: checks of this machine and this installation, with fixes.

Each check is a function that yields findings; those of data and metrics are in `evals.cli.health`. A
check never raises: what it meets is what it says.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from unimo2.cli.options import AsJson
from unimo2.cli.packages import OURS, clashes
from unimo2.console import print_json, say, visible
from unimo2.devices import cores
from unimo2.files import expanded, user_cache

OK, NOTE, FAULT = "ok", "note", "FAULT"
_OTHER_CHECKS = "evals.cli.health"
_LEAST_SPACE = 2**30  # the embedded suite, a run and a small model's training fit
_HUB_SECONDS = 2.0
_NEW_TORCH = "pip install --upgrade --force-reinstall torch torchvision timm"
_INSTRUCTIONS = {
    "bfloat16": ("amx_bf16", "avx512_bf16", "bf16"),
    "float16": ("avx512_fp16", "fphp", "asimdhp"),
}


@dataclass(frozen=True)
class Finding:
    """What one check met.

    Attributes:
        check: Subject of the check, for example "Java".
        state: `OK`, `NOTE` (something optional is absent) or `FAULT`.
        found: Finding, in words.
        mend: The command or setting that would mend it; "" where nothing has to be.
    """

    check: str
    state: str
    found: str
    mend: str = ""


Check = Callable[[], Iterator[Finding]]


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    app.command("doctor", epilog="Example: unimo2 doctor --json")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Check this installation: packages, devices, Java, folders, data sets, the hub.

    Every fault comes with the command that mends it. The exit status is 1 if there is one, and 0
    if all is well or only something optional is absent.
    """
    found = findings()
    faults = [one for one in found if one.state == FAULT]
    if as_json:
        print_json({"ok": not faults, "findings": [asdict(one) for one in found]})
    else:
        width = max(len(one.check) for one in found)
        for one in found:
            say(f"{one.state:<5}  {one.check:<{width}}  {visible(one.found)}")
            if one.mend:
                say(f"{'':<5}  {'':<{width}}  mend: {visible(one.mend)}")
        say(f"{len(faults)} faults" if faults else "no faults")
    if faults:
        raise typer.Exit(1)


def findings() -> list[Finding]:
    """Findings of all checks, those of the installation first."""
    checks: list[Check] = [_python, _clashes, _requirements, _torch, _threads, _folders, _hub]
    found = [one for check in checks for one in _tried(check)]
    if any(one.check == "import names" and one.state == FAULT for one in found):
        return [*found, Finding("data and metrics", NOTE, "not checked: import names clash")]
    others: list[Check] = list(import_module(_OTHER_CHECKS).CHECKS)
    return [*found, *(one for check in others for one in _tried(check))]


def _tried(check: Check) -> list[Finding]:
    """Findings of a check; an exception counts as a fault of its subject."""
    try:
        return list(check())
    except Exception as error:  # a broken package raises anything when it is looked at
        name = check.__name__.strip("_").replace("_", " ")
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        return [Finding(name, FAULT, reason, f"pip install --force-reinstall {OURS}")]


def _python() -> Iterator[Finding]:
    """The interpreter."""
    found = f"{platform.python_version()} at {sys.executable} on {platform.platform()}"
    old = sys.version_info < (3, 10)
    yield Finding("Python", FAULT if old else OK, found, "install Python 3.10 or newer" * old)


def _clashes() -> Iterator[Finding]:
    """Distributions that own an import name of ours."""
    found = clashes()
    for clash in found:
        what, _, mend = clash.rpartition("; ")
        yield Finding("import names", FAULT, what, mend)
    if not found:
        yield Finding("import names", OK, "unimo2, evals, zoo and reports are this installation's")


def _requirements() -> Iterator[Finding]:
    """Requirements of pyproject.toml, and whether torchvision matches this torch."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in metadata.requires(OURS) or ()]
    except metadata.PackageNotFoundError:
        yield Finding("packages", NOTE, "a checkout that is not installed", "pip install -e .")
        return
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    yield from _unmet([*wanted, *_of_torchvision()])


def _of_torchvision() -> list[Any]:
    """The torch that torchvision was built for: another one, and it fails to import."""
    from packaging.requirements import Requirement

    try:
        texts = metadata.requires("torchvision") or ()
    except metadata.PackageNotFoundError:
        return []
    return [one for one in map(Requirement, texts) if one.name == "torch"]


def _unmet(wanted: list[Any]) -> Iterator[Finding]:
    """Requirements that are not met, or that all are."""
    faults = 0
    for one in wanted:
        spelled = f"{one.name}{one.specifier}"
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            version = "not installed"
        if version == "not installed" or not one.specifier.contains(version, prereleases=True):
            faults += 1
            mend = f"pip install '{spelled}'"
            if one.name == "torch":
                mend = _NEW_TORCH
            yield Finding("packages", FAULT, f"{one.name} {version}, needed: {spelled}", mend)
    if not faults:
        shown = ("torch", "torchvision", "timm", "transformers", "numpy")
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in shown)
        yield Finding("packages", OK, f"all {len(wanted)} are there: {versions}")


def _torch() -> Iterator[Finding]:
    """Whether torch and torchvision's operators load; devices and their half precision."""
    try:
        import torch

        vision = find_spec("torchvision")
        # What fails with another torch; importing all of torchvision takes seconds.
        for operators in Path(str(vision and vision.origin)).parent.glob("_C*.so"):
            torch.ops.load_library(operators)
    except Exception as error:
        reason = str(error).split("\n")[0]
        yield Finding("torch", FAULT, f"torch and torchvision do not fit: {reason}", _NEW_TORCH)
        return
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("device", OK, ", ".join(names) or "CPU alone: torch sees no GPU")
    if names:
        half = ["float16", *(["bfloat16"] if torch.cuda.is_bf16_supported() else [])]
    else:
        flags = _cpu_flags()
        half = [name for name, some in _INSTRUCTIONS.items() if flags & set(some)]
    slow = "no bfloat16 or float16 instructions: float32 is the fastest here"
    yield Finding("half precision", OK, f"fast: {', '.join(half)}" if half else slow)


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    named = (line.partition(":") for line in lines)
    return {flag for key, _, some in named if key.strip() in ("flags", "Features")
            for flag in some.split()}  # fmt: skip


def _threads() -> Iterator[Finding]:
    """Threads that torch computes with, and processors that this process may use."""
    import torch

    used, there = torch.get_num_threads(), cores()
    found = f"torch computes with {used}; this process may use {there} processors"
    many = used > there
    yield Finding("threads", NOTE if many else OK, found, f"export OMP_NUM_THREADS={there}" * many)


def _folders() -> Iterator[Finding]:
    """Room and the right to write where files go."""
    cache = user_cache()
    hub = expanded(os.environ.get("HF_HOME") or cache / "huggingface", "HF_HOME")
    places = (
        ("embedded suite", cache / "unimo2", "export XDG_CACHE_HOME=FOLDER"),
        ("hub's cache", hub, "export HF_HOME=FOLDER"),
        ("temporary files", Path(tempfile.gettempdir()), "export TMPDIR=FOLDER"),
        ("runs", Path("runs").absolute(), "give --output FOLDER"),
    )
    for what, place, mend in places:
        there = next(one for one in (place, *place.parents) if one.exists())
        problem = _unwritable(there)
        free = 0 if problem else shutil.disk_usage(there).free
        if problem:
            yield Finding(what, FAULT, f"{place} cannot be written: {problem}", mend)
        elif free < _LEAST_SPACE:
            yield Finding(what, FAULT, f"{place} has {free / 2**20:,.0f} MiB left", mend)
        else:
            yield Finding(what, OK, f"{place}, {free / 2**30:,.0f} GiB left")


def _unwritable(folder: Path) -> str:
    """Why nothing can be written into a folder; "" if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _hub() -> Iterator[Finding]:
    """Whether the model hub answers; not asked where the environment says offline."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            yield Finding("hub", OK, f"offline, as {name} says")
            return
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    said: list[str] = []
    # In a thread, because looking up a name knows no time limit.
    asked = threading.Thread(target=lambda: said.append(_silence(address)), daemon=True)
    asked.start()
    asked.join(_HUB_SECONDS)
    silence = said[0] if said else f"nothing within {_HUB_SECONDS:.0f} s"
    if silence:
        found = f"{address} does not answer ({silence}); models in the cache and in folders load"
        yield Finding("hub", NOTE, found, "export HF_HUB_OFFLINE=1")
    else:
        yield Finding("hub", OK, f"{address} answers")


def _silence(address: str) -> str:
    """Why an address gives no answer; "" if it does."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(address, method="HEAD"), timeout=_HUB_SECONDS):
            return ""
    except HTTPError:
        return ""  # is an answer
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
