"""Tables in LaTeX compile as they are, whatever stands in them."""

import re
import shutil
import subprocess

import pytest

import reports
from builders.evil import EVIL
from evals import records
from evals.compare import Comparison, Difference
from reports import paper
from reports.comparison import comparison_table
from reports.listing import listing
from reports.render import Grid, Table, latex, render

FOREIGN = "Łódź Zürich naïve Şimşek 模型 α β ✓ 🤖 ﬁ ộ ± → “x” ''y'' ?` -- --- \u202e"


def documents(make_record):
    """Every table of a report, of a comparison, and tables full of what LaTeX would obey."""
    found = records.find([records.MEASURED])
    yield from listing(found, "latex")
    for number in paper.TABLES:
        yield from reports.report_tables(number, found, "latex")
    change = Difference(60.0, 61.0, 1.0, (-0.5, 2.5), 0.2, 1500, 300, True)
    pair = make_record(EVIL["latex"]), make_record(FOREIGN)
    differs = {"score_of": ("a_b", "{c}")}
    metrics = {"image_retrieval/R@1": change, "accuracy[type=x_y]": change}
    yield comparison_table(Comparison(*pair, "itm", differs, metrics, 0))
    for text in [*EVIL.values(), FOREIGN]:
        grid = Grid(text, [text, "[b]"], [(text, text), (text, "[x]")], [[text, "*"], ["2", text]])
        yield Table(text, grid, (text,))


def test_every_table_is_whole(make_record):
    """Against TeX's own rules: braces in pairs, as many cells in a row as columns, no bare mark."""
    for table in documents(make_record):
        text = render([table], "latex")
        marks = re.sub(r"\\[\\{}&%$#_]", "", text)
        assert marks.count("{") == marks.count("}")
        assert not re.search(r"[%#~]", marks)
        columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
        body = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
        for line in body[1:]:
            row = line.endswith(r"\\") and not line.startswith(r"\multicolumn")
            assert not row or len(re.findall(r"(?<!\\)&", line)) == columns - 1


def test_letters_without_a_sign_become_escapes():
    """Against the letters that pdfLaTeX knows without packages."""
    assert latex("Zürich “x” Ł") == "Zürich “x” Ł"
    assert latex("模") == r"\textbackslash{}u6a21"
    assert latex("a--b ''") == "a-{}-b '{}'"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex (texlive-latex-base)")
def test_every_table_compiles(tmp_path, make_record):
    """Against pdfLaTeX with booktabs alone, which stops at its first error."""
    body = "\\clearpage\n".join(render([table], "latex") for table in documents(make_record))
    text = f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}"
    (tmp_path / "a.tex").write_text(f"{text}\\end{{document}}\n", encoding="utf-8")
    command = [
        "pdflatex",
        "-halt-on-error",
        "-interaction=nonstopmode",
        "-no-shell-escape",
        "a.tex",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=240)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-3000:]
    assert "Missing character" not in said and (tmp_path / "a.pdf").is_file()
