"""What a symmetry says of the positions that cannot move, and how many can."""

from collections import Counter
from collections.abc import Mapping
from functools import cache

import numpy as np
from jaxtyping import Bool

from permask.discovery.coloured import ColouredGraph, components
from permask.discovery.constraints import Constraints, Reason
from permask.discovery.naming import Aliases
from permask.symmetry import Pin

ALONE = Reason("none", "nothing else in the network is used alike")
NOT_FOUND = Reason("none", "no interchange of units was found here", "search incomplete")

Moving = Mapping[tuple[str, int], Bool[np.ndarray, "length"]]


def movable(constraints: Constraints, moving: Moving, sizes: Mapping[str, int]) -> float:
    """Share of the elements of used parameters with at least one axis along which they move.

    Args:
        constraints: What the network demands.
        moving: Which positions move.
        sizes: Number of elements of every parameter that is used, by the name that its slots have.
    """
    still = dict.fromkeys(sizes, 1.0)
    for slot in constraints.slots:
        if slot.parameter in still and (slot.parameter, slot.dim) in moving:
            still[slot.parameter] *= 1 - float(moving[slot.parameter, slot.dim].mean())
    total = sum(sizes.values())
    return sum(sizes[name] * (1 - share) for name, share in still.items()) / total if total else 0.0


def pins(constraints: Constraints, moving: Moving, aliases: Aliases) -> tuple[Pin, ...]:
    """Every axis, or part of one, that cannot move; with the first reason that applies to it.

    What an op pins itself goes before what it pins through edges, and an unsupported op before all else.
    """
    edges = constraints.edges
    none = np.empty(0, np.int64)
    parents = np.concatenate([none, *(family.parents for family in edges)])
    part = components(constraints.count, parents, np.concatenate([none, *(family.children for family in edges)]))
    reasons = sorted(constraints.pins, key=lambda pin: pin[1].kind != "unsupported op")
    direct, around = (np.full(constraints.count, len(reasons)) for _ in range(2))
    for number, (atoms, _) in reversed(list(enumerate(reasons))):
        direct[atoms] = number
        around[part[atoms]] = number
    unlike = cache(lambda: ColouredGraph(constraints).unlike())
    found = []
    for slot in constraints.slots:
        moves = moving.get((slot.parameter, slot.dim), np.zeros(slot.atoms.size, bool))
        still = slot.atoms[~moves]
        why = np.where(direct[still] < len(reasons), direct[still], around[part[still]])
        merged = Counter(reasons[number][1] for number in why if number < len(reasons))
        if (why == len(reasons)).any():
            merged.update(ALONE if alone else NOT_FOUND for alone in unlike()[still[why == len(reasons)]])
        for name in aliases[slot.parameter]:
            found += [Pin(name, slot.dim, r.op, r.reason, r.kind, count) for r, count in merged.items()]
    return tuple(found)
