"""Tables as text for a terminal, Markdown, CSV, LaTeX or HTML.

Cells come from records that anybody may have written. Every form writes them so that they are shown
and never executed: control characters as escapes, formulas in CSV behind an apostrophe, marks of
Markdown, HTML and LaTeX escaped.
"""

from __future__ import annotations

import csv
import html
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimo2.console import table_lines, visible, wrapped
from unimo2.errors import UsageError
from unimo2.files import expanded, write_text

if TYPE_CHECKING:
    import pandas as pd

Head = str | tuple[str, ...]
"""A column's name, or its names from the outermost head inwards."""


@dataclass(frozen=True)
class Grid:
    """Texts in rows and columns.

    Attributes:
        corner: Head of the row labels.
        heads: Headings of the columns.
        labels: (group, label) of each row; the group is "" where rows are in none.
        cells: `[rows][columns]`.
    """

    corner: str
    heads: Sequence[Head]
    labels: Sequence[tuple[str, str]]
    cells: Sequence[Sequence[str]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Grid:
        """Of a frame whose index are labels or (group, label), and whose cells are texts."""
        labels = [key if isinstance(key, tuple) else ("", str(key)) for key in frame.index]
        cells = [list(map(str, row)) for row in frame.to_numpy()]
        return cls(str(frame.index.names[-1] or ""), list(frame.columns), labels, cells)

    def frame(self) -> pd.DataFrame:
        """The same as a frame of texts."""
        import pandas as pd

        if any(group for group, _ in self.labels):
            index: pd.Index = pd.MultiIndex.from_tuples(self.labels, names=["group", self.corner])
        else:
            index = pd.Index([label for _, label in self.labels], name=self.corner)
        nested = bool(self.heads) and isinstance(self.heads[0], tuple)
        columns = pd.MultiIndex.from_tuples(self.heads) if nested else pd.Index(self.heads)
        return pd.DataFrame([list(row) for row in self.cells], index=index, columns=columns)


@dataclass(frozen=True)
class Table:
    """A table whose every cell is text, ready to be rendered in any form.

    Attributes:
        title: One line above the table.
        content: The cells, as a grid or a frame (see `Grid.of`).
        notes: Lines beneath the table.
    """

    title: str
    content: InitVar[Any]
    notes: tuple[str, ...] = ()
    grid: Grid = field(init=False)

    def __post_init__(self, content: Any) -> None:
        """Take frames too."""
        grid = content if isinstance(content, Grid) else Grid.of(content)
        object.__setattr__(self, "grid", grid)

    @property
    def frame(self) -> pd.DataFrame:
        """The cells as a frame of texts."""
        return self.grid.frame()

    def with_notes(self, more: Sequence[str]) -> Table:
        """The same table with further lines beneath it."""
        return Table(self.title, self.grid, (*self.notes, *more))

    def heads(self) -> list[str]:
        """The column heads as single lines, the row labels' head first."""
        return [self.grid.corner, *map(_flat, self.grid.heads)]

    def groups(self) -> list[tuple[str, list[list[str]]]]:
        """Rows as lists of cells, label first, under their group's name ("" for none)."""
        groups: list[tuple[str, list[list[str]]]] = []
        for (group, label), cells in zip(self.grid.labels, self.grid.cells, strict=True):
            if not groups or groups[-1][0] != group:
                groups.append((group, []))
            groups[-1][1].append([label, *cells])
        return groups

    def _repr_html_(self) -> str:
        return to_html(self)


def _flat(column: Head) -> str:
    parts = column if isinstance(column, tuple) else (column,)
    return " ".join(str(part) for part in parts if part != "")


def render(tables: Sequence[Table], form: str = "text", width: int | None = None) -> str:
    """Write tables one beneath the other.

    Args:
        tables: What to write.
        form: "text", "md", "csv", "latex" or "html".
        width: Of a terminal: a text table that is wider is folded (see `to_text`).

    Returns:
        The document, ending in a line break.

    Raises:
        UsageError: An unknown form.
    """
    if form not in FORMS:
        raise UsageError(f"--format {form!r}: expected one of {', '.join(FORMS)}")
    if form == "text":
        return "\n".join(to_text(table, width) for table in tables)
    return "\n".join(FORMS[form](table) for table in tables)


def save(text: str, path: Path) -> None:
    """Write a document: a file atomically, through anything else (a pipe, a device, a link).

    Raises:
        UsageError: The path is a folder.
    """
    path = expanded(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected a file to write to")
    if path.exists() and (path.is_symlink() or not path.is_file()):
        with path.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def to_text(table: Table, width: int | None = None) -> str:
    """Aligned columns, two spaces apart; a group's name on a line of its own.

    Args:
        table: What to write.
        width: Columns of the terminal. A wider table is folded: the columns that do not fit follow
            beneath the others, each part with the row labels. None never folds.
    """
    parts = table_lines(table.heads(), table.groups(), width=width)
    notes = [line for note in table.notes for line in wrapped(visible(note), width)]
    return "\n".join([*wrapped(visible(table.title), width), *parts, *notes]) + "\n"


# A mark at which Markdown (with GitHub's extensions) begins something, wherever it stands; "*" and
# "_" only where they can open or close emphasis, so that "12.3*" and "my_model" stay readable.
_MARKDOWN = re.compile(
    r"[\\`<>|~]|\](?=[(\[:])|\*(?=\w)|(?<=\w)\*(?=\w)|(?<!\w)_|_(?!\w)|&(?=#?\w+;)"
)
_MARKDOWN_START = re.compile(r"^(#{1,6}(?=\s)|[-+*](?=\s)|\d+(?=[.)]\s)|=+$)")


def markdown(text: str) -> str:
    """A text of one line that Markdown shows as it is."""
    return _MARKDOWN.sub(lambda found: "\\" + found[0], visible(text)).replace("://", ":\\//")


def to_markdown(table: Table) -> str:
    """A GitHub table; a group's name in italics in a row of its own."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    heads = list(map(markdown, table.heads()))
    lines = [f"**{markdown(table.title)}**", "", line(heads), line(["---"] * len(heads))]
    for name, rows in table.groups():
        if name:
            lines.append(line([f"*{markdown(name)}*", *[""] * (len(heads) - 1)]))
        lines += [line(list(map(markdown, row))) for row in rows]
    notes = [line for note in table.notes for line in ("", _paragraph(note))]
    return "\n".join([*lines, *notes]) + "\n"


def _paragraph(text: str) -> str:
    """A line of Markdown that begins no heading, list or rule."""
    return _MARKDOWN_START.sub(lambda found: "\\" + found[0], markdown(text))


_FORMULA = re.compile(r"^\s*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( ?%)?|-", re.IGNORECASE)


def neutral(cell: str) -> str:
    """A cell that a spreadsheet shows: what would be a formula stands behind an apostrophe."""
    text = visible(cell)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def to_csv(table: Table) -> str:
    """Comma-separated rows with the group as first column, title and notes after "#"."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    groups = table.groups()
    grouped = any(name for name, _ in groups)
    write.writerow(map(neutral, (["group"] if grouped else []) + table.heads()))
    for name, rows in groups:
        write.writerows(map(neutral, ([name] if grouped else []) + row) for row in rows)
    notes = "".join(f"# {visible(note)}\n" for note in table.notes)
    return f"# {visible(table.title)}\n{out.getvalue()}{notes}"


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
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "†": r"$\dagger$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "−": r"$-$",
    "→": r"$\rightarrow$",
    "°": r"$^\circ$",
}
# What else pdfLaTeX sets without packages: some letters and punctuation, and those that are an ASCII
# letter with one of its accents (grave, acute, circumflex, tilde, macron, breve, dot, diaeresis, ring,
# double acute, caron, cedilla).
_SET = set("–—‘’“”…§¶©¡¿ßÆæØøŒœŁłı")
_ACCENTS = set(map(chr, (0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x30A, 0x30B)))
_ACCENTS |= {"\u030c", "\u0327"}


def latex(text: str) -> str:
    """A text that LaTeX sets as it is; letters that it has no sign for become escapes."""
    whole = "".join(map(_latex_letter, visible(text)))
    return re.sub(r"([-'])(?=\1)", r"\1{}", whole)  # no ligature of two


def _latex_letter(letter: str) -> str:
    if letter in _LATEX:
        return _LATEX[letter]
    apart = unicodedata.normalize("NFD", letter)
    base, accents = apart[0], apart[1:]
    if letter in _SET or (base.isascii() and set(accents) <= _ACCENTS and len(accents) < 2):
        return letter
    return letter.encode("unicode_escape").decode().replace("\\", _LATEX["\\"])


def to_latex(table: Table) -> str:
    """A `table` environment with booktabs rules."""
    heads = table.heads()

    def line(cells: Sequence[str]) -> str:
        # An empty group keeps "[" or "*" from being an argument of the command before.
        safe = "{}" if cells[0].startswith(("[", "*")) else ""
        return safe + " & ".join(map(latex, cells)) + r" \\"

    lines = [
        r"\begin{table}",
        rf"\caption{{{latex(table.title)}}}",
        rf"\begin{{tabular}}{{l{'c' * (len(heads) - 1)}}}",
        r"\toprule",
        line(heads),
    ]
    for name, rows in table.groups():
        lines.append(r"\midrule")
        if name:
            lines.append(rf"\multicolumn{{{len(heads)}}}{{l}}{{\textit{{{latex(name)}}}}} \\")
        lines += map(line, rows)
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\\ {{\footnotesize {latex(note)}}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_html(table: Table) -> str:
    """A `table` element; a group's name spans a row."""
    heads = table.heads()

    def line(cells: Sequence[str], tag: str) -> str:
        texts = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
        return f"<tr>{texts}</tr>"

    lines = ["<table>", f"<caption>{escape(table.title)}</caption>", line(heads, "th")]
    for name, rows in table.groups():
        if name:
            span = f'<th colspan="{len(heads)}">{escape(name)}</th>'
            lines.append(f"<tr>{span}</tr>")
        lines += [line(row, "td") for row in rows]
    notes = [f"<p>{escape(note)}</p>" for note in table.notes]
    return "\n".join([*lines, "</table>", *notes]) + "\n"


def escape(text: str) -> str:
    """A text that HTML shows as it is, in an element or in an attribute."""
    return html.escape(visible(text))


FORMS: dict[str, Callable[[Table], str]] = {
    "text": to_text,
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
    "html": to_html,
}
