"""Match two networks by what their units do on data, in one pass.

A permutation of hidden units permutes that group's activations and changes no other's, so every group can be
observed in the same pass, and assigned afterwards.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from torch import nn

from permask.batches import Batch
from permask.groups import Group, Site
from permask.inputs import Example
from permask.matching.alignment import Alignment, group_matches
from permask.matching.assignment import Score, assign_nested, families
from permask.matching.matchers import MatchOptions
from permask.matching.moments import Moments
from permask.matching.observation import observe
from permask.matching.similarity import beside, weight_scores, weights_of
from permask.permutation import Permutation
from permask.symmetry import Symmetry

# how much all the ties of a block may weigh against its correlations, which carry float32 noise of this order
TIE = 1e-6


def match_activations(
    symmetry: Symmetry,
    source: nn.Module,
    target: nn.Module,
    batches: Iterable[Example],
    at: Mapping[str, Site] | None = None,
) -> Alignment:
    """Find the permutation of the source whose units correlate best with the target's (Li et al. 2016).

    For every group, the permutation maximises the sum over units of the Pearson correlation between the activations of
    matched units, over samples and positions. Both networks run once per batch, in evaluation mode and without
    gradients, and are not changed. Dead units, whose activation never varies, and groups that no activation shows are
    matched by their weights.

    Args:
        symmetry: The symmetry of the networks' architecture.
        source: The network to permute.
        target: The network that the source is lined up with.
        batches: Batches of inputs, each in any form that `discover` takes. You can pass a DataLoader.
        at: Group name to the site where its units are observed, in place of the site that discovery chose.

    Returns:
        An alignment with `alignment.permutation.apply(source) ≈ target`.

    Raises:
        NetworkError: If a network does not fit the symmetry, or its activations are not finite.
        PermaskError: If there are no batches, or a name in `at` is no group's.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        source, target = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2))
        inputs = torch.randn(64, 4)
        symmetry = permask.discover(source, inputs[:2])
        alignment = permask.match_activations(symmetry, source, target, [inputs])
        aligned = alignment.permutation.apply(source)
        ```
    """
    started = time.perf_counter()
    pairs, used = observe(symmetry, [source, target], batches, at=at)
    moments = pairs[0, 1]
    correlations = {name: seen.correlation() for name, seen in moments.items()}
    index = {}
    for family in families(symmetry.groups):
        index |= assign_nested(family, correlations)
    permutation = Permutation(symmetry.groups, index)

    undecided = {group.name: _undecided(group, moments) for group in symmetry.groups}
    weights = [first := weights_of(source), beside(weights_of(target), first)]
    for family in families(symmetry.groups):
        if any(undecided[group.name].any() for group in family):
            scores = _with_ties_broken(family, correlations, undecided, weight_scores(family, permutation, *weights))
            permutation = Permutation(symmetry.groups, permutation.index | assign_nested(family, scores))

    dead = {name: seen.dead for name, seen in moments.items()}
    groups = group_matches(permutation, correlations, correlations, dead)
    objective = float(sum(group.objective for group in groups))
    seconds = time.perf_counter() - started
    return Alignment(symmetry, permutation, "activations", objective, groups, (objective,), used, seconds)


def by_activations(
    symmetry: Symmetry, source: nn.Module, target: nn.Module, batches: Sequence[Batch], options: MatchOptions
) -> Alignment:
    """The matcher `activations`."""
    return match_activations(symmetry, source, target, (batch.given for batch in batches))


def _undecided(group: Group, moments: dict[str, Moments]) -> np.ndarray:
    """`[U, U]`, where pairing target unit i with source unit j is a tie that activations cannot decide."""
    units = group.blocks * group.size
    if group.name not in moments:
        return np.ones((units, units), dtype=bool)
    dead_source, dead_target = moments[group.name].dead
    if max(dead_source.sum(), dead_target.sum()) < 2:
        return np.zeros((units, units), dtype=bool)
    return dead_target[:, None] | dead_source[None, :]


def _with_ties_broken(
    family: Sequence[Group],
    correlations: dict[str, Score],
    undecided: dict[str, np.ndarray],
    weights: dict[str, Score],
) -> dict[str, Score]:
    scores = {}
    for group in family:
        similarity = weights[group.name] / max(np.abs(weights[group.name]).max(), np.finfo(float).tiny)
        ties = np.where(undecided[group.name], similarity, 0.0) * TIE / group.size
        scores[group.name] = ties + correlations.get(group.name, 0.0)
    return scores
