"""Which differences of a table stand in bold: those that are told from zero, for all the cells that there are."""

from dataclasses import replace

from permask.report.statistics import Difference, holm
from permask.report.table import Cell, Table

LEVEL = 0.05


def emphasised(table: Table, corrected: bool = True) -> Table:
    """The table with differences in bold whose t-test is significant, and a sentence that says so.

    Args:
        table: Any; one without differences stays as it is.
        corrected: Whether p-values are adjusted by Holm's method for the number of differences in the table.
    """
    found = [p for row in table.rows for cell in row.cells if (p := p_of(cell)) is not None]
    if not found:
        return table
    p_values = iter(holm(found) if corrected else found)

    def judged(cell: Cell) -> Cell:
        return cell if p_of(cell) is None else replace(cell, is_emphasised=next(p_values) < LEVEL)

    sections = [
        [replace(row, cells=[judged(cell) for cell in row.cells]) for row in section] for section in table.sections
    ]
    many = f" for the {len(found)} differences of this table"
    how = f", after Holm's correction{many}; intervals are not corrected" if corrected else f", not corrected{many}"
    said = f"Bold: significant at {LEVEL:.0%} by the t-test{how if len(found) > 1 else ''}."
    return replace(table, sections=sections, bold=said)


def p_of(cell: Cell) -> float | None:
    """The p-value of a difference in a table; None for any other cell."""
    return cell.value.p if isinstance(cell.value, Difference) else None
