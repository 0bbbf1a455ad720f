"""What a study found: rows of every kind that its steps report, as a value and as files."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from permask.errors import PermaskError
from permask.files import UnreadableError, read_json
from permask.study.mistakes import show
from permask.study.rows import Row, column_of, write_csv
from permask.study.saved import check_saved, row_of
from permask.study.steps import MEASUREMENTS, reporting_kinds
from permask.study.steps.trained import Trained
from permask.study.sweep import label, products, slug, with_options
from permask.study.throughput import MeasuredThroughput

SCHEMA_VERSION = 1
# in the provenance of results:
LACKING = "missing"  # how many of the steps that a report tells of the store lacked, in words; only if it lacked some
SMOKE = "smoke"  # whether the study ran in its smallest form; only if it did
COMPUTED_WITH = "computed_with"  # name to value to how many steps were
IN_KEYS = "in_keys"  # name to value to the kinds of steps whose keys hold it; of what the study does not say
ALWAYS, KINDS = (
    tuple(dict.fromkeys([*(kind.ROW for kind in reporting_kinds(measure) if kind.ROW), MeasuredThroughput]))
    for measure in ((), MEASUREMENTS)
)

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Results:
    """All results of one study.

    Attributes:
        study: The study's name and complete specification.
        provenance: Versions, commit and hardware.
        rows: Of every kind, in the order of the names of their tables.
    """

    study: dict[str, object]
    provenance: dict[str, object]
    rows: Sequence[Row] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(sorted(self.rows, key=lambda row: row.table)))

    @property
    def name(self) -> str:
        """The study's."""
        return str(self.study["name"])

    def of(self, kind: type[R]) -> list[R]:
        """The rows of one kind."""
        return [row for row in self.rows if isinstance(row, kind)]

    @property
    def kinds(self) -> list[type[Row]]:
        """The kinds of its rows."""
        return list(dict.fromkeys(map(type, self.rows)))

    @property
    def computed_with(self) -> Mapping[str, Mapping[str, int]]:
        """Name to value to how many steps were computed with it; results of before tell it of networks alone."""
        told = self.provenance.get(COMPUTED_WITH)
        if isinstance(told, dict):
            return told
        networks, measured = self.of(Trained), self.of(MeasuredThroughput)
        rows = {"permask": networks, "commit": networks, "torch": networks}
        rows |= {"device": measured, "precision": measured, "compile": measured}
        return {name: Counter(str(getattr(row, name)) for row in of_name) for name, of_name in rows.items() if of_name}

    @property
    def missing(self) -> str:
        """How many results the store lacked when these were gathered, in words; empty if none."""
        return str(self.provenance.get(LACKING, ""))

    @property
    def is_smoke(self) -> bool:
        """Whether the study ran in its smallest form, whose numbers mean nothing."""
        return bool(self.provenance.get(SMOKE))

    @property
    def combinations(self) -> "dict[str, Results]":
        """By label, the results of every combination of what the study sweeps, as of a study that sweeps nothing.

        They are named after the study and the combination. Empty for a study that sweeps nothing.
        """
        made, sweep = {}, cast(Mapping[str, list[Any]], self.study.get("sweep") or {})
        for number, swept in enumerate(products(sweep) if sweep else (), 1):
            study = with_options({name: value for name, value in self.study.items() if name != "sweep"}, swept)
            study["name"] = f"{self.name}-{slug(number, swept)}"
            rows = [replace(row, swept={}) for row in self.rows if row.swept == swept]
            made[label(swept)] = Results(study, self.provenance, rows)
        return made

    def save(self, folder: Path) -> list[Path]:
        """Write `results.json` (everything) and a CSV file per table that has columns and rows.

        Returns:
            The files.
        """
        kinds = dict.fromkeys((*ALWAYS, *self.kinds))
        tables = {kind: self.of(kind) for kind in kinds}
        files = [
            write_csv(folder / csv_name(kind), kind, rows)
            for kind, rows in tables.items()
            if kind.columns() and (rows or kind is Trained)
        ]
        content: dict[str, object] = {"schema": SCHEMA_VERSION, "study": self.study, "provenance": self.provenance}
        content |= {kind.table: [row.saved for row in rows] for kind, rows in tables.items()}
        whole = folder / "results.json"
        whole.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return [*files, whole]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a `results.json`.

        Raises:
            PermaskError: A file that is missing or no results file of a schema version known here, a table that no
                kind of step reports, a row whose keys are not those of its table.
        """
        try:
            content = read_json(path)
        except UnreadableError as error:
            raise PermaskError(f"{path}: expected results saved by permask: {error.reason}") from error
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema not in (None, SCHEMA_VERSION):
            raise PermaskError(f"{path}: schema version {show(schema)}, this permask reads version {SCHEMA_VERSION}")
        check_saved(content, path)
        study, provenance, _ = (content.pop(name) for name in ("study", "provenance", "schema"))
        kinds = {kind.table: kind for kind in KINDS}
        if unknown := content.keys() - kinds.keys():
            raise PermaskError(f"{path}: table {min(unknown)!r}: expected one of {', '.join(kinds)}")
        swept = {column_of(option): option for option in study.get("sweep", {})}
        rows = [
            _row(kinds[table], keys, swept, f"{path}: table {table!r}", number)
            for table, listed in content.items()
            for number, keys in enumerate(listed, 1)
        ]
        return cls(study, provenance, rows)


def slug_of(results: Results, part: Results) -> str:
    """What tells a combination of what a study sweeps in names of files."""
    return part.name.removeprefix(f"{results.name}-")


def csv_name(kind: type[Row]) -> str:
    """The CSV file of a table."""
    return f"{'results' if kind is Trained else kind.table}.csv"


def _row(kind: type[R], saved: dict[str, object], swept: Mapping[str, str], where: str, number: int) -> R:
    """A row from the keys that it was saved with; those with a default may be absent."""
    values = {swept[name]: value for name, value in saved.items() if name in swept}
    keys = {name: value for name, value in saved.items() if name not in swept}
    known = {column.name: column.default is MISSING for column in fields(kind) if "swept" not in column.metadata}  # pyright: ignore[reportArgumentType]
    if unknown := keys.keys() - known.keys():
        raise PermaskError(f"{where}: unknown key {min(unknown)!r}; expected {', '.join(known)}")
    if missing := [name for name, required in known.items() if required and name not in keys]:
        raise PermaskError(f"{where}: a row without the key {missing[0]!r}")
    return row_of(kind, {**keys, "swept": values}, f"{where}: row {number}")
