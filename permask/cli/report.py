"""`permask report`: tables, figures and the page of a study that has been computed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permask.cli.boundary import printable
from permask.errors import PermaskError

if TYPE_CHECKING:
    from permask.study.results import Results

FORMATS = ("pdf", "png", "svg")
MORE = typer.Argument(
    help="More results of the same study with other pairs, to be joined with the first; or, after a study file, "
    "changes to it, such as pairs=3.",
    metavar="[RESULTS ... | key=value ...]",
    show_default=False,
)
SOURCE = typer.Argument(
    help="A results.json, a folder that has one, or a study file (YAML) whose results are in --store.",
    metavar="RESULTS",
)


def report(
    source: Annotated[Path, SOURCE],
    more: Annotated[list[str] | None, MORE] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="FOLDER",
            help="For a study file: the store, which is the folder that keeps the result of every step. "
            "[default: store]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Where to write the report. [default: the folder of the first RESULTS; results/NAME for a study file]",
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        list[Path] | None,
        typer.Option(
            "--width", metavar="RESULTS", help="Results at another width, for figures against width; repeatable."
        ),
    ] = None,
    rewind: Annotated[
        int | None,
        typer.Option(
            "--rewind",
            metavar="EPOCH",
            help="The rewind epoch whose table is printed. [default: the middle one]",
            show_default=False,
        ),
    ] = None,
    holm: Annotated[
        bool, typer.Option(help="Correct the p-values that decide what is bold for all cells of a table (Holm 1979).")
    ] = True,
) -> None:
    """Write the page, the tables (Markdown, LaTeX, CSV) and the figures (PDF, PNG, SVG) of a study; print its table.

    Examples:

    `permask report permask-demo`

    `permask report studies/digits.yaml`

    `permask report monday/results.json elsewhere/results.json --out all-pairs`

    `permask report results/narrow --width results/wide --width results/wider --out results/widths`

    Several RESULTS of one study, each with other pairs of networks, are joined: the report is that of all pairs. The
    studies may differ only in pairs and first_seed, and must have been computed alike.
    """
    from permask.cli.output import plain_console, write_together
    from permask.extras import require

    require("matplotlib", "the report of a study")
    from permask.report.terminal import summary
    from permask.report.widths import plots_against_width
    from permask.report.write import write_report, write_tables
    from permask.study.join import JOINED, joined

    overrides = [given for given in more or [] if "=" in given and not Path(given).exists()]
    further = [Path(given) for given in more or [] if given not in overrides]
    results = _results(source, overrides, store)
    others = [_results(path, [], None) for path in width or []]
    folder = out or _folder(source, results)
    if further:
        results = joined({str(source): results} | {str(path): _results(path, [], None) for path in further})
        if out is None and (folder / "results.json").exists():
            raise PermaskError(f"{folder / 'results.json'}: would be replaced; choose another folder with --out")
    against_width = plots_against_width([results, *others]) if others else []
    console = plain_console()
    if further:
        console.print(f"joined: {results.provenance[JOINED]}", soft_wrap=True)
    console.print(summary(results, rewind, corrected=holm))

    def write(into: Path) -> list[Path]:
        reported = write_report(results, into, FORMATS, against_width, corrected=holm)
        return reported + write_tables(results, into, corrected=holm)

    files = write_together(folder, write)
    console.print("\nwrote " + printable(", ".join(map(str, files))), soft_wrap=True)


def _folder(source: Path, results: "Results") -> Path:
    """Where a report goes unless it is said: beside the results, or where `permask run` writes those of a study."""
    if _is_study(source):
        return Path("results") / results.name
    return source if source.is_dir() else source.parent


def _is_study(source: Path) -> bool:
    return source.suffix in {".yaml", ".yml"}


def _results(source: Path, overrides: list[str], store: Path | None) -> "Results":
    """What a results file says, or what a store has of a study."""
    from permask.study.results import Results

    if not _is_study(source):
        if overrides or store:
            raise PermaskError(f"{source}: --store and key=value belong to a study file (YAML)")
        return Results.load(source / "results.json" if source.is_dir() else source)
    from permask.cli.prepare import open_with_bars, plan_as_computed
    from permask.study.collect import collect
    from permask.study.store import Store

    there = Store(store or Path("store"), existing=True)
    return collect(plan_as_computed(open_with_bars(source, overrides), there), there)
