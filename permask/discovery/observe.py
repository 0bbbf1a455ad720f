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
        moved: Other axes on which other families lie.
        mixed: Whether other families permute the positions of a unit.
    """

    op: Op
    dim: int
    table: Int[np.ndarray, "blocks units positions"]
    order: int
    share: int
    moved: tuple[int, ...]
    mixed: bool

    def activation(self, family: Family) -> Activation:
        """As a part of a group."""
        table = self.table if family.parent else self.table[0]
        return Activation(self.op.name, self.dim, table, self.moved, self.mixed)


def sights(families: Sequence[Family], walk: Walk, ops: Sequence[Op]) -> list[list[Sight]]:
    """For every family, the values that show it, in the order of the graph."""
    seen: list[list[Sight]] = [[] for _ in families]
    index = _Index(families)
    for order, op in enumerate(ops):
        x = walk.values.get(op.name)
        if op.kind != "call" or op.name not in walk.depends or not isinstance(x, Value):
            continue
        for dim, atoms in _single_axes(x):
            moved = tuple(other for other in range(x.ndim) if other != dim and index.lies_on(x, other))
            share = prod(x.shape) // x.shape[dim]
            tables = index.tables(atoms)
            for number, table in tables:
                inside = [families[other] for other, _ in tables if not _contains(families[other], families[number])]
                mixed = table.shape[-1] > 1 and bool(inside)
                seen[number].append(Sight(op, dim, table, order, share, moved, mixed))
    return seen


def _contains(outer: Family, inner: Family | None) -> bool:
    """Whether a family is another one, or lies around it."""
    return inner is not None and (inner is outer or _contains(outer, inner.parent))


def best(seen: Sequence[Sight]) -> Sight | None:
    """Where to observe units: the last nonlinearity that shows them one by one at the most places.

    Without a nonlinearity, the last value that does; and rather a value in which no other family moves.
    """

    def merit(sight: Sight) -> tuple[bool, bool, int, int, int]:
        nonlinear = sight.op.function.removesuffix("_") in NONLINEAR
        return not (sight.moved or sight.mixed), nonlinear, -sight.table.shape[-1], sight.share, sight.order

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

    def lies_on(self, x: Value, axis: int) -> bool:
        """Whether a family lies on an axis of a value."""
        bundles = {bundle for dim in x.axes[axis] for bundle in x.bundles_of(dim)}
        return any(np.isin(bundle.atoms, self.atoms).any() for bundle in bundles)

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
