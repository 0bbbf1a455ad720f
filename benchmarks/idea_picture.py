"""Draw docs/figures/idea.svg: a mask on network A, on network B as it is, and on network B permuted.

Run from the root of the repository: `python benchmarks/idea_picture.py`.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

import permask
from permask.report.style import PRINT

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "idea.svg"
WIDTHS = INPUTS, UNITS, OUTPUTS = 4, 5, 3
COLOURS = "#0072B2", "#D55E00", "#009E73", "#BF009F", "#C98F00"  # of what a unit of A does
LINE = "#8a8f98"  # seen on white and on a dark page


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    """A, and B: it has units that do what those of A do, in another order."""
    torch.manual_seed(7)
    network_a, network_b = (nn.Sequential(nn.Linear(INPUTS, UNITS), nn.ReLU(), nn.Linear(UNITS, OUTPUTS)) for _ in "ab")
    order = torch.tensor([2, 4, 0, 1, 3])
    with torch.no_grad():
        for name, weight in network_b.named_parameters():
            of_a = network_a.get_parameter(name)
            moved = of_a[:, order] if name == "2.weight" else of_a[order] if name.startswith("0") else of_a
            weight.copy_(moved + 0.02 * torch.randn_like(moved))
    return network_a, network_b


def draw(axes: Axes, mask: permask.Mask, wires: list[int], units: list[int], title: str) -> None:
    """A network's units, and the weights that are kept in the colour of the unit of A for which they were found.

    Args:
        axes: Where to draw.
        mask: Which weights are kept.
        wires: For each hidden unit, the unit of A for which its kept weights were found.
        units: For each hidden unit, the unit of A that does the same.
        title: What it shows.
    """

    def places(width: int) -> list[float]:
        return [x - (width - 1) / 2 for x in range(width)]

    kept: list[Tensor] = [mask["0.weight"].T, mask["2.weight"].T]
    for layer, rows in enumerate(kept):
        for start, x in enumerate(places(WIDTHS[layer])):
            for end, x_above in enumerate(places(WIDTHS[layer + 1])):
                unit = wires[end if layer == 0 else start]
                alive = bool(rows[start, end])
                look = (
                    {"color": COLOURS[unit], "linewidth": 2.0}
                    if alive
                    else {"color": LINE, "linewidth": 0.4, "alpha": 0.5}
                )
                axes.plot([x, x_above], [layer, layer + 1], zorder=1 + alive, **look)
    for layer, width in enumerate(WIDTHS):
        colours = [COLOURS[unit] for unit in units] if layer == 1 else [LINE] * width
        axes.scatter(places(width), [layer] * width, s=170 if layer == 1 else 60, color=colours, zorder=3)
    axes.set_title(title, fontsize=13, color=LINE)
    axes.set(xlim=(-2.5, 2.5), ylim=(-0.2, 2.2))
    axes.axis("off")


def main() -> None:
    network_a, network_b = networks()
    alignment = permask.match_weights(permask.discover(network_a, torch.randn(2, INPUTS)), network_a, network_b)
    mask = permask.magnitude_mask(network_a, sparsity=0.55)
    (index,) = alignment.permutation.index.values()
    as_in_a, does = list(range(UNITS)), index.flatten().tolist()
    with plt.rc_context(PRINT):
        figure, three = plt.subplots(1, 3, figsize=(9.0, 2.7))
        draw(three[0], mask, as_in_a, as_in_a, "Network A and\nthe mask found on it")
        draw(three[1], mask, as_in_a, does, "Network B,\nthe mask as it is")
        draw(three[2], permask.transport(mask, alignment), does, does, "Network B,\nthe mask permuted")
        figure.savefig(FIGURE, transparent=True, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
