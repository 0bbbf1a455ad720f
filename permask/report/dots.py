"""A figure of one panel per measure and one row per method, each panel on a scale of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from permask.report.statistics import Summary
from permask.report.style import Style

# inches
WIDTH, ROW = 1.85, 0.19
BESIDE, BETWEEN, TOP, BOTTOM, RIGHT = 0.2, 0.66, 0.42, 0.42, 0.12
CHARACTER = 0.075
COLUMNS = 3


@dataclass(frozen=True)
class Dots:
    """One panel.

    Attributes:
        title: What is measured.
        note: A line below the title; may be empty.
        marks: Method to what is marked; None where nothing was measured.
        others: Method to what is marked hollow besides; may be empty.
    """

    title: str
    note: str
    marks: Mapping[str, Summary | None]
    others: Mapping[str, Summary | None]


def lay_out_dots(panels: Sequence[Dots], looks: Mapping[str, Style], notes: str) -> Figure:
    """Draw panels in rows of three; the names of the methods stand at the left of each row of panels."""
    methods = list(panels[0].marks)
    columns, rows = min(COLUMNS, len(panels)), ceil(len(panels) / COLUMNS)
    left = 0.15 + CHARACTER * max(map(len, methods))
    height = ROW * (len(methods) + 0.4)
    total = (
        left + columns * WIDTH + (columns - 1) * BESIDE + RIGHT,
        TOP + rows * height + (rows - 1) * BETWEEN + BOTTOM,
    )
    figure = Figure(figsize=total)
    for i, panel in enumerate(panels):
        x = left + (i % columns) * (WIDTH + BESIDE)
        y = total[1] - TOP - (i // columns) * (height + BETWEEN) - height
        axes = figure.add_axes((x / total[0], y / total[1], WIDTH / total[0], height / total[1]))
        _draw(axes, panel, methods, looks)
        if i % columns:
            axes.tick_params(axis="y", labelleft=False)
    figure.text(0.5 + 0.5 * left / total[0], 0.05 / total[1], notes, ha="center", fontsize=6, color="#555555")
    return figure


def _draw(axes: Axes, panel: Dots, methods: Sequence[str], looks: Mapping[str, Style]) -> None:
    for hollow, marks in ((True, panel.others), (False, panel.marks)):
        for row, method in enumerate(methods):
            if found := marks.get(method):
                look = looks[method]
                axes.errorbar(
                    found.mean,
                    row,
                    xerr=None if hollow else found.std,
                    color=look.colour,
                    marker=look.marker,
                    markerfacecolor="white" if hollow else look.colour,
                    elinewidth=1,
                )
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(len(methods) - 0.3, -0.7)
    axes.locator_params(axis="x", nbins=4)
    axes.margins(x=0.08)
    axes.set_title(panel.title, pad=14 if panel.note else 4)
    if panel.note:
        axes.text(0.5, 1.03, panel.note, transform=axes.transAxes, ha="center", fontsize=6, color="#555555")
