"""The straight-through estimator of a permutation (Ainsworth et al. 2023, algorithm 2).

Free weights are kept beside the source's. The loss is computed with the nearest permutation of the source in their
place, and the gradient goes through to them as if it had not been.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from permask.matching.descent import Weights, coordinate_descent
from permask.permutation import Permutation


class StraightThroughLearner:
    """Free weights, and the permutation of the source that is nearest to them.

    Args:
        start: Begins with the source's weights as this permutes them.
        source: Parameter name to weights.
        learning_rate: Of Adam, in units of each tensor's root mean square.
        rng: Draws the order in which groups are assigned.
    """

    def __init__(self, start: Permutation, source: Weights, learning_rate: float, rng: np.random.Generator):
        self.permutation = start
        self._source = source
        self._rng = rng
        self._free = {n: x.clone().requires_grad_() for n, x in start.apply(dict(source)).items()}
        scaled = [{"params": [x], "lr": learning_rate * _root_mean_square(x)} for x in self._free.values()]
        self.optimizer = torch.optim.Adam(scaled)

    def weights(self) -> dict[str, Tensor]:
        """The permuted source's weights; gradients reach the free ones."""
        permuted: Mapping[str, Tensor] = self.permutation.apply(dict(self._source))
        return {n: x + (permuted[n] - x).detach() for n, x in self._free.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Match the source to the free weights, from where it was."""
        free = {n: x.detach() for n, x in self._free.items()}
        self.permutation = coordinate_descent(self.permutation, self._source, free, self._rng)[0]


def _root_mean_square(x: Tensor) -> float:
    return float(x.detach().square().mean().sqrt().clamp(min=1e-3))
