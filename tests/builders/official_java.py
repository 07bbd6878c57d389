"""Java for official tools that a test runs by their own code, and what can stand in for programs."""

import json
import os
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from evals.metrics import java
from evals.metrics.captions import STATISTICS, corpus_meteor
from evals.metrics.java import find_java


@contextmanager
def java_on_path():
    """Let `java` mean the Java that caption metrics use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(find_java().parent), os.environ["PATH"]]))
        yield


@contextmanager
def quiet():
    """Keep out of the terminal what programs print past Python's own streams."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with tempfile.TemporaryFile() as nowhere:
            for descriptor in (1, 2):
                os.dup2(nowhere.fileno(), descriptor)
            yield
    finally:
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


def count_equal_words(truth, given):
    """METEOR that matches only equal words of the first reference; needs no Java."""
    rows = np.zeros((len(truth), STATISTICS))
    for row, (image, references) in zip(rows, truth.items(), strict=True):
        said, reference = given[image][0].split(), references[0].split()
        equal = sum((Counter(said) & Counter(reference)).values())
        row[:2] = len(said), len(reference)
        row[4:6] = row[-2:] = equal
        row[-3] = said != reference  # chunks
    each = corpus_meteor(rows)
    return corpus_meteor(rows.sum(axis=0)[None])[0], each, rows


def let_spice_answer(monkeypatch, answer):
    """Put a stand-in in the place of SPICE's program, whose models are not there.

    `answer` takes the entries that the program would read, and gives the list that it would write.
    """
    run = java.run

    def stand_in(name, arguments, *others, **named):
        if name != "SPICE":
            return run(name, arguments, *others, **named)
        asked = next(word for word in arguments if word.endswith("in.json"))
        answered = Path(arguments[arguments.index("-out") + 1])
        answered.write_text(json.dumps(answer(json.loads(Path(asked).read_text()))))
        return ""

    monkeypatch.setattr(java, "run", stand_in)
    monkeypatch.setattr("evals.metrics.captions.why_no_spice", lambda: None)
