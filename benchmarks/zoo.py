"""Discover the symmetries of every network of the zoo and write what came out as docs/zoo.md.

Run from the root of the repository: `python benchmarks/zoo.py [NAME ...]`; with names, it prints their rows only.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from measure import machine
from torch import nn

import permask
from permask.inputs import Example
from permask.symmetry import Symmetry
from permask.wrapped import readable

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
PAGE = ROOT / "docs" / "zoo.md"

LEGEND = """\
- **size**: number of elements of all parameters;
- **groups**: groups of interchangeable units. **inside**: how many of them lie inside the units of other groups (heads,
  groups of a convolution);
- **movable**: share of the elements of used parameters that have an axis along which units move;
- **positions**: share of the positions that move, along all axes;
- **freedom**: log10 of the number of symmetries;
- **seconds**: processor time of discovery with one thread. **export** is the part of `torch.export` in it. Both are
  from a single run. Another network was run before, so torch had already loaded what it needs;
- **error**: what the certificate measured, which is the change of the outputs when all groups are permuted, relative to
  [their spread](discovery.md#what-the-certificate-says). Weights are random, in float64, and the network is in
  evaluation mode;
- **unseen**: groups that do not influence these outputs, so that the certificate says nothing about them;
"""

TABLE = """\
- **rest**: what holds the elements that cannot move, if they are more than 0.1% of all: their share, the op
  (`none` if it is not an op that holds them), and the [reason](discovery.md#how-much-was-found).

| network | size | groups | inside | movable | positions | freedom | seconds | export | error | unseen | change | rest |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|
"""

INTRODUCTION = """\
# The zoo

The zoo is the set of networks on which discovery is tested: torchvision's and, from `transformer` on, small ones. In
all {count} of them, at least {least} of the elements of used parameters can move, and random permutations of all groups
change the outputs by at most {change} of their range (column **change**). `benchmarks/zoo.py` wrote this page.

"""

CHANGE = """\
- **change**: the change of the outputs when all groups are permuted at random, relative to the range of their entries;
  the largest of three draws. It is measured apart from discovery's own certificate;
"""


@dataclass(frozen=True)
class Found:
    """What discovery found in a network.

    Attributes:
        symmetry: The symmetry.
        parameters: How many elements the parameters have.
        change: Of the outputs, measured apart from the certificate.
        rest: What holds the elements that cannot move, with their shares, the largest first.
    """

    symmetry: Symmetry
    parameters: int
    change: float
    rest: Sequence[str]

    def row(self, name: str) -> str:
        """A line of the table."""
        symmetry, seconds = self.symmetry, self.symmetry.report["seconds"]
        inside = sum(group.parent is not None for group in symmetry.groups)
        movable = f"{min(100 * symmetry.movable, 99.99):.2f}%" if symmetry.movable < 1 else "100%"
        error = symmetry.report["error"]
        return (
            f"| {name} | {self.parameters:,} | {len(symmetry.groups)} | {inside} | {movable} | "
            f"{100 * symmetry.positions:.1f}% | {symmetry.freedom:,.0f} | "
            f"{sum(seconds.values()):.1f} | {seconds['capture']:.1f} | "
            f"{'none' if error is None else f'{error:.0e}'} | {len(symmetry.report['unseen'])} | {self.change:.0e} | "
            f"{'; '.join(self.rest) if symmetry.movable < 0.999 else ''} |"
        )


def measure(
    network: nn.Module,
    inputs: Example,
    change: Callable[[Symmetry, nn.Module, Example], float],
    outputs: Sequence[str] | None = None,
) -> Found:
    """Discover the symmetry of a network, and measure by `change` what it changes."""
    with mock.patch("permask.discovery.discover.time", SimpleNamespace(perf_counter=time.process_time)):
        symmetry = permask.discover(network, inputs, outputs=outputs)
    parameters = sum(x.numel() for x in network.parameters())
    rest = list(reasons(symmetry, readable(network)))
    return Found(symmetry, parameters, change(symmetry, network, inputs), rest)


def reasons(symmetry: Symmetry, network: nn.Module) -> Iterator[str]:
    """What pins the elements of used parameters that cannot move, with their share, the largest first."""
    held: dict[str, dict[int, Counter[str]]] = {}
    for pin in symmetry.pinned:
        dims = held.setdefault(pin.parameter, {})
        dims.setdefault(pin.dim, Counter())[f"{pin.op.rpartition('(')[2].rstrip(')')}: {pin.reason}"] += pin.count
    elements: Counter[str] = Counter()
    used = {name: x for name, x in network.named_parameters() if name not in symmetry.report["unused"]}
    for name, x in used.items():
        dims = [held.get(name, {}).get(dim, Counter()) for dim in range(x.ndim) if x.shape[dim] > 1]
        share = prod(count.total() / size for count, size in zip(dims, (n for n in x.shape if n > 1), strict=True))
        if share:
            reason = dims[0].most_common(1)[0][0] if dims else "a single number"
            elements[reason] += round(share * x.numel())
    total = sum(x.numel() for x in used.values())
    return (f"{100 * count / total:.2f}% {reason}" for reason, count in elements.most_common(3))


def row(name: str) -> str:
    """Measure a network of the zoo: a line of the table."""
    from support.invariance import randomise_, worst_change
    from support.zoo import ZOO

    network, inputs = ZOO[name].make(), ZOO[name].inputs()
    randomise_(network)
    return measure(network, inputs, worst_change).row(name)


def main(names: Sequence[str]) -> None:
    """Measure the networks that are named, or all of them, and write the page."""
    from support.zoo import ZOO

    torch.set_num_threads(1)
    row("resnet18")
    rows = []
    for name in names or ZOO:
        rows.append(row(name))
        print(rows[-1], flush=True)
    if not names:
        PAGE.write_text(page(rows, machine("cpu", "torchvision")), encoding="utf-8")


def page(rows: Sequence[str], made_with: str) -> str:
    """The page, of the lines of its table."""
    cells = [cells_of(line) for line in rows]
    least, change = min((one[5] for one in cells), key=percent), max((one[12] for one in cells), key=float)
    head = INTRODUCTION.format(count=len(rows), least=least, change=change)
    return "\n".join([f"{head}{LEGEND}{CHANGE}{TABLE}{rows[0]}", *rows[1:], "", f"{made_with}.", ""])


def cells_of(line: str) -> list[str]:
    """What stands in a line of the table; the first cell is number 1."""
    return [cell.strip() for cell in line.split("|")]


def percent(cell: str) -> float:
    """The number in front of a sign for percent."""
    return float(cell.rstrip("%"))


if __name__ == "__main__":
    main(sys.argv[1:])
