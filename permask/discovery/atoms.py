"""Values as axes of atoms.

An *atom* is something that a symmetry may move: a position along an axis of a parameter, or along an axis of a
value inside the network. Every axis of a value is a list of *dims*, the digits of a mixed-radix number, major
first: flattening channels and pixels gives an axis of two dims, splitting features into heads gives two axes of
one. Along a dim, a value is either

- in one or more *bundles*: arrays of atoms over one or several dims. A bundle over dims of different axes
  (head h, position d) expresses permutations that depend on each other; bundles that share a dim agree on it;
- *constant*: it does not vary, so that every permutation leaves it alone;
- or *pinned*: nothing may move.

Atoms are numbers; what ties them together is recorded in `constraints.Constraints`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

Atoms = Int[np.ndarray, "..."]


class Dim:
    """A digit of an axis: an identity, a size and, in case that nothing may move along it, what it counts."""

    __slots__ = ("size", "why")

    def __init__(self, size: int, why: str = ""):
        self.size = size
        self.why = why


@dataclass(frozen=True, eq=False)
class Bundle:
    """An array of distinct atoms, one per index of `dims`."""

    dims: tuple[Dim, ...]
    atoms: Atoms

    def ordered(self, dims: Sequence[Dim]) -> Atoms:
        """The atoms with their dims in another order."""
        return self.atoms.transpose([self.dims.index(dim) for dim in dims])


Axis = tuple[Dim, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """What is known of a tensor: its axes, and how the symmetry moves their dims.

    Attributes:
        axes: The dims of every axis, major first; an axis of size 1 has none.
        bundles: How the symmetry moves the dims that it may move.
        constant: Dims along which the tensor does not vary; a dim that is neither here nor in a bundle is pinned.
    """

    axes: tuple[Axis, ...]
    bundles: tuple[Bundle, ...] = ()
    constant: frozenset[Dim] = frozenset()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return tuple(math.prod(dim.size for dim in axis) for axis in self.axes)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def dims(self) -> Axis:
        """The dims of all axes, in memory order."""
        return tuple(dim for axis in self.axes for dim in axis)

    @property
    def pinned(self) -> frozenset[Dim]:
        """Dims along which nothing may move."""
        bundled = {dim for bundle in self.bundles for dim in bundle.dims}
        return frozenset(dim for dim in self.dims if dim not in bundled and dim not in self.constant)

    def bundles_of(self, dim: Dim) -> tuple[Bundle, ...]:
        """The bundles that a dim belongs to."""
        return tuple(bundle for bundle in self.bundles if dim in bundle.dims)

    def split(self, dim: Dim, sizes: Sequence[int]) -> "Value":
        """Replace a dim by several, major first, whose sizes multiply to its size."""
        parts = tuple(Dim(size, dim.why) for size in sizes)

        def split_in(dims: Axis) -> Axis:
            return tuple(part for old in dims for part in (parts if old is dim else (old,)))

        bundles = []
        for bundle in self.bundles:
            dims = split_in(bundle.dims)
            bundles.append(Bundle(dims, bundle.atoms.reshape([part.size for part in dims])))
        return value(map(split_in, self.axes), bundles, frozenset(split_in(tuple(self.constant))))

    def rename(self, names: Mapping[Dim, Dim]) -> "Value":
        """Replace dims by others of the same sizes."""

        def renamed(dims: Iterable[Dim]) -> Axis:
            return tuple(names.get(dim, dim) for dim in dims)

        bundles = [Bundle(renamed(bundle.dims), bundle.atoms) for bundle in self.bundles]
        return value(map(renamed, self.axes), bundles, renamed(self.constant))


@dataclass(frozen=True, eq=False)
class Places(Value):
    """A tensor whose entries are places along axes of another one (the indices of an argmax).

    If the other one moves, the entries change. They may be dropped, or pick entries along an axis that moves
    alike; whoever reads them otherwise pins these axes.

    Attributes:
        source: The other value.
        along: Its axes.
    """

    source: Value = Value(())
    along: tuple[int, ...] = ()

    @property
    def axis(self) -> Value | None:
        """What the entries are places along, as a value with one axis; None if it depends on other axes."""
        if len(self.along) != 1:
            return None
        dims = self.source.axes[self.along[0]]
        bundles = [bundle for bundle in self.source.bundles if set(bundle.dims) & set(dims)]
        alone = all(set(bundle.dims) <= set(dims) for bundle in bundles)
        return Value((dims,), tuple(bundles)) if alone and bundles else None


def value(axes: Iterable[Iterable[Dim]], bundles: Iterable[Bundle] = (), constant: Iterable[Dim] = ()) -> Value:
    """A value that forgets bundles over no dims, and constants that are dims of no axis."""
    kept = tuple(tuple(axis) for axis in axes)
    dims = {dim for axis in kept for dim in axis}
    return Value(kept, tuple(b for b in bundles if b.dims), frozenset(constant) & dims)


def new_axes(shape: Sequence[int], why: str = "") -> tuple[Axis, ...]:
    """Axes of one dim each."""
    return tuple((Dim(size, why),) if size != 1 else () for size in shape)


def pinned(shape: Sequence[int], why: str) -> Value:
    """A value that nothing may move, and what its axes count."""
    return Value(new_axes(shape, why))


def constant(shape: Sequence[int]) -> Value:
    """A value whose entries are all the same."""
    axes = new_axes(shape)
    return value(axes, (), (dim for axis in axes for dim in axis))


def same(a: Value, b: Value) -> bool:
    """Whether two values of the same tensor say the same, dim by dim."""
    if [[dim.size for dim in axis] for axis in a.axes] != [[dim.size for dim in axis] for axis in b.axes]:
        return False
    b = b.rename(dict(zip(b.dims, a.dims, strict=True)))
    if a.constant != b.constant or len(a.bundles) != len(b.bundles):
        return False
    other = {frozenset(bundle.dims): bundle for bundle in b.bundles}
    return all(
        frozenset(bundle.dims) in other
        and np.array_equal(bundle.atoms, other[frozenset(bundle.dims)].ordered(bundle.dims))
        for bundle in a.bundles
    )
