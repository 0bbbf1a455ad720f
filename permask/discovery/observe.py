"""Which values inside a network show the units of a group, and where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Int

from permask.discovery.atoms import Value
from permask.discovery.hierarchy import Family
from permask.discovery.program import Op
from permask.discovery.rules.elementwise import NONLINEAR
from permask.discovery.walk import Walk
from permask.groups import Activation

Atoms = Int[np.ndarray, "length"]


@dataclass(frozen=True, eq=False)
class Sight:
    """A value that shows the units of a family along one of its axes.

    Attributes:
        op: What computes the value.
        dim: The axis.
        table: `[B, N, M]` positions of every unit along the axis.
        order: Number of the op in the graph.
        share: Entries of the value for each position along the axis.
    """

    op: Op
    dim: int
    table: Int[np.ndarray, "blocks units positions"]
    order: int
    share: int

    def activation(self, family: Family) -> Activation:
        """As a part of a group."""
        return Activation(self.op.name, self.dim, self.table if family.parent else self.table[0])


def sights(families: Sequence[Family], walk: Walk, ops: Sequence[Op]) -> list[list[Sight]]:
    """For every family, the values that show it, in the order of the graph."""
    seen: list[list[Sight]] = [[] for _ in families]
    index = _Index(families)
    for order, op in enumerate(ops):
        x = walk.values.get(op.name)
        if op.kind != "call" or op.name not in walk.depends or not isinstance(x, Value):
            continue
        for dim, atoms in _single_axes(x):
            for number, table in index.tables(atoms):
                share = prod(x.shape) // x.shape[dim]
                seen[number].append(Sight(op, dim, table, order, share))
    return seen


def best(seen: Sequence[Sight]) -> Sight | None:
    """Where to observe units: the last nonlinearity that shows them one by one at the most places.

    Without a nonlinearity, the last value that does.
    """

    def merit(sight: Sight) -> tuple[bool, int, int, int]:
        nonlinear = sight.op.function.removesuffix("_") in NONLINEAR
        return nonlinear, -sight.table.shape[-1], sight.share, sight.order

    return max(seen, key=merit, default=None)


def _single_axes(x: Value) -> Iterator[tuple[int, Atoms]]:
    """The axes of a value whose entries are atoms, one each, and these atoms."""
    for dim, axis in enumerate(x.axes):
        for bundle in x.bundles:
            if set(bundle.dims) == set(axis):
                yield dim, bundle.ordered(axis).ravel()


class _Index:
    """Looks up which families hold an atom."""

    def __init__(self, families: Sequence[Family]):
        self.families = families
        atoms = np.concatenate([np.empty(0, np.int64), *(family.atoms.ravel() for family in families)])
        number = np.repeat(np.arange(len(families)), [family.atoms.size for family in families])
        order = np.argsort(atoms, kind="stable")
        self.atoms, self.number = atoms[order], number[order]
        self._known: dict[bytes, list[tuple[int, np.ndarray]]] = {}

    def tables(self, atoms: Atoms) -> list[tuple[int, np.ndarray]]:
        """The families all of whose units occur among some atoms equally often, with their positions."""
        key = atoms.tobytes()
        if key not in self._known:
            first, last = (np.searchsorted(self.atoms, atoms, side) for side in ("left", "right"))
            numbers = {int(n) for a, b in zip(first, last, strict=True) for n in self.number[a:b]}
            tables = ((number, _table(self.families[number], atoms)) for number in sorted(numbers))
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
