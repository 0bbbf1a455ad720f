"""Discover the symmetries of every network of the zoo and write what came out as docs/zoo.md.

Run from the root of the repository: `python benchmarks/zoo.py [NAME ...]`; with names, it prints their rows only.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from measure import machine

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
PAGE = ROOT / "docs" / "zoo.md"

INTRODUCTION = """# The zoo

Networks on which discovery is tested, and what it finds. `benchmarks/zoo.py` wrote this page.

- **groups** of interchangeable units, and how many lie **inside** the units of others (heads, convolution groups);
- **movable**: share of the parameter elements in use with an axis along which units move;
- **positions**: share of the positions along all axes that move;
- **freedom**: log10 of the number of symmetries;
- **seconds** of processor time that discovery takes with one thread, and `torch.export` within it: a single run, after
  one on resnet18, in which torch loads what it needs;
- **error** of the certificate: the change of the outputs by permutations of all groups, relative to
  [their spread](discovery.md#what-the-certificate-says), with random weights, in evaluation mode and float64;
- **change** of the outputs, relative to the range of their entries, by random permutations of all groups: the largest
  of three draws. This is measured apart from discovery's own certificate;
- **the rest**: what holds the elements that cannot move, where they are more than 0.1%.

| network | parameters | groups | inside | movable | positions | freedom | seconds | export | error | change | the rest |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|
"""


def measure(name: str) -> dict[str, Any]:
    """One network."""
    from support.invariance import randomise_, worst_change
    from support.zoo import ZOO

    import permask

    network, inputs = ZOO[name].make(), ZOO[name].inputs()
    randomise_(network)
    with mock.patch("permask.discovery.discover.time", SimpleNamespace(perf_counter=time.process_time)):
        symmetry = permask.discover(network, inputs)
    return {
        "parameters": sum(x.numel() for x in network.parameters()),
        "groups": len(symmetry.groups),
        "inside": sum(group.parent is not None for group in symmetry.groups),
        "movable": symmetry.movable,
        "positions": symmetry.positions,
        "freedom": symmetry.freedom,
        "error": symmetry.report["error"],
        "seconds": sum(symmetry.report["seconds"].values()),
        "export": symmetry.report["seconds"]["capture"],
        "change": worst_change(symmetry, network, inputs),
        "rest": list(reasons(symmetry, network)),
    }


def reasons(symmetry, network) -> Iterator[str]:
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


def row(name: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    movable = f"{min(100 * found['movable'], 99.99):.2f}%" if found["movable"] < 1 else "100%"
    rest = "; ".join(found["rest"]) if found["movable"] < 0.999 else ""
    return (
        f"| {name} | {found['parameters']:,} | {found['groups']} | {found['inside']} | {movable} | "
        f"{100 * found['positions']:.1f}% | {found['freedom']:,.0f} | "
        f"{found['seconds']:.1f} | {found['export']:.1f} | {found['error']:.0e} | {found['change']:.0e} | {rest} |"
    )


def main(names: Sequence[str]) -> None:
    """Measure the networks that are named, or all of them, and write the page."""
    import torch
    from support.zoo import ZOO

    torch.set_num_threads(1)
    measure("resnet18")
    rows = []
    for name in names or ZOO:
        rows.append(row(name, measure(name)))
        print(rows[-1], flush=True)
    if not names:
        PAGE.write_text(f"{INTRODUCTION}{chr(10).join(rows)}\n\n{machine('cpu', 'torchvision')}.\n")


if __name__ == "__main__":
    main(sys.argv[1:])
