"""A table of measurements as a value, rendered as Markdown, LaTeX and CSV; the page renders it as HTML."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from permask.report.latex import escape_latex
from permask.report.statistics import Difference, Summary
from permask.report.tables import MISSING, format_difference, format_summary

WIDE = 6  # columns, from where on a table is set small to fit a page
CSV_COLUMNS = ("table", "row", "column", "mean", "std", "low", "high", "n")


@dataclass(frozen=True)
class Cell:
    """What a table says in one place.

    Attributes:
        text: As it is shown.
        value: What it is made from, for files that machines read; None for text.
    """

    text: str
    value: Summary | Difference | None = None

    @classmethod
    def of(cls, summary: Summary | None, digits: int = 2) -> "Cell":
        """`97.22 ± 0.31`; a dash for what is missing."""
        return cls(format_summary(summary, digits), summary)

    @classmethod
    def between(cls, difference: Difference | None, digits: int = 2) -> "Cell":
        """`+2.60 [1.65, 3.55]`; a dash for what is missing."""
        return cls(format_difference(difference, digits), difference)


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        title: What sets it apart from others of its kind, such as a sparsity; may be empty.
        caption: What the numbers are.
        headings: Of the columns; the first is that of the rows' names.
        rows: Name to a cell per further column.
    """

    title: str
    caption: str
    headings: tuple[str, ...]
    rows: dict[str, tuple[Cell, ...]]

    @property
    def said(self) -> str:
        """Title and caption."""
        return f"{self.title}: {self.caption}" if self.title else f"{self.caption[:1].upper()}{self.caption[1:]}"

    def without_empty_columns(self) -> "Sheet":
        """The table without the columns that have nothing to say."""
        kept = [
            i
            for i in range(len(self.headings) - 1)
            if any(row[i].text not in ("", MISSING) for row in self.rows.values())
        ]
        rows = {name: tuple(row[i] for i in kept) for name, row in self.rows.items()}
        return Sheet(self.title, self.caption, (self.headings[0], *(self.headings[i + 1] for i in kept)), rows)


def write_sheets(sheets: Sequence[Sheet], study: str, folder: Path, name: str) -> list[Path]:
    """Write tables of one kind as Markdown, LaTeX and CSV, and return the files."""
    files = [folder / f"{name}{end}" for end in (".md", ".tex", "_table.csv")]
    files[0].write_text("\n".join(map(markdown, sheets)), encoding="utf-8")
    latex = (_latex(sheet, study, f"{name}-{number}") for number, sheet in enumerate(sheets, 1))
    files[1].write_text("% needs \\usepackage{booktabs}\n\n" + "\n".join(latex), encoding="utf-8")
    with files[2].open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(_lines(sheets))
    return files


def markdown(sheet: Sheet) -> str:
    """The table below its title and caption."""
    head = [list(sheet.headings), ["---", *["---:"] * (len(sheet.headings) - 1)]]
    lines = [*head, *([name, *(cell.text for cell in row)] for name, row in sheet.rows.items())]
    return f"{sheet.said}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _latex(sheet: Sheet, study: str, label: str) -> str:
    wide = len(sheet.headings) > WIDE
    lines = [[name, *(cell.text for cell in row)] for name, row in sheet.rows.items()]
    body = [f"    {' & '.join(map(escape_latex, line))} \\\\" for line in [list(sheet.headings), *lines]]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape_latex(f'Study {study}. {sheet.said}')}}}",
            rf"  \label{{tab:{study}-{label}}}",
            r"  \smallskip" + (r"\scriptsize\setlength{\tabcolsep}{2.5pt}" if wide else r"\small"),
            "",
            rf"  \begin{{tabular}}{{{'p{2.6cm}' if wide else 'l'}{'c' * (len(sheet.headings) - 1)}}}",
            r"    \toprule",
            body[0],
            r"    \midrule",
            *body[1:],
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _lines(sheets: Iterable[Sheet]) -> Iterable[list[object]]:
    """A line per number: in which table, row and column it stands, and what it is."""
    for sheet in sheets:
        for name, row in sheet.rows.items():
            for heading, cell in zip(sheet.headings[1:], row, strict=True):
                if cell.value is not None:
                    has = vars(cell.value)
                    numbers = (has.get(key) for key in ("mean", "std", "low", "high", "n"))
                    yield [sheet.title, name, heading, *numbers]
