"""Learn a permutation by what it is wanted for: a low loss half-way between two networks.

Where matching by activations or weights leaves a barrier, the loss at the mid-point itself can be followed. The
straight-through estimator (Ainsworth et al. 2023, algorithm 2) keeps free weights beside the source's, replaces
them by the nearest permutation of the source when it computes the loss, and lets the gradient through as if
it had not.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from permask.errors import PermaskError
from permask.matching.alignment import Alignment
from permask.matching.similarity import weights_of
from permask.matching.weights import Weights, coordinate_descent, match_weights, weight_matches
from permask.permutation import Permutation
from permask.symmetry import Symmetry

Loss = Callable[[nn.Module, Any], Tensor]


def match_learned(
    symmetry: Symmetry,
    source: nn.Module,
    target: nn.Module,
    loss: Loss,
    batches: Iterable[Any],
    epochs: int = 10,
    learning_rate: float = 0.1,
    start: Alignment | None = None,
    seed: int = 0,
) -> Alignment:
    """The permutation of the source with the lowest loss found half-way to the target.

    BatchNorm normalises by each batch meanwhile, as the running statistics of a mid-point mean nothing; all
    else is in evaluation mode. Neither network is changed.

    Args:
        symmetry: Of the networks' architecture.
        source: The network to permute.
        target: The network to line up with.
        loss: Called as `loss(network, batch)`; returns a scalar to minimise.
        batches: What `loss` takes; read once per epoch and once more to judge, so an iterator is kept.
        epochs: How often to go through the batches.
        learning_rate: Of Adam, in units of each tensor's root mean square.
        start: Where to begin; weight matching by default.
        seed: For the order of the groups.

    Returns:
        The best alignment at the end of any epoch, or the start if none was better. Its objective is the
        negative mean loss at the mid-point, its history that of the start and of every epoch.

    Raises:
        NetworkError: A network that does not fit the symmetry.
        PermaskError: No batches.
    """
    started = time.perf_counter()
    batches = batches if isinstance(batches, Sequence) else list(batches)
    if not batches:
        raise PermaskError("there is no data to learn from: expected at least one batch, got none")
    start = start or match_weights(symmetry, source, target, seed)
    symmetry.check(source)
    symmetry.check(target)
    weights_A, weights_B = weights_of(source), weights_of(target)
    halfway = _Halfway(target, loss, weights_B)
    rng = np.random.default_rng(seed)

    permutation = best = start.permutation
    latent = {n: x.clone().requires_grad_() for n, x in permutation.apply(weights_A).items()}
    scale = [{"params": [x], "lr": learning_rate * _root_mean_square(x)} for x in latent.values()]
    optimizer = torch.optim.Adam(scale)
    history = [-halfway.mean_loss(permutation.apply(weights_A), batches)]
    for _ in range(epochs):
        for batch in batches:
            permuted = permutation.apply(weights_A)
            optimizer.zero_grad()
            halfway.loss({n: x + (permuted[n] - x).detach() for n, x in latent.items()}, batch).backward()
            optimizer.step()
            permutation = _nearest(permutation, weights_A, latent, rng)
        history.append(-halfway.mean_loss(permutation.apply(weights_A), batches))
        if history[-1] == max(history):
            best = permutation
    used = {"start": start.method, "epochs": epochs, "learning_rate": learning_rate, "seed": seed}
    groups = weight_matches(best, weights_A, weights_B)
    seconds = time.perf_counter() - started
    return Alignment(symmetry, best, "learned", max(history), groups, tuple(history), used, seconds)


class _Halfway(nn.Module):
    """The network between some weights and the target's, without touching either."""

    def __init__(self, target: nn.Module, loss: Loss, weights_B: Weights):
        super().__init__()
        self.network = target
        self._loss = loss
        self._weights_B = weights_B

    def forward(self, batch: Any) -> Tensor:
        return self._loss(self.network, batch)

    def loss(self, weights: Mapping[str, Tensor], batch: Any) -> Tensor:
        """Loss of the mid-point on a batch."""
        middle = {f"network.{n}": ((x + self._weights_B[n]) / 2) for n, x in weights.items()}
        # batch statistics are used and the running ones discarded: what is written goes to copies
        buffers = {f"network.{n}": x.clone() for n, x in self.network.named_buffers()}
        before = [(module, module.training) for module in self.network.modules()]
        try:
            for module, _ in before:
                module.training = isinstance(module, _BatchNorm)
            return functional_call(self, middle | buffers, (batch,))
        finally:
            for module, mode in before:
                module.training = mode

    @torch.no_grad()
    def mean_loss(self, weights: Mapping[str, Tensor], batches: Sequence[Any]) -> float:
        """Mean over batches of the loss of the mid-point."""
        return sum(self.loss(weights, batch).item() for batch in batches) / len(batches)


@torch.no_grad()
def _nearest(start: Permutation, weights_A: Weights, latent: Weights, rng: np.random.Generator) -> Permutation:
    """The permutation of the source that is nearest to the free weights: weight matching from where it was."""
    return coordinate_descent(start, weights_A, {n: x.detach() for n, x in latent.items()}, rng)[0]


def _root_mean_square(x: Tensor) -> float:
    return float(x.detach().square().mean().sqrt().clamp(min=1e-3))
