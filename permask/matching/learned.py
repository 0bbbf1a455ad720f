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
# share of what is gained on samples learned from that has to be gained on others, two epochs in a row, before these are
# learned from, too
CARRIED_OVER = 0.5
LEARNING_RATES: dict[By, float] = {"straight-through": 0.1, "sinkhorn": 0.2}


def match_learned(
    symmetry: Symmetry,
    source: nn.Module,
    target: nn.Module,
    loss: Loss,
    batches: Iterable[Any],
    *,
    by: By = "straight-through",
    epochs: int = 10,
    learning_rate: float | None = None,
    start: Alignment | None = None,
    seed: int = 0,
    inputs: Iterable[Example] | None = None,
    judge: Iterable[Any] | None = None,
    release: bool = False,
    patience: int = 10,
    through: By | None = None,
) -> Alignment:
    """Learn a permutation of the source that lowers the loss half-way to the target.

    All layers are in evaluation mode except BatchNorm, which normalises by the statistics of each batch, because the
    running statistics of a mid-point mean nothing. Therefore every batch should hold all classes. Neither network is
    changed.

    Args:
        symmetry: The symmetry of the networks' architecture.
        source: The network to permute.
        target: The network that the source is lined up with.
        loss: A function that is called as `loss(network, batch)` and returns a scalar to minimise.
        batches: The batches that `loss` takes. They are read once per epoch, and once more to judge, so an iterator is
            kept in memory.
        by: How the gradient passes through a permutation. `straight-through` is algorithm 2 of Ainsworth et al. 2023.
            `sinkhorn` (Peña et al. 2023) mixes units softly, and an exact assignment makes a permutation of the result.
        epochs: The largest number of passes over the batches.
        learning_rate: The learning rate of Adam. With `straight-through`, its unit is a fixed share of the root mean
            square of each tensor (`permask.matching.straight_through.LEAN`), and 0.1 is the default. With `sinkhorn`,
            it is that of logits, and 0.2 is the default.
        start: The alignment to start from. By default, the start is the result of matching by weights; if `inputs` are
            given and matching by activations has a lower loss on all batches, the start is the result of that.
        seed: The seed of the order of the groups and, with `sinkhorn`, of noise.
        inputs: Inputs of the networks, to match by activations. They are read once.
        judge: The batches for `loss` that decide which permutation is best, by default `batches`. A permutation of many
            units can fit a few samples although it does not match the networks. Other samples show this.
        release: Whether the batches of `judge` are learned from, too, as soon as at least half of what is gained on
            `batches` is gained on them, at the end of two epochs in a row: there are samples enough, then. From there
            on, all batches judge.
        patience: The number of epochs in a row without a lower loss after which learning stops.
        through: The earlier name of `by`, which the next release removes.

    Returns:
        The best alignment at the end of any epoch, or the start if no epoch was better. Its objective is the negative
        mean loss at the mid-point. Its history has the objective of the start and of every epoch. `used["moved"]` is
        the number of epochs that ended in a permutation other than the start.

    Raises:
        NetworkError: If a network does not fit the symmetry; with `sinkhorn`, if the symmetry permutes input channels
            inside the groups of a grouped convolution, or inside matrices that are stacked in one parameter.
        PermaskError: If there are no batches, or `by` has another value.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        source, target = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2))
        inputs, labels = torch.randn(64, 4), torch.randint(3, (64,))
        symmetry = permask.discover(source, inputs[:2])

        def loss(network, batch):
            inputs, labels = batch
            return nn.functional.cross_entropy(network(inputs), labels)

        alignment = permask.match_learned(symmetry, source, target, loss, [(inputs, labels)], epochs=2)
        ```
    """
    started = time.perf_counter()
    if through is not None:
        warnings.warn(f"match_learned(through=...) is now by={through!r}", DeprecationWarning, stacklevel=2)
        by = through
    if by not in get_args(By):
        raise PermaskError(f"by: expected one of {', '.join(get_args(By))}, got {by}")
    batches = batches if isinstance(batches, Sequence) else list(batches)
    judges = batches if judge is None else list(judge)
    learning_rate = LEARNING_RATES[by] if learning_rate is None else learning_rate
    release = release and judge is not None
    if not batches or not judges:
        raise PermaskError("there is no data to learn from: expected at least one batch, got none")
    source, target = readable(source), readable(target)
    symmetry.check(source)
    symmetry.check(target)
    names = dict(source.named_parameters())  # of tied parameters one, which is what a gradient reaches
    weights_A, weights_B = ({n: x for n, x in weights_of(model).items() if n in names} for model in (source, target))
    weights_A = beside(weights_A, weights_B)  # half-way, the target's buffers are in use
    halfway = Halfway(target, loss, weights_B)

    def objective(permutation: Permutation, judges: Sequence[Any]) -> float:
        return -halfway.mean_loss(permutation.apply(weights_A), judges)

    starts = [start] if start else [match_weights(symmetry, source, target, seed)]
    if start is None and inputs is not None:
        starts.append(match_activations(symmetry, source, target, inputs))
    everything = batches if judge is None else [*batches, *judges]  # no start was learned from any of it
    if len(starts) > 1:
        starts.sort(key=lambda each: -objective(each.permutation, everything))
    start = starts[0]
    history = [objective(start.permutation, judges)]
    learner = (
        SinkhornLearner(start.permutation, weights_A, learning_rate, seed)
        if by == "sinkhorn"
        else StraightThroughLearner(start.permutation, weights_A, weights_B, learning_rate, np.random.default_rng(seed))
    )
    tried = [start.permutation]
    learned_from = [objective(start.permutation, batches)] if release else []
    with progress("learn to match: epochs") as each_epoch, progress("  batches") as each_batch:
        for epoch in each_epoch(range(1, epochs + 1)):
            for batch in each_batch(batches):
                learner.optimizer.zero_grad()
                halfway.loss(learner.weights(), batch).backward()
                learner.optimizer.step()
                learner.update()
            tried.append(learner.permutation)
            history.append(objective(tried[-1], judges))
            if release:
                learned_from.append(objective(tried[-1], batches))
                if _carries_over(history, learned_from):
                    shares = np.array([len(judges), len(batches)]) / (len(judges) + len(batches))
                    history = (shares @ [history, learned_from]).tolist()
                    batches = judges = everything
                    release = False
            if epoch - history.index(max(history)) >= patience:
                break
    best = tried[history.index(max(history))]
    moved = sum(not _equal(each, start.permutation) for each in tried)
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
    """Follow the cross-entropy of most of the batches, and judge by that of the others while samples are few."""
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
        release=True,
        patience=options.patience,
    )


def _carries_over(judged: Sequence[float], learned_from: Sequence[float]) -> bool:
    """Whether the last two epochs gained about as much on samples that judge as on those that they learned from."""
    seen, others = (np.array(values[1:][-2:]) - values[0] for values in (learned_from, judged))
    return len(seen) == 2 and bool((seen > 0).all() and (others >= CARRIED_OVER * seen).all())


def _equal(one: Permutation, other: Permutation) -> bool:
    return all(np.array_equal(one.index[group.name], other.index[group.name]) for group in one.groups)
