"""The negative control: which axes of a group have an influence on the outputs of their own.

If one axis is left out of its group, moving the units changes the weights by some Δ too little, and the outputs change
if their derivative along Δ is not zero. One backward pass tells that of the axes of all parameters together.

Neither the weights nor their derivatives are held: the network runs in parts, which are computed again one by one, with
weights that are made again; and a derivative is dropped once the axes of its parameter have been looked at.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from permask.discovery.weights import Weights
from permask.groups import Axis, Group
from permask.permutation import Permutation

UNITS = 16  # of each group that are moved
Told = Callable[[Hashable, Tensor, Tensor], None]  # what the weights in some memory are, and their derivative


class Influence:
    """What derivatives tell of the axes of all groups.

    Args:
        groups: The groups.
        weights: What the network is run with.
        parameters: Names of those that derivatives are taken along.
    """

    def __init__(self, groups: Sequence[Group], weights: Weights, parameters: Set[str]):
        self._weights = weights
        self._parameters = parameters & weights.keys()
        self._names: dict[Hashable, list[str]] = {}  # of the parameters in every memory
        for name in self._parameters:
            self._names.setdefault(weights.memory[name], []).append(name)
        self._axes: dict[str, list[tuple[Group, Axis]]] = {name: [] for name in self._parameters}
        for group in groups:
            for axis in group.axes:
                if axis.parameter in self._axes:
                    self._axes[axis.parameter].append((group, axis))
        self._responses: dict[int, complex] = {}
        self.known = False

    def outputs(self, run: Callable[[Weights], Sequence[Tensor]]) -> list[Tensor]:
        """What the network gives, with what `follow` needs."""
        with torch.enable_grad():
            watched = _Watched(self._weights, self._names.keys(), self._responded)
            return list(run(watched.weights))

    def follow(self, outputs: Sequence[Tensor], scales: Mapping[int, float]) -> None:
        """Take derivatives of a random sum of outputs; `known` says whether all ops had one.

        A sum of N entries with random signs is about √N times as large as one of them; every output is divided by that,
        and by the scale of its changes.

        Args:
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
                self.known = True
        except RuntimeError:  # an op has no derivative
            self._responses.clear()

    def of(self, axis: Axis) -> float | None:
        """How much trading some units along this axis alone changes the outputs; None if it is no parameter's."""
        return abs(self._responses.get(id(axis), 0.0)) if axis.parameter in self._parameters else None

    def _responded(self, memory: Hashable, weights: Tensor, gradient: Tensor) -> None:
        for group, axis in (pair for name in self._names[memory] for pair in self._axes[name]):
            # those of several uses add up, each with its sign
            before = self._responses.get(id(axis), 0.0)
            self._responses[id(axis)] = before + _response(group, axis, weights, gradient)


class _Watched:
    """Weights that tell their derivative, for every use of them apart."""

    def __init__(self, given: Weights, memories: Set[Hashable], told: Told):
        self.weights = Weights(given.memory, self._make, given.like)
        self._given, self._memories, self._told = given, memories, told

    def _make(self, name: str) -> Tensor:
        memory, x = self._given.memory[name], self._given.make(name)
        if memory not in self._memories or not (x.is_floating_point() or x.is_complex()):
            return x
        # autograd only follows what depends on a tensor with a derivative
        anchor = torch.zeros((), requires_grad=True, device=x.device)
        return _Heard.apply(anchor, x, lambda weights, gradient: self._told(memory, weights, gradient))


class _Heard(torch.autograd.Function):
    """A tensor as it is, with somebody who is told its derivative."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, x: Tensor, told: Callable[[Tensor, Tensor], None]) -> Tensor:
        """The tensor; `anchor` makes autograd follow it."""
        ctx.save_for_backward(x)
        ctx.told = told
        return x.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Tell, and pass nothing on."""
        ctx.told(*ctx.saved_tensors, gradient)
        return None, None, None


def _response(group: Group, axis: Axis, weights: Tensor, gradient: Tensor) -> complex:
    """How much, to first order, trading some units along this axis alone changes the outputs.

    Of a group with one axis, which may be traded, how much its entries count for.
    """
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
        change = Permutation((alone,), {"alone": source}).permute_tensor(axis.parameter, weights) - weights
    return (gradient * change).sum().item()
