"""Our figures beside the paper's, for the conditions that a study has in common with what was published."""

from permask.report.comparison import compare_with_means
from permask.report.markdown import markdown
from permask.report.numbers import percent
from permask.report.published import PUBLISHED_STUDIES
from permask.report.statistics import welch_interval
from permask.report.table import Cell, Table, TableRow
from permask.study.results import Results

HEADINGS = ("method", "sparsity", "rewind epoch", "ours, %", "n", "published, %", "n", "ours − published")


def reproduction_table(results: Results) -> str | None:
    """A Markdown table; None if nothing was published that the study could be compared with."""
    rows = []
    for row in compare_with_means(results, PUBLISHED_STUDIES.get(results.name, {})):
        method, sparsity, rewind = row.condition
        condition = (percent(sparsity), "" if rewind is None else str(rewind))
        means = [cell for mean in (row.first, row.second) for cell in (Cell.of(mean), Cell(str(mean.n)))]
        rows.append(TableRow(method, [*map(Cell, condition), *means, Cell.of(welch_interval(row.first, row.second))]))
    return markdown(Table("", HEADINGS, [rows])) if rows else None
