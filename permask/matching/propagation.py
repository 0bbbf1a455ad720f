"""A starting point for weight matching: from what is pinned inwards, one family of groups after the other.

From the identity, the scores of a deep layer are noise: all layers around it are in the wrong order. Here a
family is only judged by weights whose other dims are pinned (inputs, outputs, kernel positions) or belong to
families that were assigned before, and the family with the largest share of such weights comes next.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from permask.groups import Group
from permask.matching.assignment import assign_nested, families
from permask.matching.similarity import weight_scores
from permask.permutation import Permutation


def propagate(identity: Permutation, source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Permutation:
    """The permutation that comes from assigning each family once, by the weights that can be compared yet.

    Args:
        identity: The permutation that moves nothing.
        source: Parameter name to weights.
        target: Likewise.
    """
    permutation = identity
    undecided = families(identity.groups)
    known = _Known(source, undecided)
    while undecided:
        family = max(undecided, key=known.share)
        scores = weight_scores(family, permutation, known.comparable(family), target)
        index = assign_nested(family, scores)
        permutation = Permutation(permutation.groups, permutation.index | index)
        undecided.remove(family)
        known.decide(family)
    return permutation


class _Known:
    """Which entries of each weight can be compared: those whose place along every other dim is decided."""

    def __init__(self, weights: Mapping[str, Tensor], undecided: Sequence[Sequence[Group]]):
        self._weights = weights
        # how many undecided groups own each position; of a grouped convolution's virtual axis, in all
        self._open: dict[tuple[str, int], np.ndarray] = {}
        self._grouped = {a.parameter for f in undecided for g in f for a in g.axes if a.convolution_groups > 1}
        for family in undecided:
            self._count(family, 1)

    def decide(self, family: Sequence[Group]) -> None:
        """From now on the family's units are where they belong."""
        self._count(family, -1)

    def share(self, family: Sequence[Group]) -> float:
        """Share of the family's weights that can be compared."""
        axes = _axes(family) & {(name, dim) for name in self._weights for dim in range(self._weights[name].ndim)}
        total = sum(self._weights[name].numel() for name, _ in axes)
        known = sum(
            self._weights[name].numel() * math.prod(float(k.mean()) for k in self._others(name, dim, family).values())
            for name, dim in axes
        )
        return known / max(total, 1)

    def comparable(self, family: Sequence[Group]) -> dict[str, Tensor]:
        """The weights with zeros in place of what cannot be compared for this family."""
        weights: dict[str, Tensor] = {}
        for name, dim in sorted(_axes(family)):
            if name in self._weights:
                weight = self._weights[name]
                for other, known in self._others(name, dim, family).items():
                    along = [-1 if d == other else 1 for d in range(weight.ndim)]
                    weight = weight * torch.as_tensor(known, device=weight.device).view(along)
                weights[name] = weight
        return weights

    def _others(self, name: str, dim: int, family: Sequence[Group]) -> dict[int, np.ndarray]:
        """For every other dim of a weight, which positions are decided."""
        dims = range(self._weights[name].ndim)
        return {d: self._open[name, d] == 0 for d in dims if d != dim and (name, d) in self._open}

    def _count(self, family: Sequence[Group], change: int) -> None:
        for group in family:
            for axis in group.axes:
                key = (axis.parameter, axis.dim)
                if axis.parameter in self._weights:
                    size = self._weights[axis.parameter].shape[axis.dim]
                    count = self._open.setdefault(key, np.zeros(size, dtype=int))
                    if axis.convolution_groups > 1:
                        count += change
                    else:
                        count[np.unique(axis.table)] += change


def _axes(family: Sequence[Group]) -> set[tuple[str, int]]:
    return {(axis.parameter, axis.dim) for group in family for axis in group.axes}
