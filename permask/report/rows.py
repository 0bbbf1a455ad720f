"""A figure of one row per thing, such as the groups of a network, however many there are."""

from math import nan

from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from permask.report.panels import annotate, legend_height
from permask.report.plot import Dots, Plot
from permask.report.style import PRINT

# inches
WIDTH, ROW = 2.9, 0.2
NARROW, ACROSS = 2.0, 4.2  # beside long names
NOTE = 3.0
LEFT, RIGHT, TOP, BOTTOM = 0.18, 0.12, 0.32, 0.52
ASIDE = 0.24  # rows


def plot_rows(name: str, caption: str, dots: Dots) -> Plot:
    """Draw marks with bars of ± one standard deviation over pairs, and say below and in the caption what they are."""
    n = max(summary.n for marks in dots.marks for summary in marks.summaries if summary)
    bars = f"Marks: mean; bars: ± one standard deviation over n = {n} pairs." if n > 1 else "One pair of networks."
    left = LEFT + max(TextPath((0, 0), name, PRINT["ytick.labelsize"]).get_extents().width for name in dots.names) / 72
    height = ROW * (len(dots.names) + 0.6)
    looks = {marks.name: marks.looks[0] for marks in dots.marks}
    width = min(WIDTH, max(NARROW, ACROSS - left - RIGHT))
    across = left + width + RIGHT
    total = (across, TOP + legend_height(list(looks), across) + height + BOTTOM)
    figure = Figure(figsize=total)
    axes = figure.add_axes((left / total[0], BOTTOM / total[1], width / total[0], height / total[1]))
    for i, marks in enumerate(dots.marks):
        aside = (i - (len(dots.marks) - 1) / 2) * ASIDE  # marks that coincide stay visible
        axes.errorbar(
            [summary.mean if summary else nan for summary in marks.summaries],
            [row + aside for row in range(len(dots.names))],
            xerr=[summary.std or 0 if summary else nan for summary in marks.summaries],
            color=looks[marks.name].colour,
            marker=looks[marks.name].marker,
            linestyle="",
            elinewidth=1,
        )
    axes.set_yticks(range(len(dots.names)), dots.names)
    axes.set_ylim(len(dots.names) - 0.2, -0.8)
    annotate(figure, looks, dots.title, bars, min(left, across - NOTE))
    return Plot(name, f"{caption} {bars}", figure, [dots])
