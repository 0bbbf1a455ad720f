"""The one rule behind most ops: an einsum over values.

Operands name their axes. Axes of the same name are indexed together, so that they move alike; names that the
result lacks are contracted. Elementwise ops, linear layers, convolutions, products of matrices, attention,
embeddings, pooling, reductions and recurrent cells are all of this form: whatever the arithmetic, entry (i, j)
of the result depends on the entries of the operands in the same way for every i and j that may move.
"""

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from permask.discovery.atoms import Axis, Bundle, Dim, Value, value
from permask.discovery.constraints import Constraints, UnsupportedError
from permask.discovery.layout import collapse, cuts

Name = Hashable
Operand = tuple[Value | None, Sequence[Name]]


def contract(
    constraints: Constraints,
    operands: Sequence[Operand],
    to: Sequence[Name],
    pin: Mapping[Any, str] | None = None,
    new: Mapping[Any, int] | None = None,
) -> Value:
    """Constrain operands as an einsum does, and give the result.

    Args:
        constraints: Takes the constraints.
        operands: Values with a name for each axis; a None is left out, an axis of size 1 is broadcast.
        to: Names of the result's axes.
        pin: Names along which the op treats every index in a way of its own, and what they count.
        new: Names in `to` that no operand has, with their sizes: pinned axes of the result.
    """
    given = [(x, list(names)) for x, names in operands if x is not None]
    values, shared = align(constraints, given)
    own = {dim: why for name, why in (pin or {}).items() for dim in shared.get(name, ())}
    for dim, why in own.items():
        dim.why = dim.why or why
    pinned = own.keys() | set().union(*(x.pinned for x in values))
    constraints.register(*values)
    covers = _tie(constraints, [bundle for x in values for bundle in x.bundles])
    for bundle in covers:
        for dim in bundle.dims:
            if dim in pinned:
                constraints.pin_dim(bundle, dim, own.get(dim) or f"indexed together with {dim.why}")
    kept = [dim for name in to for dim in shared.get(name, ())]
    moving = [bundle for bundle in covers if not pinned.issuperset(bundle.dims)]
    bundles = _largest([constraints.marginal(bundle, kept) for bundle in moving])
    varying = {dim for x in values for dim in x.dims if dim not in x.constant}
    made = next(iter((pin or {}).values()), f"what {constraints.here} numbers")
    fresh = {name: (Dim(size, made),) if size != 1 else () for name, size in (new or {}).items()}
    axes = [fresh[name] if name in fresh else shared.get(name, ()) for name in to]
    return value(axes, bundles, set(kept) - varying - pinned)


def align(
    constraints: Constraints, operands: Sequence[tuple[Value, Sequence[Name]]]
) -> tuple[list[Value], dict[Name, Axis]]:
    """Give axes of the same name the same dims, splitting dims where another operand does.

    Returns:
        The operands with the dims they share, and these dims by the names of the axes.
    """
    values = [x for x, _ in operands]
    shared: dict[Name, Axis] = {}
    for name in dict.fromkeys(name for _, names in operands for name in names):
        places = [(k, names.index(name)) for k, (_, names) in enumerate(operands) if name in names]
        full = max(values[k].shape[axis] for k, axis in places)
        if any(values[k].shape[axis] not in (1, full) for k, axis in places):
            raise UnsupportedError("axes of different sizes are indexed together")
        places = [(k, axis) for k, axis in places if values[k].shape[axis] == full and full != 1]
        strides = sorted({cut for k, axis in places for cut in cuts([dim.size for dim in values[k].axes[axis]])})
        if any(b % a for a, b in pairwise(strides)):
            for k, axis in places:
                flat = collapse(constraints, values[k], axis)
                values[k] = constraints.pin(
                    flat, f"axes of size {full} are indexed together but factored differently", "search incomplete"
                )
            strides = [full]
        sizes = [b // a for a, b in pairwise([1, *strides])][::-1]
        shared[name] = tuple(Dim(size) for size in sizes)
        for k, axis in places:
            values[k] = _refactor(values[k], axis, sizes)
            for old, new in zip(values[k].axes[axis], shared[name], strict=True):
                new.why = new.why or (old.why if old in values[k].pinned else "")
            values[k] = values[k].rename(dict(zip(values[k].axes[axis], shared[name], strict=True)))
    return values, shared


def _refactor(x: Value, axis: int, sizes: Sequence[int]) -> Value:
    """Split the dims of an axis so that their sizes are `sizes`."""
    position = 0
    for dim in x.axes[axis]:
        end, size = position, 1
        while size < dim.size:
            size *= sizes[end]
            end += 1
        if end - position > 1:
            x = x.split(dim, sizes[position:end])
        position = end
    return x


def _tie(constraints: Constraints, bundles: Sequence[Bundle]) -> list[Bundle]:
    """Demand that bundles that share dims move consistently; gives one bundle per set of dims."""
    covers: dict[frozenset[Dim], Bundle] = {}
    for bundle in bundles:
        cover = covers.setdefault(frozenset(bundle.dims), bundle)
        constraints.equate(bundle, cover)
    ordered = sorted(covers.values(), key=lambda bundle: len(bundle.dims))
    agreed: dict[frozenset[Dim], Bundle] = {}
    for i, small in enumerate(ordered):
        for large in ordered[i + 1 :]:
            common = tuple(dim for dim in small.dims if dim in large.dims)
            if len(common) == len(small.dims):
                constraints.refine(small, large)
            elif common:
                marginal = agreed.setdefault(frozenset(common), constraints.marginal(small, common))
                for bundle in (small, large):
                    constraints.equate(constraints.marginal(bundle, common), marginal)
    return ordered


def _largest(bundles: Sequence[Bundle]) -> list[Bundle]:
    """Leave out bundles over dims that another one is over, too: it moves as they do."""
    result: list[Bundle] = []
    for bundle in sorted(bundles, key=lambda b: -len(b.dims)):
        if not any(set(bundle.dims) <= set(other.dims) for other in result):
            result.append(bundle)
    return result
