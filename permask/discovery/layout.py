"""Rearranging a value without computing: views, slices, concatenation.

Nothing here constrains how atoms may move, except where positions are lost.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import mul

import numpy as np
from jaxtyping import Int

from permask.discovery.atoms import Axis, Bundle, Dim, Value, value
from permask.discovery.constraints import Constraints


def view(constraints: Constraints, x: Value, shape: Sequence[int]) -> Value:
    """The same entries in the same order under another shape.

    Where the new axes would cut a dim unevenly, the dims around the cut are joined first.
    """
    x = _even(constraints, x, shape)
    remaining = list(reversed(x.dims))
    axes: list[Axis] = []
    for size in shape:
        axis: list[Dim] = []
        while size > 1:
            dim = remaining.pop()
            if size % dim.size == 0:
                axis.append(dim)
                size //= dim.size
            else:
                before = x.dims.index(dim)
                x = x.split(dim, [size, dim.size // size])
                axis.append(x.dims[before])
                remaining.append(x.dims[before + 1])
                size = 1
        axes.append(tuple(axis))
    return _join_digits(value(axes, x.bundles, x.constant))


def cuts(sizes: Sequence[int]) -> list[int]:
    """The strides at which the digits of a number begin, minor first, and its full size."""
    return list(accumulate(reversed(sizes), mul))


def _even(constraints: Constraints, x: Value, shape: Sequence[int]) -> Value:
    """The value as one axis for each run of dims that new axes can be cut from, each run evenly cut."""
    old, new = cuts([dim.size for dim in x.dims]), cuts([size for size in shape if size > 1])
    common = [1, *sorted(set(old) & set(new))]
    axes: list[Axis] = []
    uneven: list[int] = []
    for low, high in pairwise(common):
        inside = sorted({cut for cut in (*old, *new) if low <= cut <= high} | {low})
        if any(b % a for a, b in pairwise(inside)):
            uneven.append(len(axes))
        axes.append(tuple(dim for dim, cut in zip(reversed(x.dims), old, strict=True) if low < cut <= high)[::-1])
    x = value(axes[::-1], x.bundles, x.constant)
    for axis in uneven:
        x = collapse(constraints, x, len(axes) - 1 - axis)
    return x


def _join_digits(x: Value) -> Value:
    """Make one dim of neighbouring dims of an axis that are in the same bundles, or in none and alike."""
    for axis in x.axes:
        for major, minor in pairwise(axis):
            shared = x.bundles_of(major)
            alike = (major in x.constant) == (minor in x.constant)
            if shared != x.bundles_of(minor) or not alike:
                continue
            joined = Dim(major.size * minor.size, major.why or minor.why)
            bundles = [bundle for bundle in x.bundles if bundle not in shared]
            for bundle in shared:
                others = tuple(dim for dim in bundle.dims if dim is not major and dim is not minor)
                atoms = bundle.ordered((*others, major, minor))
                bundles.append(Bundle((*others, joined), atoms.reshape([d.size for d in (*others, joined)])))
            axes = [tuple(joined if dim is major else dim for dim in other if dim is not minor) for other in x.axes]
            constant = x.constant | ({joined} if major in x.constant else set())
            return _join_digits(value(axes, bundles, constant))
    return x


def collapse(constraints: Constraints, x: Value, axis: int) -> Value:
    """Make an axis of several dims one of a single dim, so that its positions can be picked one by one."""
    old = x.axes[axis]
    if len(old) <= 1:
        return x
    joined = Dim(x.shape[axis], next((dim.why for dim in old if dim.why), ""))
    axes = [(joined,) if k == axis else other for k, other in enumerate(x.axes)]
    parts = [bundle for bundle in x.bundles if set(bundle.dims) & set(old)]
    if not parts:
        return value(axes, x.bundles, x.constant | ({joined} if x.constant.issuperset(old) else set()))
    joint = constraints.joint(x, old)
    dims = (*joint.dims[: -len(old)], joined)
    bundle = Bundle(dims, joint.atoms.reshape([dim.size for dim in dims]))
    return value(axes, [*(b for b in x.bundles if b not in parts), bundle], x.constant)


def take(constraints: Constraints, x: Value, axis: int, index: Int[np.ndarray, "taken"]) -> Value:
    """The entries at some positions along an axis."""
    x = collapse(constraints, x, axis)
    new = tuple(Dim(len(index), dim.why) for dim in x.axes[axis] or (Dim(1),)) if len(index) != 1 else ()
    axes = [new if k == axis else other for k, other in enumerate(x.axes)]
    if not x.axes[axis]:
        return value(axes, x.bundles, x.constant.union(new))  # size 1: the same entry several times
    (old,) = x.axes[axis]
    bundles = [bundle for bundle in x.bundles if old not in bundle.dims]
    for bundle in x.bundles_of(old):
        place = bundle.dims.index(old)
        dims = (*bundle.dims[:place], *new, *bundle.dims[place + 1 :])
        atoms = bundle.atoms.take(index if new else index[0], axis=place)
        if not dims:
            constraints.fix(atoms, "picked out on its own")
        repeated = len(np.unique(index)) < len(index)
        bundles.append(constraints.copies(atoms, dims) if repeated else Bundle(dims, atoms))
    return value(axes, bundles, x.constant | (set(new) if old in x.constant else set()))


def drop(x: Value, axis: int) -> Value:
    """A value without one of its axes, which has size 1."""
    return value([dims for k, dims in enumerate(x.axes) if k != axis], x.bundles, x.constant)


def insert(x: Value, axis: int) -> Value:
    """A value with a further axis of size 1."""
    return value([*x.axes[:axis], (), *x.axes[axis:]], x.bundles, x.constant)


def permute(x: Value, order: Sequence[int]) -> Value:
    """A value with its axes in another order."""
    return value([x.axes[axis] for axis in order], x.bundles, x.constant)


def expand(x: Value, shape: Sequence[int]) -> Value:
    """A value repeated along axes of size 1, and along new axes in front."""
    axes = [*[()] * (len(shape) - x.ndim), *x.axes]
    grown = [(Dim(size),) if size != 1 and not axis else axis for axis, size in zip(axes, shape, strict=True)]
    added = {dim for axis, old in zip(grown, axes, strict=True) if not old for dim in axis}
    return value(grown, x.bundles, x.constant | added)


def tile(x: Value, axis: int, count: int, inner: bool = False) -> Value:
    """A value repeated along an axis: whole (0 1 0 1), or entry by entry (`inner`: 0 0 1 1)."""
    copies = (Dim(count),) if count != 1 else ()
    axes = list(x.axes)
    axes[axis] = (*axes[axis], *copies) if inner else (*copies, *axes[axis])
    return value(axes, x.bundles, x.constant.union(copies))
