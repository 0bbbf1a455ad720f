"""Joining values along a dim, each as a segment of its own."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from permask.discovery.atoms import Bundle, Digit, Value, value
from permask.discovery.constraints import Constraints, UnsupportedError
from permask.discovery.contract import align, contract
from permask.discovery.layout import collapse, insert, take, unrouted


def concatenate(constraints: Constraints, values: Sequence[Value], dim: int, *, op: str) -> Value:
    """Values one after the other along a dim, for `op`; their other dims are tied to each other.

    Bundles that span the dim and others are joined into one over the same digits. So are those of values that
    have a single entry along the dim (a stack): what is stacked may still move on its own.
    """
    values = [collapse(constraints, unrouted(constraints, x, dim, op=op), dim, op=op) for x in values]
    others = [k for k in range(values[0].ndim) if k != dim]
    names = [[("segment", i) if k == dim else k for k in range(x.ndim)] for i, x in enumerate(values)]
    values, shared = align(constraints, list(zip(values, names, strict=True)), op=op)
    lengths = [x.shape[dim] for x in values]
    spanned = _spanned_digits(values, dim, every=set(lengths) == {1})
    ordered = tuple(digit for k in others for digit in shared[k] if digit in spanned)
    rest = [
        value(
            [x.dims[k] for k in others],
            (b for b in x.bundles if not _touches(b, x, dim, spanned)),
            x.constant - spanned,
        )
        for x in values
    ]
    base = insert(contract(constraints, [(x, others) for x in rest], others, op=op), dim)
    total = Digit(sum(lengths), next((digit.why for x in values for digit in x.dims[dim] if digit.why), ""))
    if not any(_touches(bundle, x, dim, spanned) for x in values for bundle in x.bundles):
        return value(
            [(total,) if k == dim and total.size != 1 else digits for k, digits in enumerate(base.dims)],
            base.bundles,
            base.constant,
        )
    segments = []
    for x in values:
        joint = constraints.joint(x, (*ordered, *x.dims[dim]), op=op)
        constraints.register(Value(x.dims, (joint,)))
        segments.append(joint.ordered((*ordered, *x.dims[dim])).reshape([*(digit.kinds for digit in ordered), -1]))
    atoms = np.concatenate(segments, axis=-1)
    renamed = {old: new for k in others for old, new in zip(shared[k], base.dims[k], strict=True)}
    last = (total,) if total.size != 1 else ()
    digits = (*(renamed[digit] for digit in ordered), *last)
    atoms = atoms.reshape([digit.kinds for digit in digits])
    joined = constraints.copies(atoms, digits) if len(np.unique(atoms)) < atoms.size else Bundle(digits, atoms)
    dims = [last if k == dim else digits for k, digits in enumerate(base.dims)]
    return value(dims, [*base.bundles, joined], base.constant)


def replace(
    constraints: Constraints, x: Value, dim: int, index: Int[np.ndarray, "taken"], *, new: Value, op: str
) -> Value:
    """A value with the entries at some neighbouring positions along a dim replaced.

    Raises:
        UnsupportedError: The positions are not neighbours.
    """
    if (np.diff(index) != 1).any():
        raise UnsupportedError("replaces entries that are not next to each other")
    size = x.shape[dim]
    before, after = np.arange(index[0]), np.arange(index[-1] + 1, size)
    parts = [new]
    if before.size:
        parts.insert(0, take(constraints, x, dim, before, op=op))
    if after.size:
        parts.append(take(constraints, x, dim, after, op=op))
    return concatenate(constraints, parts, dim, op=op) if len(parts) > 1 else new


def _touches(bundle: Bundle, x: Value, dim: int, spanned: set[Digit]) -> bool:
    return bool(set(bundle.digits) & (spanned | set(x.dims[dim])))


def _spanned_digits(values: Sequence[Value], dim: int, every: bool) -> set[Digit]:
    """Digits of the other dims that some value has in one bundle with the dim, or in any bundle."""
    spanned: set[Digit] = set()
    grown = True
    while grown:
        grown = False
        for x in values:
            for bundle in x.bundles:
                digits = set(bundle.digits) - set(x.dims[dim])
                if (every or _touches(bundle, x, dim, spanned)) and not digits <= spanned:
                    spanned |= digits
                    grown = True
    return spanned
