"""Everything that a study leaves behind for its readers, in one folder."""

import csv
from collections.abc import Sequence
from pathlib import Path

from permask.report.analyses import analyses
from permask.report.figures import plots
from permask.report.latex import latex_tables
from permask.report.outcomes import Outcomes
from permask.report.page import page
from permask.report.plot import Plot
from permask.report.sheet import write_sheets
from permask.report.statistics import bootstrap_interval, t_interval
from permask.report.tables import AccuracyTable, markdown_table
from permask.study.results import Results
from permask.study.steps.trained import Trained

# differences that accuracy_differences.csv tells: what the permutation gains, and what a ticket's own network has left
COMPARED = (("permuted", "naive"), ("lth", "permuted"))


def write_report(
    results: Results, folder: Path, formats: tuple[str, ...] = ("png", "pdf"), more: Sequence[Plot] = ()
) -> list[Path]:
    """Write the results, report.html and the figures.

    Args:
        results: Of the study.
        folder: Where to; it must exist. Files of the same names are replaced.
        formats: Of the figures: png, pdf, svg.
        more: Figures to show besides those of the results.

    Returns:
        The files, report.html first.
    """
    saved = results.save(folder)
    pictures, further = [*plots(results), *more], analyses(results)
    drawn = [*pictures, *(plot for analysis in further for plot in analysis.plots)]
    figures = [file for plot in drawn for file in plot.save(folder, formats)]
    report = folder / "report.html"
    report.write_text(page(results, pictures, further), encoding="utf-8")
    return [report, *saved, *figures]


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Write all tables as Markdown, LaTeX and CSV, and paired differences with both kinds of interval.

    Args:
        results: Of the study.
        folder: Where to; it must exist. Files of the same names are replaced.

    Returns:
        The files.
    """
    outcomes = Outcomes.of(results.of(Trained))
    tables = [AccuracyTable.of(outcomes, rewind) for rewind in outcomes.rewinds or (None,)]
    markdown, latex, cells, differences = (
        folder / f"accuracy{end}" for end in (".md", ".tex", ".csv", "_differences.csv")
    )
    markdown.write_text("\n".join(markdown_table(table) for table in tables), encoding="utf-8")
    latex.write_text(latex_tables(tables, results.name), encoding="utf-8")
    _write_cells(outcomes, cells)
    _write_differences(outcomes, differences)
    further = [file for a in analyses(results) for file in write_sheets(a.sheets, results.name, folder, a.name)]
    return [markdown, latex, cells, differences, *further]


def _write_cells(outcomes: Outcomes, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["method", "sparsity", "rewind", "mean", "std", "n"])
        for method, sparsity, rewind in outcomes.cells:
            summary = outcomes.summary(method, sparsity, rewind)
            if summary:
                writer.writerow([method, sparsity, rewind, summary.mean, summary.std, summary.n])


def _write_differences(outcomes: Outcomes, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        bounds = ["t_low", "t_high", "bootstrap_low", "bootstrap_high"]
        writer.writerow(["first", "second", "sparsity", "rewind", "mean", *bounds, "n"])
        for first, second in COMPARED:
            for rewind in outcomes.rewinds:
                for sparsity in outcomes.sparsities:
                    values = outcomes.differences(first, second, sparsity, rewind)
                    if values:
                        t, bootstrap = t_interval(values), bootstrap_interval(values)
                        ends = [t.low, t.high, bootstrap.low, bootstrap.high]
                        writer.writerow([first, second, sparsity, rewind, t.mean, *ends, t.n])
