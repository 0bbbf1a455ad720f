"""What a pattern keeps of every layer's scores: in an order of the units, in another, and without a pattern."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from permask.patterns.pattern import Pattern, Scores
from permask.permutation import Permutation


@dataclass(frozen=True)
class Kept:
    """Shares of the scores of one weight, or of several together, that are kept.

    Attributes:
        name: Of the weight.
        size: Its number of elements.
        count: How many of them the pattern keeps.
        score: The sum of all scores.
        before: The share that the pattern keeps in the order as it is.
        after: The same in the order that was found.
        unstructured: The share of as many weights with the largest scores, wherever they are in the layer.
    """

    name: str
    size: int
    count: int
    score: float
    before: float
    after: float
    unstructured: float

    @property
    def closed(self) -> float | None:
        """The share of the gap between the pattern and no pattern that the order closes; None where there is none."""
        gap = self.unstructured - self.before
        return (self.after - self.before) / gap if gap > 0 else None


def kept_by_layer(scores: Scores, dims: Mapping[str, int], pattern: Pattern, order: Permutation) -> list[Kept]:
    """What a pattern keeps of every weight that it prunes.

    Args:
        scores: Parameter name to the scores of its weights, in the order as it is.
        dims: The weights that are pruned, and the dim of their inputs, as `pattern_dims` gives them.
        pattern: N:M.
        order: The order that was found.
    """
    layers = []
    for name, dim in dims.items():
        score = scores[name].float()
        kept = pattern.kept_of(score.movedim(dim, -1))
        count, total = int(kept.sum()), _sum(score) or 1.0
        shares = [
            _sum(score.movedim(dim, -1)[kept]),
            kept_score(order.permute_tensor(name, score), dim, pattern),
            _sum(score.flatten().topk(count).values),
        ]
        layers.append(Kept(name, score.numel(), count, _sum(score), *(share / total for share in shares)))
    return layers


def together(layers: Sequence[Kept], name: str = "all") -> Kept:
    """Several layers as one."""
    size, count = sum(layer.size for layer in layers), sum(layer.count for layer in layers)
    score = sum(layer.score for layer in layers)
    shares = [
        sum(share * layer.score for layer, share in zip(layers, column, strict=True)) / (score or 1.0)
        for column in zip(*((layer.before, layer.after, layer.unstructured) for layer in layers), strict=True)
    ]
    return Kept(name, size, count, score, *shares)


def kept_score(score: Tensor, dim: int, pattern: Pattern) -> float:
    """The sum of the scores of one weight that a pattern along a dim keeps, in float64."""
    columns = score.detach().float().movedim(dim, 0).cpu().numpy()
    whole = len(columns) // pattern.of * pattern.of
    kept = largest([columns[place : whole : pattern.of] for place in range(pattern.of)], pattern.kept)
    return sum(float(part.sum(dtype=np.float64)) for part in (*kept, columns[whole:]))


def largest(columns: Iterable[np.ndarray], count: int) -> list[np.ndarray]:
    """Of several columns, row by row: the largest, the second largest and so on, as many as are asked for."""
    found: list[np.ndarray] = []
    for x in columns:
        for place, above in enumerate(found):
            found[place], x = np.maximum(above, x), np.minimum(above, x)
        if len(found) < count:
            found.append(x)
    return found


def _sum(scores: Tensor) -> float:
    return float(scores.sum(dtype=torch.float64))
