"""Figures of one study at several widths: the gap to the lottery ticket and the barrier, which close as width grows."""

from collections.abc import Sequence
from math import log2
from typing import Any

from matplotlib import rc_context

from permask.errors import PermaskError
from permask.report.outcomes import Outcomes, curve
from permask.report.panels import Line, Scale, annotate, describe_bands, lay_out
from permask.report.plot import Plot
from permask.report.statistics import summarise
from permask.report.style import METHOD_STYLES, PRINT
from permask.report.tables import percent
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.trained import Trained

SINGLE_INCHES = (2.9, 2.1)
MULTIPLE_INCHES = (1.5, 2.1)


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
            method: [
                summarise(differences) if (differences := o.differences("lth", method, sparsity, rewind)) else None
                for o in outcomes
            ]
            for method in methods
        }
        for sparsity in sparsities
    }
    bands = describe_bands([line for lines in panels.values() for line in lines.values()], "pair")
    scale = Scale.of(list(panels.values()), None)
    figure, drawn = lay_out(list(panels), MULTIPLE_INCHES, scale, "accuracy below lth (points)")
    for panel, lines in zip(drawn, panels.values(), strict=True):
        for method, line in lines.items():
            panel.draw([log2(width) for width in by_width], line, METHOD_STYLES[method])
        panel.x_axis([log2(width) for width in by_width], list(map(str, by_width)), MULTIPLE_INCHES[0])
    annotate(figure, {method: METHOD_STYLES[method] for method in methods}, "width (log scale)", bands)
    caption = f"How far accuracy stays below that of lth, within pairs of seeds, at rewind epoch {rewind}. {bands}"
    return Plot("gap_against_width", caption, figure)


def _barrier(by_width: dict[int, Results]) -> Plot:
    looks = {"before permuting": METHOD_STYLES["naive"], "after permuting": METHOD_STYLES["permuted"]}
    lines: dict[str, Line] = {
        name: [c.barriers if (c := curve(results.of(PathPoint), permuted)) else None for results in by_width.values()]
        for name, permuted in zip(looks, (False, True), strict=True)
    }
    bands = describe_bands(lines.values(), "pair")
    figure, (panel,) = lay_out([""], SINGLE_INCHES, Scale.of([lines], None), "error barrier (points)")
    for name, line in lines.items():
        panel.draw([log2(width) for width in by_width], line, looks[name])
    panel.x_axis([log2(width) for width in by_width], list(map(str, by_width)), SINGLE_INCHES[0])
    annotate(figure, looks, "width (log scale)", bands)
    return Plot("barrier_against_width", f"Error barrier between the dense networks of a pair. {bands}", figure)
