"""Where to cut a program so that little has to be remembered between its parts."""

from collections.abc import Sequence
from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permask.discovery.program import Node


def cuts(nodes: Sequence["Node"]) -> list[int]:
    """The numbers of the nodes at which parts begin, and their count at the end.

    There are about as many parts as nodes in each. The cuts are where the fewest bytes are known that are needed later,
    and never between a tensor and what modifies it: a part can be computed twice.
    """
    size, costs = isqrt(len(nodes)) + 1, _costs(nodes)
    windows = (range(begin, min(begin + size, len(nodes))) for begin in range(1, len(nodes), size))
    cheapest = (min(window, key=costs.__getitem__) for window in windows)
    return [0, *(cut for cut in cheapest if costs[cut] < float("inf")), len(nodes)]


def _costs(nodes: Sequence["Node"]) -> list[float]:
    """The bytes that are known and needed later before every node; infinite where there must be no cut."""
    last_use = {name: i for i, node in enumerate(nodes) for name in node.inputs}
    changes = [0.0] * (len(nodes) + 1)
    made: dict[int, int] = {}  # memory -> the first node that has it
    by_name = {node.name: node for node in nodes}
    forbidden: set[int] = set()
    for i, node in enumerate(nodes):
        for memory in node.storages:
            made.setdefault(memory, i)
        for memory in (memory for name in node.writes for memory in by_name[name].storages):
            forbidden.update(range(made[memory] + 1, i + 1))
        size = sum(x.numel() * x.element_size() for x in node.outputs if x is not None)
        changes[i + 1] += size
        changes[last_use.get(node.name, i) + 1] -= size
    costs, total = [], 0.0
    for i, change in enumerate(changes[:-1]):
        total += change
        costs.append(float("inf") if i in forbidden else total)
    return costs
