"""Tables as HTML."""

from html import escape

from permask.report.table import Cell, Table, TableRow


def html(table: Table) -> str:
    """The table below its caption; it scrolls sideways where the screen is narrower.

    What `data-` attributes say is for the page's script: the method that a row is about, the runs behind a number.
    """
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in table.headings)
    bodies = "".join(f"<tbody>{''.join(map(_row, section))}</tbody>" for section in table.sections)
    label = escape(f"{table.said} {table.note}".strip())
    return (
        f'<p class="caption">{label}</p><div class="wide" role="region" aria-label="{label}" tabindex="0">'
        f'<table aria-label="{label}"><thead><tr>{head}</tr></thead>{bodies}</table></div>\n'
    )


def unfold(heading: str, body: str, shown: bool = False) -> str:
    """Something that shows when it is asked for, or from the start."""
    return f"<details{' open' * shown}><summary>{escape(heading)}</summary>{body}</details>\n"


def _row(row: TableRow) -> str:
    about = f' data-method="{escape(row.method)}"' if row.method else ' class="caption"' * row.is_subheading
    return f'<tr{about}><th scope="row">{escape(row.name)}</th>{"".join(map(_cell, row.cells))}</tr>\n'


def _cell(cell: Cell) -> str:
    """A cell; the interval of a difference stands below it."""
    text = escape(" ".join(filter(None, (cell.number, cell.remark))))
    if cell.is_key:
        text = f"<code>{text}</code>"
    if cell.interval:
        text += f" <small>{escape(cell.interval)}</small>"
    if not cell.runs:
        return f"<td>{text}</td>"
    ((_, sparsity, rewind), *_) = cell.runs
    methods = escape("|".join(method for method, _, _ in cell.runs))
    place = f'data-sparsity="{sparsity}" data-rewind="{"" if rewind is None else rewind}"'
    return f'<td data-runs="{methods}" {place}>{text}</td>'
