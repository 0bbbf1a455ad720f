"""The order of a network's units under which an N:M pattern keeps most of its weights' scores (Pool & Yu 2021)."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from permask.errors import NetworkError, PermaskError
from permask.groups import Group
from permask.masks.scope import Prunable
from permask.patterns.columns import columns_of
from permask.patterns.kept import kept_score
from permask.patterns.pattern import Computed, Pattern, Scores, pattern_dims, scores_of
from permask.patterns.search import WORK, best_order
from permask.permutation import Permutation
from permask.progress import progress
from permask.symmetry import Symmetry


def permute_for_pattern(
    symmetry: Symmetry,
    model: Prunable,
    pattern: "str | tuple[int, int] | Pattern" = (2, 4),
    scores: Scores | None = None,
    *,
    seconds: float | None = None,
    seed: int = 0,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    layouts: Mapping[str, int] | None = None,
) -> Permutation:
    """Find an order of the units in which an N:M pattern keeps more of the scores (Pool & Yu 2021).

    The permutation does not change the function of the network, but it changes which weights are neighbours along the
    input dim of a layer. The search goes from group to group, and takes all layers into account that read the group.
    Groups are hidden units, channels of a residual stream, dims inside attention heads, and channels inside the groups
    of a convolution.

    Args:
        symmetry: The symmetry that `permask.discover` found for the network.
        model: The network, or its `state_dict`.
        pattern: N and M, as `(2, 4)` or `"2:4"`.
        scores: Parameter name to a score of at least 0 for each weight. By default, the scores are the absolute values.
        seconds: The approximate time of the search. By default, the amount of work is fixed, so that every run finds
            the same order. It takes a few seconds, or more for millions of weights.
        seed: The seed of the search.
        exclude: Shell patterns of the names of weights that stay dense, as in `pattern_mask`.
        include: Shell patterns of the names of other parameters to prune, as in `pattern_mask`.
        layouts: The dims of the inputs of some weights, as in `pattern_mask`.

    Returns:
        The permutation. Apply it to the network, and make the mask of the result.

    Raises:
        PermaskError: If the pattern is not valid, or `seconds` or the seed is not a finite number of at least 0.
        NetworkError: If the symmetry, scores or layouts do not fit the network, a score is below 0, or no weight has M
            inputs.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        symmetry = permask.discover(model, torch.randn(2, 4))
        permutation = permask.permute_for_pattern(symmetry, model, (2, 4))
        model = permutation.apply(model)
        mask = permask.pattern_mask(model, (2, 4))
        ```
    """
    pattern = Pattern.read(pattern)
    if seconds is not None and not (isinstance(seconds, Real) and 0 <= seconds < math.inf):
        raise PermaskError(f"seconds: expected a finite number of at least 0, got {seconds}")
    if not isinstance(seed, Integral) or seed < 0:
        raise PermaskError(f"seed: expected a whole number of at least 0, got {seed}")
    dims = pattern_dims(model, pattern, exclude, include=include, layouts=layouts)
    found = scores_of(model, dims, scores)
    if negative := next((name for name in found if (found[name] < 0).any()), None):
        raise NetworkError(f"{negative}: expected scores of at least 0, got {found[negative].min():g}")
    symmetry.check_shapes({name: tuple(score.shape) for name, score in found.items()})
    search = _Search(symmetry.groups, dims, pattern, np.random.default_rng(seed), seconds)
    return search.run(found)


@dataclass
class _Search:
    groups: tuple[Group, ...]
    dims: Mapping[str, int]
    pattern: Pattern
    rng: np.random.Generator
    seconds: float | None

    def run(self, scores: Scores) -> Permutation:
        """Search group after group, those inside others first."""
        found = Permutation(self.groups, {})
        sizes = {group.name: sum(scores[name].numel() for name in self._read_by(group)) for group in self.groups}
        began, done, total = time.monotonic(), 0, max(1, sum(sizes.values()))
        with progress("order units") as watch:
            for group in watch([group for group in reversed(self.groups) if sizes[group.name]]):
                done += sizes[group.name]
                deadline = None if self.seconds is None else began + self.seconds * done / total
                found = self._with(group, found, scores, deadline, WORK * sizes[group.name] / total)
        return found

    def _with(
        self, group: Group, found: Permutation, scores: Scores, deadline: float | None, work: float
    ) -> Permutation:
        """What was found, and after it an order of one more group if more is kept then."""
        before = Computed(self._read_by(group), lambda name: found.permute_tensor(name, scores[name]))
        moved = self._ordered(group, before, deadline, work)
        after = Computed(list(before), lambda name: moved.permute_tensor(name, before[name]))
        return moved.compose(found) if self._kept(after) > self._kept(before) else found

    def _kept(self, scores: Scores) -> float:
        """The sum of all scores that the pattern keeps."""
        return sum(kept_score(score, self.dims[name], self.pattern) for name, score in scores.items())

    def _read_by(self, group: Group) -> list[str]:
        """The weights that the units of a group are multiplied by."""
        return list(dict.fromkeys(a.parameter for a in group.axes if self.dims.get(a.parameter) == a.dim))

    def _ordered(self, group: Group, scores: Scores, deadline: float | None, work: float) -> Permutation:
        index = np.broadcast_to(np.arange(group.size), group.index_shape).copy()
        began = time.monotonic()
        if group.blocks > 1:  # every block takes a part of the same weights
            scores = dict(scores)
        for block in range(group.blocks):
            columns = columns_of(group, block, scores, self.dims, self.pattern)
            if columns and group.size > 1:
                until = None if deadline is None else began + (deadline - began) * (block + 1) / group.blocks
                share = work / group.blocks
                order = best_order(columns, self.pattern, group.size, self.rng, deadline=until, work=share)
                index[... if group.parent is None else block] = order
        return Permutation(self.groups, {group.name: index})
