"""A figure of one row per thing, such as the groups of a network, however many there are."""

from collections.abc import Mapping, Sequence
from math import nan

from matplotlib.figure import Figure

from permask.report.panels import annotate
from permask.report.statistics import Summary
from permask.report.style import Style

# inches
WIDTH, ROW = 2.9, 0.2
RIGHT, TOP, BOTTOM = 0.12, 0.32, 0.52
CHARACTER = 0.068


def lay_out_rows(
    names: Sequence[str],
    marks: Mapping[str, Sequence[Summary | None]],
    looks: Mapping[str, Style],
    x_label: str,
    bars: str,
) -> Figure:
    """Draw marks with bars of ± one standard deviation, the first row on top.

    Args:
        names: Of the rows.
        marks: What a mark stands for, to one summary per row; None where there is none.
        looks: What a mark stands for, to its look.
        x_label: Of the axis that the marks stand on.
        bars: What the bars are, to be said below.
    """
    left = 0.15 + CHARACTER * max(map(len, names))
    height = ROW * (len(names) + 0.6)
    total = (left + WIDTH + RIGHT, TOP + height + BOTTOM)
    figure = Figure(figsize=total)
    axes = figure.add_axes((left / total[0], BOTTOM / total[1], WIDTH / total[0], height / total[1]))
    for name, row in marks.items():
        look = looks[name]
        axes.errorbar(
            [summary.mean if summary else nan for summary in row],
            range(len(names)),
            xerr=[summary.std or 0 if summary else nan for summary in row],
            color=look.colour,
            marker=look.marker,
            linestyle="",
            elinewidth=1,
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.2, -0.8)
    annotate(figure, looks, x_label, bars, left)
    return figure
