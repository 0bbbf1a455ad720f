"""Figures of lines: panels that share both axes, the upright one broken where a far control would flatten the rest."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf, log, nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from permask.report.numbers import percent
from permask.report.statistics import Difference, Summary
from permask.report.style import METHOD_STYLES, Style

CONTROL = "random"
COLUMNS = 4  # panels side by side, at most

# inches
SINGLE_INCHES, MULTIPLE_INCHES = (2.9, 2.1), (1.5, 2.1)  # of the only panel of a figure, and of one of several
LEFT, RIGHT, TOP, BOTTOM = 0.54, 0.1, 0.28, 0.5
BESIDE, BELOW = 0.14, 0.45
TITLE = 0.18
BREAK = 0.06
CHARACTER = 0.06  # of a tick label
ENTRY, LETTER, LEGEND_ROW = 0.38, 0.055, 0.146  # of a legend: an entry without its name, a letter of it, a row

OPACITY, FEW = 0.18, 4  # of bands, where there are few; of more they are fainter, or lines would drown in them
ASIDE = 0.01  # from one line's point to the next one's where all stand at the only position

SPARSITY = "sparsity of the pruned layers (log scale of density)"  # label of the axis whose ticks are these

Point = Summary | Difference
Line = Sequence[Point | None]  # one point per position; None where nothing was measured


@dataclass(frozen=True)
class Scale:
    """The upright axis that panels share.

    Attributes:
        low: Where the main part begins.
        high: Where it ends.
        bottom: Where the compressed part below it begins; None if the axis is not broken.
    """

    low: float
    high: float
    bottom: float | None

    @classmethod
    def of(
        cls,
        panels: Sequence[Mapping[str, Line]],
        dense: Summary | None,
        within: tuple[float, float] = (-inf, inf),
    ) -> "Scale":
        """A scale on which methods differ visibly, with what is far below them under a break.

        That is a control, and means below the given limits. Every mean is on the scale, and of the bands what lies
        within the limits.
        """
        main: list[Point | None] = [dense]
        below: list[Point | None] = []
        for panel in panels:
            for name, line in panel.items():
                for point in line:
                    is_below = _is_control(name) or (point is not None and point.mean < within[0])
                    (below if is_below else main).append(point)
        low, high = _extent(main, within) or _extent(below, within) or (0.0, 100.0)
        bottom, top = _extent(below, within) or (low, high)
        margin = 0.06 * (high - low) or 1.0
        if bottom >= low - 0.5 * (high - low):
            return cls(min(low, bottom) - margin, max(high, top) + margin, None)
        return cls(low - margin, max(high, top) + margin, bottom - 0.06 * (low - bottom))


def _ends(point: Point) -> tuple[float, float]:
    """Where the band of a point ends: at its mean ± std, or with its interval; at its mean where there is neither."""
    if isinstance(point, Summary):
        return point.mean - (point.std or 0), point.mean + (point.std or 0)
    return (point.mean, point.mean) if point.low is None or point.high is None else (point.low, point.high)


def _is_control(name: str) -> bool:
    """Whether a line is of the control, or of how it differs from another method."""
    return name.split(" − ")[0] == CONTROL


def _extent(points: Sequence[Point | None], within: tuple[float, float]) -> tuple[float, float] | None:
    """Least and greatest of all means, and of those ends that lie within limits."""
    shown = [point for point in points if point]
    if not shown:
        return None
    ends = [(point.mean, *_ends(point)) for point in shown]
    least, most = within
    lows, highs = zip(*((min(m, max(low, least)), max(m, min(high, most))) for m, low, high in ends), strict=True)
    return min(lows), max(highs)


@dataclass(frozen=True)
class Panel:
    """One panel: its axes from top to bottom, two where the upright axis is broken."""

    parts: tuple[Axes, ...]

    def draw(self, positions: Sequence[float], line: Line, style: Style, opacity: float) -> None:
        """Draw a line of means with its band of this opacity; a bar where a point has no neighbour."""
        means = [c.mean if c else nan for c in line]
        lows, highs = zip(*(_ends(c) if c else (nan, nan) for c in line), strict=True)
        for axes in self.parts:
            low, high = axes.get_ylim()
            axes.fill_between(positions, lows, highs, color=style.colour, alpha=opacity, linewidth=0)
            axes.plot(positions, means, color=style.colour, linestyle=style.line)
            # a mark belongs to one part, or a point near the break leaves a fragment of it in the other
            marks = [mean if low <= mean < high else nan for mean in means]
            look = {"color": style.colour, "marker": style.marker, "markersize": style.size}
            axes.plot(positions, marks, linestyle="", clip_on=False, **look)
            for i, (x, c) in enumerate(zip(positions, line, strict=True)):
                if c and not any(line[max(0, i - 1) : i]) and not any(line[i + 1 : i + 2]):
                    bar = [[c.mean - lows[i]], [highs[i] - c.mean]]
                    axes.errorbar(x, c.mean, bar, color=style.colour, elinewidth=1)

    def reference(self, dense: Summary) -> None:
        """Draw the dense networks' mean as a horizontal line."""
        style = METHOD_STYLES["dense"]
        self.parts[0].axhline(dense.mean, color=style.colour, linestyle=style.line, linewidth=1)

    def zero(self) -> None:
        """Draw where two methods do not differ."""
        for axes in self.parts:
            axes.axhline(0, color="#808080", linewidth=0.8, zorder=1)

    def x_axis(self, ticks: Sequence[float], labels: Sequence[str], inches: float) -> None:
        """Label positions below the lowest part, leaving out what would overlap on an axis of this length."""
        kept, margin = _apart(ticks, labels, inches), 0.05 * (max(ticks) - min(ticks)) or ASIDE
        for axes in self.parts:
            lowest, (left, right) = axes is self.parts[-1], axes.get_xlim()
            if len(ticks) > 1:  # the first or the last may have no point
                axes.set_xlim(min(left, min(ticks) - margin), max(right, max(ticks) + margin))
            else:
                axes.set_xlim(left - margin, right + margin)
            axes.set_xticks([ticks[i] for i in kept], [labels[i] if lowest else "" for i in kept])


def _apart(ticks: Sequence[float], labels: Sequence[str], inches: float) -> list[int]:
    """Which ticks to label: the last one, and those before it that have room."""
    scale = 0.9 * inches / ((max(ticks) - min(ticks)) or 1)
    kept: list[int] = []
    for i in sorted(range(len(ticks)), key=lambda i: -ticks[i]):
        if not kept or (ticks[kept[-1]] - ticks[i]) * scale >= CHARACTER * (len(labels[i]) + 1):
            kept.append(i)
    return kept[::-1]


def _lay_out(
    titles: Sequence[str], inches: tuple[float, float], scale: Scale, y_label: str, names: Sequence[str]
) -> tuple[Figure, list[Panel]]:
    """A figure of one panel per title, of a given width and height, in rows of at most four, on one scale.

    Above them is room for a legend of these names.
    """
    width, height = inches
    columns, rows = min(len(titles), COLUMNS), ceil(len(titles) / COLUMNS)
    across = LEFT + columns * width + (columns - 1) * BESIDE + RIGHT
    above = TOP + (TITLE if any(titles) else 0) + legend_height(names, across)
    total = (
        across,
        above + rows * height + (rows - 1) * BELOW + BOTTOM,
    )
    figure = Figure(figsize=total)

    def axes(left: float, bottom: float, high: float) -> Axes:
        return figure.add_axes((left / total[0], bottom / total[1], width / total[0], high / total[1]))

    panels = []
    for i, title in enumerate(titles):
        left = LEFT + (i % columns) * (width + BESIDE)
        bottom = BOTTOM + (rows - 1 - i // columns) * (height + BELOW)
        if scale.bottom is None:
            parts = (axes(left, bottom, height),)
        else:
            lower = 0.25 * height
            parts = (axes(left, bottom + lower + BREAK, height - lower - BREAK), axes(left, bottom, lower))
            parts[1].set_ylim(scale.bottom, scale.low)
            parts[1].locator_params(axis="y", nbins=3)
            _mark_break(*parts)
        parts[0].set_ylim(scale.low, scale.high)
        parts[0].set_title(title)
        if i % columns:
            for part in parts:
                part.set_yticklabels([])
        panels.append(Panel(parts))
    middle = BOTTOM + (total[1] - above - BOTTOM) / 2
    figure.text(0.04 / total[0], middle / total[1], y_label, rotation=90, va="center", ha="left")
    return figure, panels


def _mark_break(above: Axes, below: Axes) -> None:
    above.spines["bottom"].set_visible(False)
    above.tick_params(axis="x", length=0)
    below.set_facecolor("#80808018")
    for axes, height in ((above, 0), (below, 1)):
        stroke = Line2D([0], [height], color="k", transform=axes.transAxes, clip_on=False)
        stroke.set_marker([(-2, -1), (2, 1)])
        axes.add_line(stroke)


def _describe_bands(lines: Collection[Line], of: str, spread: str) -> str:
    """What the lines and bands are, and how many runs, or what else, a point rests on."""
    counts = sorted({cell.n for line in lines for cell in line if cell})
    if counts[-1] == 1:
        return f"One {of} per point."
    n = "–".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    drawn = "Lines: mean; bands" if any(len(line) > 1 for line in lines) else "Marks: mean; bars"
    return f"{drawn}: {spread} over n = {n} {of}s."


def sparsity_label(sparsities: Collection[float]) -> str:
    """Of the axis, which has no scale where there is one sparsity."""
    return SPARSITY if len(sparsities) > 1 else SPARSITY.split(" (")[0]


def sparsity_ticks(sparsities: Iterable[float]) -> dict[float, str]:
    """Where sparsities stand on a logarithmic scale of the density, and how they are written there."""
    return {-log(1 - sparsity): percent(sparsity) for sparsity in sparsities}


def _legend_columns(names: Sequence[str], width: float) -> int:
    """How many columns of a legend fit into a width."""

    def across(columns: int) -> float:
        rows, longer = divmod(len(names), columns)  # the first columns have one more, as matplotlib fills them
        starts = [column * rows + min(column, longer) for column in range(columns + 1)]
        return sum(ENTRY + LETTER * max(map(len, names[start:end])) for start, end in pairwise(starts))

    return next((n for n in range(len(names), 1, -1) if across(n) <= width), 1)


def legend_height(names: Sequence[str], width: float) -> float:
    """Inches that a legend takes beyond its first row."""
    return LEGEND_ROW * (ceil(len(names) / _legend_columns(names, width)) - 1)


def annotate(figure: Figure, looks: Mapping[str, Style], x_label: str, bands: str, left: float = LEFT) -> None:
    """Name the lines above the axes, and below them the axis that they share and what the bands are."""
    width, height = figure.get_size_inches()
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=look.size, linestyle=look.line, label=name)
        for name, look in looks.items()
    ]
    figure.legend(
        handles=handles,
        loc="upper center",
        ncols=_legend_columns(list(looks), width),
        frameon=False,
        handlelength=2.3,
        handletextpad=0.4,
        columnspacing=0.9,
    )
    middle = 0.5 + 0.5 * left / width
    figure.text(middle, 0.17 / height, x_label, ha="center", va="bottom")
    figure.text(middle, 0.05 / height, bands, ha="center", va="bottom", fontsize=6, color="#555555")


def draw_lines(
    panels: Mapping[str, Mapping[str, Line]],
    looks: Mapping[str, Style],
    x_label: str,
    ticks: Mapping[float, str],
    *,
    positions: Sequence[float] = (),
    y_label: str = "test accuracy (%)",
    inches: tuple[float, float] = SINGLE_INCHES,
    of: str = "run",
    spread: str = "± one standard deviation",
    within: tuple[float, float] = (-inf, inf),
    dense: Summary | None = None,
) -> tuple[Figure, str]:
    """Draw panels of lines.

    Args:
        panels: Title to the lines by name, one point per position.
        looks: Of the lines, by name, as the legend lists them.
        x_label: Of the horizontal axis.
        ticks: Positions that are labelled, and with what.
        positions: Of the points; those of the ticks unless given.
        y_label: Of the upright axis.
        inches: Width and height of a panel.
        of: What the means are taken over.
        spread: What the bands are, and stands in the place of standard deviations.
        within: Where bands are cut off if they reach beyond; means are always drawn.
        dense: The dense networks, for reference.

    Returns:
        The figure, and what its bands are.
    """
    looks = {**({"dense": METHOD_STYLES["dense"]} if dense else {}), **looks}
    scale = Scale.of(list(panels.values()), dense, within)
    figure, drawn = _lay_out(list(panels), inches, scale, y_label, list(looks))
    for panel, lines in zip(drawn, panels.values(), strict=True):
        for i, (name, line) in enumerate(lines.items()):
            aside = (i - (len(lines) - 1) / 2) * ASIDE if len(ticks) == 1 else 0
            opacity = OPACITY * min(1, FEW / len(lines))
            panel.draw([x + aside for x in positions or ticks], line, looks[name], opacity)
        if dense:
            panel.reference(dense)
        if any(isinstance(point, Difference) for line in lines.values() for point in line):
            panel.zero()
        panel.x_axis(list(ticks), list(ticks.values()), inches[0])
    bands = _describe_bands([line for lines in panels.values() for line in lines.values()], of, spread)
    annotate(figure, looks, x_label, bands)
    return figure, bands
