"""The negative control: which axes of a group have an influence on the outputs of their own.

If one axis is left out of its group, moving the units changes the weights by some Δ too little, and the outputs change
if their derivative along Δ is not zero. One backward pass tells that of the axes of all parameters together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from permask.discovery.redraw import State
from permask.groups import Axis, Group
from permask.permutation import Permutation

UNITS = 16  # of each group that are moved
Gradients = Mapping[str, Tensor | None]


def derivatives(leaves: Mapping[str, Tensor], outputs: Sequence[Tensor], scales: Mapping[int, float]) -> Gradients:
    """Derivatives of a random sum of outputs along all parameters; none if an op has no derivative.

    A sum of N entries with random signs is about √N times as large as one of them; every output is divided by that, and
    by the scale of its changes.

    Args:
        leaves: The parameters that the outputs were computed from.
        outputs: All outputs.
        scales: Numbers of the outputs that count, and what changes of them are relative to.
    """
    generator = torch.Generator().manual_seed(0)
    parts = []
    for k, scale in scales.items():
        if outputs[k].requires_grad:
            signs = torch.randn(outputs[k].shape, generator=generator, dtype=torch.float64).to(outputs[k])
            parts.append((outputs[k] * signs / (scale * outputs[k].numel() ** 0.5)).sum().abs())
    try:
        if parts:
            torch.stack(parts).sum().backward()
    except RuntimeError:  # an op has no derivative
        return {}
    return {name: x.grad for name, x in leaves.items()} if parts else {}


def idle_axes(groups: Sequence[Group], state: State, gradients: Gradients, least: float) -> list[tuple[Group, Axis]]:
    """The axes of parameters whose influence of their own is no more than the least that a trial can notice."""
    return [
        (group, axis)
        for group in groups
        for axis in group.axes
        if axis.parameter in gradients
        and _response(group, axis, state[axis.parameter], gradients[axis.parameter]) <= least
    ]


def _response(group: Group, axis: Axis, weights: Tensor, gradient: Tensor | None) -> float:
    """How much, to first order, trading some units along this axis alone changes the outputs.

    Of a group with one axis, which may be traded, how much its entries count for.
    """
    if gradient is None:
        return 0.0
    if len(group.axes) == 1:
        counts = (gradient * weights).abs()
        here = torch.as_tensor(axis.table.ravel(), device=weights.device)
        return float((counts if axis.convolution_groups > 1 else counts.index_select(axis.dim, here)).sum())
    few = slice(min(group.size, UNITS))
    table = axis.table[..., few, :]
    source = np.arange(axis.length)
    source[table] = np.roll(table, 1, axis=-2)
    if axis.convolution_groups == 1:
        there, here = (torch.as_tensor(x.ravel(), device=weights.device) for x in (source[table], table))
        change = weights.index_select(axis.dim, there) - weights.index_select(axis.dim, here)
        gradient = gradient.index_select(axis.dim, here)
    else:
        alone = Group("alone", axis.length, (replace(axis, table=np.arange(axis.length)[:, None]),))
        moved = Permutation((alone,), {"alone": source}).apply({axis.parameter: weights})
        change = moved[axis.parameter] - weights
    return float((gradient * change).sum().abs())
