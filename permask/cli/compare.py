"""`permask compare`: two results, cell by cell."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permask.errors import PermaskError

if TYPE_CHECKING:
    from rich.table import Table

    from permask.report.comparison import Compared
    from permask.study.results import Results

PAPER = "paper"
MEANS = ("first", "first_std", "first_n", "second", "second_std", "second_n")
COLUMNS = ("method", "sparsity", "rewind", *MEANS, "difference", "low", "high", "paired")


def compare(
    first: Annotated[Path, typer.Argument(help="results.json, or a folder that holds one.", metavar="FIRST")],
    second: Annotated[str, typer.Argument(help=f"Another one, or `{PAPER}`: the published table.", metavar="SECOND")],
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV file to write the comparison to.", show_default=False)
    ] = None,
) -> None:
    """Compare the accuracies of two results, second − first, with 95% intervals; paired where seeds are equal.

    Examples:

    `permask compare results/monday results/tuesday`

    `permask compare results/resnet20 paper`
    """
    from rich.console import Console

    from permask.report import comparison
    from permask.report.published import PUBLISHED, TITLE

    here = _load(first)
    if second == PAPER:
        found, name = comparison.compare_with_means(here, PUBLISHED), TITLE
        notes = [f"{TITLE}, against {_trained(here)}."]
    else:
        there = _load(Path(second))
        found, name = comparison.compare(here, there), second
        notes = _differing(here, there)
    if not found:
        raise PermaskError(f"{first} and {name} have no method, sparsity and rewind epoch in common")
    console = Console()
    console.print("Test accuracy in %, mean ± standard deviation; second − first with its 95% interval.\n")
    console.print(_table(found))
    console.print()
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True, markup=False)
    if out:
        try:
            _write(found, out)
        except OSError as error:
            raise PermaskError(
                f"{out}: cannot write there: {error.strerror}; choose another file with --out"
            ) from error
        console.print(f"wrote {out}", highlight=False, soft_wrap=True)


def _load(path: Path) -> "Results":
    from permask.study.results import Results

    return Results.load(path / "results.json" if path.is_dir() else path)


def _trained(results: "Results") -> str:
    from permask.study.steps.trained import Trained

    return ", ".join(sorted({f"{row.network} on {row.dataset}" for row in results.of(Trained)}))


def _differing(first: "Results", second: "Results") -> list[str]:
    """In what the two were computed differently."""
    lines = [
        f"{name}: {here.get(key, '–')} / {there.get(key, '–')}"
        for name_of, here, there in (("", first.provenance, second.provenance), ("study ", first.study, second.study))
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
        for name in [f"{name_of}{key}"]
    ]
    return lines or ["Computed with equal versions, on equal machines, from equal specifications."]


def _table(found: "list[Compared]") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from permask.report.tables import format_difference, format_summary, percent

    # narrow enough for 80 columns
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    for heading in ("method", "sparsity", "rewind", "first", "second", "second − first", "n"):
        table.add_column(heading, justify="left" if heading == "method" else "right", overflow="fold")
    for row in found:
        method, sparsity, rewind = row.cell
        table.add_row(
            method,
            percent(sparsity),
            "–" if rewind is None else str(rewind),
            format_summary(row.first),
            format_summary(row.second),
            format_difference(row.difference),
            f"{row.difference.n} pairs" if row.paired else f"{row.first.n}, {row.second.n}",
            style="bold" if row.difference.excludes_zero else "",
        )
    return table


def _write(found: "list[Compared]", path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in found:
            means = [value for s in (row.first, row.second) for value in (s.mean, s.std, s.n)]
            difference = row.difference
            writer.writerow([*row.cell, *means, difference.mean, difference.low, difference.high, row.paired])
