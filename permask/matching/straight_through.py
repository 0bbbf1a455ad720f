"""The straight-through estimator of a permutation (Ainsworth et al. 2023, algorithm 2).

Free weights are kept beside the source's. The loss is computed with the nearest permutation of the source in their
place, and the gradient goes through to them as if it had not been.

From free weights that equal the permuted source, a permutation hardly ever moves: they would have to come nearer to
another order of the same units. They begin at the target's weights instead, from which all permutations are about as
far away, and lean to the start only so much that matching does not leave it at once.

Assignments are the host's work, unit by unit. So the free weights of another device come to the host in one piece for
every batch, and the permuted source goes back in one.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from permask.matching.descent import Weights, coordinate_descent
from permask.permutation import Permutation
from permask.tensors import on_host, packed_to

# share of the permuted source in the free weights at first
LEAN = 0.3


class StraightThroughLearner:
    """Free weights, and the permutation of the source that is nearest to them.

    Args:
        start: Begins with the source's weights as this permutes them.
        source: Parameter name to weights.
        target: Likewise, those at the other end.
        learning_rate: Of Adam, in units of `LEAN` times each tensor's root mean square.
        rng: Draws the order in which groups are assigned.
    """

    def __init__(
        self, start: Permutation, source: Weights, target: Weights, learning_rate: float, rng: np.random.Generator
    ):
        self.permutation = start
        self._device = next(iter(source.values())).device
        self._source = on_host(source)
        self._rng = rng
        permuted = self._permuted()
        self._free = {n: (target[n] + LEAN * x).requires_grad_() for n, x in permuted.items()}
        scale, sizes = LEAN * learning_rate, _root_mean_squares(permuted)
        self.optimizer = torch.optim.Adam({"params": [x], "lr": scale * sizes[n]} for n, x in self._free.items())

    def weights(self) -> dict[str, Tensor]:
        """The permuted source's weights; gradients reach the free ones."""
        permuted = self._permuted()
        return {n: x + (permuted[n] - x).detach() for n, x in self._free.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Match the source to the free weights, from where it was."""
        free = on_host({n: x.detach() for n, x in self._free.items()})
        self.permutation = coordinate_descent(self.permutation, self._source, free, self._rng)[0]

    def _permuted(self) -> Mapping[str, Tensor]:
        permuted: Mapping[str, Tensor] = self.permutation.apply(dict(self._source))
        return packed_to(self._device, permuted)


def _root_mean_squares(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    found = torch.stack([x.square().mean().sqrt().clamp(min=1e-3).double() for x in tensors.values()])
    return dict(zip(tensors, found.tolist(), strict=True))
