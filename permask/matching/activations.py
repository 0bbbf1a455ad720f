"""Match two networks by what their units do on data, in one pass.

A permutation of hidden units permutes that group's activations and changes no other's, so every group can be
observed in the same pass, and assigned afterwards.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from permask.discovery.graph import Capture, capture
from permask.errors import PermaskError
from permask.groups import Group
from permask.matching.alignment import Alignment, group_matches
from permask.matching.assignment import Score, assign_nested, families
from permask.matching.moments import Moments
from permask.matching.similarity import weight_scores, weights_of
from permask.permutation import Permutation
from permask.symmetry import Symmetry

# how much all the ties of a block may weigh against its correlations, which carry float32 noise of this order
TIE = 1e-6

Batch = Tensor | Sequence[Tensor]


def match_activations(symmetry: Symmetry, source: nn.Module, target: nn.Module, batches: Iterable[Batch]) -> Alignment:
    """The permutation of the source whose units correlate best with the target's (Li et al. 2016).

    Maximises, per group, the sum over units of the Pearson correlation of matched activations over samples
    and positions. Both networks run once per batch, in evaluation mode and without gradients; neither is
    changed. Dead units, which never vary, and groups that no activation shows are matched by their weights.

    Args:
        symmetry: Of the networks' architecture.
        source: The network to permute.
        target: The network to line up with.
        batches: Inputs: tensors, or tuples of tensors for a network that takes several.

    Returns:
        An alignment with `alignment.permutation.apply(source) ≈ target`.

    Raises:
        NetworkError: A network that does not fit the symmetry, or whose activations are not finite.
        PermaskError: No batches.

    Example:
        ```python
        symmetry = permask.discover(source, (images[:2],))
        alignment = permask.match_activations(symmetry, source, target, [images])
        aligned = alignment.permutation.apply(source)
        ```
    """
    started = time.perf_counter()
    moments, used = _observe(symmetry, source, target, batches)
    correlations = {name: seen.correlation() for name, seen in moments.items()}
    index = {}
    for family in families(symmetry.groups):
        index |= assign_nested(family, correlations)
    permutation = Permutation(symmetry.groups, index)

    undecided = {group.name: _undecided(group, moments) for group in symmetry.groups}
    weights = [weights_of(source), weights_of(target)]
    for family in families(symmetry.groups):
        if any(undecided[group.name].any() for group in family):
            scores = _with_ties_broken(family, correlations, undecided, weight_scores(family, permutation, *weights))
            permutation = Permutation(symmetry.groups, permutation.index | assign_nested(family, scores))

    dead = {name: seen.dead for name, seen in moments.items()}
    groups = group_matches(permutation, correlations, correlations, dead)
    objective = float(sum(group.objective for group in groups))
    seconds = time.perf_counter() - started
    return Alignment(symmetry, permutation, "activations", objective, groups, (objective,), used, seconds)


def _observe(
    symmetry: Symmetry, source: nn.Module, target: nn.Module, batches: Iterable[Batch]
) -> tuple[dict[str, Moments], dict[str, Any]]:
    """Run both networks over the batches and pool the moments of every group that can be observed."""
    symmetry.check(source)
    symmetry.check(target)
    moments = {g.name: Moments(g.activation) for g in symmetry.groups if g.activation is not None}
    watch = frozenset(seen.activation.node for seen in moments.values())

    def visit(node: str, values: list[Tensor]) -> None:
        for seen in moments.values():
            if seen.activation.node == node:
                seen.add(*values)

    device = next((p.device for p in source.parameters()), torch.device("cpu"))
    states = [{name: x.to(device) for name, x in model.state_dict().items()} for model in (source, target)]
    captures: dict[tuple[torch.Size, ...], Capture] = {}
    used = {"batches": 0, "samples": 0}
    with torch.no_grad():
        for batch in batches:
            inputs = tuple(x.to(device) for x in ([batch] if isinstance(batch, Tensor) else batch))
            shapes = tuple(x.shape for x in inputs)
            if shapes not in captures:
                captures[shapes] = capture(source, inputs)
            captures[shapes].run(states, inputs, visit, watch)
            used["batches"] += 1
            used["samples"] += len(inputs[0])
    if not used["batches"]:
        raise PermaskError("there is no data to match on: expected at least one batch of inputs, got none")
    return moments, used


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
