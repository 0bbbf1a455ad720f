"""Which values of a program show the units of a group, along which dim, and where they are in another capture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Int

from permask.discovery.atoms import Value
from permask.discovery.hierarchy import Family
from permask.discovery.lineage import lineages
from permask.discovery.program import Node
from permask.discovery.propagate import Propagation
from permask.discovery.rules.elementwise import NONLINEAR
from permask.groups import Site

Atoms = Int[np.ndarray, "length"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A value that shows the units of a family along one of its dims.

    Attributes:
        node: What computes the value.
        dim: The dim.
        table: `[B, N, M]` positions of every unit along the dim.
        order: Number of the node in the program.
        lineage: What the value is computed by.
        share: Entries of the value for each position along the dim.
        moved: Other dims on which other families lie.
        mixed: Whether other families permute the positions of a unit.
    """

    node: Node
    dim: int
    table: Int[np.ndarray, "blocks units positions"]
    order: int
    lineage: str
    share: int
    moved: tuple[int, ...]
    mixed: bool

    def site(self, family: Family) -> Site:
        """As a part of a group."""
        return Site(
            self.node.name,
            self.dim,
            table=self.table if family.parent else self.table[0],
            function=self.node.function,
            module=self.node.module,
            length=self.node.shape[self.dim],
            lineage=self.lineage,
            moved=self.moved,
            mixed=self.mixed,
        )


def located(site: Site, nodes: Sequence[Node], lineage: Mapping[str, str]) -> Node | None:
    """The node of another capture at which a site is, or None if nothing there is computed as it was.

    The keys and the values of cross-attention have one lineage. Among such nodes, that of the site's name is meant.

    Args:
        site: The site.
        nodes: Those of the capture, of a network of the same architecture.
        lineage: Of these nodes.
    """
    by_name = {node.name: node for node in nodes}
    named = [by_name[site.node]] if site.node in by_name else []
    for node in [*named, *nodes] if site.lineage else named:
        alike = not site.lineage or lineage[node.name] == site.lineage
        called = not site.function or (node.function, node.module) == (site.function, site.module)
        fits = site.dim < len(node.shape) and site.length in (None, node.shape[site.dim])
        if alike and called and fits and node.kind == "call":
            return node
    return None


def candidates(families: Sequence[Family], found: Propagation, nodes: Sequence[Node]) -> list[list[Candidate]]:
    """For every family, the values that show it, in the order of the program."""
    seen: list[list[Candidate]] = [[] for _ in families]
    index, lineage = _Index(families), lineages(nodes)
    for order, node in enumerate(nodes):
        x = found.values.get(node.name)
        if node.kind != "call" or node.name not in found.depends or not isinstance(x, Value) or x.routed:
            continue
        for dim, atoms in _single_dims(x):
            moved = tuple(other for other in range(x.ndim) if other != dim and index.lies_on(x, other))
            share = prod(x.shape) // x.shape[dim]
            tables = index.tables(atoms)
            for number, table in tables:
                inside = [families[other] for other, _ in tables if not _contains(families[other], families[number])]
                mixed = table.shape[-1] > 1 and bool(inside)
                seen[number].append(Candidate(node, dim, table, order, lineage[node.name], share, moved, mixed))
    return seen


def _contains(outer: Family, inner: Family | None) -> bool:
    """Whether a family is another one, or lies around it."""
    return inner is not None and (inner is outer or _contains(outer, inner.parent))


def best(candidates: Sequence[Candidate]) -> Candidate | None:
    """Where to observe units: the last nonlinearity that shows them one by one at the most places.

    Without a nonlinearity, the last value that does; and rather a value in which no other family moves.
    """

    def merit(seen: Candidate) -> tuple[bool, bool, int, int, int]:
        nonlinear = seen.node.function.removesuffix("_") in NONLINEAR
        return not (seen.moved or seen.mixed), nonlinear, -seen.table.shape[-1], seen.share, seen.order

    return max(candidates, key=merit, default=None)


def _single_dims(x: Value) -> Iterator[tuple[int, Atoms]]:
    """The dims of a value whose entries are atoms, one each, and these atoms."""
    for dim, digits in enumerate(x.dims):
        for bundle in x.bundles:
            if set(bundle.digits) == set(digits):
                yield dim, bundle.ordered(digits).ravel()


class _Index:
    """Looks up which families hold an atom."""

    def __init__(self, families: Sequence[Family]):
        self.families = families
        atoms = np.concatenate([np.empty(0, np.int64), *(family.atoms.ravel() for family in families)])
        number = np.repeat(np.arange(len(families)), [family.atoms.size for family in families])
        order = np.argsort(atoms, kind="stable")
        self.atoms, self.number = atoms[order], number[order]
        self._known: dict[bytes, list[tuple[int, np.ndarray]]] = {}

    def lies_on(self, x: Value, dim: int) -> bool:
        """Whether a family lies on a dim of a value."""
        bundles = {bundle for digit in x.dims[dim] for bundle in x.bundles_of(digit)}
        return any(np.isin(bundle.atoms, self.atoms).any() for bundle in bundles)

    def tables(self, atoms: Atoms) -> list[tuple[int, np.ndarray]]:
        """The families all of whose units occur among some atoms equally often, with their positions."""
        key = atoms.tobytes()
        if key not in self._known:
            first, last = (np.searchsorted(self.atoms, atoms, side) for side in ("left", "right"))
            most = int((last - first).max(initial=0))
            held = [self.number[first[last - first > k] + k] for k in range(most)]
            numbers = np.unique(np.concatenate([*held, np.empty(0, np.int64)])).tolist()
            tables = ((number, _table(self.families[number], atoms)) for number in numbers)
            self._known[key] = [(number, table) for number, table in tables if table is not None]
        return self._known[key]


def _table(family: Family, atoms: Atoms) -> np.ndarray | None:
    """Positions of every unit among some atoms, in corresponding order."""
    blocks, units, ranks = family.atoms.shape
    place = family.place(atoms)
    positions = np.flatnonzero(place >= 0)
    positions = positions[np.argsort(place[positions], kind="stable")]
    rank = (place[positions] % ranks).reshape(-1)
    unit = place[positions] // ranks
    if len(positions) % (blocks * units) or not np.array_equal(
        unit, np.repeat(np.arange(blocks * units), len(positions) // (blocks * units))
    ):
        return None
    table = positions.reshape(blocks, units, -1)
    aligned = (rank.reshape(blocks * units, -1) == rank[: table.shape[-1]]).all()
    return table if aligned else None
