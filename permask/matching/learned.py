"""Learn a permutation by what it is wanted for: a low loss half-way between two networks.

Where matching by activations or weights leaves a barrier, the loss at the mid-point itself can be followed, in one of
two ways: by the straight-through estimator, or through doubly stochastic matrices that the Sinkhorn operator makes.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from permask.batches import Batch, cross_entropy
from permask.errors import PermaskError
from permask.matching.alignment import Alignment
from permask.matching.descent import Weights
from permask.matching.matchers import MatchOptions
from permask.matching.similarity import weights_of
from permask.matching.sinkhorn import SinkhornLearner
from permask.matching.straight_through import StraightThroughLearner
from permask.matching.weights import match_weights, weight_matches
from permask.progress import progress
from permask.symmetry import Symmetry
from permask.wrapped import readable

Loss = Callable[[nn.Module, Any], Tensor]
By = Literal["straight-through", "sinkhorn"]


def match_learned(
    symmetry: Symmetry,
    source: nn.Module,
    target: nn.Module,
    loss: Loss,
    batches: Iterable[Any],
    *,
    by: By = "straight-through",
    epochs: int = 10,
    learning_rate: float = 0.1,
    start: Alignment | None = None,
    seed: int = 0,
    through: By | None = None,
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
        by: How the gradient passes a permutation: `straight-through` (Ainsworth et al. 2023, algorithm 2), or
            `sinkhorn` (Peña et al. 2023), which mixes units softly and is projected by an exact assignment.
        epochs: How often to go through the batches.
        learning_rate: Of Adam: in units of each tensor's root mean square, or of logits with `sinkhorn`.
        start: Where to begin; weight matching by default.
        seed: For the order of the groups.
        through: The earlier name of `by`, for one release.

    Returns:
        The best alignment at the end of any epoch, or the start if none was better. Its objective is the
        negative mean loss at the mid-point, its history that of the start and of every epoch.

    Raises:
        NetworkError: A network that does not fit the symmetry; with `sinkhorn`, one that permutes the input channels
            inside the groups of a grouped convolution.
        PermaskError: No batches, or another `by`.
    """
    started = time.perf_counter()
    if through is not None:
        warnings.warn(f"match_learned(through=...) is now by={through!r}", DeprecationWarning, stacklevel=2)
        by = through
    if by not in get_args(By):
        raise PermaskError(f"by: expected one of {', '.join(get_args(By))}, got {by}")
    batches = batches if isinstance(batches, Sequence) else list(batches)
    if not batches:
        raise PermaskError("there is no data to learn from: expected at least one batch, got none")
    source, target = readable(source), readable(target)
    start = start or match_weights(symmetry, source, target, seed)
    symmetry.check(source)
    symmetry.check(target)
    names = dict(source.named_parameters())  # of tied parameters one, which is what a gradient reaches
    weights_A, weights_B = ({n: x for n, x in weights_of(model).items() if n in names} for model in (source, target))
    halfway = _Halfway(target, loss, weights_B)
    learner = (
        SinkhornLearner(start.permutation, weights_A, learning_rate)
        if by == "sinkhorn"
        else StraightThroughLearner(start.permutation, weights_A, learning_rate, np.random.default_rng(seed))
    )
    best = start.permutation
    history = [-halfway.mean_loss(best.apply(weights_A), batches)]
    with progress("learn to match: epochs") as each_epoch, progress("  batches") as each_batch:
        for _ in each_epoch(range(epochs)):
            for batch in each_batch(batches):
                learner.optimizer.zero_grad()
                halfway.loss(learner.weights(), batch).backward()
                learner.optimizer.step()
                learner.update()
            permutation = learner.permutation
            history.append(-halfway.mean_loss(permutation.apply(weights_A), batches))
            if history[-1] == max(history):
                best = permutation
    used = {"start": start.method, "epochs": epochs, "learning_rate": learning_rate, "seed": seed}
    groups = weight_matches(best, weights_A, weights_B)
    seconds = time.perf_counter() - started
    return Alignment(symmetry, best, by, max(history), groups, tuple(history), used, seconds)


def by_straight_through(
    symmetry: Symmetry, source: nn.Module, target: nn.Module, batches: Sequence[Batch], options: MatchOptions
) -> Alignment:
    """The matcher `straight-through`."""
    epochs, seed = options.epochs, options.seed
    return match_learned(
        symmetry, source, target, cross_entropy, batches, by="straight-through", epochs=epochs, seed=seed
    )


def by_sinkhorn(
    symmetry: Symmetry, source: nn.Module, target: nn.Module, batches: Sequence[Batch], options: MatchOptions
) -> Alignment:
    """The matcher `sinkhorn`."""
    epochs, seed = options.epochs, options.seed
    return match_learned(symmetry, source, target, cross_entropy, batches, by="sinkhorn", epochs=epochs, seed=seed)


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
