"""The error barrier from network A after every round of pruning, permuted, to dense B, by what is done on the way.

The networks between the two have interpolated BatchNorm statistics, recomputed ones, or are repaired.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import log

from permask.report.panels import draw_lines
from permask.report.plot import Plot
from permask.report.statistics import Summary, error_barrier, summarise_known
from permask.report.style import METHOD_STYLES
from permask.report.table import Cell, Table, TableRow, most_values
from permask.study.steps.connect_round import RoundPoint

STATISTICS = {"keep": "nothing reset", "reset": "BatchNorm reset", "repair": "REPAIR"}
LOOKS = dict(
    zip(STATISTICS.values(), (METHOD_STYLES[method] for method in ("random", "naive", "permuted")), strict=True)
)


def barriers_of_pairs(points: Sequence[RoundPoint]) -> dict[tuple[str, float], dict[int, float]]:
    """The barrier by pair of networks, for each way of treating statistics and each sparsity of A."""
    paths: defaultdict[tuple[str, float], dict[int, dict[float, float]]] = defaultdict(dict)
    for point in points:
        path = paths[STATISTICS[point.statistics], point.sparsity].setdefault(point.pair, {})
        path[point.alpha] = point.accuracy
    return {
        key: {pair: error_barrier(list(path), list(path.values())) for pair, path in found.items()}
        for key, found in paths.items()
    }


def barriers_by_round(points: Sequence[RoundPoint]) -> tuple[list[float], dict[str, list[Summary | None]]]:
    """Sparsities of the rounds, ascending, and for each way of treating statistics the barrier at each of them."""
    barriers = barriers_of_pairs(points)
    sparsities = sorted({sparsity for _, sparsity in barriers})
    return sparsities, {
        name: [summarise_known(barriers.get((name, sparsity), {}).values()) for sparsity in sparsities]
        for name in STATISTICS.values()
    }


def plot(points: Sequence[RoundPoint]) -> Plot:
    """The barrier against the sparsity of A."""
    sparsities, lines = barriers_by_round(points)
    ticks = {-log(1 - sparsity): f"{100 * sparsity:.0f}%" for sparsity in sparsities}
    label = "sparsity of network A (log scale of density)"
    figure, bands = draw_lines({"": lines}, LOOKS, label, ticks, y_label="error barrier (points)", of="pair")
    what = "Error barrier between network A after every round of pruning, permuted, and dense B."
    return Plot("barrier_along_rounds", f"{what} {bands}", figure)


def table(points: Sequence[RoundPoint]) -> Table:
    """A row per round."""
    sparsities, lines = barriers_by_round(points)
    n = most_values(cell for line in lines.values() for cell in line)
    caption = "error barrier in points from network A after a round of pruning, permuted, to dense B: "
    spread = f"mean ± standard deviation over n = {n} pairs." if n > 1 else "one pair."
    rows = [
        TableRow(f"{100 * sparsity:.4g}%", list(map(Cell.of, values)))
        for sparsity, *values in zip(sparsities, *lines.values(), strict=True)
    ]
    return Table(caption + spread, ["sparsity", *lines], [rows])
