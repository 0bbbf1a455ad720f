"""Our figures beside the paper's, for the conditions that a study has in common with what was published."""

from collections.abc import Sequence
from math import hypot

from permask.report.comparison import compare_with_means
from permask.report.markdown import markdown
from permask.report.numbers import percent, signed
from permask.report.published import PUBLISHED_STUDIES, SEEDS
from permask.report.statistics import Summary, half_width, welch_interval
from permask.report.table import Cell, Table, TableRow
from permask.study.results import Results

HEADINGS = ("method", "sparsity", "rewind epoch", "ours, %", "n", "published, %", "n", "ours − published")
FIRST, SECOND = "permuted", "naive"


def reproduction_table(results: Results) -> str | None:
    """A Markdown table; None if nothing was published that the study could be compared with."""
    rows = []
    for row in compare_with_means(results, PUBLISHED_STUDIES.get(results.name, {})):
        method, sparsity, rewind = row.condition
        condition = (percent(sparsity), "" if rewind is None else str(rewind))
        means = [cell for mean in (row.first, row.second) for cell in (Cell.of(mean), Cell(str(mean.n)))]
        rows.append(TableRow(method, [*map(Cell, condition), *means, Cell.of(welch_interval(row.first, row.second))]))
    return markdown(Table("", HEADINGS, [rows])) if rows else None


def published_power(name: str, pairs: int) -> str:
    """What pairs can tell of permuted − naive, going by the spreads that were published of a study.

    The spread of a difference within pairs is not published. That of two independent methods stands in for it,
    s² = s₁² + s₂². It is too large where a network B that suits one method suits the other, too. A half-width is
    Student's, t · s / √n.

    Args:
        name: Of a study of which spreads of both methods were published.
        pairs: That the study has.
    """
    both = _published_pairs(name)
    spreads = [hypot(first.std or 0, second.std or 0) for first, second in both]
    widths = {n: [half_width(spread, n) or 0 for spread in spreads] for n in (SEEDS, pairs)}
    differences = [first.mean - second.mean for first, second in both]
    said = [f"{_range(of)} with {n} pairs" for n, of in widths.items()]
    return (
        f"Power: by the published spreads, {FIRST} − {SECOND} spreads by {_range(spreads)} points if methods are "
        f"independent, and its 95% interval is ± {' and ± '.join(said)}. The published differences are "
        f"{signed(min(differences))} to {signed(max(differences))}."
    )


def _published_pairs(name: str) -> list[tuple[Summary, Summary]]:
    """What was published of both methods, spread included, at one sparsity and rewind epoch each."""
    known = PUBLISHED_STUDIES[name]
    both = [
        (mean, known[SECOND, sparsity, rewind])
        for (method, sparsity, rewind), mean in known.items()
        if method == FIRST and (SECOND, sparsity, rewind) in known
    ]
    return [(first, second) for first, second in both if first.std is not None and second.std is not None]


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"
