"""A table as a value. Each format has one function that renders it: `markdown`, `latex`, `html`, `terminal`, `csv`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from permask.report.numbers import MISSING, format_interval, format_summary, signed
from permask.report.outcomes import Condition
from permask.report.statistics import Difference, Summary, holm

LEVEL = 0.05  # below which a p-value is significant


@dataclass(frozen=True)
class Cell:
    """What a table says in one place.

    Attributes:
        number: What stands first: a number, or any text.
        interval: Of a difference; empty otherwise.
        remark: That it rests on another number of values than its row says; empty otherwise.
        value: What it is made from; None for text.
        runs: The conditions whose runs it rests on, where a page is to show them.
        is_key: Whether it is the key of a step.
        is_emphasised: Whether it stands in bold, as a difference that is told from zero.
    """

    number: str
    interval: str = ""
    remark: str = ""
    value: Summary | Difference | None = None
    runs: tuple[Condition, ...] = ()
    is_key: bool = False
    is_emphasised: bool = False

    @classmethod
    def of(
        cls, value: Summary | Difference | None, digits: int = 2, n: int = 0, runs: tuple[Condition, ...] = ()
    ) -> "Cell":
        """`97.22 ± 0.31` or `+2.60 [1.65, 3.55]`; a dash for what is missing.

        Args:
            value: What to say.
            digits: Behind the point.
            n: How many values its row rests on.
            runs: As of `Cell`.
        """
        if value is None:
            return cls(MISSING)
        remark = f"(n = {value.n})" if n and value.n != n else ""
        if isinstance(value, Difference):
            return cls(signed(value.mean, digits), format_interval(value, digits), remark, value, runs)
        return cls(format_summary(value, digits), "", remark, value, runs)

    @property
    def text(self) -> str:
        """All that it says, in one line."""
        return " ".join(filter(None, (self.number, self.interval, self.remark)))


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes:
        name: Its heading.
        cells: One per further column.
        method: The method that it is about, where a page can leave methods out; empty otherwise.
        is_subheading: Whether it says more about the columns, as the headings do.
    """

    name: str
    cells: Sequence[Cell]
    method: str = ""
    is_subheading: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What the numbers are; may be empty.
        headings: Of the columns; the first is that of the rows' names.
        sections: Its rows, in sections that a line parts.
        title: What sets it apart from others of its kind, such as a sparsity; may be empty.
        note: What stands below it; may be empty.
        bold: What it means that cells stand in bold; empty where none could.
    """

    caption: str
    headings: Sequence[str]
    sections: Sequence[Sequence[TableRow]]
    title: str = ""
    note: str = ""
    bold: str = ""

    @property
    def rows(self) -> list[TableRow]:
        """Those of all sections."""
        return [row for section in self.sections for row in section]

    @property
    def said(self) -> str:
        """Title and caption."""
        return f"{self.title}: {self.caption}" if self.title else f"{self.caption[:1].upper()}{self.caption[1:]}"

    @property
    def below(self) -> str:
        """Its note, and what bold means."""
        return f"{self.note} {self.bold}".strip()

    @property
    def lines(self) -> list[list[str]]:
        """Headings and rows as text."""
        return [list(self.headings), *([row.name, *(cell.text for cell in row.cells)] for row in self.rows)]


def most_values(values: Iterable[Summary | Difference | None]) -> int:
    """How many values the cells of a row rest on, at most."""
    return max((value.n for value in values if value), default=0)


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
