"""Tables in LaTeX; they need the package booktabs."""

from collections.abc import Mapping

from permask.report.numbers import MISSING
from permask.report.table import Cell, Table

WIDE = 115  # characters across, from where on a table is set small to fit a page
BETWEEN = 3  # columns
_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    MISSING: "--",
}


def latex_file(tables: Mapping[str, Table]) -> str:
    """Floating tables by label, to input into a document that loads booktabs."""
    return "% needs \\usepackage{booktabs}\n\n" + "\n".join(latex(table, label) for label, table in tables.items())


def latex(table: Table, label: str) -> str:
    """One floating table, what stands below it in its caption."""
    across = sum(max(map(len, column)) + BETWEEN for column in zip(*table.lines, strict=True))
    size, first = (r"\scriptsize\setlength{\tabcolsep}{2.5pt}", "p{2.6cm}") if across > WIDE else (r"\small", "l")
    lines = [list(map(escape_latex, table.headings))]
    lines += [[escape_latex(row.name), *map(_set, row.cells)] for row in table.rows]
    head, *rows = (f"    {' & '.join(line)} \\\\" for line in lines)
    whole = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(f'{table.said} {table.below}'.strip())}}}",
        rf"  \label{{tab:{label}}}",
        rf"  \smallskip{size}",
        "",
        rf"  \begin{{tabular}}{{{first}{'c' * (len(table.headings) - 1)}}}",
        r"    \toprule",
        head,
        r"    \midrule",
        *rows,
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(whole) + "\n"


def _set(cell: Cell) -> str:
    text = escape_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.is_emphasised else text


def escape_latex(text: str) -> str:
    """Text as LaTeX sets it, signs of arithmetic included."""
    return "".join(_SPECIAL.get(character, character) for character in text)
