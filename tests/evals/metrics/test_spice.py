"""SPICE: with a stand-in for its program, whose models are not there, and its libraries on this Java."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from evals.metrics.captions import MODELS, java_on_path, opened_java, spice, why_no_spice
from unimo2.errors import BadData

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
    from pycocoevalcap.spice import spice as module

    class StandIn:
        def compute_score(self, gts, res):
            return 0.0, [{"All": {"f": image / 10}} for image in sorted(gts)]

    monkeypatch.setattr(module, "Spice", StandIn)
    assert spice({7: ["a"], 3: ["b"]}, {7: ["a"], 3: ["b"]}).tolist() == [0.7, 0.3]


def test_a_program_that_fails_is_one_error(monkeypatch):
    """Against a program that ends with an error."""
    from pycocoevalcap.spice import spice as module

    class Failing:
        def compute_score(self, gts, res):
            raise subprocess.CalledProcessError(1, "java")

    monkeypatch.setattr(module, "Spice", Failing)
    with pytest.raises(BadData, match="its program ended without a score"):
        spice({1: ["a"]}, {1: ["a"]})


def test_the_environment_is_put_back(monkeypatch):
    """Against the environment before, with and without options of the user's own."""
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "-Xmx1G")
    with opened_java():
        assert os.environ["JDK_JAVA_OPTIONS"].startswith("-Xmx1G --add-opens=java.base/java.lang=")
    assert os.environ["JDK_JAVA_OPTIONS"] == "-Xmx1G"
    monkeypatch.delenv("JDK_JAVA_OPTIONS")
    with opened_java():
        assert "--add-opens" in os.environ["JDK_JAVA_OPTIONS"]
    assert "JDK_JAVA_OPTIONS" not in os.environ


def test_a_newer_java_lets_its_libraries_work(tmp_path):
    """Against the libraries that SPICE brings, serialising and storing on this machine's Java."""
    folder = Path(find_spec("pycocoevalcap").submodule_search_locations[0]) / "spice" / "lib"
    source = tmp_path / "Keep.java"
    source.write_text(PROGRAM, encoding="utf-8")
    command = ["java", "-cp", os.pathsep.join(map(str, folder.glob("*.jar"))), source, tmp_path]
    with java_on_path():
        modules = subprocess.run(["java", "--list-modules"], capture_output=True, text=True)
        if "jdk.compiler" not in modules.stdout:
            pytest.skip("this machine's Java has no compiler for the test's own program")
        with opened_java():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "{dog=[red, small]}\n", done.stderr
