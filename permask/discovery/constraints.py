"""What the ops of a network demand of its symmetries, as a coloured graph of atoms.

A symmetry is a permutation of the atoms that keeps every colour, and every edge together with its family and
label. Rules only ever add colours and edges; nothing is merged, so no position can be forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int

from permask.discovery.atoms import Atoms, Bundle, Digit, Mismatch, Places, Sorting, Value, value
from permask.symmetry import PinKind


class UnsupportedError(Exception):
    """An op, or a way of calling it, that no rule describes: what it touches is pinned."""


@dataclass(frozen=True)
class Reason:
    """Why atoms are pinned, in the terms of `symmetry.Pin`."""

    op: str
    reason: str
    kind: PinKind = "genuine"


@dataclass(frozen=True, eq=False)
class Slot:
    """An axis of a parameter and its atoms, by position; see `groups.Axis` for `convolution_groups`."""

    parameter: str
    dim: int
    atoms: Int[np.ndarray, "length"]
    convolution_groups: int = 1


@dataclass(frozen=True, eq=False)
class Edges:
    """A family of edges, one to each child; a *block* family has several children to a parent, in any order.

    In a block family the label is the child's place within its parent's block: no constraint, but the
    correspondence to try when two blocks trade places.
    """

    parents: Int[np.ndarray, "edges"]
    children: Int[np.ndarray, "edges"]
    labels: Int[np.ndarray, "edges"]
    block: bool


@dataclass(eq=False)
class Constraints:
    """The coloured graph while it grows.

    Attributes:
        count: Number of atoms so far.
        colours: Every (atoms, labels): atoms with different labels cannot trade places, nor can one of them with
            an atom that is not among them.
        edges: The families of edges.
        slots: The axes of parameters.
        pins: Which atoms were pinned on purpose, and why.
    """

    count: int = 0
    colours: list[tuple[Atoms, Atoms]] = field(default_factory=list)
    edges: list[Edges] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    pins: list[tuple[Atoms, Reason]] = field(default_factory=list)
    _registered: set[Bundle] = field(default_factory=set)
    _marginals: dict[tuple[Bundle, tuple[int, ...]], Bundle] = field(default_factory=dict)

    def fresh(self, digits: Sequence[Digit]) -> Bundle:
        """A bundle of new atoms."""
        shape = [digit.kinds for digit in digits]
        size = int(np.prod(shape, dtype=np.int64))
        atoms = np.arange(self.count, self.count + size).reshape(shape)
        self.count += size
        return Bundle(tuple(digits), atoms)

    def register(self, *values: Value) -> None:
        """Demand that every bundle of these values maps to itself: an op computes with them."""
        for one in values:
            for bundle in one.bundles:
                if bundle.first not in self._registered:
                    self._registered.add(bundle.first)
                    self.colours.append((bundle.atoms.ravel(), np.zeros(bundle.atoms.size, np.int64)))

    def pin_digit(self, bundle: Bundle, digit: Digit, reason: Reason) -> None:
        """Forbid every movement along a digit of a bundle."""
        where = np.arange(digit.kinds).reshape([-1 if other is digit else 1 for other in bundle.digits])
        self.colours.append((bundle.atoms.ravel(), np.broadcast_to(where, bundle.atoms.shape).ravel()))
        self.pins.append((bundle.atoms.ravel(), reason))

    def pin(self, x: Value, reason: Reason) -> Value:
        """Forbid every movement of a value; gives the value, pinned."""
        for digit in x.digits:
            x = self.forget(x, digit, op=reason.op) if digit.route else x
        for bundle in x.bundles:
            self.fix(bundle.atoms, reason)
        return value((Digit(digit.size, digit.why or reason.reason) for digit in dim) for dim in x.dims)

    def tell_apart(self, digit: Digit, reason: Reason) -> None:
        """Account for an op that tells indices of a digit apart: of rows sorted by expert, that fixes experts."""
        if digit.route and digit.route.rows:
            self.pin(digit.route.experts, replace(reason, kind="search incomplete"))

    def forget(self, x: Value, digit: Digit, *, op: str) -> Value:
        """A value whose rows are no longer told apart by their expert, so that all experts' entries move alike."""
        self.tell_apart(digit, Reason(op, "depends on how rows are sorted by expert"))
        plain = Digit(digit.size, digit.why or "rows that were dealt to experts")
        kept: dict[frozenset[Digit], Bundle] = {}
        for bundle in x.bundles:
            rest = self.marginal(bundle, [other for other in bundle.digits if other is not digit])
            self.equate(rest, kept.setdefault(frozenset(rest.digits), rest))
        return value(x.dims, kept.values(), x.constant).rename({digit: plain})

    def fix(self, atoms: Atoms, reason: Reason) -> None:
        """Forbid every movement of some atoms."""
        self.colours.append((atoms.ravel(), np.arange(atoms.size)))
        self.pins.append((atoms.ravel(), reason))

    def settle(self, x: Value, *, op: str) -> Value:
        """A value that `op` reads: if it is of `Places`, what they are places of may not move."""
        if isinstance(x, Places):
            read = [digit for dim in x.along for digit in x.source.dims[dim]]
            kind: PinKind = "genuine" if op == "output" else "search incomplete"
            source, reason = x.source, Reason(op, "places along it are read", kind)
        elif isinstance(x, Sorting):
            if x.says in ("inverse", "ends"):
                self.pin(x.route.experts, Reason(op, f"reads {x.says} of rows sorted by expert", "search incomplete"))
            return value(x.dims, x.bundles, x.constant)
        elif isinstance(x, Mismatch):
            read, source = x.given.digits, x.given
            shapes = f"{list(source.shape)}, the op returns {list(x.shape)}"
            reason = Reason(op, f"reads a result of which the rule gives the shape {shapes}", "unsupported op")
        else:
            return x
        for digit in read:
            for bundle in source.bundles_of(digit):
                self.pin_digit(bundle, digit, reason)
        return value(x.dims, x.bundles, x.constant)

    def equate(self, a: Bundle, b: Bundle) -> None:
        """Demand that two bundles over the same digits move alike."""
        if a.first is not b.first or a.digits != b.digits:
            self.refine(a, b)

    def refine(self, coarse: Bundle, fine: Bundle) -> None:
        """Demand that `fine` moves along the digits of `coarse` as `coarse` does; its other digits are free."""
        rest = [digit for digit in fine.digits if digit not in coarse.digits]
        children = fine.ordered([*coarse.digits, *rest]).reshape(coarse.atoms.size, -1)
        per_parent = children.shape[1]
        self.edges.append(
            Edges(
                np.repeat(coarse.atoms.ravel(), per_parent),
                children.ravel(),
                np.tile(np.arange(per_parent), coarse.atoms.size),
                block=per_parent > 1,
            )
        )

    def copies(self, original: Atoms, digits: Sequence[Digit]) -> Bundle:
        """A bundle of new atoms that follow given ones, of which some occur several times."""
        flat = original.ravel()
        order = np.argsort(flat, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(flat[order]) != 0])
        occurrence = np.empty(flat.size, np.int64)
        occurrence[order] = np.arange(flat.size) - np.repeat(starts, np.diff(np.r_[starts, flat.size]))
        new = self.fresh(digits)
        self.edges.append(Edges(flat, new.atoms.ravel(), occurrence, block=False))
        return new

    def fix_unused(self) -> None:
        """Pin the positions of parameters that no op computes with: the example says nothing of them."""
        used = np.zeros(self.count, bool)
        for atoms, _ in self.colours:
            used[atoms] = True
        for edges in self.edges:
            used[edges.parents] = True
        for slot in self.slots:
            idle = slot.atoms[~used[slot.atoms]]
            if idle.size:
                self.fix(idle, Reason("none", "not used with inputs of these shapes"))

    def marginal(self, bundle: Bundle, keep: Sequence[Digit]) -> Bundle:
        """How a bundle moves along some of its digits, which demands that this does not depend on the others."""
        kept = tuple(digit for digit in bundle.digits if digit in keep)
        if len(kept) == len(bundle.digits) or not kept:
            return bundle if kept else Bundle((), np.empty(0, np.int64))
        key = (bundle.first, tuple(bundle.digits.index(digit) for digit in kept))
        if key not in self._marginals:
            self._marginals[key] = self.fresh(kept)
            self.refine(self._marginals[key], bundle)
        return self._marginals[key].over(kept)

    def joint(self, x: Value, digits: Sequence[Digit], *, op: str) -> Bundle:
        """One bundle over some digits of a value, and over all that its bundles tie them to; `op` asks for it.

        The atoms are new ones unless a single bundle covers the digits already.
        """
        parts = [bundle for bundle in x.bundles if set(bundle.digits) & set(digits)]
        every = tuple(dict.fromkeys([digit for part in parts for digit in part.digits if digit not in digits]))
        every = (*every, *digits)
        if len(parts) == 1 and len(parts[0].digits) == len(every):
            return Bundle(every, parts[0].ordered(every))
        joint = self.fresh(every)
        for part in parts:
            self.refine(part, joint)
        for digit in x.pinned.intersection(digits):
            self.pin_digit(joint, digit, Reason(op, f"joined with {digit.why}"))
        return joint

    def keep_blocks(self, x: Value, mixed: Sequence[int]) -> None:
        """Demand that the movement of a value's other dims does not depend on those that an op mixes.

        This is what softmax and norms need: entries that are mixed together must stay together.
        """
        digits = {digit for dim in mixed for digit in x.dims[dim]}
        for bundle in x.bundles:
            if digits & set(bundle.digits):
                self.marginal(bundle, [digit for digit in bundle.digits if digit not in digits])
