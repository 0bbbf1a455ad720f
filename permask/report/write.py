"""Everything that a study leaves behind for its readers, in one folder."""

from pathlib import Path

from permask.report.figures import plots
from permask.report.page import page
from permask.study.results import Results


def write_report(results: Results, folder: Path) -> list[Path]:
    """Write results.csv, results.json, report.html and the figures as PNG and PDF.

    Args:
        results: Of the study.
        folder: Where to; it must exist. Files of the same names are replaced.

    Returns:
        The files, report.html first.
    """
    results.save(folder)
    pictures = plots(results)
    figures = [file for plot in pictures for file in plot.save(folder)]
    report = folder / "report.html"
    report.write_text(page(results, pictures), encoding="utf-8")
    return [report, folder / "results.csv", folder / "results.json", *figures]
