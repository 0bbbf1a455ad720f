"""The error barrier from network A after every round of pruning, permuted, to dense B, by what is done on the way.

The networks between the two have recomputed BatchNorm statistics, are repaired, or keep interpolated statistics. REPAIR
is compared with the recomputed ones first: in the published figure both curves start together, as these two do.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import log

from permask.report.finding import not_told
from permask.report.numbers import format_difference, percent
from permask.report.panels import draw_lines
from permask.report.plot import Plot
from permask.report.statistics import Difference, Summary, error_barrier, summarise_known, t_interval
from permask.report.style import METHOD_STYLES
from permask.report.table import Cell, Table, TableRow, most_values
from permask.study.steps.connect_round import RoundPoint

STATISTICS = {"reset": "BatchNorm reset", "repair": "REPAIR", "keep": "nothing reset"}
RESET, REPAIRED, PLAIN = STATISTICS.values()
LOOKS = dict(
    zip(STATISTICS.values(), (METHOD_STYLES[method] for method in ("naive", "permuted", "random")), strict=True)
)
WHAT = (
    "Error barrier between network A after every round of pruning, permuted, and dense B. The networks on the way have "
    "recomputed BatchNorm statistics, are repaired, or keep averaged statistics."
)

Barriers = dict[tuple[str, float], dict[int, float]]  # by statistics and sparsity of A, then by pair


def barriers_of_pairs(points: Sequence[RoundPoint]) -> Barriers:
    """The barrier by pair of networks, for each way of treating statistics and each sparsity of A."""
    paths: defaultdict[tuple[str, float], dict[int, dict[float, float]]] = defaultdict(dict)
    for point in points:
        path = paths[STATISTICS[point.statistics], point.sparsity].setdefault(point.pair, {})
        path[point.alpha] = point.accuracy
    return {
        key: {pair: error_barrier(list(path), list(path.values())) for pair, path in found.items()}
        for key, found in paths.items()
    }


def sparsities_of(barriers: Barriers) -> list[float]:
    """The sparsities of A, ascending."""
    return sorted({sparsity for _, sparsity in barriers})


def barriers_by_round(points: Sequence[RoundPoint]) -> tuple[list[float], dict[str, list[Summary | None]]]:
    """Sparsities of the rounds, ascending, and for each way of treating statistics the barrier at each of them."""
    barriers = barriers_of_pairs(points)
    sparsities = sparsities_of(barriers)
    return sparsities, {
        name: [summarise_known(barriers.get((name, sparsity), {}).values()) for sparsity in sparsities]
        for name in STATISTICS.values()
    }


def paired(first: dict[int, float], second: dict[int, float]) -> Difference | None:
    """first − second within the pairs of networks that both have; None if there are none."""
    differences = [first[pair] - second[pair] for pair in sorted(first.keys() & second.keys())]
    return t_interval(differences) if differences else None


def growth(barriers: Barriers, name: str) -> dict[int, float]:
    """By pair, how much the barrier grows from the densest network A to the sparsest."""
    sparsities = sparsities_of(barriers)
    first, last = (barriers.get((name, sparsity), {}) for sparsity in (sparsities[0], sparsities[-1]))
    return {pair: last[pair] - first[pair] for pair in first.keys() & last.keys()}


def growth_sentence(barriers: Barriers) -> str:
    """How much more the barrier grows with the BatchNorm reset than with REPAIR; empty where that was not measured."""
    if (more := _growing_more(barriers)) is None:
        return ""
    first, last = _ends(barriers)
    over = f"n = {more.n} pairs, Student's 95% interval" if more.n > 1 else "one pair"
    return (
        f"From sparsity {first} to {last}, growth of the barrier with {RESET} − growth with {REPAIRED}, in points: "
        f"{format_difference(more)} ({over})."
    )


def growth_finding(barriers: Barriers) -> str:
    """That in one line, the title of a study that compares nothing else; empty likewise.

    A difference whose interval holds 0 is told as none, with its interval.
    """
    if (more := _growing_more(barriers)) is None:
        return ""
    up_to, points = f"up to {_ends(barriers)[1]}", f"{abs(more.mean):.2f} points {'more' if more.mean > 0 else 'less'}"
    told = f"The barrier grows {points} with {RESET} than with {REPAIRED} {up_to}, n = {more.n}"
    return not_told(more, f"between {RESET} and {REPAIRED} in the barrier's growth", up_to) or told


def _growing_more(barriers: Barriers) -> Difference | None:
    if len(sparsities_of(barriers)) < 2:
        return None
    return paired(growth(barriers, RESET), growth(barriers, REPAIRED))


def _ends(barriers: Barriers) -> tuple[str, str]:
    sparsities = sparsities_of(barriers)
    return percent(sparsities[0]), percent(sparsities[-1])


def plot(points: Sequence[RoundPoint]) -> Plot:
    """The barrier against the sparsity of A."""
    sparsities, lines = barriers_by_round(points)
    ticks = {-log(1 - sparsity): f"{100 * sparsity:.0f}%" for sparsity in sparsities}
    label = "sparsity of network A (log scale of density)"
    figure, bands = draw_lines({"": lines}, LOOKS, label, ticks, y_label="error barrier (points)", of="pair")
    caption = " ".join(filter(None, (WHAT, growth_sentence(barriers_of_pairs(points)), bands)))
    return Plot("barrier_along_rounds", caption, figure)


def table(points: Sequence[RoundPoint]) -> Table:
    """A row per round; the comparison that matters stands before what nothing was reset for."""
    barriers = barriers_of_pairs(points)
    sparsities, lines = barriers_by_round(points)
    n = most_values(cell for line in lines.values() for cell in line)
    caption = "error barrier in points from network A after a round of pruning, permuted, to dense B: "
    spread = f"mean ± standard deviation over n = {n} pairs" if n > 1 else "one pair"
    interval = ", the difference with Student's 95% interval." if n > 1 else "."
    rows = []
    for sparsity, *values in zip(sparsities, *lines.values(), strict=True):
        reset, repaired, plain = map(Cell.of, values)
        difference = paired(*(barriers.get((name, sparsity), {}) for name in (RESET, REPAIRED)))
        rows.append(TableRow(f"{100 * sparsity:.4g}%", [reset, repaired, Cell.of(difference), plain]))
    headings = ["sparsity", RESET, REPAIRED, f"{RESET} − {REPAIRED}", PLAIN]
    return Table(caption + spread + interval, headings, [rows], note=growth_sentence(barriers))
