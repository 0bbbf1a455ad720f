"""Where to cut a program so that little has to be remembered between its parts."""

from collections.abc import Sequence
from math import isqrt
from typing import TYPE_CHECKING

from permask.discovery.weights import SMALL

if TYPE_CHECKING:
    from permask.discovery.program import Node


def cuts(nodes: Sequence["Node"]) -> list[int]:
    """The numbers of the nodes at which parts begin, and their count at the end.

    A program whose values are `SMALL` is one part. Of others, there are about as many parts as nodes in each. The cuts
    are where the fewest bytes are known that are needed later, and never between a tensor and what modifies it: a part
    can be computed twice.
    """
    if sum(map(_bytes, nodes)) <= SMALL:
        return [0, len(nodes)]
    size, costs = isqrt(len(nodes)) + 1, _costs(nodes)
    windows = (range(begin, min(begin + size, len(nodes))) for begin in range(1, len(nodes), size))
    cheapest = (min(window, key=costs.__getitem__) for window in windows)
    return [0, *(cut for cut in cheapest if costs[cut] < float("inf")), len(nodes)]


def expiring_in(nodes: Sequence["Node"]) -> dict[int, list[str]]:
    """What is not needed any more after every node, by its number."""
    needed: set[str] = set()
    expiring: dict[int, list[str]] = {}
    for i, node in reversed(list(enumerate(nodes))):
        names = [name for name in dict.fromkeys((node.name, *node.inputs)) if name not in needed]
        expiring[i] = names
        needed.update(names)
        needed.discard(node.name)
    return expiring


def _bytes(node: "Node") -> int:
    """What the values of a node take, in float64."""
    return sum(x.numel() * 8 for x in node.outputs if x is not None)


def _costs(nodes: Sequence["Node"]) -> list[float]:
    """The bytes that are known and needed later before every node; infinite where there must be no cut."""
    expiring, known = expiring_in(nodes), 0
    made: dict[int, int] = {}  # memory -> the first node that has it
    by_name = {node.name: node for node in nodes}
    forbidden: set[int] = set()
    costs: list[float] = []
    for i, node in enumerate(nodes):
        for memory in node.storages:
            made.setdefault(memory, i)
        for memory in (memory for name in node.writes for memory in by_name[name].storages):
            forbidden.update(range(made[memory] + 1, i + 1))
        costs.append(known)
        known += _bytes(node) - sum(_bytes(by_name[name]) for name in expiring[i])
    return [float("inf") if i in forbidden else cost for i, cost in enumerate(costs)]
