"""Ops that join values, cut them up, or bring entries into another order."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from permask.discovery import layout
from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, rule


@rule("cat", "concat", "concatenate")
def cat(step: Step) -> Value:
    """One after the other."""
    values = [x for x in step["tensors"] if 0 not in x.shape]
    return step.concatenate(values, step["dim"] % values[0].ndim)


@rule("stack")
def stack(step: Step) -> Value:
    """One after the other along a new axis."""
    values = step["tensors"]
    axis = step["dim"] % (values[0].ndim + 1)
    return step.concatenate([layout.insert(x, axis) for x in values], axis)


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
def split(step: Step) -> list[Value]:
    """Cut into parts, whose sizes are those of the results."""
    x = step["self"]
    axis = min(1, x.ndim - 1) if step.op.function == "hsplit" else (step["dim"] or 0) % x.ndim
    x = layout.collapse(step.constraints, x, axis)
    ends = np.cumsum([shape[axis] for shape in step.shapes])
    return [step.take(x, axis, np.arange(end - shape[axis], end)) for end, shape in zip(ends, step.shapes, strict=True)]


@rule("unbind")
def unbind(step: Step) -> list[Value]:
    """Every entry along an axis by itself."""
    x = step["self"]
    axis = step["dim"] % x.ndim
    x = layout.collapse(step.constraints, x, axis)
    return [layout.drop(step.take(x, axis, np.array([k])), axis) for k in range(x.shape[axis])]


def picked(arguments: Mapping[str, Any], shape: Sequence[int]) -> tuple[int, Int[np.ndarray, "taken"]]:
    """The axis of a slice, select or narrow, and the positions along it."""
    axis = arguments["dim"] % len(shape)
    positions = np.arange(shape[axis])
    if "index" in arguments:
        return axis, positions[[arguments["index"]]]
    if "length" in arguments:
        start = arguments["start"] % shape[axis]
        return axis, positions[start : start + arguments["length"]]
    return axis, positions[slice(arguments["start"], arguments["end"], arguments["step"])]


@rule("slice", "slice_copy", "narrow")
def slice_(step: Step) -> Value:
    """A range along an axis."""
    axis, index = picked(step.arguments, step["self"].shape)
    return step["self"] if len(index) == step["self"].shape[axis] else step.take(step["self"], axis, index)


@rule("select", "select_copy")
def select(step: Step) -> Value:
    """One entry along an axis."""
    axis, index = picked(step.arguments, step["self"].shape)
    return layout.drop(step.take(step["self"], axis, index), axis)


@rule("roll")
def roll(step: Step) -> Value:
    """Entries shifted around."""
    x, axes = step["self"], step["dims"]
    if not axes:
        flat = step.view(x, [math.prod(x.shape)])
        return step.view(step.take(flat, 0, np.roll(np.arange(flat.shape[0]), step["shifts"][0])), x.shape)
    for axis, shift in zip(axes, step["shifts"], strict=True):
        x = step.take(x, axis % x.ndim, np.roll(np.arange(x.shape[axis]), shift))
    return x


@rule("flip", "fliplr", "flipud")
def flip(step: Step) -> Value:
    """Entries in the opposite order."""
    x = step["self"]
    for axis in {"fliplr": [1], "flipud": [0]}.get(step.op.function) or step["dims"]:
        x = step.take(x, axis % x.ndim, np.arange(x.shape[axis])[::-1].copy())
    return x


@rule("glu")
def glu(step: Step) -> Value:
    """One half times the sigmoid of the other."""
    x = step["self"]
    axis, axes = step["dim"] % x.ndim, list(range(x.ndim))
    x = layout.collapse(step.constraints, x, axis)
    half = x.shape[axis] // 2
    halves = (step.take(x, axis, np.arange(start, start + half)) for start in (0, half))
    return step.contract(*((part, axes) for part in halves), to=axes)


@rule("pad", "constant_pad_nd")
def pad(step: Step) -> Value:
    """A constant before and after, as segments of their own; other ways of padding depend on places."""
    x, amounts = step["self"], step["pad"]
    for k, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=True)):
        axis = x.ndim - 1 - k
        if before or after:
            x = _pad_axis(step, x, axis, before, after)
    return x


def _pad_axis(step: Step, x: Value, axis: int, before: int, after: int) -> Value:
    size = x.shape[axis]
    if before < 0 or after < 0:
        x = step.take(
            layout.collapse(step.constraints, x, axis), axis, np.arange(max(0, -before), size + min(0, after))
        )
        return _pad_axis(step, x, axis, max(0, before), max(0, after)) if max(before, after) > 0 else x
    moves = any(x.bundles_of(dim) for dim in x.axes[axis])
    if moves and step.arguments.get("mode", "constant") == "constant":
        ends = [
            step.fill([n if k != axis else count for k, n in enumerate(x.shape)]) for count in (before, after) if count
        ]
        return step.concatenate([*ends[: bool(before)], x, *ends[bool(before) :]], axis)
    axes: list[object] = list(range(x.ndim))
    padded = [k if k != axis else "padded" for k in range(x.ndim)]
    return step.contract(
        (x, axes), to=padded, pin={axis: "positions that are padded"}, new={"padded": size + before + after}
    )


@rule("pixel_shuffle")
def pixel_shuffle(step: Step) -> Value:
    """Channels (c, i, j) of a pixel become channel c of r × r pixels."""
    x, r = step["self"], step["upscale_factor"]
    *batch, channels, height, width = x.shape
    x = step.view(x, [*batch, channels // r**2, r, r, height, width])
    n = len(batch)
    return step.view(layout.permute(x, [*range(n), n, n + 3, n + 1, n + 4, n + 2]), step.shape)


@rule("pixel_unshuffle")
def pixel_unshuffle(step: Step) -> Value:
    """Channel c of r × r pixels becomes channels (c, i, j) of one pixel."""
    x, r = step["self"], step["downscale_factor"]
    *batch, channels, height, width = x.shape
    x = step.view(x, [*batch, channels, height // r, r, width // r, r])
    n = len(batch)
    return step.view(layout.permute(x, [*range(n), n, n + 2, n + 4, n + 1, n + 3]), step.shape)


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(step: Step) -> Value:
    """Channels (g, c) become channels (c, g)."""
    x, groups = step.values[0], step["groups"]
    batch, channels, *places = x.shape
    x = step.view(x, [batch, groups, channels // groups, *places])
    return step.view(layout.permute(x, [0, 2, 1, *range(3, x.ndim)]), step.shape)
