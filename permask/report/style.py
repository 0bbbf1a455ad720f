"""How methods look in every figure: the same colour, marker and line each time, told apart in grey by the markers.

The colours of the first methods are of Okabe and Ito's palette (2008). Those of the others were chosen as far as
possible from all the rest in CIELAB, as seen with normal vision and with each kind of dichromacy (Machado et al. 2009),
and of middling lightness, so that they can be seen on white and on a dark page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal


@dataclass(frozen=True)
class Style:
    """The look of one line.

    Attributes:
        colour: As #rrggbb.
        marker: In matplotlib's letters.
        line: In matplotlib's letters.
    """

    colour: str
    marker: str
    line: Literal["-", "--", "-.", ":"]

    @property
    def size(self) -> float:
        """Of the marker in points; those of thin strokes are larger, or a line would hide them."""
        return 7.5 if self.marker in ("1", "2", "3") else PRINT["lines.markersize"]


METHOD_STYLES = {
    "dense": Style("#000000", "", ":"),
    "pruned": Style("#555555", "", "--"),
    "lth": Style("#0072B2", "o", "-"),
    "imp": Style("#56B4E9", "v", "--"),
    "permuted": Style("#D55E00", "s", "-"),
    "naive": Style("#009E73", "^", "--"),
    "random": Style("#888888", "x", "-."),
    "any-symmetry": Style("#9FBF00", "P", ":"),
    "own-ticket": Style("#734211", "D", "-"),
    "one-shot": Style("#E09D5A", "<", "--"),
    "snip": Style("#BF009F", "*", "-"),
    "grasp": Style("#6E1DBF", "p", "--"),
    "synflow": Style("#875AE0", "h", "-."),
    "erk": Style("#4122E0", ">", "--"),
    "uniform": Style("#7CA9BF", "d", ":"),
    "set": Style("#E02241", "8", "--"),
    "rigl": Style("#991742", "2", "-"),
    "gmp": Style("#734B6C", "1", "-."),
}
BEFORE_AND_AFTER = {"before permuting": METHOD_STYLES["naive"], "after permuting": METHOD_STYLES["permuted"]}
# of methods without a look of their own
_OTHERS = (
    Style("#E092B9", "H", "-"),
    Style("#4B7365", "X", "-."),
    Style("#996390", "+", "--"),
    Style("#5C732E", "3", ":"),
)


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """A look for every method; those without one of their own take what no other has, of few methods also no colour."""
    named = {METHOD_STYLES[method] for method in methods if method in METHOD_STYLES}
    marked = [look for look in (*_OTHERS, *METHOD_STYLES.values()) if look.marker]
    mixed = (
        Style(one.colour, other.marker, other.line)
        for shift in range(len(marked))
        for one, other in zip(marked, marked[shift:] + marked[:shift], strict=True)
    )
    free = cycle(look for look in mixed if look not in named)
    return {method: METHOD_STYLES.get(method) or next(free) for method in methods}


# what is printed: sizes in points, fonts that a PDF embeds and an SVG draws
PRINT: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#80808044",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "permask",
}
