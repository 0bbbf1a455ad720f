"""Values as dims of atoms.

An *atom* is something that a symmetry may move: a position along an axis of a parameter, or along a dim of a
value inside the network. Every dim of a value is a list of *digits*, those of a mixed-radix number, major
first: flattening channels and pixels gives a dim of two digits, splitting features into heads gives two dims of
one. Along a digit, a value is either

- in one or more *bundles*: arrays of atoms over one or several digits. A bundle over digits of different dims
  (head h, position d) expresses permutations that depend on each other; bundles that share a digit agree on it;
- *constant*: it does not vary, so that every permutation leaves it alone;
- or *pinned*: nothing may move.

A mixture of experts computes every row with the weights of the expert that a router chose for it. Such rows are a
*routed* digit: a bundle over it has an atom for every expert, and each row moves as its own expert does.

Atoms are numbers; what ties them together is recorded in `constraints.Constraints`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from jaxtyping import Int

Atoms = Int[np.ndarray, "..."]


class Digit:
    """A digit of a dim: an identity, a size and, in case that nothing may move along it, what it counts.

    Rows that were dealt to experts have a route.
    """

    __slots__ = ("route", "size", "why")

    def __init__(self, size: int, why: str = "", route: "Route | None" = None):
        self.size = size
        self.why = why
        self.route = route

    @property
    def kinds(self) -> int:
        """How many indices a bundle has along the digit: its size, or the number of experts of routed rows."""
        return self.route.experts.shape[0] if self.route else self.size


@dataclass(frozen=True, eq=False)
class Bundle:
    """An array of distinct atoms, one per index of `digits`.

    Attributes:
        digits: What the array is over.
        atoms: The array.
        origin: The bundle that had the array first, if that was over digits of other names.
    """

    digits: tuple[Digit, ...]
    atoms: Atoms
    origin: "Bundle | None" = None

    @property
    def first(self) -> "Bundle":
        """The bundle that had this array first: the same for all bundles of the same array."""
        return self.origin or self

    def over(self, digits: Sequence[Digit]) -> "Bundle":
        """The same array over other digits of the same sizes."""
        return Bundle(tuple(digits), self.atoms, self.first)

    def ordered(self, digits: Sequence[Digit]) -> Atoms:
        """The atoms with their digits in another order."""
        return self.atoms.transpose([self.digits.index(digit) for digit in digits])


Digits = tuple[Digit, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """What is known of a tensor: its dims, and how the symmetry moves their digits.

    Attributes:
        dims: The digits of every dim, major first; a dim of size 1 has none.
        bundles: How the symmetry moves the digits that it may move.
        constant: Digits along which the tensor does not vary; a digit that is neither here nor in a bundle is pinned.
    """

    dims: tuple[Digits, ...]
    bundles: tuple[Bundle, ...] = ()
    constant: frozenset[Digit] = frozenset()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return tuple(math.prod(digit.size for digit in dim) for dim in self.dims)

    @property
    def ndim(self) -> int:
        """Number of dims."""
        return len(self.dims)

    @property
    def digits(self) -> Digits:
        """The digits of all dims, in memory order."""
        return tuple(digit for dim in self.dims for digit in dim)

    @property
    def routed(self) -> bool:
        """Whether rows of the tensor were dealt to experts: in two networks, the same row may be for different ones."""
        return any(digit.route for digit in self.digits)

    @property
    def pinned(self) -> frozenset[Digit]:
        """Dims along which nothing may move."""
        bundled = {digit for bundle in self.bundles for digit in bundle.digits}
        return frozenset(digit for digit in self.digits if digit not in bundled and digit not in self.constant)

    def bundles_of(self, digit: Digit) -> tuple[Bundle, ...]:
        """The bundles that a digit belongs to."""
        return tuple(bundle for bundle in self.bundles if digit in bundle.digits)

    def split(self, digit: Digit, sizes: Sequence[int]) -> "Value":
        """Replace a digit by several, major first, whose sizes multiply to its size."""
        parts = tuple(Digit(size, digit.why) for size in sizes)

        def split_in(digits: Digits) -> Digits:
            return tuple(part for old in digits for part in (parts if old is digit else (old,)))

        bundles = []
        for bundle in self.bundles:
            digits = split_in(bundle.digits)
            bundles.append(Bundle(digits, bundle.atoms.reshape([part.size for part in digits])))
        return value(map(split_in, self.dims), bundles, frozenset(split_in(tuple(self.constant))))

    def rename(self, names: Mapping[Digit, Digit]) -> "Value":
        """Replace digits by others of the same sizes."""

        def renamed(digits: Iterable[Digit]) -> Digits:
            return tuple(names.get(digit, digit) for digit in digits)

        bundles = [bundle.over(renamed(bundle.digits)) for bundle in self.bundles]
        return value(map(renamed, self.dims), bundles, renamed(self.constant))


@dataclass(frozen=True, eq=False)
class Route:
    """Which expert each row is for, as numbers that a router computes; the identity of the numbers, row by row.

    Attributes:
        experts: The experts, as a value with one dim of one digit.
        rows: Of rows that were sorted by their expert, the route that they had before. Where a sorted row stands
            depends on the order of the experts, so that whatever tells sorted rows apart pins the experts.
    """

    experts: Value
    rows: "Route | None" = None


@dataclass(frozen=True, eq=False)
class Places(Value):
    """A tensor whose entries are places along dims of another one (the indices of an argmax).

    If the other one moves, the entries change. They may be dropped, or pick entries along a dim that moves
    alike; whoever reads them otherwise pins these dims.

    Attributes:
        source: The other value.
        along: Its dims.
        route: The same for all tensors of the same entries in the same order; None if the entries are no experts.
    """

    source: Value = Value(())
    along: tuple[int, ...] = ()
    route: Route | None = None

    def laid_out(self, x: Value) -> Self:
        """The same entries in the same order, in another shape."""
        return replace(self, dims=x.dims, bundles=x.bundles, constant=x.constant)

    @property
    def counted(self) -> Value | None:
        """What the entries are places along, as a value with one dim; None if it depends on other dims."""
        if len(self.along) != 1:
            return None
        digits = self.source.dims[self.along[0]]
        bundles = [bundle for bundle in self.source.bundles if set(bundle.digits) & set(digits)]
        alone = all(set(bundle.digits) <= set(digits) for bundle in bundles)
        return Value((digits,), tuple(bundles)) if alone and bundles else None


@dataclass(frozen=True, eq=False)
class Sorting(Value):
    """Numbers that say how rows are sorted by their expert.

    `order` and `counts` move with the rows and with the experts, entry by entry; `inverse` and `ends` depend on the
    order of the experts as a whole, so that whoever reads them as numbers pins the experts.

    Attributes:
        says: `order`: for every sorted row, where it was. `inverse`: for every row, where it is now. `counts`: how
            many rows each expert has. `ends`: before which sorted row those of an expert end.
        route: Of the sorted rows for `order` and `inverse`, of the rows as they were for `counts` and `ends`.
    """

    says: Literal["order", "inverse", "counts", "ends"] = "order"
    route: Route = Route(Value(()))


@dataclass(frozen=True, eq=False)
class Mismatch(Value):
    """A result that the op returns in another shape than its rule gave: nothing of it may move.

    It may be dropped; whoever reads it pins all that the rule gave.

    Attributes:
        given: What the rule gave.
    """

    given: Value = Value(())


def value(dims: Iterable[Iterable[Digit]], bundles: Iterable[Bundle] = (), constant: Iterable[Digit] = ()) -> Value:
    """A value that forgets bundles over no digits, and constants that are digits of no dim."""
    kept = tuple(tuple(dim) for dim in dims)
    digits = {digit for dim in kept for digit in dim}
    return Value(kept, tuple(b for b in bundles if b.digits), frozenset(constant) & digits)


def new_dims(shape: Sequence[int], why: str = "") -> tuple[Digits, ...]:
    """Dims of one digit each."""
    return tuple((Digit(size, why),) if size != 1 else () for size in shape)


def pinned(shape: Sequence[int], why: str) -> Value:
    """A value that nothing may move, and what its dims count."""
    return Value(new_dims(shape, why))


def constant(shape: Sequence[int]) -> Value:
    """A value whose entries are all the same."""
    dims = new_dims(shape)
    return value(dims, (), (digit for dim in dims for digit in dim))


def same(a: Value, b: Value) -> bool:
    """Whether two values of the same tensor say the same, digit by digit."""
    digits = ([[(digit.size, digit.route) for digit in dim] for dim in x.dims] for x in (a, b))
    if next(digits) != next(digits):
        return False
    b = b.rename(dict(zip(b.digits, a.digits, strict=True)))
    if a.constant != b.constant or len(a.bundles) != len(b.bundles):
        return False
    other = {frozenset(bundle.digits): bundle for bundle in b.bundles}
    return all(
        frozenset(bundle.digits) in other
        and np.array_equal(bundle.atoms, other[frozenset(bundle.digits)].ordered(bundle.digits))
        for bundle in a.bundles
    )
