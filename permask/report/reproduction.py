"""Our figures beside the paper's, for the cells that a study has in common with what was published."""

from permask.report.comparison import compare_with_means
from permask.report.published import PUBLISHED_STUDIES
from permask.report.statistics import welch_interval
from permask.report.tables import format_difference, format_summary, percent
from permask.study.results import Results

HEADINGS = ("method", "sparsity", "rewind epoch", "ours, %", "n", "published, %", "n", "ours − published")


def reproduction_table(results: Results) -> str | None:
    """A Markdown table with a line per cell; None if nothing was published that the study could be compared with."""
    rows = compare_with_means(results, PUBLISHED_STUDIES.get(results.name, {}))
    if not rows:
        return None
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1))]
    for row in rows:
        method, sparsity, rewind = row.cell
        lines.append(
            (
                method,
                percent(sparsity),
                "" if rewind is None else str(rewind),
                format_summary(row.first),
                str(row.first.n),
                format_summary(row.second),
                str(row.second.n),
                format_difference(welch_interval(row.first, row.second)),
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
