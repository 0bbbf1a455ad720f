"""Tables as Markdown."""

from permask.report.table import Table


def markdown(table: Table) -> str:
    """The table between its caption and its note."""
    head, *rows = table.lines
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join(filter(None, [table.said, text, table.note])) + "\n"
