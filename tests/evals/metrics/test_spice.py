"""SPICE: with a stand-in for its program, whose models are not there, and its libraries on this Java."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from builders.official_java import let_spice_answer
from evals.metrics.captions import MODELS, spice, why_no_spice
from evals.metrics.java import find_java, opened_environment

# What SPICE does with its libraries: it serialises what it has parsed, and keeps it in a database.
PROGRAM = """
import java.util.*;
import org.fusesource.lmdbjni.*;
import org.nustaq.serialization.FSTConfiguration;

public class Keep {
    public static void main(String[] folder) throws Exception {
        FSTConfiguration form = FSTConfiguration.createDefaultConfiguration();
        Map<String, Object> parsed = new HashMap<>();
        parsed.put("dog", new ArrayList<>(List.of("red", "small")));
        Env cache = new Env();
        cache.open(folder[0]);
        Database tuples = cache.openDatabase();
        tuples.put("key".getBytes(), form.asByteArray(parsed));
        System.out.println(form.asObject(tuples.get("key".getBytes())));
    }
}
"""


def test_the_reason_names_what_is_missing(monkeypatch, tmp_path):
    """Against a package folder without the models, one with them, and no package."""

    class Spec:
        submodule_search_locations = [str(tmp_path)]

    monkeypatch.setattr("evals.metrics.captions.find_spec", lambda name: Spec)
    assert all(name in why_no_spice() for name in MODELS)
    (tmp_path / "spice" / "lib").mkdir(parents=True)
    for name in MODELS:
        (tmp_path / "spice" / "lib" / name).touch()
    assert why_no_spice() is None
    monkeypatch.setattr("evals.metrics.captions.find_spec", lambda name: None)
    assert why_no_spice() == "pycocoevalcap is not installed"


def test_scores_stand_in_the_order_of_the_images(monkeypatch):
    """Against a stand-in that, as the program does, answers in the order of the ids."""
    let_spice_answer(
        monkeypatch,
        lambda entries: [
            {"image_id": image, "scores": {"All": {"f": image / 10}}}
            for image in sorted(one["image_id"] for one in entries)
        ],
    )
    assert spice({7: ["a"], 3: ["b"]}, {7: ["a"], 3: ["b"]}).tolist() == [0.7, 0.3]


def test_options_of_the_users_own_are_kept(monkeypatch):
    """Against the environment, with and without options in it."""
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "-Xmx1G")
    found = opened_environment()["JDK_JAVA_OPTIONS"]
    assert found.startswith("-Xmx1G --add-opens=java.base/java.lang=")
    monkeypatch.delenv("JDK_JAVA_OPTIONS")
    assert opened_environment()["JDK_JAVA_OPTIONS"].startswith("--add-opens")
    assert "JDK_JAVA_OPTIONS" not in os.environ


def test_a_newer_java_lets_its_libraries_work(tmp_path):
    """Against the libraries that SPICE brings, serialising and storing on this machine's Java."""
    folder = Path(find_spec("pycocoevalcap").submodule_search_locations[0]) / "spice" / "lib"
    source = tmp_path / "Keep.java"
    source.write_text(PROGRAM, encoding="utf-8")
    java = find_java()
    command = [java, "-cp", os.pathsep.join(map(str, folder.glob("*.jar"))), source, tmp_path]
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True)
    if "jdk.compiler" not in modules.stdout:
        pytest.skip("this machine's Java has no compiler for the test's own program")
    done = subprocess.run(
        command, env=opened_environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "{dog=[red, small]}\n", done.stderr
