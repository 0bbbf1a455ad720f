"""A figure of several panels with the same rows, such as a panel per measure and a row per method."""

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from permask.report.plot import Dots

# inches
WIDTH, ROW = 2.3, 0.19
BESIDE, BETWEEN, TOP, BOTTOM, RIGHT = 0.2, 0.66, 0.42, 0.42, 0.12
CHARACTER = 0.075
COLUMNS = 2


def lay_out_dots(panels: Sequence[Dots], notes: str) -> Figure:
    """Draw panels two beside each other; the names of the rows stand at the left."""
    names = panels[0].names
    columns, rows = min(COLUMNS, len(panels)), ceil(len(panels) / COLUMNS)
    left = 0.15 + CHARACTER * max(map(len, names))
    height = ROW * (len(names) + 0.4)
    total = (
        left + columns * WIDTH + (columns - 1) * BESIDE + RIGHT,
        TOP + rows * height + (rows - 1) * BETWEEN + BOTTOM,
    )
    figure = Figure(figsize=total)
    for i, panel in enumerate(panels):
        x = left + (i % columns) * (WIDTH + BESIDE)
        y = total[1] - TOP - (i // columns) * (height + BETWEEN) - height
        axes = figure.add_axes((x / total[0], y / total[1], WIDTH / total[0], height / total[1]))
        _draw(axes, panel)
        if i % columns:
            axes.tick_params(axis="y", labelleft=False)
    figure.text(0.5 + 0.5 * left / total[0], 0.05 / total[1], notes, ha="center", fontsize=6, color="#555555")
    return figure


def _draw(axes: Axes, panel: Dots) -> None:
    for marks in sorted(panel.marks, key=lambda marks: not marks.hollow):  # outlines lie below
        for row, (found, look) in enumerate(zip(marks.summaries, marks.looks, strict=True)):
            if found:
                axes.errorbar(
                    found.mean,
                    row,
                    xerr=None if marks.hollow else found.std,
                    color=look.colour,
                    marker=look.marker,
                    markersize=look.size,
                    markerfacecolor="none" if marks.hollow else look.colour,
                    elinewidth=1,
                )
    axes.set_yticks(range(len(panel.names)), panel.names)
    axes.set_ylim(len(panel.names) - 0.3, -0.7)
    axes.locator_params(axis="x", nbins=6)
    axes.margins(x=0.08)
    axes.set_title(panel.title, pad=14 if panel.note else 4)
    if panel.note:
        axes.text(0.5, 1.03, panel.note, transform=axes.transAxes, ha="center", fontsize=6, color="#555555")
