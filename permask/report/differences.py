"""Differences of methods within pairs of seeds, against sparsity: in points, and as the share of a gap that they close.

The gap is that between `naive` and `lth`. A method closes mean(method − naive) / mean(lth − naive) of it, both over the
same pairs. Where the interval of lth − naive holds zero there is no gap that a share could be told of.
"""

from collections.abc import Mapping

from matplotlib.figure import Figure

from permask.report.intervals import ratio_interval
from permask.report.numbers import percent
from permask.report.outcomes import Outcomes
from permask.report.panels import Line, draw_lines, sparsity_label, sparsity_ticks
from permask.report.plot import Plot
from permask.report.statistics import Difference
from permask.report.style import Style, styles
from permask.report.table import Cell, Table, TableRow, emphasised, most_values

TOP, BOTTOM = "lth", "naive"
NO_GAP = "no gap"
SHOWN = (-100, 200)  # percent, of the intervals: a wide one would flatten all lines
CUT_OFF = "The axis cuts off intervals that go far beyond −100 or 200%; the table has the rest."


def gap_closed(outcomes: Outcomes, method: str, sparsity: float, rewind: int | None) -> Difference | None:
    """Percent of the gap that a method closes, with its 95% interval; None without a gap to close."""
    own, gap = (outcomes.paired(name, BOTTOM, sparsity, rewind) for name in (method, TOP))
    pairs = [pair for pair in own if pair in gap]
    if not pairs:
        return None
    return ratio_interval([100 * own[pair] for pair in pairs], [gap[pair] for pair in pairs])


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
        found = [gap_closed(outcomes, method, sparsity, rewind) for sparsity in sparsities]
        n = most_values(found)
        cells = [Cell.of(share, 0, n) if share else Cell(NO_GAP) for share in found]
        rows.append(TableRow(method, [*cells, Cell(str(n))]))
    between = [outcomes.difference(TOP, BOTTOM, sparsity, rewind) for sparsity in sparsities]
    n = most_values(between)
    gap = TableRow(f"{TOP} − {BOTTOM} (points)", [*(Cell.of(d, 2, n) for d in between), Cell(str(n))])
    gaps = f"{TOP} − {BOTTOM}"
    table = Table(
        f"Gap closed in % at rewind epoch {rewind}: mean(method − {BOTTOM}) / mean({gaps}) over n pairs of seeds, with "
        "Fieller's 95% interval.",
        ["method", *map(percent, sparsities), "n"],
        [rows, [gap]],
        note=_without(outcomes, rewind),
    )
    return emphasised(table, outcomes.corrected)


def gap_plot(outcomes: Outcomes, rewind: int | None) -> Plot | None:
    """The share of the gap that every method closes, against sparsity; None where none can be told."""
    methods = gap_methods(outcomes)
    found = {m: [gap_closed(outcomes, m, s, rewind) for s in outcomes.sparsities] for m in methods}
    if not any(share for shares in found.values() for share in shares):
        return None
    figure, bands = _against_sparsity(
        outcomes, found, f"gap closed (% of {TOP} − {BOTTOM})", spread="Fieller's 95% interval", within=SHOWN
    )
    what = f"Share of the gap between {BOTTOM} and {TOP} that methods close at rewind epoch {rewind}. {CUT_OFF}"
    return Plot("gap_closed", f"{what} {bands} {_without(outcomes, rewind)}".strip(), figure)


def difference_plot(outcomes: Outcomes, rewind: int | None) -> Plot | None:
    """The differences that are compared, against sparsity; None where there are none."""
    found = {
        f"{first} − {second}": [outcomes.difference(first, second, s, rewind) for s in outcomes.sparsities]
        for first, second in outcomes.compared
    }
    if not any(difference for differences in found.values() for difference in differences):
        return None
    figure, bands = _against_sparsity(
        outcomes, found, "difference (points)", spread="Student's 95% interval", within=(-100, 100)
    )
    return Plot("accuracy_differences", f"Differences of test accuracy at rewind epoch {rewind}. {bands}", figure)


def _against_sparsity(
    outcomes: Outcomes,
    lines: Mapping[str, Line],
    y_label: str,
    *,
    spread: str,
    within: tuple[float, float],
) -> tuple[Figure, str]:
    ticks, label = sparsity_ticks(outcomes.sparsities), sparsity_label(outcomes.sparsities)
    return draw_lines(
        {"": lines}, _looks(tuple(lines)), label, ticks, y_label=y_label, of="pair", spread=spread, within=within
    )


def _looks(names: tuple[str, ...]) -> dict[str, Style]:
    """A difference looks like its first method, unless that is the first of several."""
    firsts = [name.split(" − ")[0] for name in names]
    if len(set(firsts)) < len(firsts):
        return styles(names)
    return dict(zip(names, styles(firsts).values(), strict=True))


def _without(outcomes: Outcomes, rewind: int | None) -> str:
    """At which sparsities there is no gap to close; empty if at none."""
    gaps = {s: outcomes.difference(TOP, BOTTOM, s, rewind) for s in outcomes.sparsities}
    without = [percent(s) for s, gap in gaps.items() if gap and not (gap.low is not None and gap.low > 0)]
    if not without:
        return ""
    return f"No gap to close at {', '.join(without)}, where no interval of {TOP} − {BOTTOM} lies above 0."
