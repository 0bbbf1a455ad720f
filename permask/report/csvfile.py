"""Tables as CSV, for programs: a line per number, with all its digits."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from permask.report.table import Table

COLUMNS = ("table", "row", "column", "mean", "std", "low", "high", "n", "p")


def csv_lines(tables: Iterable[Table]) -> list[list[object]]:
    """In which table, row and column every number stands, and what it is."""
    return [
        [table.title, row.name, heading, *(vars(cell.value).get(key) for key in COLUMNS[3:])]
        for table in tables
        for row in table.rows
        for heading, cell in zip(table.headings[1:], row.cells, strict=True)
        if cell.value is not None
    ]


def write_lines(path: Path, columns: Sequence[str], lines: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file and return it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)
    return path
