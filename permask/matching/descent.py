"""Coordinate descent on the inner product of two networks' weights, where a move updates the scores around it.

After some units of one family moved, the scores of a family beside it change by what those units contribute, so they
are not computed again: late sweeps, in which few units move, cost little. The source's weights are kept as permuted so
far, and every assignment is relative to them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from permask.groups import Axis, Group
from permask.matching.assignment import assign, assign_nested, families
from permask.matching.similarity import restrict, units_first, weight_scores
from permask.permutation import Permutation

# a step must improve by more than this share of |W_A|·|W_B|; less is rounding
ROUNDING = 1e-9

Weights = Mapping[str, Tensor]
Watch = Callable[[np.ndarray], Iterator[int]]


def coordinate_descent(
    start: Permutation, source: Weights, target: Weights, rng: np.random.Generator, *, watch: Watch = iter
) -> tuple[Permutation, list[float]]:
    """Improve a permutation, family by family, until no family can.

    Args:
        start: Where to begin.
        source: Parameter name to weights, finite.
        target: Likewise.
        rng: Draws the order of the families, anew in every sweep.
        watch: Hands on the families of every sweep, and so sees how far it is.

    Returns:
        The permutation, and the objective at the start and after every sweep.
    """
    state = _State(start, source, target)
    history = [inner_product(start, source, target, state.parameters)]
    stale = state.with_weights  # and from then on, those beside which something moved since they were assigned
    while stale:
        gained = 0.0
        for i in watch(rng.permutation(len(state.families))):
            if i in stale:
                stale.remove(i)
                gain = state.improve(i)
                gained += gain
                stale |= state.beside(i) if gain else set()
        history.append(history[-1] + gained)
    return state.permutation, history


def inner_product(permutation: Permutation, source: Weights, target: Weights, parameters: set[str]) -> float:
    """Σ ⟨W_B, π(W_A)⟩ over some parameters, in float64."""
    permuted = restrict(permutation, parameters).apply({name: source[name] for name in sorted(parameters)})
    return sum(float(torch.dot(x.flatten().double(), target[name].flatten().double())) for name, x in permuted.items())


@dataclass(frozen=True, eq=False)
class _Move:
    """What changes in a parameter when units move along one of its axes.

    Attributes:
        axis: The axis.
        positions: Those along the axis whose entries change.
        entries: The new entries there, of the parameter's shape but for the axis.
        change: New less old entries.
    """

    axis: Axis
    positions: Int[Tensor, "positions"]
    entries: Tensor
    change: Tensor


class _State:
    """The source's weights as permuted so far, and the scores that are known of them."""

    def __init__(self, start: Permutation, source: Weights, target: Weights):
        self.permutation = start
        self.families = families(start.groups)
        self._axes = [[a for group in family for a in group.axes if a.parameter in source] for family in self.families]
        self._on: defaultdict[str, list[tuple[int, Axis]]] = defaultdict(list)
        for i, axes in enumerate(self._axes):
            for axis in axes:
                self._on[axis.parameter].append((i, axis))
        self.parameters = set(self._on)
        self._simple = {i for i in range(len(self.families)) if self._is_simple(i)}
        self._scores: dict[int, Tensor] = {}
        self._stay = Permutation(start.groups, {})
        self._target = target
        permuted = start.apply({name: source[name] for name in self.parameters})
        self._permuted = {name: x.clone() if x is source[name] else x for name, x in permuted.items()}
        self._tolerance = ROUNDING * max(self._norm(source) * self._norm(target), np.finfo(float).tiny)

    @property
    def with_weights(self) -> set[int]:
        """The families that can be judged."""
        return {i for i, axes in enumerate(self._axes) if axes}

    def beside(self, i: int) -> set[int]:
        """The families whose scores depend on where the units of one are."""
        sharing = {j for axis in self._axes[i] for j, _ in self._on[axis.parameter]}
        return sharing - {i} if i in self._simple else sharing

    def improve(self, i: int) -> float:
        """Assign a family anew, if that is an improvement.

        Returns:
            What the objective gained; 0 if the family stays as it is.
        """
        if i in self._simple:
            return self._improve_group(i, self.families[i][0])
        return self._improve_family(i, self.families[i])

    def _is_simple(self, i: int) -> bool:
        """Whether scores stay linear in the places of all other families, and can be kept.

        A family that holds no groups, meets no grouped convolution, and lies once on each parameter, where no other
        family moves the same positions (as the factors of an outer product do).
        """
        names = [axis.parameter for axis in self._axes[i]]
        if len(self.families[i]) > 1 or len(set(names)) < len(names):
            return False
        for axis in self._axes[i]:
            for j, other in self._on[axis.parameter]:
                shared = j != i and other.dim == axis.dim and np.isin(axis.table, other.table).any()
                if shared or other.convolution_groups > 1:
                    return False
        return True

    def _improve_group(self, i: int, group: Group) -> float:
        if i not in self._scores:
            score = weight_scores([group], self._stay, self._permuted, self._target)[group.name]
            like = self._permuted[self._axes[i][0].parameter]
            self._scores[i] = torch.as_tensor(score, dtype=like.dtype, device=like.device)
        index = assign(self._scores[i].cpu().numpy())
        units = np.flatnonzero(index != np.arange(group.size))
        moves = [self._moved(a, a.table[units].ravel(), a.table[index[units]].ravel()) for a in self._axes[i]]
        gain = sum(float((move.change * self._target_at(move)).sum(dtype=torch.float64)) for move in moves)
        if gain <= self._tolerance:
            return 0.0
        self._scores[i] = self._scores[i][:, index]
        for move in moves:
            name, dim = move.axis.parameter, move.axis.dim
            for j, other in self._on[name]:
                if j in self._scores and other.dim != dim:
                    target = units_first(self._target_at(move), other, other.table)
                    self._scores[j].addmm_(target, units_first(move.change, other, other.table).T)
            self._permuted[name].index_copy_(dim, move.positions, move.entries)
        self.permutation = Permutation(self._stay.groups, {group.name: index}).compose(self.permutation)
        return gain

    def _improve_family(self, i: int, family: Sequence[Group]) -> float:
        """As scores are not exact where groups lie within groups or twice on a parameter, the gain is checked."""
        index = assign_nested(family, weight_scores(family, self._stay, self._permuted, self._target))
        step = Permutation(self._stay.groups, index)
        before = {axis.parameter: self._permuted[axis.parameter] for axis in self._axes[i]}
        after = restrict(step, before.keys()).apply(before)
        gain = sum(float(((after[n] - x) * self._target[n]).sum(dtype=torch.float64)) for n, x in before.items())
        if gain <= self._tolerance:
            return 0.0
        for j in self.beside(i):
            self._scores.pop(j, None)
        self._permuted |= after
        self.permutation = step.compose(self.permutation)
        return gain

    def _moved(self, axis: Axis, positions: np.ndarray, sources: np.ndarray) -> _Move:
        weight = self._permuted[axis.parameter]
        here, there = (torch.as_tensor(p, device=weight.device) for p in (positions, sources))
        entries = weight.index_select(axis.dim, there)
        return _Move(axis, here, entries, entries - weight.index_select(axis.dim, here))

    def _target_at(self, move: _Move) -> Tensor:
        return self._target[move.axis.parameter].index_select(move.axis.dim, move.positions)

    def _norm(self, weights: Weights) -> float:
        return float(sum(weights[name].double().square().sum() for name in self.parameters)) ** 0.5
