"""What the units of a group carry through a pattern: columns of scores, and which of them are neighbours.

Shapes: N units, R rows, S sets of neighbours, M neighbours in a set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from permask.groups import Axis, Group
from permask.patterns.pattern import Pattern, Scores


@dataclass(frozen=True)
class Columns:
    """Columns of scores that trade places, and those beside them that stay.

    Attributes:
        scores: One column in each row of this tensor: first those of the N units, then those that stay.
        sets: Which columns are neighbours, by their number.
        whole: Sets that are pruned; all of the others, which are too few for the pattern, is kept.
    """

    scores: Float[Tensor, "columns rows"]
    sets: Int[np.ndarray, "sets neighbours"]
    whole: Bool[np.ndarray, "sets"]


def columns_of(
    group: Group, block: int, scores: Scores, dims: Mapping[str, int], pattern: Pattern
) -> tuple[Columns, ...]:
    """The columns that the units of one block of a group carry, in as few parts as their neighbourhoods allow.

    Where one unit has several neighbouring columns, as a channel before a linear layer has, it carries them as a whole:
    they are left out.

    Args:
        group: The group.
        block: The number of the block; 0 in a group without a parent.
        scores: Parameter name to the scores of its weights, in the order as it is.
        dims: The weights that are pruned, and the dim of their inputs.
        pattern: N:M.
    """
    parts: dict[bytes, list[Columns]] = {}
    for axis in group.axes:
        if dims.get(axis.parameter) == axis.dim:
            table = axis.table if group.parent is None else axis.table[block]
            for columns in _of_axis(axis, table, scores[axis.parameter], pattern):
                parts.setdefault(columns.sets.tobytes(), []).append(columns)
    return tuple(map(_stacked, parts.values()))


def _of_axis(axis: Axis, table: np.ndarray, scores: Tensor, pattern: Pattern) -> Iterator[Columns]:
    blocks = axis.convolution_groups
    by_column = scores.movedim(axis.dim, -1)
    by_column = by_column.reshape(blocks, -1, by_column.shape[-1]).float().cpu()
    per_row = by_column.shape[-1]
    sets_per_row = -(-per_row // pattern.of)
    set_of = table // per_row * sets_per_row + table % per_row // pattern.of
    if any(len(np.unique(sets)) < len(sets) for sets in set_of):
        return
    for place in table.T:
        yield _at(place, by_column, pattern)


def _at(place: np.ndarray, by_column: Tensor, pattern: Pattern) -> Columns:
    """The columns at one position of each unit, with their neighbours."""
    per_row = by_column.shape[-1]
    first = place // per_row * per_row + place % per_row // pattern.of * pattern.of
    starts = np.unique(first)
    inside = starts[:, None] % per_row + np.arange(pattern.of)
    positions = np.where(inside < per_row, starts[:, None] + np.arange(pattern.of), -1)
    number = {int(position): unit for unit, position in enumerate(place)}
    staying = [p for p in positions.ravel() if p >= 0 and p not in number]
    number |= {int(p): len(place) + n for n, p in enumerate(staying)}
    everywhere = np.concatenate([place, np.array(staying, dtype=np.int64)])
    scores = by_column[torch.as_tensor(everywhere // per_row), :, torch.as_tensor(everywhere % per_row)]
    missing = bool((positions < 0).any())
    if missing:  # a column of zeros, which changes nothing
        number[-1] = len(scores)
        scores = torch.cat([scores, scores.new_zeros(1, scores.shape[1])])
    sets = np.vectorize(number.__getitem__, otypes=[np.int64])(positions)
    return Columns(scores, sets, np.asarray((positions >= 0).all(axis=1)))


def _stacked(parts: list[Columns]) -> Columns:
    """Columns with the same neighbours as longer ones."""
    return Columns(torch.cat([part.scores for part in parts], dim=1), parts[0].sets, parts[0].whole)
