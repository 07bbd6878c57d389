"""Tables as text for a terminal, markdown, CSV, LaTeX or HTML."""

from __future__ import annotations

import csv
import html
import io
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from unimo2.errors import UsageError

# What a table is before it is rendered: a title, a frame of texts, and notes.


@dataclass(frozen=True)
class Table:
    """A table whose every cell is text, ready to be rendered in any format.

    Attributes:
        title: one line above the table.
        frame: index are the row labels, or (group, label) where rows stand in groups; columns are
            names, or tuples of names from the outermost head inwards.
        notes: lines beneath the table.
    """

    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def heads(self) -> list[str]:
        """The column heads as single lines, the row labels' head first."""
        return [str(self.frame.index.names[-1] or ""), *map(_flat, self.frame.columns)]

    def groups(self) -> list[tuple[str, list[list[str]]]]:
        """Rows as lists of cells, label first, under their group's name ("" for none)."""
        groups: list[tuple[str, list[list[str]]]] = []
        for key, cells in zip(self.frame.index, self.frame.to_numpy(), strict=True):
            group, label = key if isinstance(key, tuple) else ("", key)
            if not groups or groups[-1][0] != group:
                groups.append((str(group), []))
            groups[-1][1].append([str(label), *map(str, cells)])
        return groups


def _flat(column: object) -> str:
    parts = column if isinstance(column, tuple) else (column,)
    return " ".join(str(part) for part in parts if part != "")


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"$\dagger$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
}


def render(tables: Sequence[Table], form: str = "text") -> str:
    """Write tables one beneath the other.

    Args:
        tables: what to write.
        form: "text", "md", "csv", "latex" or "html".

    Returns:
        The document, ending in a line break.

    Raises:
        UsageError: an unknown form.
    """
    if form not in FORMS:
        raise UsageError(f"--format {form!r}: it must be one of {', '.join(FORMS)}")
    return "\n".join(FORMS[form](table) for table in tables)


def to_text(table: Table) -> str:
    """Aligned columns, two spaces apart; a group's name on a line of its own."""
    heads, groups = table.heads(), table.groups()
    every = [heads, *(row for _, rows in groups for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*every, strict=True)]

    def line(cells: list[str]) -> str:
        padded = [c + " " * (w - _width(c)) for c, w in zip(cells, widths, strict=True)]
        return "  ".join(padded).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [table.title, rule, line(heads), rule]
    for position, (name, rows) in enumerate(groups):
        if name:
            lines.append(name)
        elif position:
            lines.append(rule)
        lines += map(line, rows)
    return "\n".join([*lines, rule, *table.notes]) + "\n"


def to_markdown(table: Table) -> str:
    """A GitHub table; a group's name in italics in a row of its own."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    heads = table.heads()
    lines = [f"**{table.title}**", "", line(heads), line(["---"] * len(heads))]
    for name, rows in table.groups():
        if name:
            lines.append(line([f"*{name}*", *[""] * (len(heads) - 1)]))
        lines += map(line, rows)
    notes = [text for note in table.notes for text in ("", note)]
    return "\n".join([*lines, *notes]) + "\n"


def to_csv(table: Table) -> str:
    """Comma-separated rows with the group as first column, title and notes after "#"."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    groups = table.groups()
    grouped = any(name for name, _ in groups)
    write.writerow((["group"] if grouped else []) + table.heads())
    for name, rows in groups:
        write.writerows(([name] if grouped else []) + row for row in rows)
    notes = "".join(f"# {note}\n" for note in table.notes)
    return f"# {table.title}\n{out.getvalue()}{notes}"


def to_latex(table: Table) -> str:
    """A `table` environment with booktabs rules."""
    heads = table.heads()

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(_latex, cells)) + r" \\"

    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex(table.title)}}}",
        rf"\begin{{tabular}}{{l{'c' * (len(heads) - 1)}}}",
        r"\toprule",
        line(heads),
    ]
    for name, rows in table.groups():
        lines.append(r"\midrule")
        if name:
            lines.append(rf"\multicolumn{{{len(heads)}}}{{l}}{{\textit{{{_latex(name)}}}}} \\")
        lines += map(line, rows)
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\\ {{\footnotesize {_latex(note)}}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_html(table: Table) -> str:
    """A `table` element; a group's name spans a row."""
    heads = table.heads()

    def line(cells: Sequence[str], tag: str) -> str:
        texts = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
        return f"<tr>{texts}</tr>"

    lines = ["<table>", f"<caption>{html.escape(table.title)}</caption>", line(heads, "th")]
    for name, rows in table.groups():
        if name:
            span = f'<th colspan="{len(heads)}">{html.escape(name)}</th>'
            lines.append(f"<tr>{span}</tr>")
        lines += [line(row, "td") for row in rows]
    notes = [f"<p>{html.escape(note)}</p>" for note in table.notes]
    return "\n".join([*lines, "</table>", *notes]) + "\n"


FORMS: dict[str, Callable[[Table], str]] = {
    "text": to_text,
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
    "html": to_html,
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide
