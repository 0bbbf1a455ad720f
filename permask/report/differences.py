"""Differences of methods within pairs of seeds, against sparsity: in points, and as the share of a gap that they close.

The gap is that between `naive` and `lth`. A method closes (method − naive) / (lth − naive) of it, pair by pair. Where
lth is hardly above naive such a share means nothing, so these pairs are left out, and counted.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from permask.report.numbers import percent
from permask.report.outcomes import Outcomes
from permask.report.panels import SPARSITY, Line, draw_lines, sparsity_ticks
from permask.report.plot import Plot
from permask.report.statistics import Difference, Summary, t_interval
from permask.report.style import styles
from permask.report.table import Cell, Table, TableRow, most_values

TOP, BOTTOM = "lth", "naive"
LEAST = 0.5  # points between the two: of a smaller gap no share is told
SHOWN = (-100, 200)  # percent, at most: a method far below naive would flatten all others
INTERVAL = "Student's 95% interval"


def gap_closed(
    outcomes: Outcomes, method: str, sparsity: float, rewind: int | None
) -> tuple[Difference | None, int, int]:
    """Percent of the gap that a method closes with its 95% interval, the pairs left out, and the pairs there are."""
    own, top, bottom = (outcomes.by_pair(name, sparsity, rewind) for name in (method, TOP, BOTTOM))
    pairs = [pair for pair in own if pair in top and pair in bottom]
    wide = [pair for pair in pairs if top[pair] - bottom[pair] >= LEAST]
    shares = [100 * (own[pair] - bottom[pair]) / (top[pair] - bottom[pair]) for pair in wide]
    return t_interval(shares) if shares else None, len(pairs) - len(wide), len(pairs)


def gap_methods(outcomes: Outcomes) -> list[str]:
    """The methods of which a share of the gap can be told."""
    if not {TOP, BOTTOM} <= set(outcomes.methods):
        return []
    return [method for method in outcomes.methods if method not in (TOP, BOTTOM)]


def gap_table(outcomes: Outcomes, rewind: int | None) -> Table | None:
    """Methods down, sparsities across; None if there is no gap to close."""
    methods, sparsities = gap_methods(outcomes), outcomes.sparsities
    if not methods:
        return None
    rows = []
    for method in methods:
        found = [gap_closed(outcomes, method, sparsity, rewind)[0] for sparsity in sparsities]
        n = most_values(found)
        rows.append(TableRow(method, [*(Cell.of(share, 0, n) for share in found), Cell(str(n))]))
    between = [outcomes.difference(TOP, BOTTOM, sparsity, rewind) for sparsity in sparsities]
    n = most_values(between)
    gap = TableRow(f"{TOP} − {BOTTOM} (points)", [*(Cell.of(d, 2, n) for d in between), Cell(str(n))])
    return Table(
        f"Gap closed in % at rewind epoch {rewind}: (method − {BOTTOM}) / ({TOP} − {BOTTOM}) within each of n pairs of "
        "seeds, mean with Student's 95% interval.",
        ["method", *map(percent, sparsities), "n"],
        [rows, [gap]],
        note=_left_out(outcomes, rewind),
    )


def gap_plot(outcomes: Outcomes, rewind: int | None) -> Plot | None:
    """The share of the gap that every method closes, against sparsity; None where none can be told."""
    methods = gap_methods(outcomes)
    found = {m: [gap_closed(outcomes, m, s, rewind)[0] for s in outcomes.sparsities] for m in methods}
    if not any(share for shares in found.values() for share in shares):
        return None
    figure, bands = _against_sparsity(outcomes, found, f"gap closed (% of {TOP} − {BOTTOM})", SHOWN)
    what = (
        f"Share of the gap between {BOTTOM} and {TOP} that methods close at rewind epoch {rewind}, as far as it lies "
        f"between {SHOWN[0]} and {SHOWN[1]}%; the table has the rest.".replace("-", "−")
    )
    return Plot("gap_closed", f"{what} {bands} {_left_out(outcomes, rewind)}".strip(), figure)


def difference_plot(outcomes: Outcomes, rewind: int | None) -> Plot | None:
    """The differences that are compared, against sparsity; None where there are none."""
    found = {
        f"{first} − {second}": [outcomes.difference(first, second, s, rewind) for s in outcomes.sparsities]
        for first, second in outcomes.compared
    }
    if not any(difference for differences in found.values() for difference in differences):
        return None
    figure, bands = _against_sparsity(outcomes, found, "difference (points)", (-100, 100))
    return Plot("accuracy_differences", f"Differences of test accuracy at rewind epoch {rewind}. {bands}", figure)


def _against_sparsity(
    outcomes: Outcomes, found: Mapping[str, Sequence[Difference | None]], y_label: str, within: tuple[float, float]
) -> tuple[Figure, str]:
    lines: dict[str, Line] = {name: list(map(_half_width, differences)) for name, differences in found.items()}
    looks, ticks = styles(tuple(lines)), sparsity_ticks(outcomes.sparsities)
    return draw_lines({"": lines}, looks, SPARSITY, ticks, y_label=y_label, of="pair", spread=INTERVAL, within=within)


def _half_width(difference: Difference | None) -> Summary | None:
    """The mean, and half of its interval in the place of the standard deviation."""
    if difference is None:
        return None
    half = None if difference.high is None else difference.high - difference.mean
    return Summary(difference.mean, half, difference.n)


def _left_out(outcomes: Outcomes, rewind: int | None) -> str:
    """In how many pairs the gap is too small, by sparsity; empty if in none."""
    counts = {s: gap_closed(outcomes, BOTTOM, s, rewind)[1:] for s in outcomes.sparsities}
    said = [f"{left} of {pairs} at {percent(s)}" for s, (left, pairs) in counts.items() if left]
    if not said:
        return ""
    return f"Left out are pairs in which {TOP} is less than {LEAST} points above {BOTTOM}: {', '.join(said)}."
