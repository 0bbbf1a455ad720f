"""What the terminal shows of a study: its tables, in 80 columns if there are four sparsities, and the barriers."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from permask.errors import PermaskError
from permask.report.accuracy import accuracy_table
from permask.report.combinations import Parts, accuracies, rewinds_of
from permask.report.connectivity import barrier_sentence
from permask.report.measures import columns
from permask.report.origins import warning
from permask.report.outcomes import Outcomes
from permask.report.pooled import sentences_below
from permask.report.table import Cell, Table, TableRow
from permask.study.results import Results
from permask.study.steps.connect import PathPoint


def terminal(table: Table) -> RenderableType:
    """A table between its caption and its note; intervals stand below their differences."""
    return Group(Text(f"{table.said}\n", "bold"), grid(table), Text(f"\n{table.below}"))


def grid(table: Table, tight: bool = False) -> Grid:
    """The table alone.

    Args:
        table: What to show.
        tight: Whether rows are single lines and columns as close as they can be.
    """
    made = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0 if tight else 1, 0, 0))
    for number, heading in enumerate(table.headings):
        made.add_column(heading, justify="right" if number else "left", overflow="fold")
    for section in table.sections:
        for row in section:
            made.add_row(*_texts(row, tight), end_section=row is section[-1])
    return made


def summary(results: Results, rewind: int | None = None, *, corrected: bool = True) -> RenderableType:
    """The accuracies at a rewind epoch, the measures that belong below them, the other epochs, and the barriers.

    Args:
        results: Of the study.
        rewind: Which epoch; the middle one unless given.
        corrected: Whether bold is corrected for the number of differences in a table, by Holm's method.

    Raises:
        PermaskError: A rewind epoch that the study does not have.
    """
    if parts := results.combinations:
        return Group(_summary_of_combinations(parts, rewind, corrected), Text(warning(results)))
    outcomes = Outcomes.of_study(results, corrected)
    if rewind is not None and rewind not in outcomes.rewinds:
        raise PermaskError(f"rewind epoch {rewind}: this study has {', '.join(map(str, outcomes.rewinds)) or 'none'}")
    shown = outcomes.middle_rewind if rewind is None else rewind
    others = [str(epoch) for epoch in outcomes.rewinds if epoch != shown]
    notes = [
        *sentences_below(outcomes),
        f"Also trained from rewind epoch {', '.join(others)}: see the report." if others else "",
        barrier_sentence(results.of(PathPoint)),
        warning(results),
    ]
    below = columns(results, shown, corrected=corrected)
    further = [part for table in below for part in (Text(), terminal(table))]
    return Group(terminal(accuracy_table(outcomes, shown)), *further, *(Text(f"\n{note}") for note in notes if note))


def _summary_of_combinations(parts: Parts, rewind: int | None, corrected: bool) -> RenderableType:
    """The accuracies of every combination at a rewind epoch."""
    rewinds = rewinds_of(parts)
    if rewind is not None and rewind not in rewinds:
        raise PermaskError(f"rewind epoch {rewind}: this study has {', '.join(map(str, rewinds))}")
    shown = rewinds[len(rewinds) // 2] if rewind is None else rewind
    return Group(*(part for table in accuracies(parts, shown, corrected) for part in (terminal(table), Text())))


def _texts(row: TableRow, tight: bool) -> Iterator[str | Text]:
    stacked = not tight and any(cell.interval for cell in row.cells)
    yield row.name.replace(" −", "\n−").replace(" (", "\n(") if stacked else row.name
    for cell in row.cells:
        yield Text(cell.text if tight else _stacked(cell), "bold" if cell.is_emphasised else "")


def _stacked(cell: Cell) -> str:
    first = " ".join(filter(None, (cell.number, cell.remark)))
    return f"{first}\n{cell.interval}" if cell.interval else first
