"""The coloured graph of atoms in arrays, and its interchangeable connected components."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from permask.discovery.constraints import Constraints, Edges

Integers = Int[np.ndarray, "..."]


class ColouredGraph:
    """Atoms with colours; edges from parent to child, each with a family and a label.

    Attributes:
        count: Number of atoms.
        blocks: Families whose parents have children that could trade places.
    """

    def __init__(self, constraints: Constraints):
        self.count = constraints.count
        self.colour = np.zeros(self.count, np.int64)
        self._colours = 1
        for slot in constraints.slots:
            self._recolour(self.colour, slot.atoms, np.zeros_like(slot.atoms))
        for atoms, labels in constraints.colours:
            self._recolour(self.colour, atoms, labels)
        families = [edges for edges in constraints.edges if edges.parents.size]
        self.blocks = frozenset(i for i, edges in enumerate(families) if edges.block and self._trades(edges))
        self.parent = _join([edges.parents for edges in families])
        self.child = _join([edges.children for edges in families])
        self.family = np.repeat(np.arange(len(families)), [edges.parents.size for edges in families])
        # in a block family whose children all differ in colour, colours say more than places
        labels = [e.labels if i in self.blocks or not e.block else 0 * e.labels for i, e in enumerate(families)]
        self.label = _join(labels)
        self.start = np.r_[0, np.cumsum([edges.parents.size for edges in families], dtype=np.int64)]

    def _trades(self, edges: Edges) -> bool:
        """Whether some parent has two children of the same colour."""
        pairs = _pairs(edges.parents, self.colour[edges.children])
        return int(pairs.max()) + 1 < len(pairs)

    def _recolour(self, colour: Integers, atoms: Integers, labels: Integers) -> None:
        """Tell some atoms from all others, and from each other where their labels or old colours differ."""
        colour[atoms] = self._colours + _pairs(colour[atoms], labels)
        self._colours += len(atoms)

    @cached_property
    def _part(self) -> Integers:
        """Number of the connected part of the graph that every atom lies in."""
        return components(self.count, self.parent, self.child)

    @cached_property
    def _edges_by_part(self) -> tuple[Integers, Integers]:
        """Numbers of all edges, part after part, and where those of every part begin."""
        part = self._part[self.parent]
        return np.argsort(part, kind="stable"), np.r_[0, np.cumsum(np.bincount(part))]

    def connected_families(self) -> list[list[int]]:
        """The block families, by the connected part of the graph that they lie in."""
        part = self._part
        by_part: dict[int, list[int]] = {}
        for family in sorted(self.blocks):
            by_part.setdefault(int(part[self.parent[self.start[family]]]), []).append(family)
        return list(by_part.values())

    def around(self, families: Sequence[int]) -> "Part":
        """The connected part of the graph that some families lie in."""
        which = int(self._part[self.parent[self.start[families[0]]]])
        edges, start = self._edges_by_part
        inside = edges[start[which] : start[which + 1]]
        atoms, ends = np.unique(np.stack([self.parent[inside], self.child[inside]]), return_inverse=True)
        parent, child = ends.reshape(2, -1)
        free = np.isin(self.family[inside], list(self.blocks))
        whole = components(len(atoms), parent[~free], child[~free])
        edges = np.stack([whole[parent[free]], whole[child[free]], self.family[inside][free]])
        return Part(int(whole.max()) + 1, *np.unique(edges, axis=1))

    def unlike(self) -> Bool[np.ndarray, "atoms"]:
        """Atoms that no symmetry moves: refined by their neighbours, their colour becomes one that no other has.

        Refinement (Weisfeiler and Leman 1968) keeps symmetric atoms alike: what it tells apart cannot trade places.
        """
        label = np.where(np.isin(self.family, list(self.blocks)), 0, self.label)
        seen, told_apart, before = _mix(self.colour), 0, -1
        while told_apart > before:
            seen = _refine(seen, self.parent, self.child, self.family, label)
            before, told_apart = told_apart, len(np.unique(seen))
        _, place, counts = np.unique(seen, return_inverse=True, return_counts=True)
        return counts[place] == 1

    def classes(self, on: Set[int]) -> Iterator[Integers]:
        """Classes of isomorphic components with some block families on and the others off.

        Yields:
            `[m, k]` the k atoms of each of m components, in corresponding order.
        """
        off = self.blocks - on
        colour = self.colour.copy()
        for family in self.blocks:
            edges = slice(self.start[family], self.start[family + 1])
            parents, children = self.parent[edges], self.child[edges]
            if family in off:
                fixed = np.unique(parents)
                self._recolour(colour, fixed, fixed)
                self._recolour(colour, children, parents)
            else:
                self._recolour(colour, children, self.label[edges])
        active = ~np.isin(self.family, list(off))
        edges = (self.parent, self.child, self.family, self.label)
        yield from _Components(colour, *(column[active] for column in edges)).classes()


@dataclass(frozen=True, eq=False)
class Part:
    """A connected part of the graph, to see which blocks stay apart; atoms that always stay together are one node.

    Attributes:
        count: Number of nodes.
        parent: Of every edge between nodes.
        child: Of every edge.
        family: Of every edge: a block family.
    """

    count: int
    parent: Integers
    child: Integers
    family: Integers
    _known: dict[frozenset[int], Integers] = field(default_factory=dict)

    def blocks(self, family: int, on: frozenset[int]) -> int:
        """How many components hold a parent of `family`, with the families in `on` active."""
        return len(np.unique(self._component(on)[self.parent[self.family == family]]))

    def fixing(self, family: int, on: frozenset[int]) -> frozenset[int]:
        """The families with a parent in a component that holds a parent of `family`."""
        return self._in_blocks(family, on, self.parent)

    def touched(self, family: int, on: frozenset[int]) -> frozenset[int]:
        """The families with a child in a component that holds a parent of `family`."""
        return self._in_blocks(family, on, self.child)

    def _component(self, on: frozenset[int]) -> Integers:
        if on not in self._known:
            active = np.isin(self.family, list(on))
            self._known[on] = components(self.count, self.parent[active], self.child[active])
        return self._known[on]

    def _in_blocks(self, family: int, on: frozenset[int], ends: Integers) -> frozenset[int]:
        component = self._component(on)
        moving = np.isin(component, component[self.parent[self.family == family]])
        return frozenset(np.unique(self.family[moving[ends]]).tolist())


class _Components:
    """Connected components, each with its atoms in an order that depends on its structure."""

    def __init__(self, colour: Integers, parent: Integers, child: Integers, family: Integers, label: Integers):
        count = len(colour)
        self.colour = colour
        component = components(count, parent, child)
        refined = _refine(colour, parent, child, family, label)
        self.order = np.lexsort((np.arange(count), refined, colour, component))
        self.sizes = np.bincount(component)
        self.start = np.r_[0, np.cumsum(self.sizes)]
        rank = np.empty(count, np.int64)
        rank[self.order] = np.arange(count) - np.repeat(self.start[:-1], self.sizes)
        edges = np.stack([family, label, rank[parent], rank[child]], axis=1)
        of = component[parent]
        by_component = np.lexsort((*edges.T[::-1], of))
        self.edges = edges[by_component]
        self.edge_start = np.r_[0, np.cumsum(np.bincount(of, minlength=len(self.sizes)))]
        signature = np.zeros(len(self.sizes), np.uint64)
        np.add.at(signature, component, _mix(colour, rank))
        np.add.at(signature, of, _mix(*edges.T))
        self.signature = signature

    def classes(self) -> Iterator[Integers]:
        """Sets of two or more isomorphic components, `[m, k]` atoms each."""
        order = np.argsort(self.signature, kind="stable")
        bounds = np.flatnonzero(np.r_[True, np.diff(self.signature[order]) != 0, True])
        for begin, end in pairwise(bounds):
            if end - begin > 1:
                yield from self._verified(order[begin:end])

    def _verified(self, members: Integers) -> Iterator[Integers]:
        """The members that map onto the first one, colour by colour and edge by edge."""
        first = members[0]
        size, edges = int(self.sizes[first]), np.diff(self.edge_start)
        members = members[(self.sizes[members] == size) & (edges[members] == edges[first])]
        atoms = self.order[self.start[members][:, None] + np.arange(size)]
        arrows = self.edges[self.edge_start[members][:, None] + np.arange(int(edges[first]))]
        alike = (self.colour[atoms] == self.colour[atoms[0]]).all(axis=1)
        alike &= (arrows == arrows[0]).all(axis=(1, 2))
        if alike.sum() > 1:
            yield atoms[alike]


def components(count: int, parent: Integers, child: Integers) -> Integers:
    """Number of the connected component of every atom."""
    graph = coo_matrix((np.ones(parent.size, np.int8), (parent, child)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _pairs(a: Integers, b: Integers) -> Integers:
    """Numbers from 0 that are equal where both `a` and `b` are."""
    a, b = (np.unique(x, return_inverse=True)[1].ravel() for x in (a, b))
    return np.unique(a * (b.max(initial=0) + 1) + b, return_inverse=True)[1].ravel()


def _join(arrays: Sequence[Integers]) -> Integers:
    return np.concatenate([np.empty(0, np.int64), *arrays])


def _refine(colour: np.ndarray, parent: Integers, child: Integers, family: Integers, label: Integers) -> np.ndarray:
    """Numbers that tell atoms of the same colour apart by their neighbours, two edges far."""
    seen = _mix(colour)
    for _ in range(2):
        around = np.zeros_like(seen)
        np.add.at(around, child, _mix(seen[parent], family, label))
        np.add.at(around, parent, _mix(seen[child], family, label, np.int64(1)))
        seen = _mix(seen, around)
    return seen


def _mix(*parts: np.ndarray | np.int64) -> np.ndarray:
    """A 64-bit hash of tuples of integers, by the finaliser of SplitMix64."""
    mixed = np.uint64(1)
    with np.errstate(over="ignore"):
        for part in parts:
            x = mixed * np.uint64(31) + np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = x ^ (x >> np.uint64(31))
    return np.asarray(mixed)
