"""Draw docs/figures/patterns.svg: one layer, its units in two orders, and what 2:4 keeps of it.

Run from the root of the repository: `python benchmarks/pattern_picture.py`.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import nn

import permask
from permask.report.style import PRINT

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "patterns.svg"
ROWS, UNITS = 6, 8
KEPT, PRUNED, LINE = "#3b6fb6", "#c9ced6", "#8a8f98"


def network() -> nn.Sequential:
    """A layer that reads eight units; neighbours matter to the same outputs, where a pattern loses most."""
    torch.manual_seed(3)
    made = nn.Sequential(nn.Linear(4, UNITS), nn.ReLU(), nn.Linear(UNITS, ROWS))
    with torch.no_grad():
        large = (torch.arange(ROWS)[:, None] < ROWS // 2) == (torch.arange(UNITS) < UNITS // 2)
        made[2].weight.copy_(torch.randn(ROWS, UNITS) * torch.where(large, 1.0, 0.4))
    return made


def draw(axes: Axes, weight: torch.Tensor, kept: torch.Tensor, units: np.ndarray, title: str) -> None:
    """Squares as large as the weights, in two sets of four neighbours."""
    largest = weight.abs().max().item() ** 0.5
    for (row, column), value in np.ndenumerate(weight.abs().numpy()):
        side = 0.86 * value**0.5 / largest
        corner = (column + (column >= 4) * 0.4 + 0.5 - side / 2, ROWS - 1 - row + 0.5 - side / 2)
        axes.add_patch(Rectangle(corner, side, side, color=KEPT if kept[row, column] else PRUNED, linewidth=0))
    for first in (0.0, 4.4):
        axes.add_patch(Rectangle((first, 0), 4, ROWS, fill=False, edgecolor=LINE, linewidth=0.8))
    for place, unit in enumerate(units):
        middle = place + (place >= 4) * 0.4 + 0.5
        axes.text(middle, -0.25, f"{unit + 1}", ha="center", va="top", fontsize=10, color=LINE)
    share = weight.abs()[kept].sum() / weight.abs().sum()
    axes.set_title(f"{title}:\n{100 * share:.0f}% of the magnitude kept", fontsize=12, color=LINE)
    axes.set(xlim=(-0.1, 8.5), ylim=(-0.9, ROWS + 0.1), aspect="equal")
    axes.axis("off")


def main() -> None:
    made = network()
    order = permask.permute_for_pattern(permask.discover(made, torch.randn(2, 4)), made, (2, 4))
    moved = order.apply(made)
    (index,) = order.index.values()
    with plt.rc_context(PRINT):
        figure, both = plt.subplots(1, 2, figsize=(7.2, 2.9))
        for axes, one, units, title in (
            (both[0], made, np.arange(UNITS), "Units as they are"),
            (both[1], moved, index, "In a better order"),
        ):
            draw(axes, one[2].weight.detach(), permask.pattern_mask(one, (2, 4))["2.weight"], units, title)
        figure.savefig(FIGURE, transparent=True, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
