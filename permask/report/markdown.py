"""Tables as Markdown."""

from permask.report.table import Cell, Table


def markdown(table: Table) -> str:
    """The table between its caption and what stands below it."""
    head = [list(table.headings), ["---", *["---:"] * (len(table.headings) - 1)]]
    lines = [*head, *([row.name, *map(_set, row.cells)] for row in table.rows)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join(filter(None, [table.said, text, table.below])) + "\n"


def _set(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.is_emphasised else cell.text
