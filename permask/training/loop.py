"""The one training loop: SGD with momentum, a cosine schedule, and a mask if there is one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from permask.mask import Mask
from permask.training.data.dataset import Split
from permask.training.distributed import Processes
from permask.training.execution import CPU, Execution
from permask.training.momentum import MomentumSGD
from permask.training.streams import Streams


@dataclass(frozen=True)
class State:
    """How far a training is: with the weights, all that it needs to resume to the very same result.

    Attributes:
        epochs: Epochs done.
        steps: Steps done of the epoch after those.
        loss_sum: Their loss in nats, summed over images; a number, or a scalar tensor on the device.
        momentum: By parameter name; zero where it is missing. While the training runs, its next step changes it.
    """

    epochs: int = 0
    steps: int = 0
    loss_sum: float | Tensor = 0.0
    momentum: Mapping[str, Tensor] = field(default_factory=dict)


OnStep = Callable[[State], None]
OnEpoch = Callable[[State, float], None]


@dataclass(frozen=True)
class Recipe:
    """How to train: the learning rate falls from its start to 0 along half a cosine, step by step, over all epochs."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate after a share of the training, in [0, 1] (Loshchilov & Hutter 2017, equation 5)."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def steps_per_epoch(self, images: int) -> int:
        """Batches of an epoch; the last may be short."""
        return math.ceil(images / self.batch_size)


def train(
    model: nn.Module,
    split: Split,
    recipe: Recipe,
    streams: Streams,
    *,
    mask: Mask | None = None,
    state: State = State(),
    stop: int | None = None,
    execution: Execution = CPU,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
) -> State:
    """Train a network in place.

    Every epoch has random streams of its own, so a training may stop after any step and resume to the very same
    result. The host waits for the device once per epoch, to read the loss. Where torch.distributed was set up, all
    processes call this with the same arguments and train one network.

    Args:
        model: The network; the weights that the mask prunes are zeroed first and stay exactly 0.
        split: Training images and labels.
        recipe: Epochs in all, batch size, learning rate, momentum, weight decay.
        streams: What orders and augments the images of every epoch, and seeds what the network draws itself.
        mask: Which weights to keep; None trains dense.
        state: How far the training is.
        stop: Epoch after which to stop; None for the recipe's last.
        execution: Device, precision, compiled or not.
        on_step: Called with the state after every step but an epoch's last.
        on_epoch: Called after every epoch with the state and the epoch's mean training loss in nats.

    Returns:
        The state after the last epoch, to resume from.
    """
    steps_per_epoch = recipe.steps_per_epoch(len(split))
    split, model = split.to(execution.device), execution.place(model)
    optimizer = MomentumSGD(model, recipe.momentum, recipe.weight_decay, mask=mask, buffers=state.momentum)
    processes = Processes.here()
    processes.check(len(split), recipe.batch_size)
    model.train()
    with execution.in_force(streams.seeds_network), processes.training(model, execution.batchnorm) as network:
        mean_loss = execution.loss_function(network)
        for epoch in range(state.epochs, recipe.epochs if stop is None else stop):
            order, augmentation, seed = streams.order(epoch), streams.augmentation(epoch), streams.noise(epoch)
            loss_sum = torch.zeros((), device=execution.device) + state.loss_sum
            batches = split.epoch(recipe.batch_size, order, augmentation, state.steps, processes.share)
            for step, (images, labels) in enumerate(batches, state.steps):
                if seed is not None:
                    execution.seed(seed + step * processes.count + processes.rank)
                loss = mean_loss(images, labels)
                batch = min(recipe.batch_size, len(split) - step * recipe.batch_size)
                processes.weighted(loss, len(labels), batch).backward()
                optimizer.step(recipe.learning_rate_at((epoch + step / steps_per_epoch) / recipe.epochs))
                loss_sum += processes.sum(loss.detach() * len(labels))
                if on_step is not None and step + 1 < steps_per_epoch:
                    on_step(State(epoch, step + 1, loss_sum, optimizer.buffers))
            processes.agree(model)
            state = State(epoch + 1, momentum=optimizer.buffers)
            if on_epoch is not None:
                on_epoch(state, loss_sum.item() / len(split))
    return state
