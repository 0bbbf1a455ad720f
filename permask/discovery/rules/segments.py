"""Ops that join values, cut them up, or bring entries into another order."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from permask.discovery import layout
from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Op, rule


@rule("cat", "concat", "concatenate")
def cat(op: Op) -> Value:
    """One after the other."""
    values = [x for x in op["tensors"] if 0 not in x.shape]
    return op.concatenate(values, op.dim(values[0]))


@rule("stack")
def stack(op: Op) -> Value:
    """One after the other along a new dim."""
    values = op["tensors"]
    dim = op["dim"] % (values[0].ndim + 1)
    return op.concatenate([layout.insert(x, dim) for x in values], dim)


@rule(
    "chunk",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "hsplit",
    "vsplit",
)
def split(op: Op) -> list[Value]:
    """Cut into parts, whose sizes are those of the results."""
    x = op["self"]
    dim = min(1, x.ndim - 1) if op.node.function == "hsplit" else op.dim(x, default=0)
    x = op.collapse(x, dim)
    ends = np.cumsum([shape[dim] for shape in op.shapes])
    return [op.take(x, dim, np.arange(end - shape[dim], end)) for end, shape in zip(ends, op.shapes, strict=True)]


@rule("unbind")
def unbind(op: Op) -> list[Value]:
    """Every entry along a dim by itself."""
    x = op["self"]
    dim = op.dim(x)
    x = op.collapse(x, dim)
    return [layout.drop(op.take(x, dim, np.array([k])), dim) for k in range(x.shape[dim])]


def picked(arguments: Mapping[str, Any], shape: Sequence[int]) -> tuple[int, Int[np.ndarray, "taken"]]:
    """The dim of a slice, select or narrow, and the positions along it."""
    dim = arguments["dim"] % len(shape)
    positions = np.arange(shape[dim])
    if "index" in arguments:
        return dim, positions[[arguments["index"]]]
    if "length" in arguments:
        start = arguments["start"] % shape[dim]
        return dim, positions[start : start + arguments["length"]]
    return dim, positions[slice(arguments["start"], arguments["end"], arguments["step"])]


@rule("slice", "slice_copy", "narrow")
def slice_(op: Op) -> Value:
    """A range along a dim."""
    dim, index = picked(op.arguments, op["self"].shape)
    return op["self"] if len(index) == op["self"].shape[dim] else op.take(op["self"], dim, index)


@rule("select", "select_copy")
def select(op: Op) -> Value:
    """One entry along a dim."""
    dim, index = picked(op.arguments, op["self"].shape)
    return layout.drop(op.take(op["self"], dim, index), dim)


@rule("roll")
def roll(op: Op) -> Value:
    """Entries shifted around."""
    x, dims = op["self"], op["dims"]
    if not dims:
        flat = op.view(x, [math.prod(x.shape)])
        return op.view(op.take(flat, 0, np.roll(np.arange(flat.shape[0]), op["shifts"][0])), x.shape)
    for dim, shift in zip(dims, op["shifts"], strict=True):
        x = op.take(x, dim % x.ndim, np.roll(np.arange(x.shape[dim]), shift))
    return x


@rule("flip", "fliplr", "flipud")
def flip(op: Op) -> Value:
    """Entries in the opposite order."""
    x = op["self"]
    for dim in {"fliplr": [1], "flipud": [0]}.get(op.node.function) or op["dims"]:
        x = op.take(x, dim % x.ndim, np.arange(x.shape[dim])[::-1].copy())
    return x


@rule("glu")
def glu(op: Op) -> Value:
    """One half times the sigmoid of the other."""
    x = op["self"]
    dim, dims = op.dim(x), list(range(x.ndim))
    x = op.collapse(x, dim)
    half = x.shape[dim] // 2
    halves = (op.take(x, dim, np.arange(start, start + half)) for start in (0, half))
    return op.contract(*((part, dims) for part in halves), to=dims)


@rule("pad", "constant_pad_nd")
def pad(op: Op) -> Value:
    """A constant before and after, as segments of their own; other ways of padding depend on places."""
    x, amounts = op["self"], op["pad"]
    for k, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=True)):
        dim = x.ndim - 1 - k
        if before or after:
            x = _pad_dim(op, x, dim, before, after)
    return x


def _pad_dim(op: Op, x: Value, dim: int, before: int, after: int) -> Value:
    size = x.shape[dim]
    if before < 0 or after < 0:
        x = op.take(op.collapse(x, dim), dim, np.arange(max(0, -before), size + min(0, after)))
        return _pad_dim(op, x, dim, max(0, before), max(0, after)) if max(before, after) > 0 else x
    moves = any(x.bundles_of(digit) for digit in x.dims[dim])
    if moves and op.get("mode", "constant") == "constant":
        ends = [
            op.fill([n if k != dim else count for k, n in enumerate(x.shape)]) for count in (before, after) if count
        ]
        return op.concatenate([*ends[: bool(before)], x, *ends[bool(before) :]], dim)
    dims: list[object] = list(range(x.ndim))
    padded = [k if k != dim else "padded" for k in range(x.ndim)]
    return op.contract(
        (x, dims), to=padded, pin={dim: "positions that are padded"}, new={"padded": size + before + after}
    )


@rule("pixel_shuffle")
def pixel_shuffle(op: Op) -> Value:
    """Channels (c, i, j) of a pixel become channel c of r × r pixels."""
    x, r = op["self"], op["upscale_factor"]
    *batch, channels, height, width = x.shape
    x = op.view(x, [*batch, channels // r**2, r, r, height, width])
    n = len(batch)
    return op.view(layout.permute(x, [*range(n), n, n + 3, n + 1, n + 4, n + 2]), op.shape)


@rule("pixel_unshuffle")
def pixel_unshuffle(op: Op) -> Value:
    """Channel c of r × r pixels becomes channels (c, i, j) of one pixel."""
    x, r = op["self"], op["downscale_factor"]
    *batch, channels, height, width = x.shape
    x = op.view(x, [*batch, channels, height // r, r, width // r, r])
    n = len(batch)
    return op.view(layout.permute(x, [*range(n), n, n + 2, n + 4, n + 1, n + 3]), op.shape)


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(op: Op) -> Value:
    """Channels (g, c) become channels (c, g)."""
    x, groups = op.values[0], op["groups"]
    batch, channels, *places = x.shape
    x = op.view(x, [batch, groups, channels // groups, *places])
    return op.view(layout.permute(x, [0, 2, 1, *range(3, x.ndim)]), op.shape)
