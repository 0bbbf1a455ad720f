"""`permask compare`: two results, cell by cell."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permask.cli.boundary import printable
from permask.errors import PermaskError

if TYPE_CHECKING:
    from permask.report.comparison import Compared
    from permask.study.results import Results

PAPER = "paper"
MEANS = ("first", "first_std", "first_n", "second", "second_std", "second_n")
COLUMNS = ("method", "sparsity", "rewind", *MEANS, "difference", "low", "high", "paired")


def compare(
    first: Annotated[Path, typer.Argument(help="A results.json, or a folder that has one.", metavar="FIRST")],
    second: Annotated[
        str, typer.Argument(help=f"Another one, or `{PAPER}` for the published table.", metavar="SECOND")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.csv", help="Where to write the comparison.", show_default=False),
    ] = None,
) -> None:
    """Compare the accuracies of two results: SECOND − FIRST, with 95% intervals.

    Examples:

    `permask compare results/monday results/tuesday`

    `permask compare results/resnet20 paper`

    Differences are paired where both results have the same seeds.
    """
    from permask.cli.output import plain_console
    from permask.extras import require

    require("matplotlib", "the comparison of results")
    from permask.report import comparison
    from permask.report.csvfile import write_lines
    from permask.report.published import PUBLISHED, TITLE
    from permask.report.terminal import grid

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
    console = plain_console()
    table = comparison.comparison_table(found)
    console.print(f"{table.caption}\n", grid(table, tight=True), "", sep="\n")
    for note in notes:
        console.print(note, soft_wrap=True)
    if out:
        try:
            write_lines(out, COLUMNS, map(_line, found))
        except OSError as error:
            raise PermaskError(
                f"{out}: cannot write there: {error.strerror}; choose another file with --out"
            ) from error
        console.print(f"wrote {printable(str(out))}", soft_wrap=True)


def _load(path: Path) -> "Results":
    from permask.study.results import Results, slug_of

    results = Results.load(path / "results.json" if path.is_dir() else path)
    if combinations := results.combinations:
        names = ", ".join(slug_of(results, part) for part in combinations.values())
        raise PermaskError(f"{path}: expected results of one combination of options, found several: compare {names}")
    return results


def _trained(results: "Results") -> str:
    from permask.study.steps.trained import Trained

    return ", ".join(sorted({f"{row.network} on {row.dataset}" for row in results.of(Trained)}))


def _differing(first: "Results", second: "Results") -> list[str]:
    """In what the two were computed differently."""
    lines = [
        f"{name}: {here.get(key, '–')} / {there.get(key, '–')}"
        for name_of, here, there in (("", _origin(first), _origin(second)), ("study ", first.study, second.study))
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
        for name in [f"{name_of}{key}"]
    ]
    return lines or ["Computed with equal versions, on equal machines, from equal specifications."]


def _origin(results: "Results") -> dict[str, object]:
    """What results say of where they come from; of their steps the values, and not how many there are of each."""
    from permask.report.origins import origins
    from permask.study.results import COMPUTED_WITH, IN_KEYS

    told = {name: value for name, value in results.provenance.items() if name not in (COMPUTED_WITH, IN_KEYS)}
    return told | {f"steps by {name}": ", ".join(sorted(values)) for name, values in origins(results).items()}


def _line(row: "Compared") -> tuple[object, ...]:
    """What a CSV file says of a condition."""
    means = [value for s in (row.first, row.second) for value in (s.mean, s.std, s.n)]
    return (*row.condition, *means, row.difference.mean, row.difference.low, row.difference.high, row.paired)
