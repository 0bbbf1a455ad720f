"""Match more than two networks at once, so that going round in a circle leads back.

Matching each network to the next adds up errors, and matching all to one of them depends on which. Here every
network is matched to the sum of all others where they stand, again and again, until no one improves: one common
frame, in which the permutations between any two networks follow from their permutations into the frame
(Ainsworth et al. 2023, section 5; Crisostomi et al. 2024 on cycle consistency). The networks are visited in an
order of their own weights, so that the order in which they are given makes no difference.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from permask.errors import PermaskError
from permask.inputs import Example
from permask.matching.alignment import Alignment, GroupMatch, group_matches
from permask.matching.assignment import Score, assign_nested, families, unit_sources
from permask.matching.descent import Weights, coordinate_descent, inner_product
from permask.matching.moments import Moments
from permask.matching.observation import Pair, observe
from permask.matching.propagation import propagate
from permask.matching.similarity import beside, weights_of
from permask.matching.weights import weight_matches
from permask.permutation import Permutation
from permask.progress import progress
from permask.symmetry import Symmetry

# the sum of all pairs must grow by more than this share of itself; less is rounding
ROUNDING = 1e-7

Permutations = list[Permutation]


def match_many(
    symmetry: Symmetry,
    networks: Sequence[nn.Module],
    batches: Iterable[Example] | None = None,
    reference: int = 0,
    seed: int = 0,
) -> tuple[Alignment, ...]:
    """Find permutations that line up several networks consistently.

    With batches, the function maximises the correlation of matched activations, summed over all pairs of networks.
    Without batches, it maximises the inner product of matched weights. The result is cycle-consistent: the permutation
    from network i to network j is `alignments[j].permutation.inverse().compose(alignments[i].permutation)`.

    Args:
        symmetry: The symmetry of the networks' architecture.
        networks: Two or more networks.
        batches: Batches of inputs to match activations on, each in any form that `discover` takes; or None to match
            weights.
        reference: The number of the network that is not permuted, counted from 0.
        seed: The seed of the order of the groups, if weights are matched.

    Returns:
        One alignment per network, with `alignments[i].permutation.apply(networks[i]) ≈ networks[reference]`. The
        history of each has the sum over all pairs after every round.

    Raises:
        NetworkError: If a network does not fit the symmetry.
        PermaskError: If there are fewer than two networks, no network has the number `reference`, or there are no
            batches.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        networks = [nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(3)]
        inputs = torch.randn(64, 4)
        symmetry = permask.discover(networks[0], inputs[:2])
        alignments = permask.match_many(symmetry, networks, [inputs])
        aligned = [found.permutation.apply(network) for found, network in zip(alignments, networks)]
        ```
    """
    started = time.perf_counter()
    if len(networks) < 2 or not 0 <= reference < len(networks):
        raise PermaskError(
            f"expected two networks or more, and the number of one of them as reference, counted from 0; got "
            f"{len(networks)} networks and reference {reference}"
        )
    for network in networks:
        symmetry.check(network)
    first, *others = map(weights_of, networks)
    weights = [first, *(beside(other, first) for other in others)]
    order = sorted(range(len(networks)), key=lambda i: _fingerprint(weights[i]))
    used: dict[str, Any] = {"networks": len(networks), "reference": reference, "seed": seed}
    frame: _Frame
    if batches is None:
        frame = _WeightFrame(symmetry, weights, seed)
    else:
        pairs = list(combinations(range(len(networks)), 2))
        moments, counts = observe(symmetry, networks, batches, pairs)
        used |= counts
        frame = _ActivationFrame(symmetry, moments)
    permutations, history = _ascend(symmetry, order, frame)
    back = permutations[reference].inverse()
    seconds = time.perf_counter() - started
    alignments = []
    for i, permutation in enumerate(permutations):
        into_reference = back.compose(permutation)
        groups, objective = frame.describe(into_reference, i, reference)
        alignments.append(Alignment(symmetry, into_reference, frame.method, objective, groups, history, used, seconds))
    return tuple(alignments)


def _ascend(symmetry: Symmetry, order: Sequence[int], frame: "_Frame") -> tuple[Permutations, tuple[float, ...]]:
    """Match every network to the first, then each to all others, until the sum over pairs stops growing."""
    permutations = [symmetry.identity()] * len(order)
    for i in order[1:]:
        permutations[i] = frame.improve(i, permutations, others=[order[0]], afresh=True)
    history = [frame.total(permutations)]
    with progress("networks of a round") as watch:
        while len(history) < 2 or history[-1] > history[-2] + ROUNDING * abs(history[-2]):
            candidate = list(permutations)
            for i in watch(order):
                others = [j for j in order if j != i]
                candidate[i] = frame.improve(i, candidate, others, afresh=False)
            if (total := frame.total(candidate)) <= history[-1]:
                break
            permutations = candidate
            history.append(total)
    return permutations, tuple(history)


class _Frame(Protocol):
    """How networks stand to each other, by weights or by activations."""

    method: str

    def improve(self, i: int, permutations: Permutations, others: Sequence[int], afresh: bool) -> Permutation:
        """The permutation of network i that matches the sum of others where they stand."""
        ...

    def total(self, permutations: Permutations) -> float:
        """The objective, over all pairs of networks."""
        ...

    def describe(self, permutation: Permutation, source: int, target: int) -> tuple[tuple[GroupMatch, ...], float]:
        """How well one network, permuted, matches another as it is: by group, and in all."""
        ...


class _WeightFrame:
    method = "many, weights"

    def __init__(self, symmetry: Symmetry, weights: Sequence[Weights], seed: int):
        self._symmetry = symmetry
        self._weights = weights
        self._rng = np.random.default_rng(seed)
        self._moved = {axis.parameter for group in symmetry.groups for axis in group.axes} & weights[0].keys()

    def improve(self, i: int, permutations: Permutations, others: Sequence[int], afresh: bool) -> Permutation:
        target = self._sum(permutations, others)
        start = propagate(permutations[i], self._weights[i], target) if afresh else permutations[i]
        return coordinate_descent(start, self._weights[i], target, self._rng)[0]

    def total(self, permutations: Permutations) -> float:
        # all pairs are half of what the square of the sum has beyond the sum of squares
        everything = self._sum(permutations, range(len(permutations)))
        squares = sum(_square(weights, self._moved) for weights in self._weights)
        return (_square(everything, self._moved) - squares) / 2

    def describe(self, permutation: Permutation, source: int, target: int) -> tuple[tuple[GroupMatch, ...], float]:
        ends = self._weights[source], self._weights[target]
        return weight_matches(permutation, *ends), inner_product(permutation, *ends, self._moved)

    def _sum(self, permutations: Permutations, members: Iterable[int]) -> Weights:
        total: dict[str, Tensor] = {}
        for j in members:
            for name, x in permutations[j].apply(self._weights[j]).items():
                total[name] = total[name] + x if name in total else x
        return total


class _ActivationFrame:
    method = "many, activations"

    def __init__(self, symmetry: Symmetry, moments: Mapping[Pair, Mapping[str, Moments]]):
        self._families = families(symmetry.groups)
        self._correlation: dict[Pair, dict[str, Score]] = {}  # pair (source, target), target unit by source unit
        self._dead: dict[Pair, dict[str, Any]] = {}
        for (i, j), by_group in moments.items():
            self._correlation[i, j] = {name: seen.correlation() for name, seen in by_group.items()}
            self._correlation[j, i] = {name: c.T for name, c in self._correlation[i, j].items()}
            self._dead[i, j] = {name: seen.dead for name, seen in by_group.items()}
            self._dead[j, i] = {name: dead[::-1] for name, dead in self._dead[i, j].items()}

    def improve(self, i: int, permutations: Permutations, others: Sequence[int], afresh: bool) -> Permutation:
        scores: dict[str, Score] = {}
        for j in others:
            units = unit_sources(permutations[j])
            for name, correlation in self._correlation[i, j].items():
                scores[name] = scores.get(name, 0.0) + correlation[units[name]]
        index = {}
        for family in self._families:
            index |= assign_nested(family, scores)
        return Permutation(permutations[i].groups, index)

    def total(self, permutations: Permutations) -> float:
        units = [unit_sources(permutation) for permutation in permutations]
        return sum(
            float(correlation[units[j][name], units[i][name]].sum())
            for (i, j), by_group in self._correlation.items()
            if i < j
            for name, correlation in by_group.items()
        )

    def describe(self, permutation: Permutation, source: int, target: int) -> tuple[tuple[GroupMatch, ...], float]:
        if source == target:
            units = {g.name: g.blocks * g.size for g in permutation.groups}
            itself = {name: np.eye(units[name]) for name in next(iter(self._correlation.values()))}
            none = {name: np.zeros(units[name], dtype=bool) for name in itself}
            alive = {name: (none[name], none[name]) for name in itself}
            groups = group_matches(permutation, itself, itself, alive)
        else:
            correlation = self._correlation[source, target]
            groups = group_matches(permutation, correlation, correlation, self._dead[source, target])
        return groups, sum(group.objective for group in groups)


def _fingerprint(weights: Weights) -> str:
    content = hashlib.sha256()
    for name in sorted(weights):
        content.update(weights[name].cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


def _square(weights: Weights, parameters: set[str]) -> float:
    return float(sum(weights[name].double().square().sum() for name in parameters))
