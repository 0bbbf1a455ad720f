"""Match two networks by their weights alone, by coordinate descent with exact assignments."""

import time
from collections.abc import Sequence

import numpy as np
from torch import nn

from permask.batches import Batch
from permask.mask import Mask
from permask.matching.alignment import Alignment, GroupMatch, group_matches
from permask.matching.assignment import families
from permask.matching.descent import Weights, coordinate_descent
from permask.matching.kicks import kicked
from permask.matching.matchers import MatchOptions
from permask.matching.propagation import propagate
from permask.matching.similarity import beside, unit_norms, weight_scores, weights_of
from permask.permutation import Permutation
from permask.progress import progress
from permask.symmetry import Symmetry


def match_weights(
    symmetry: Symmetry,
    source: nn.Module,
    target: nn.Module,
    seed: int = 0,
    restarts: int = 0,
    *,
    source_mask: Mask | None = None,
    target_mask: Mask | None = None,
) -> Alignment:
    """Find a permutation of the source whose weights are close to the target's.

    The function maximises Σ ⟨W_B, π(W_A)⟩ over all parameters, which minimises ‖W_B − π(W_A)‖² (Ainsworth et al. 2023,
    algorithm 1). It visits the families of groups in random order. Each family is assigned exactly while the others do
    not move, until no family improves. The result is a local optimum, and restarts look for a better one. A better
    optimum need not have a lower barrier: the objective measures how close the weights are, not what the networks
    between them compute.

    Args:
        symmetry: The symmetry of the networks' architecture.
        source: The network to permute.
        target: The network that the source is lined up with.
        seed: The seed of the order of the groups, and of the restarts.
        restarts: The number of further runs. Each of them moves some units of the best permutation so far out of their
            places and starts from there (`permask.matching.kicks`). The first run starts from what is pinned
            (`permask.matching.propagation`).
        source_mask: The mask of the source, or None. Pruned weights count as zero.
        target_mask: The mask of the target, or None.

    Returns:
        An alignment with `alignment.permutation.apply(source) ≈ target`.

    Raises:
        NetworkError: If a network or mask does not fit the symmetry, or weights are not finite.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        source, target = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2))
        symmetry = permask.discover(source, torch.randn(2, 4))
        alignment = permask.match_weights(symmetry, source, target)
        aligned = alignment.permutation.apply(source)
        ```
    """
    started = time.perf_counter()
    symmetry.check(source)
    symmetry.check(target)
    weights_A = weights_of(source, source_mask)
    weights_B = beside(weights_of(target, target_mask), weights_A)
    rng = np.random.default_rng(seed)
    objectives: list[float] = []
    permutation, history = propagate(symmetry.identity(), weights_A, weights_B), [-np.inf]
    with progress("match weights: runs") as each_run, progress("  groups of a sweep") as each_group:
        for restart in each_run(range(restarts + 1)):
            start = kicked(permutation, rng) if restart else permutation
            found, run_history = coordinate_descent(start, weights_A, weights_B, rng, watch=each_group)
            objectives.append(run_history[-1])
            if run_history[-1] > history[-1]:
                permutation, history = found, run_history
    used = {
        "seed": seed,
        "restarts": objectives,
        "source_mask": source_mask is not None,
        "target_mask": target_mask is not None,
    }
    groups = weight_matches(permutation, weights_A, weights_B)
    seconds = time.perf_counter() - started
    return Alignment(symmetry, permutation, "weights", history[-1], groups, tuple(history), used, seconds)


def by_weights(
    symmetry: Symmetry, source: nn.Module, target: nn.Module, batches: Sequence[Batch], options: MatchOptions
) -> Alignment:
    """The matcher `weights`."""
    masks = {"source_mask": options.source_mask, "target_mask": options.target_mask}
    return match_weights(symmetry, source, target, options.seed, options.restarts, **masks)


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
