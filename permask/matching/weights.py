"""Match two networks by their weights alone, by coordinate descent with exact assignments."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from permask.groups import Group
from permask.mask import Mask
from permask.matching.alignment import Alignment, GroupMatch, group_matches
from permask.matching.assignment import assign_nested, families
from permask.matching.propagation import propagate
from permask.matching.similarity import restrict, unit_norms, weight_scores, weights_of
from permask.permutation import Permutation
from permask.symmetry import Symmetry

# a step must improve by more than this share of |W_A|·|W_B|; less is rounding
ROUNDING = 1e-9

Weights = Mapping[str, Tensor]


def match_weights(
    symmetry: Symmetry,
    source: nn.Module,
    target: nn.Module,
    seed: int = 0,
    restarts: int = 0,
    source_mask: Mask | None = None,
    target_mask: Mask | None = None,
) -> Alignment:
    """The permutation of the source whose weights are closest to the target's.

    Maximises Σ ⟨W_B, π(W_A)⟩ over all parameters, which minimises ‖W_B − π(W_A)‖² (Ainsworth et al. 2023,
    algorithm 1): one family of groups after the other, in random order, is assigned exactly while the
    others are held, until none improves. That is a local optimum; restarts look for a better one. Under
    masks, pruned weights count as zero.

    Args:
        symmetry: Of the networks' architecture.
        source: The network to permute.
        target: The network to line up with.
        seed: For the order of the groups, and for the starting points of the restarts.
        restarts: How often to begin again from a random permutation, to return the best; the first run
            begins from what is pinned, see `permask.matching.propagation`.
        source_mask: What the source prunes.
        target_mask: What the target prunes.

    Returns:
        An alignment with `alignment.permutation.apply(source) ≈ target`.

    Raises:
        NetworkError: A network or mask that does not fit the symmetry, or weights that are not finite.

    Example:
        ```python
        alignment = permask.match_weights(symmetry, source, target)
        aligned = alignment.permutation.apply(source)
        ```
    """
    started = time.perf_counter()
    symmetry.check(source)
    symmetry.check(target)
    weights_A, weights_B = weights_of(source, source_mask), weights_of(target, target_mask)
    rng = np.random.default_rng(seed)
    runs = []
    for restart in range(restarts + 1):
        if restart == 0:
            start = propagate(symmetry.identity(), weights_A, weights_B)
        else:
            start = symmetry.random(int(rng.integers(2**31)))
        runs.append(coordinate_descent(start, weights_A, weights_B, rng))
    permutation, history = max(runs, key=lambda run: run[1][-1])
    used = {
        "seed": seed,
        "restarts": [run_history[-1] for _, run_history in runs],
        "source_mask": source_mask is not None,
        "target_mask": target_mask is not None,
    }
    groups = weight_matches(permutation, weights_A, weights_B)
    seconds = time.perf_counter() - started
    return Alignment(symmetry, permutation, "weights", history[-1], groups, tuple(history), used, seconds)


def coordinate_descent(
    start: Permutation, source: Weights, target: Weights, rng: np.random.Generator
) -> tuple[Permutation, list[float]]:
    """Improve a permutation, family by family, until no family can.

    Args:
        start: Where to begin.
        source: Parameter name to weights, finite.
        target: Likewise.
        rng: Draws the order of the families, anew in every sweep.

    Returns:
        The permutation, and the objective at the start and after every sweep.
    """
    permutation = start
    all_families = families(start.groups)
    touched = [_parameters(family) & source.keys() for family in all_families]
    moved = set().union(*touched)
    tolerance = ROUNDING * max(_norm(source, moved) * _norm(target, moved), np.finfo(float).tiny)
    history = [inner_product(permutation, source, target, moved)]
    stale = set(range(len(all_families)))  # families whose scores changed since they were assigned
    while stale:
        for i in rng.permutation(len(all_families)):
            if i not in stale:
                continue
            stale.remove(i)
            candidate = _reassign(all_families[i], permutation, source, target, tolerance)
            if candidate is not None:
                permutation = candidate
                stale |= {j for j, others in enumerate(touched) if others & touched[i]}
        history.append(inner_product(permutation, source, target, moved))
    return permutation, history


def inner_product(permutation: Permutation, source: Weights, target: Weights, parameters: set[str]) -> float:
    """Σ ⟨W_B, π(W_A)⟩ over some parameters, in float64."""
    permuted = restrict(permutation, parameters).apply({name: source[name] for name in sorted(parameters)})
    return sum(float(torch.dot(x.flatten().double(), target[name].flatten().double())) for name, x in permuted.items())


def weight_matches(permutation: Permutation, source: Weights, target: Weights) -> tuple[GroupMatch, ...]:
    """How similar the matched units' weights are, group by group."""
    scores, cosines, dead = {}, {}, {}
    for family in families(permutation.groups):
        scores |= weight_scores(family, permutation, source, target)
        norms_A, norms_B = unit_norms(family, source), unit_norms(family, target)
        for group in family:
            length = np.outer(norms_B[group.name], norms_A[group.name])
            score = scores[group.name]
            cosines[group.name] = np.divide(score, length, out=np.zeros_like(score), where=length > 0)
            dead[group.name] = (norms_A[group.name] == 0, norms_B[group.name] == 0)
    return group_matches(permutation, scores, cosines, dead)


def _reassign(
    family: Sequence[Group], permutation: Permutation, source: Weights, target: Weights, tolerance: float
) -> Permutation | None:
    """The permutation with one family assigned anew, or None if that is no improvement.

    Scores are exact where a family occurs on one axis of each parameter and holds no other groups; elsewhere
    (recurrent weights, siblings within a block) they are linear in the current state, so the gain is checked.
    """
    scores = weight_scores(family, permutation, source, target)
    index = assign_nested(family, scores)
    if all(np.array_equal(index[group.name], permutation.index[group.name]) for group in family):
        return None
    candidate = Permutation(permutation.groups, permutation.index | index)
    touched = _parameters(family) & source.keys()
    before, after = (inner_product(p, source, target, touched) for p in (permutation, candidate))
    return candidate if after > before + tolerance else None


def _parameters(family: Sequence[Group]) -> set[str]:
    return {axis.parameter for group in family for axis in group.axes}


def _norm(weights: Weights, parameters: set[str]) -> float:
    return float(sum(weights[name].double().square().sum() for name in parameters)) ** 0.5
