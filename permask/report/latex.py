"""Tables of test accuracy in LaTeX, sparsity by method as in the paper; they need the package booktabs."""

from itertools import chain

from permask.report.statistics import Difference, Summary
from permask.report.tables import (
    DIFFERENCE,
    MISSING,
    NETWORK,
    AccuracyTable,
    fewer,
    format_difference,
    format_summary,
    percent,
    row_n,
)

_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    MISSING: "--",
}


def latex_tables(tables: list[AccuracyTable], study: str) -> str:
    """One floating table per rewind epoch that has sparse networks, to input into a document that loads booktabs."""
    return "% needs \\usepackage{booktabs}\n\n" + "\n".join(_table(table, study) for table in tables if table.methods)


def escape_latex(text: str) -> str:
    """Text as LaTeX sets it, signs of arithmetic included."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _table(table: AccuracyTable, study: str) -> str:
    n = row_n(list(chain(*table.methods.values(), table.difference)))
    headings = ["sparsity", NETWORK, *table.methods, *([DIFFERENCE] if table.difference else [])]
    rows = [
        [
            percent(sparsity),
            table.of_network[i],
            *(_cell(format_summary(cells[i]), cells[i], n) for cells in table.methods.values()),
            *(_cell(format_difference(d), d, n) for d in table.difference[i : i + 1]),
        ]
        for i, sparsity in enumerate(table.sparsities)
    ]
    label = f"tab:{study}" + ("" if table.rewind is None else f"-rewind-{table.rewind}")
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(_caption(table, study, n))}}}",
        rf"  \label{{{label}}}",
        r"  \smallskip\small",
        "",
        rf"  \begin{{tabular}}{{l{'c' * (len(headings) - 1)}}}",
        r"    \toprule",
        _line(headings),
        r"    \midrule",
        *map(_line, rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "    " + " & ".join(map(escape_latex, cells)) + r" \\"


def _cell(text: str, cell: Summary | Difference | None, n: int) -> str:
    return text + fewer(cell, n)


def _caption(table: AccuracyTable, study: str, n: int) -> str:
    at = "" if table.rewind is None else f" at rewind epoch {table.rewind}"
    runs = f": mean ± standard deviation over n = {n} training runs"
    dense = f" Dense networks: {format_summary(table.dense)} (n = {table.dense.n})." if table.dense else ""
    interval = f" {DIFFERENCE}: mean paired difference in points, Student's 95% interval." if table.difference else ""
    return f"Study {study}: test accuracy in %{at}{runs}.{dense}{interval}"
