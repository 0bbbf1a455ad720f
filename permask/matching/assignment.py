"""Who becomes whom: linear assignment, nested where groups live inside the units of other groups."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from permask.errors import NetworkError
from permask.groups import Group
from permask.permutation import Permutation

Score = Float[np.ndarray, "target_units source_units"]


def assign(score: Score) -> Int[np.ndarray, "units"]:
    """The permutation p that maximises Σᵢ score[i, p[i]], exactly.

    Raises:
        NetworkError: Scores that are not finite.
    """
    score = np.asarray(score, dtype=np.float64)
    if not np.isfinite(score).all():
        raise NetworkError(
            "units cannot be compared by numbers that are not finite: look for NaN and infinite values in the weights "
            "and in the data"
        )
    _, source = linear_sum_assignment(score, maximize=True)
    return source.astype(np.int64)


def assign_nested(groups: Sequence[Group], scores: Mapping[str, Score]) -> dict[str, Int[np.ndarray, "*blocks units"]]:
    """The index of every group that maximises the sum of its scores, groups inside groups included.

    The score of putting one block of a parent in the place of another is what the best assignments inside
    them reach, summed over all children, plus the parent's own score.

    Args:
        groups: Whole families: parents before their children.
        scores: Group name to `[B * N, B * N]`, entry (i, j) for source unit j in the place of target unit i;
            a missing group counts nothing of its own.

    Returns:
        Group name to index array, as `permask.Permutation` takes it.
    """
    best: dict[str, Float[np.ndarray, "blocks blocks"]] = {}
    chosen: dict[str, Int[np.ndarray, "blocks blocks units"]] = {}
    for group in reversed(groups):
        B, N = group.blocks, group.size
        total = np.zeros((B * N, B * N))
        if group.name in scores:
            total += scores[group.name]
        for child in groups:
            if child.parent == group.name:
                total += best[child.name]
        best[group.name], chosen[group.name] = _assign_blocks(total.reshape(B, N, B, N))

    index: dict[str, Int[np.ndarray, "*blocks units"]] = {}
    came_from: dict[str, Int[np.ndarray, "blocks units"]] = {}  # flat source unit in the place of each target unit
    for group in groups:
        block = np.zeros(1, dtype=np.int64) if group.parent is None else came_from[group.parent].ravel()
        inside = chosen[group.name][np.arange(group.blocks), block]
        came_from[group.name] = block[:, None] * group.size + inside
        # a block is permuted inside where it was, before its parent moves it
        in_place = np.empty_like(inside)
        in_place[block] = inside
        index[group.name] = in_place.reshape(group.index_shape)
    return index


def _assign_blocks(
    score_BNBN: Float[np.ndarray, "blocks units blocks units"],
) -> tuple[Float[np.ndarray, "blocks blocks"], Int[np.ndarray, "blocks blocks units"]]:
    """For every pair of a target and a source block, the best value and the assignment that reaches it."""
    B, N = score_BNBN.shape[:2]
    chosen = np.zeros((B, B, N), dtype=np.int64)
    if N > 1:
        for target in range(B):
            for source in range(B):
                chosen[target, source] = assign(score_BNBN[target, :, source])
    picked = np.take_along_axis(score_BNBN.transpose(0, 2, 1, 3), chosen[..., None], axis=-1)
    return picked.sum(axis=(-1, -2)), chosen


def unit_sources(permutation: Permutation) -> dict[str, Int[np.ndarray, "units"]]:
    """For every group, which unit of the source (counted over all blocks) ends in the place of each unit."""
    sources: dict[str, Int[np.ndarray, "units"]] = {}
    for group in permutation.groups:
        inside = permutation.index[group.name].reshape(group.blocks, group.size)
        block = np.zeros(1, dtype=np.int64) if group.parent is None else sources[group.parent]
        sources[group.name] = (block[:, None] * group.size + inside[block]).ravel()
    return sources


def families(groups: Sequence[Group]) -> list[list[Group]]:
    """Groups with their descendants: each list starts with a group that has no parent."""
    root: dict[str, str] = {}
    found: dict[str, list[Group]] = {}
    for group in groups:
        root[group.name] = group.name if group.parent is None else root[group.parent]
        found.setdefault(root[group.name], []).append(group)
    return list(found.values())
