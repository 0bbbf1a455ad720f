"""The error barrier from network A after every round of pruning, permuted, to dense B, by what is done on the way.

The networks between the two have interpolated BatchNorm statistics, recomputed ones, or are repaired.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import log

from permask.report.panels import Scale, annotate, describe_bands, lay_out
from permask.report.plot import Plot
from permask.report.sheet import Cell, Sheet
from permask.report.statistics import Summary, error_barrier, summarise
from permask.report.style import METHOD_STYLES
from permask.study.steps.connect_round import RoundPoint

STATISTICS = {"keep": "nothing reset", "reset": "BatchNorm reset", "repair": "REPAIR"}
LOOKS = dict(
    zip(STATISTICS.values(), (METHOD_STYLES[method] for method in ("random", "naive", "permuted")), strict=True)
)
INCHES = (2.9, 2.1)
Y_LABEL = "error barrier (points)"
X_LABEL = "sparsity of network A (log scale of density)"


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
        name: [
            summarise(list(found.values())) if (found := barriers.get((name, sparsity))) else None
            for sparsity in sparsities
        ]
        for name in STATISTICS.values()
    }


def plot(points: Sequence[RoundPoint]) -> Plot:
    """The barrier against the sparsity of A."""
    sparsities, lines = barriers_by_round(points)
    positions = [-log(1 - sparsity) for sparsity in sparsities]
    bands = describe_bands(lines.values(), "pair")
    figure, (panel,) = lay_out([""], INCHES, Scale.of([lines], None), Y_LABEL)
    for name, line in lines.items():
        panel.draw(positions, line, LOOKS[name])
    panel.x_axis(positions, [f"{100 * sparsity:.0f}%" for sparsity in sparsities], INCHES[0])
    annotate(figure, LOOKS, X_LABEL, bands)
    what = "Error barrier between network A after every round of pruning, permuted, and dense B."
    return Plot("barrier_along_rounds", f"{what} {bands}", figure)


def sheet(points: Sequence[RoundPoint]) -> Sheet:
    """A row per round."""
    sparsities, lines = barriers_by_round(points)
    n = max(cell.n for line in lines.values() for cell in line if cell)
    caption = "error barrier in points from network A after a round of pruning, permuted, to dense B: "
    rows = {
        f"{100 * sparsity:.4g}%": tuple(Cell.of(line[i]) for line in lines.values())
        for i, sparsity in enumerate(sparsities)
    }
    spread = f"mean ± standard deviation over n = {n} pairs." if n > 1 else "one pair."
    return Sheet("", caption + spread, ("sparsity", *lines), rows)
