"""How methods look in every figure: the same colour, marker and line each time, told apart in grey as well.

Colours are of Okabe and Ito's palette (2008), which readers with any common colour blindness can tell apart.
"""

from dataclasses import dataclass
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


METHOD_STYLES = {
    "dense": Style("#000000", "", ":"),
    "lth": Style("#0072B2", "o", "-"),
    "imp": Style("#56B4E9", "v", "--"),
    "permuted": Style("#D55E00", "s", "-"),
    "naive": Style("#009E73", "^", "--"),
    "random": Style("#888888", "x", "-."),
    "any-symmetry": Style("#888888", "P", ":"),
    "own-ticket": Style("#E69F00", "D", "-"),
    "one-shot": Style("#E69F00", "<", "--"),
    "snip": Style("#CC79A7", "*", "-"),
    "grasp": Style("#CC79A7", "P", "--"),
    "synflow": Style("#CC79A7", "D", "-."),
    "erk": Style("#332288", "x", "--"),
    "uniform": Style("#332288", "*", ":"),
}
BEFORE_AND_AFTER = {"before permuting": METHOD_STYLES["naive"], "after permuting": METHOD_STYLES["permuted"]}
_OTHERS = (
    Style("#117733", ">", "-"),
    Style("#332288", "<", "-."),
    Style("#E69F00", "P", "-."),
    Style("#882255", "h", "-"),
)


def styles(methods: tuple[str, ...]) -> dict[str, Style]:
    """A style for every method; those without one of their own take the others in turn."""
    unnamed = [method for method in methods if method not in METHOD_STYLES]
    return {m: METHOD_STYLES.get(m) or _OTHERS[unnamed.index(m) % len(_OTHERS)] for m in methods}


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
    "grid.color": "#dddddd",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "permask",
}
