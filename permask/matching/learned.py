"""Learn a permutation by what it is wanted for: a low loss half-way between two networks.

Where matching by activations or weights leaves a barrier, the loss at the mid-point itself can be followed, in one of
two ways: by the straight-through estimator, or through doubly stochastic matrices that the Sinkhorn operator makes.
"""

import time
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from torch import nn

from permask.batches import Batch, cross_entropy
from permask.errors import PermaskError
from permask.inputs import Example
from permask.matching.activations import match_activations
from permask.matching.alignment import Alignment
from permask.matching.halfway import Halfway, Loss
from permask.matching.matchers import MatchOptions
from permask.matching.mixing import mixed
from permask.matching.similarity import beside, weights_of
from permask.matching.sinkhorn import SinkhornLearner
from permask.matching.straight_through import StraightThroughLearner
from permask.matching.weights import match_weights, weight_matches
from permask.permutation import Permutation
from permask.progress import progress
from permask.symmetry import Symmetry
from permask.wrapped import readable

By = Literal["straight-through", "sinkhorn"]
# of batches that a matcher is given, one in so many judges and is not learned from; two at least where a fifth are two
HELD_OUT, AT_LEAST, OF_FEW = 10, 2, 5


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
    inputs: Iterable[Example] | None = None,
    judge: Iterable[Any] | None = None,
    patience: int = 10,
    through: By | None = None,
) -> Alignment:
    """The permutation of the source with the lowest loss found half-way to the target.

    BatchNorm normalises by each batch meanwhile, as the running statistics of a mid-point mean nothing, so every batch
    should hold all classes; all else is in evaluation mode. Neither network is changed.

    Args:
        symmetry: Of the networks' architecture.
        source: The network to permute.
        target: The network to line up with.
        loss: Called as `loss(network, batch)`; returns a scalar to minimise.
        batches: What `loss` takes; read once per epoch and once more to judge, so an iterator is kept.
        by: How the gradient passes a permutation: `straight-through` (Ainsworth et al. 2023, algorithm 2), or
            `sinkhorn` (Peña et al. 2023), which mixes units softly and is projected by an exact assignment.
        epochs: How often to go through the batches at most.
        learning_rate: Of Adam: in units of each tensor's root mean square, scaled by how far the free weights lean to
            the start, or of logits with `sinkhorn`.
        start: Where to begin. By default what matching by weights finds or, if its loss is lower and there are
            `inputs`, matching by activations.
        seed: For the order of the groups.
        inputs: What the networks take, to match by activations; read once.
        judge: What `loss` takes, to tell which permutation is best; the batches themselves by default. Many units
            and few samples can be fitted without being matched, which other samples show.
        patience: Epochs in a row without a lower loss after which to stop.
        through: The earlier name of `by`, for one release.

    Returns:
        The best alignment at the end of any epoch, or the start if none was better. Its objective is the
        negative mean loss at the mid-point, its history that of the start and of every epoch. `used["moved"]` counts
        the epochs that ended in another permutation than the start.

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
    judges = batches if judge is None else list(judge)
    if not batches or not judges:
        raise PermaskError("there is no data to learn from: expected at least one batch, got none")
    source, target = readable(source), readable(target)
    symmetry.check(source)
    symmetry.check(target)
    names = dict(source.named_parameters())  # of tied parameters one, which is what a gradient reaches
    weights_A, weights_B = ({n: x for n, x in weights_of(model).items() if n in names} for model in (source, target))
    weights_A = beside(weights_A, weights_B)  # half-way, the target's buffers are in use
    halfway = Halfway(target, loss, weights_B)

    def objective(permutation: Permutation) -> float:
        return -halfway.mean_loss(permutation.apply(weights_A), judges)

    starts = [start] if start else [match_weights(symmetry, source, target, seed)]
    if start is None and inputs is not None:
        starts.append(match_activations(symmetry, source, target, inputs))
    found = [objective(each.permutation) for each in starts]
    history = [max(found)]
    start = starts[found.index(history[0])]
    learner = (
        SinkhornLearner(start.permutation, weights_A, learning_rate)
        if by == "sinkhorn"
        else StraightThroughLearner(start.permutation, weights_A, weights_B, learning_rate, np.random.default_rng(seed))
    )
    best, best_epoch, moved = start.permutation, 0, 0
    with progress("learn to match: epochs") as each_epoch, progress("  batches") as each_batch:
        for epoch in each_epoch(range(1, epochs + 1)):
            for batch in each_batch(batches):
                learner.optimizer.zero_grad()
                halfway.loss(learner.weights(), batch).backward()
                learner.optimizer.step()
                learner.update()
            permutation = learner.permutation
            moved += not _equal(permutation, start.permutation)
            history.append(objective(permutation))
            if history[-1] > max(history[:-1]):
                best, best_epoch = permutation, epoch
            if epoch - best_epoch >= patience:
                break
    settings = {"epochs": epochs, "learning_rate": learning_rate, "seed": seed, "patience": patience}
    used = {"start": start.method, **settings, "moved": moved}
    groups = weight_matches(best, weights_A, weights_B)
    seconds = time.perf_counter() - started
    return Alignment(symmetry, best, by, max(history), groups, tuple(history), used, seconds)


def by_straight_through(
    symmetry: Symmetry, source: nn.Module, target: nn.Module, batches: Sequence[Batch], options: MatchOptions
) -> Alignment:
    """The matcher `straight-through`."""
    return _by_labels("straight-through", symmetry, (source, target), batches, options)


def by_sinkhorn(
    symmetry: Symmetry, source: nn.Module, target: nn.Module, batches: Sequence[Batch], options: MatchOptions
) -> Alignment:
    """The matcher `sinkhorn`."""
    return _by_labels("sinkhorn", symmetry, (source, target), batches, options)


def _by_labels(
    by: By,
    symmetry: Symmetry,
    networks: tuple[nn.Module, nn.Module],
    batches: Sequence[Batch],
    options: MatchOptions,
) -> Alignment:
    """Follow the cross-entropy of most of the batches, and judge by that of the others."""
    batches = mixed(batches, options.seed)
    held_out = batches[: max(len(batches) // HELD_OUT, min(AT_LEAST, len(batches) // OF_FEW))]
    return match_learned(
        symmetry,
        *networks,
        cross_entropy,
        batches[len(held_out) :],
        by=by,
        epochs=options.epochs,
        seed=options.seed,
        inputs=(batch.given for batch in batches),
        judge=held_out or None,
        patience=options.patience,
    )


def _equal(one: Permutation, other: Permutation) -> bool:
    return all(np.array_equal(one.index[group.name], other.index[group.name]) for group in one.groups)
