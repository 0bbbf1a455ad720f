"""Accuracy along the straight path between the dense networks of a pair, before and after permuting the first."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from permask.report.numbers import format_summary
from permask.report.panels import Line, draw_lines
from permask.report.plot import Plot
from permask.report.statistics import Summary, error_barrier, summarise
from permask.report.style import BEFORE_AND_AFTER
from permask.report.table import Cell, Table, TableRow
from permask.study.steps.connect import PathPoint


@dataclass(frozen=True)
class Curve:
    """Accuracy along the paths between dense networks.

    Attributes:
        alphas: Positions, ascending.
        accuracies: Summary over pairs at every position.
        barriers: Summary of the pairs' error barriers, in points.
    """

    alphas: tuple[float, ...]
    accuracies: tuple[Summary, ...]
    barriers: Summary


def curve(points: Sequence[PathPoint], permuted: bool) -> Curve | None:
    """The connectivity of a study before or after permuting; None where it was not measured."""
    paths: defaultdict[int, dict[float, float]] = defaultdict(dict)
    for point in points:
        if point.permuted == permuted:
            paths[point.pair][point.alpha] = point.accuracy
    if not paths:
        return None
    at: defaultdict[float, list[float]] = defaultdict(list)
    for path in paths.values():
        for alpha, accuracy in path.items():
            at[alpha].append(accuracy)
    alphas = tuple(sorted(at))
    barriers = [error_barrier(list(path), list(path.values())) for path in paths.values()]
    return Curve(alphas, tuple(summarise(at[alpha]) for alpha in alphas), summarise(barriers))


def curves(points: Sequence[PathPoint]) -> dict[str, Curve]:
    """What was measured, by name: before permuting, after permuting."""
    measured = (curve(points, permuted) for permuted in (False, True))
    return {name: found for name, found in zip(BEFORE_AND_AFTER, measured, strict=True) if found}


def barrier_sentence(points: Sequence[PathPoint]) -> str:
    """The error barriers between the dense networks in words; empty if the study has no connectivity."""
    said = [f"{format_summary(c.barriers)} points {when} (n = {c.barriers.n})" for when, c in curves(points).items()]
    return f"Error barrier between the dense networks of a pair: {', '.join(said)}." if said else ""


def table(points: Sequence[PathPoint]) -> Table:
    """The values of the figure."""
    alphas, lines = _lines(points)
    rows = [TableRow(f"{alpha:g}", list(map(Cell.of, at))) for alpha, *at in zip(alphas, *lines.values(), strict=True)]
    return Table("Test accuracy in %: mean ± standard deviation.", ["α", *lines], [rows])


def plot(points: Sequence[PathPoint]) -> Plot:
    """Accuracy along the path, before and after permuting."""
    alphas, lines = _lines(points)
    ticks = {0: "0 (A)", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1: "1 (B)"}
    looks = {name: BEFORE_AND_AFTER[name] for name in lines}
    figure, bands = draw_lines({"": lines}, looks, "α in (1 − α) · A + α · B", ticks, positions=alphas, of="pair")
    path = "Test accuracy along the straight path between the dense networks A and B."
    return Plot("connectivity", f"{path} {barrier_sentence(points)} {bands}", figure)


def _lines(points: Sequence[PathPoint]) -> tuple[list[float], dict[str, Line]]:
    """All positions, ascending, and by name the accuracies there."""
    found = {name: dict(zip(c.alphas, c.accuracies, strict=True)) for name, c in curves(points).items()}
    alphas = sorted({alpha for accuracies in found.values() for alpha in accuracies})
    return alphas, {name: [accuracies.get(alpha) for alpha in alphas] for name, accuracies in found.items()}
