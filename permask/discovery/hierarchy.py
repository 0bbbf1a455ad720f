"""Classes of units as a hierarchy: groups inside the units of other groups (heads ≀ head dims)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from permask.discovery.solve import Units

Moved = Int[np.ndarray, "atoms"]


class Family:
    """A group before it has a name.

    Attributes:
        atoms: `[B, N, k]` the atoms of every unit of every block, in corresponding order; B is 1 without a parent.
        parent: The family whose units are the blocks.
    """

    def __init__(self, atoms: Int[np.ndarray, "blocks units ranks"], parent: "Family | None"):
        self.atoms = atoms
        self.parent = parent
        order = np.argsort(atoms, axis=None)
        self._sorted, self._order = atoms.ravel()[order], order

    def place(self, atoms: Moved) -> Moved:
        """Where in `atoms`, flattened, given ones stand; -1 for those that it does not hold."""
        at = np.searchsorted(self._sorted, atoms).clip(max=len(self._sorted) - 1)
        return np.where(self._sorted[at] == atoms, self._order[at], -1)

    def unit_around(self, atoms: Moved) -> int | None:
        """Number of the unit (over all blocks) that holds all of the given atoms."""
        if self.place(atoms[:1])[0] < 0:
            return None
        place = self.place(atoms)
        units = place // self.atoms.shape[-1]
        return int(units[0]) if place.min() >= 0 and (units == units[0]).all() else None

    def has_block(self, units: Units) -> bool:
        """Whether one of the blocks is this class."""
        if units.shape != self.atoms.shape[1:] or (place := self.place(units[0, :1])[0]) < 0:
            return False
        block = self.atoms[place // units.size]
        return np.array_equal(_rows(units), _rows(block))


def arrange(classes: Sequence[Units]) -> list[Family]:
    """Put classes that lie within one unit of another class inside it; parents come before children.

    A class inside a unit of a parent has copies in the parent's other units, where the trade of the units
    carries it, so that the tables of parent and child are aligned. The copies are admissible: a trade conjugated by
    another is a product of admissible permutations (docs/discovery.md tells it at length).
    """
    families: list[Family] = []
    for units in sorted(classes, key=lambda units: (-units.shape[1], int(units.min()))):
        if any(family.has_block(units) for family in families):
            continue
        moved = units.ravel()
        around = ((family, family.unit_around(moved)) for family in reversed(families))
        parent, home = next(((family, unit) for family, unit in around if unit is not None), (None, None))
        if parent is None or home is None:
            families.append(Family(units[None], None))
        else:
            size = parent.atoms.shape[-1]
            ranks = parent.place(moved).reshape(units.shape) - home * size
            families.append(Family(parent.atoms.reshape(-1, size)[:, ranks], parent))
    return families


def _rows(units: Units) -> Units:
    """The same partition into units, written in one way."""
    rows = np.sort(units, axis=1)
    return rows[np.argsort(rows[:, 0])]
