"""Rearranging a value without computing: views, slices, concatenation.

Nothing here constrains how atoms may move, except where positions are lost. `op` is the op that asks for it, which the
reasons of pins name.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import mul

import numpy as np
from jaxtyping import Int

from permask.discovery.atoms import Bundle, Digit, Digits, Value, value
from permask.discovery.constraints import Constraints, Reason


def view(constraints: Constraints, x: Value, shape: Sequence[int], *, op: str) -> Value:
    """The same entries in the same order under another shape.

    Where the new dims would cut a digit unevenly, the digits around the cut are joined first.
    """
    ends = cuts(list(shape))
    for digit, start in _starts(x).items():
        if digit.route and any(start < end < start * digit.size for end in ends):
            x = constraints.forget(x, digit, op=op)
    x = _even(constraints, x, shape, op=op)
    remaining = list(reversed(x.digits))
    dims: list[Digits] = []
    for size in shape:
        dim: list[Digit] = []
        while size > 1:
            digit = remaining.pop()
            if size % digit.size == 0:
                dim.append(digit)
                size //= digit.size
            else:
                before = x.digits.index(digit)
                x = x.split(digit, [size, digit.size // size])
                dim.append(x.digits[before])
                remaining.append(x.digits[before + 1])
                size = 1
        dims.append(tuple(dim))
    return _join_digits(value(dims, x.bundles, x.constant))


def _starts(x: Value) -> dict[Digit, int]:
    """The stride of every digit."""
    ends = cuts([digit.size for digit in x.digits])
    return dict(zip(reversed(x.digits), [1, *ends], strict=False))


def cuts(sizes: Sequence[int]) -> list[int]:
    """The strides at which the digits of a number begin, minor first, and its full size."""
    return list(accumulate(reversed(sizes), mul))


def _even(constraints: Constraints, x: Value, shape: Sequence[int], *, op: str) -> Value:
    """The value as one dim for each run of digits that new dims can be cut from, each run evenly cut."""
    old, new = cuts([digit.size for digit in x.digits]), cuts([size for size in shape if size > 1])
    common = [1, *sorted(set(old) & set(new))]
    dims: list[Digits] = []
    uneven: list[int] = []
    for low, high in pairwise(common):
        inside = sorted({cut for cut in (*old, *new) if low <= cut <= high} | {low})
        if any(b % a for a, b in pairwise(inside)):
            uneven.append(len(dims))
        dims.append(tuple(digit for digit, cut in zip(reversed(x.digits), old, strict=True) if low < cut <= high)[::-1])
    x = value(dims[::-1], x.bundles, x.constant)
    for dim in uneven:
        x = collapse(constraints, x, len(dims) - 1 - dim, op=op)
    return x


def _join_digits(x: Value) -> Value:
    """Make one digit of neighbouring digits of a dim that are in the same bundles, or in none and alike."""
    for dim in x.dims:
        for major, minor in pairwise(dim):
            shared = x.bundles_of(major)
            alike = (major in x.constant) == (minor in x.constant) and not (major.route or minor.route)
            if shared != x.bundles_of(minor) or not alike:
                continue
            joined = Digit(major.size * minor.size, major.why or minor.why)
            bundles = [bundle for bundle in x.bundles if bundle not in shared]
            for bundle in shared:
                others = tuple(digit for digit in bundle.digits if digit is not major and digit is not minor)
                atoms = bundle.ordered((*others, major, minor))
                bundles.append(Bundle((*others, joined), atoms.reshape([d.kinds for d in (*others, joined)])))
            dims = [
                tuple(joined if digit is major else digit for digit in other if digit is not minor) for other in x.dims
            ]
            constant = x.constant | ({joined} if major in x.constant else set())
            return _join_digits(value(dims, bundles, constant))
    return x


def collapse(constraints: Constraints, x: Value, dim: int, *, op: str) -> Value:
    """Make a dim of several digits one of a single digit, so that its positions can be picked one by one."""
    if len(x.dims[dim]) <= 1:
        return x
    x = unrouted(constraints, x, dim, op=op)
    old = x.dims[dim]
    joined = Digit(x.shape[dim], next((digit.why for digit in old if digit.why), ""))
    dims = [(joined,) if k == dim else other for k, other in enumerate(x.dims)]
    parts = [bundle for bundle in x.bundles if set(bundle.digits) & set(old)]
    if not parts:
        return value(dims, x.bundles, x.constant | ({joined} if x.constant.issuperset(old) else set()))
    joint = constraints.joint(x, old, op=op)
    digits = (*joint.digits[: -len(old)], joined)
    bundle = Bundle(digits, joint.atoms.reshape([digit.kinds for digit in digits]))
    return value(dims, [*(b for b in x.bundles if b not in parts), bundle], x.constant)


def take(constraints: Constraints, x: Value, dim: int, index: Int[np.ndarray, "taken"], *, op: str) -> Value:
    """The entries at some positions along a dim."""
    x = collapse(constraints, unrouted(constraints, x, dim, op=op), dim, op=op)
    new = tuple(Digit(len(index), digit.why) for digit in x.dims[dim] or (Digit(1),)) if len(index) != 1 else ()
    dims = [new if k == dim else other for k, other in enumerate(x.dims)]
    if not x.dims[dim]:
        return value(dims, x.bundles, x.constant.union(new))  # size 1: the same entry several times
    (old,) = x.dims[dim]
    bundles = [bundle for bundle in x.bundles if old not in bundle.digits]
    for bundle in x.bundles_of(old):
        place = bundle.digits.index(old)
        digits = (*bundle.digits[:place], *new, *bundle.digits[place + 1 :])
        atoms = bundle.atoms.take(index if new else index[0], axis=place)
        if not digits:
            constraints.fix(atoms, Reason(op, "picked out on its own"))
        repeated = len(np.unique(index)) < len(index)
        bundles.append(constraints.copies(atoms, digits) if repeated else Bundle(digits, atoms))
    return value(dims, bundles, x.constant | (set(new) if old in x.constant else set()))


def unrouted(constraints: Constraints, x: Value, dim: int, *, op: str) -> Value:
    """A value whose positions along a dim may be picked: rows there are no longer told apart by their expert."""
    for digit in x.dims[dim]:
        x = constraints.forget(x, digit, op=op) if digit.route else x
    return x


def drop(x: Value, dim: int) -> Value:
    """A value without one of its dims, which has size 1."""
    return value([digits for k, digits in enumerate(x.dims) if k != dim], x.bundles, x.constant)


def insert(x: Value, dim: int) -> Value:
    """A value with a further dim of size 1."""
    return value([*x.dims[:dim], (), *x.dims[dim:]], x.bundles, x.constant)


def permute(x: Value, order: Sequence[int]) -> Value:
    """A value with its dims in another order."""
    return value([x.dims[dim] for dim in order], x.bundles, x.constant)


def expand(x: Value, shape: Sequence[int]) -> Value:
    """A value repeated along dims of size 1, and along new dims in front."""
    dims = [*[()] * (len(shape) - x.ndim), *x.dims]
    grown = [(Digit(size),) if size != 1 and not dim else dim for dim, size in zip(dims, shape, strict=True)]
    added = {digit for dim, old in zip(grown, dims, strict=True) if not old for digit in dim}
    return value(grown, x.bundles, x.constant | added)


def tile(x: Value, dim: int, count: int, inner: bool = False) -> Value:
    """A value repeated along a dim: whole (0 1 0 1), or entry by entry (`inner`: 0 0 1 1)."""
    copies = (Digit(count),) if count != 1 else ()
    dims = list(x.dims)
    dims[dim] = (*dims[dim], *copies) if inner else (*copies, *dims[dim])
    return value(dims, x.bundles, x.constant.union(copies))
