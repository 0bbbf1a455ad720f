"""Rows of results: each kind of step says in a dataclass what it reports, and all of them are saved in one way."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

Percent = Annotated[float, Field(ge=0, le=100)]
Part = Annotated[float, Field(ge=0, le=1)]  # such as a sparsity
Number = Annotated[int, Field(ge=0, lt=2**63)]  # of a pair, or of how many there are
Line = Mapping[str, object]  # column to value


def varies() -> Any:
    """A field that differs between two runs of one study, such as seconds: results.json has it, no CSV file does."""
    return field(default=None, metadata={"varies": True})


def sometimes() -> Any:
    """A field that only some studies measure, such as the perplexity of text: None, and no column, where none does."""
    return field(default=None, metadata={"sometimes": True})


def unlisted() -> Any:
    """A field that results.json has where there is a value, and no CSV file does, such as a bit for every image."""
    return field(default=None, metadata={"unlisted": True})


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a step reports: one line of one table of the results.

    A subclass is a frozen dataclass of keyword arguments that names its table in `table`. Its fields are the columns,
    in order; `step`, the key of the step in the store, is one of them. `column` may name a measure of rows that have
    `method`, `sparsity`, `rewind` and `pair`: reports show it in a table of its own below that of the accuracies.

    Attributes:
        swept: Of a study that sweeps options: option, with dots, to its value here. Each is a column behind the others.
    """

    table: ClassVar[str]
    column: ClassVar[str] = ""
    swept: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata={"swept": True})
    if TYPE_CHECKING:
        step: str  # every subclass has it, in its place among the columns

    @classmethod
    def columns(cls) -> list[str]:
        """The columns that the CSV file always has."""
        return [column.name for column in fields(cls) if not column.metadata]  # pyright: ignore[reportArgumentType]

    @classmethod
    def sometimes(cls) -> list[str]:
        """The columns behind them that it has where a row has a value in them."""
        return cls._marked("sometimes")

    @classmethod
    def _marked(cls, mark: str) -> list[str]:
        return [column.name for column in fields(cls) if column.metadata.get(mark)]  # pyright: ignore[reportArgumentType]

    @property
    def saved(self) -> dict[str, object]:
        """The row in results.json, less what only some studies measure where it was not."""
        optional = (*self.sometimes(), *self._marked("unlisted"))
        left_out = {"swept", *(name for name in optional if getattr(self, name) is None)}
        return {name: value for name, value in vars(self).items() if name not in left_out} | dict(self.swept_columns)

    @property
    def swept_columns(self) -> Line:
        """Column to value of what the study sweeps."""
        return {column_of(option): value for option, value in self.swept.items()}

    def lines(self) -> list[Line]:
        """The row in the CSV file: one line, or one for each of its parts."""
        return [{name: getattr(self, name) for name in (*self.columns(), *self.sometimes())}]


@dataclass(frozen=True, kw_only=True)
class PairRow(Row):
    """A row about one pair of networks: the number of the pair, from 0, and the seeds of A and B."""

    pair: Number
    seed_a: Number
    seed_b: Number


def write_csv(path: Path, table: type[Row], rows: Sequence[Row]) -> Path:
    """Write the rows of a table as a CSV file."""
    measured = [name for name in table.sometimes() if any(getattr(row, name) is not None for row in rows)]
    swept = list(rows[0].swept_columns) if rows else []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*table.columns(), *measured, *swept], lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            values = {name: as_cell(value) for name, value in row.swept_columns.items()}
            writer.writerows({**line, **values} for line in row.lines())
    return path


def column_of(option: str) -> str:
    """The column of a swept option: its name, or `sweep.epochs` for one without dots, as rows have `epochs` already."""
    return option if "." in option else f"sweep.{option}"


def as_cell(value: Any) -> Any:
    """A value as CSV has it: JSON where it is a list or a mapping, true and false as in JSON."""
    return json.dumps(value) if isinstance(value, bool | list | tuple | dict) else value
