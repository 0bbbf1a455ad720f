"""A figure of one row per thing, such as the groups of a network, however many there are."""

from math import nan

from matplotlib.figure import Figure

from permask.report.panels import annotate
from permask.report.plot import Rows

# inches
WIDTH, ROW = 2.9, 0.2
RIGHT, TOP, BOTTOM = 0.12, 0.32, 0.52
CHARACTER = 0.068


def lay_out_rows(rows: Rows, bars: str) -> Figure:
    """Draw marks with bars of ± one standard deviation, and say below what the bars are."""
    left = 0.15 + CHARACTER * max(map(len, rows.names))
    height = ROW * (len(rows.names) + 0.6)
    total = (left + WIDTH + RIGHT, TOP + height + BOTTOM)
    figure = Figure(figsize=total)
    axes = figure.add_axes((left / total[0], BOTTOM / total[1], WIDTH / total[0], height / total[1]))
    looks = {marks.name: marks.looks[0] for marks in rows.marks}
    for marks in rows.marks:
        axes.errorbar(
            [summary.mean if summary else nan for summary in marks.summaries],
            range(len(rows.names)),
            xerr=[summary.std or 0 if summary else nan for summary in marks.summaries],
            color=looks[marks.name].colour,
            marker=looks[marks.name].marker,
            linestyle="",
            elinewidth=1,
        )
    axes.set_yticks(range(len(rows.names)), rows.names)
    axes.set_ylim(len(rows.names) - 0.2, -0.8)
    annotate(figure, looks, rows.title, bars, left)
    return figure
