"""From the coloured graph of atoms to classes of interchangeable units.

**Claim.** Every permutation of atoms that `solve` finds, and every product of them, keeps all colours and edges
of the graph, so that the network's function stays as it is.

**Sketch of the proof.** Call a permutation σ of atoms *admissible* if it keeps colours and edges. (1) If σ is
admissible and the network's parameters are permuted by it, every value of the network is permuted by it too:
by induction over the ops, since each rule demands, by colours and edges, all that its op needs to give a
permuted result for permuted operands. The outputs are pinned, so that they stay. (2) Admissible permutations
form a group: products of those found may be used freely. (3) Switch some block families *off*: fix their
parents, and colour each of their children by its parent. What is admissible under that stronger demand is
admissible. Leave the other edges on, and look at the connected components of the graph that they make. A map
of one component onto another that keeps colours and edges, together with its inverse and the identity elsewhere,
is admissible. So components that are isomorphic may trade places in any way: a class of m such components is a
symmetric group on m units. (4) The isomorphism used is the one that maps the r-th atom of a component to the
r-th of the other, in an order that depends on the structure (colours refined by neighbours) and, among equals,
on the numbers of the atoms; it is compared edge by edge and colour by colour before it is believed.

What is lost is only completeness: isomorphisms that this order does not hit, and admissible permutations that
are no product of trades. With all block families off, the trades are those inside blocks. With a family on (and
all those that then come along), they are trades of whole blocks.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from permask.discovery.coloured import ColouredGraph, Part
from permask.discovery.constraints import Constraints

Units = Int[np.ndarray, "units ranks"]


def solve(constraints: Constraints) -> list[Units]:
    """All classes of interchangeable units that touch a parameter.

    Returns:
        For every class, the atoms of its units: row n holds those of unit n, in corresponding order. Classes
        that move whole blocks come before those that move what is inside.
    """
    graph = ColouredGraph(constraints)
    slots = np.zeros(graph.count, bool)
    for slot in constraints.slots:
        slots[slot.atoms] = True
    found: dict[bytes, Units] = {}
    for on in _switchings(graph):
        for units in graph.classes(on):
            if slots[units].any():
                rows = np.sort(units, axis=1)
                found.setdefault(rows[np.argsort(rows[:, 0])].tobytes(), units)
    return list(found.values())


def _switchings(graph: ColouredGraph) -> Iterator[frozenset[int]]:
    """Sets of block families to switch on: for every one of them what moves its blocks; then none.

    Families in different connected parts of the graph do not matter to each other and share a switching.
    """
    plans = [_plans(graph, families) for families in graph.connected_families()]
    for turn in range(max(map(len, plans), default=0)):
        yield frozenset().union(*(plan[turn] for plan in plans if turn < len(plan)))
    yield frozenset()


def _plans(graph: ColouredGraph, families: Sequence[int]) -> list[frozenset[int]]:
    """For every family, the set that has to be on for its blocks to move; the largest sets first."""
    part = graph.around(families)
    plans = (_plan(part, family) for family in families)
    return sorted(dict.fromkeys(plan for plan in plans if plan), key=len, reverse=True)


def _plan(part: Part, family: int) -> frozenset[int] | None:
    """A set of families that lets the blocks of one move, and keeps them apart; None if there is none.

    A family whose parents lie in what moves has to be on, since those would be fixed otherwise. One that only has
    children there (blocks within the blocks) comes along where it joins no two blocks.
    """
    on = _forced(part, family, frozenset([family]))
    if on is None:
        return None
    tried: set[int] = set()
    while further := part.touched(family, on) - on - tried:
        other = min(further)
        tried.add(other)
        on = _forced(part, family, on | {other}) or on
    return on


def _forced(part: Part, family: int, on: frozenset[int]) -> frozenset[int] | None:
    """Switch on what has to be on as well; None if blocks are joined then."""
    blocks = part.blocks(family, frozenset([family]))
    while part.blocks(family, on) == blocks:
        more = part.fixing(family, on) - on
        if not more:
            return on
        on |= more
    return None
