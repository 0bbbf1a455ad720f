"""Ops that rearrange entries without computing."""

import math

from permask.discovery import layout
from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, UnsupportedError, rule


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
)
def view(step: Step) -> Value:
    """The same entries in the same order."""
    x = step.values[0]
    if math.prod(x.shape) != math.prod(step.shape):
        raise UnsupportedError("a view of another type")
    return step.view(x, step.shape)


@rule("permute", "permute_copy")
def permute(step: Step) -> Value:
    """Axes in another order."""
    x = step["self"]
    return layout.permute(x, [axis % x.ndim for axis in step["dims"]])


@rule("transpose", "transpose_", "swapaxes", "swapdims", "t", "t_", "numpy_T", "mT", "adjoint", "mH", "matrix_H")
def transpose(step: Step) -> Value:
    """Two axes trade places."""
    x = step["self"]
    if x.ndim < 2:
        return x
    a = step.arguments.get("dim0", step.arguments.get("axis0", -2)) % x.ndim
    b = step.arguments.get("dim1", step.arguments.get("axis1", -1)) % x.ndim
    if step.op.function == "numpy_T":
        return layout.permute(x, range(x.ndim)[::-1])
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return layout.permute(x, order)


@rule("movedim", "moveaxis")
def movedim(step: Step) -> Value:
    """Some axes move to given places, the others keep their order."""
    x = step["self"]
    source, destination = (
        [axis % x.ndim for axis in ([given] if isinstance(given, int) else given)]
        for given in (step["source"], step["destination"])
    )
    moved = dict(zip(destination, source, strict=True))
    rest = iter(axis for axis in range(x.ndim) if axis not in source)
    return layout.permute(x, [moved[k] if k in moved else next(rest) for k in range(x.ndim)])


@rule("expand", "expand_as", "broadcast_to", "expand_copy")
def expand(step: Step) -> Value:
    """Repeated along axes of size 1."""
    return layout.expand(step.values[0], step.shape)


@rule("broadcast_tensors")
def broadcast(step: Step) -> list[Value]:
    """All repeated to the same shape."""
    return [layout.expand(x, shape) for x, shape in zip(step["tensors"], step.shapes, strict=True)]


@rule("repeat", "tile")
def repeat(step: Step) -> Value:
    """Repeated as a whole along some axes."""
    counts = step["repeats"] or step["dims"]
    x = step["self"]
    counts = [*[1] * (x.ndim - len(counts)), *counts]
    for _ in range(len(counts) - x.ndim):
        x = layout.insert(x, 0)
    for axis, count in enumerate(counts):
        x = layout.tile(x, axis, count)
    return x


@rule("repeat_interleave")
def repeat_interleave(step: Step) -> Value:
    """Every entry along an axis repeated."""
    x, count, axis = step["self"], step["repeats"], step["dim"]
    if not isinstance(count, int):
        raise UnsupportedError("repeats entries different numbers of times")
    if axis is None:
        x, axis = step.view(x, [math.prod(x.shape)]), 0
    return layout.tile(x, axis % x.ndim, count, inner=True)
