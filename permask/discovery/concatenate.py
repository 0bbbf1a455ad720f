"""Joining values along an axis, each as a segment of its own."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from permask.discovery.atoms import Bundle, Dim, Value, value
from permask.discovery.constraints import Constraints, UnsupportedError
from permask.discovery.contract import align, contract
from permask.discovery.layout import collapse, insert, take


def concatenate(constraints: Constraints, values: Sequence[Value], axis: int) -> Value:
    """Values one after the other along an axis; their other axes are tied to each other.

    Bundles that span the axis and others are joined into one over the same dims. So are those of values that
    have a single entry along the axis (a stack): what is stacked may still move on its own.
    """
    values = [collapse(constraints, x, axis) for x in values]
    others = [k for k in range(values[0].ndim) if k != axis]
    names = [[("segment", i) if k == axis else k for k in range(x.ndim)] for i, x in enumerate(values)]
    values, shared = align(constraints, list(zip(values, names, strict=True)))
    lengths = [x.shape[axis] for x in values]
    spanned = _spanned_dims(values, axis, every=set(lengths) == {1})
    ordered = tuple(dim for k in others for dim in shared[k] if dim in spanned)
    rest = [
        value(
            [x.axes[k] for k in others],
            (b for b in x.bundles if not _touches(b, x, axis, spanned)),
            x.constant - spanned,
        )
        for x in values
    ]
    base = insert(contract(constraints, [(x, others) for x in rest], others), axis)
    total = Dim(sum(lengths), next((dim.why for x in values for dim in x.axes[axis] if dim.why), ""))
    if not any(_touches(bundle, x, axis, spanned) for x in values for bundle in x.bundles):
        return value(
            [(total,) if k == axis and total.size != 1 else dims for k, dims in enumerate(base.axes)],
            base.bundles,
            base.constant,
        )
    segments = []
    for x in values:
        joint = constraints.joint(x, (*ordered, *x.axes[axis]))
        constraints.register(Value(x.axes, (joint,)))
        segments.append(joint.ordered((*ordered, *x.axes[axis])).reshape([*(dim.size for dim in ordered), -1]))
    atoms = np.concatenate(segments, axis=-1)
    renamed = dict(
        zip((dim for k in others for dim in shared[k]), (dim for k in others for dim in base.axes[k]), strict=True)
    )
    last = (total,) if total.size != 1 else ()
    dims = (*(renamed[dim] for dim in ordered), *last)
    atoms = atoms.reshape([dim.size for dim in dims])
    joined = constraints.copies(atoms, dims) if len(np.unique(atoms)) < atoms.size else Bundle(dims, atoms)
    axes = [last if k == axis else dims for k, dims in enumerate(base.axes)]
    return value(axes, [*base.bundles, joined], base.constant)


def replace(constraints: Constraints, x: Value, axis: int, index: Int[np.ndarray, "taken"], new: Value) -> Value:
    """A value with the entries at some neighbouring positions along an axis replaced.

    Raises:
        UnsupportedError: The positions are not neighbours.
    """
    if (np.diff(index) != 1).any():
        raise UnsupportedError("replaces entries that are not next to each other")
    size = x.shape[axis]
    before, after = np.arange(index[0]), np.arange(index[-1] + 1, size)
    parts = [new]
    if before.size:
        parts.insert(0, take(constraints, x, axis, before))
    if after.size:
        parts.append(take(constraints, x, axis, after))
    return concatenate(constraints, parts, axis) if len(parts) > 1 else new


def _touches(bundle: Bundle, x: Value, axis: int, spanned: set[Dim]) -> bool:
    return bool(set(bundle.dims) & (spanned | set(x.axes[axis])))


def _spanned_dims(values: Sequence[Value], axis: int, every: bool) -> set[Dim]:
    """Dims of the other axes that some value has in one bundle with the axis, or in any bundle."""
    spanned: set[Dim] = set()
    grown = True
    while grown:
        grown = False
        for x in values:
            for bundle in x.bundles:
                dims = set(bundle.dims) - set(x.axes[axis])
                if (every or _touches(bundle, x, axis, spanned)) and not dims <= spanned:
                    spanned |= dims
                    grown = True
    return spanned
