"""Figures of one study at several widths: the gap to the lottery ticket and the barrier, which close as width grows."""

from collections.abc import Iterable, Sequence
from math import log2
from typing import Any

from matplotlib import rc_context

from permask.errors import PermaskError
from permask.report.connectivity import curve
from permask.report.numbers import percent
from permask.report.outcomes import Outcomes
from permask.report.panels import MULTIPLE_INCHES, Line, draw_lines
from permask.report.plot import Plot
from permask.report.statistics import summarise_known
from permask.report.style import BEFORE_AND_AFTER, METHOD_STYLES, PRINT
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.trained import Trained

X_LABEL = "width (log scale)"


def plots_against_width(studies: Sequence[Results]) -> list[Plot]:
    """The gap in accuracy and the error barrier against width, as far as the studies allow.

    Args:
        studies: Results that differ in the width of their networks, two or more.

    Raises:
        PermaskError: Widths that cannot be told or that repeat, studies that share no sparsity and rewind epoch.
    """
    by_width = dict(sorted((width_of(results), results) for results in studies))
    if len(by_width) < len(studies):
        raise PermaskError(f"expected results of different widths, got {', '.join(str(width_of(s)) for s in studies)}")
    with rc_context(PRINT):
        made = [_gap(by_width)]
        if all(results.of(PathPoint) for results in studies):
            made.append(_barrier(by_width))
    return made


def width_of(results: Results) -> int:
    """The width of a study's networks: the factor of their channels, or the units of every hidden layer."""
    network: Any = results.study["network"]
    widths = {network["width"]} if "width" in network else set(network["widths"])
    if len(widths) > 1:
        raise PermaskError(f"study {results.name}: its hidden layers differ in width ({sorted(widths)})")
    return widths.pop()


def _gap(by_width: dict[int, Results]) -> Plot:
    outcomes = [Outcomes.of(results.of(Trained)) for results in by_width.values()]
    sparsities = sorted(set.intersection(*(set(o.sparsities) for o in outcomes)))
    rewinds = sorted(set.intersection(*(set(o.rewinds) for o in outcomes)))
    common = set.intersection(*(set(o.methods) for o in outcomes))
    methods = [method for method in ("permuted", "naive") if method in common]
    if not (sparsities and rewinds and methods and "lth" in common):
        raise PermaskError(
            "expected results at different widths to share lth, permuted or naive, a sparsity, and a rewind epoch"
        )
    rewind = rewinds[len(rewinds) // 2]
    panels: dict[str, dict[str, Line]] = {
        f"sparsity {percent(sparsity)}": {
            method: [summarise_known(o.differences("lth", method, sparsity, rewind)) for o in outcomes]
            for method in methods
        }
        for sparsity in sparsities
    }
    looks = {method: METHOD_STYLES[method] for method in methods}
    label = "accuracy below lth (points)"
    figure, bands = draw_lines(
        panels, looks, X_LABEL, _ticks(by_width), y_label=label, inches=MULTIPLE_INCHES, of="pair"
    )
    caption = f"How far accuracy stays below that of lth, within pairs of seeds, at rewind epoch {rewind}. {bands}"
    return Plot("gap_against_width", caption, figure)


def _barrier(by_width: dict[int, Results]) -> Plot:
    lines: dict[str, Line] = {
        name: [c.barriers if (c := curve(results.of(PathPoint), permuted)) else None for results in by_width.values()]
        for name, permuted in zip(BEFORE_AND_AFTER, (False, True), strict=True)
    }
    label = "error barrier (points)"
    figure, bands = draw_lines({"": lines}, BEFORE_AND_AFTER, X_LABEL, _ticks(by_width), y_label=label, of="pair")
    return Plot("barrier_against_width", f"Error barrier between the dense networks of a pair. {bands}", figure)


def _ticks(widths: Iterable[int]) -> dict[float, str]:
    return {log2(width): str(width) for width in widths}
