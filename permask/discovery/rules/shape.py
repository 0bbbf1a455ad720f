"""Ops that rearrange entries without computing."""

import math

from permask.discovery import layout
from permask.discovery.atoms import Places, Value
from permask.discovery.rules.registry import Op, UnsupportedError, rule


@rule(
    "view",
    "reshape",
    "flatten",
    "unflatten",
    "_unsafe_view",
    "squeeze",
    "squeeze_",
    "unsqueeze",
    "unsqueeze_",
    "reshape_as",
    "view_as",
    "_reshape_alias",
    "view_copy",
    "ravel",
    places="self",
)
def view(op: Op) -> Value:
    """The same entries in the same order."""
    x = op.values[0]
    if math.prod(x.shape) != math.prod(op.shape):
        raise UnsupportedError("a view of another type")
    if isinstance(x, Places):
        return x.laid_out(op.view(x, op.shape))
    return x if x.shape == op.shape else op.view(op.settle(x), op.shape)


@rule("permute", "permute_copy")
def permute(op: Op) -> Value:
    """Axes in another order."""
    x = op["self"]
    return layout.permute(x, [dim % x.ndim for dim in op["dims"]])


@rule("transpose", "transpose_", "swapaxes", "swapdims", "t", "t_", "numpy_T", "mT", "adjoint", "mH", "matrix_H")
def transpose(op: Op) -> Value:
    """Two dims trade places."""
    x = op["self"]
    if x.ndim < 2:
        return x
    a = op.get("dim0", op.get("axis0", -2)) % x.ndim
    b = op.get("dim1", op.get("axis1", -1)) % x.ndim
    if op.node.function == "numpy_T":
        return layout.permute(x, range(x.ndim)[::-1])
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return layout.permute(x, order)


@rule("movedim", "moveaxis")
def movedim(op: Op) -> Value:
    """Some dims move to given places, the others keep their order."""
    x = op["self"]
    source, destination = (
        [dim % x.ndim for dim in ([given] if isinstance(given, int) else given)]
        for given in (op["source"], op["destination"])
    )
    moved = dict(zip(destination, source, strict=True))
    rest = iter(dim for dim in range(x.ndim) if dim not in source)
    return layout.permute(x, [moved[k] if k in moved else next(rest) for k in range(x.ndim)])


@rule("expand", "expand_as", "broadcast_to", "expand_copy")
def expand(op: Op) -> Value:
    """Repeated along dims of size 1."""
    return layout.expand(op.values[0], op.shape)


@rule("broadcast_tensors")
def broadcast(op: Op) -> list[Value]:
    """All repeated to the same shape."""
    return [layout.expand(x, shape) for x, shape in zip(op["tensors"], op.shapes, strict=True)]


@rule("repeat", "tile")
def repeat(op: Op) -> Value:
    """Repeated as a whole along some dims."""
    x, counts = op["self"], op["repeats" if op.node.function == "repeat" else "dims"]
    counts = [*[1] * (x.ndim - len(counts)), *counts]
    for _ in range(len(counts) - x.ndim):
        x = layout.insert(x, 0)
    for dim, count in enumerate(counts):
        x = layout.tile(x, dim, count)
    return x


@rule("repeat_interleave")
def repeat_interleave(op: Op) -> Value:
    """Every entry along a dim repeated."""
    count, dim = op["repeats"], op.get("dim")
    if not isinstance(count, int):
        raise UnsupportedError("repeats entries different numbers of times")
    x = op["self"]
    if dim is None:
        return layout.tile(op.view(x, [math.prod(x.shape)]), 0, count, inner=True)
    return layout.tile(x, op.dim(x), count, inner=True)
