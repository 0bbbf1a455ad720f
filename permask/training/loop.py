"""The one training loop: SGD with momentum, a cosine schedule, and a mask if there is one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from permask.mask import Mask
from permask.training.data.dataset import Split
from permask.training.distributed import Processes
from permask.training.execution import Execution
from permask.training.momentum import MomentumSGD

AfterEpoch = Callable[[int, float, Mapping[str, Tensor]], None]
AfterStep = Callable[["Begun", Mapping[str, Tensor]], None]


@dataclass(frozen=True)
class Begun:
    """An epoch that has begun.

    Attributes:
        epoch: Epochs done before it.
        steps: Steps of it that are done.
        loss_sum: Their loss in nats, summed over images; a number, or a scalar tensor on the device.
    """

    epoch: int
    steps: int
    loss_sum: float | Tensor


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
    order: Callable[[int], torch.Generator],
    mask: Mask | None = None,
    start: tuple[int, Mapping[str, Tensor]] = (0, {}),
    stop: int | None = None,
    after_epoch: AfterEpoch = lambda epoch, loss, momentum: None,
    augmentation: Callable[[int], torch.Generator] | None = None,
    noise: Callable[[int], torch.Generator] | None = None,
    execution: Execution | None = None,
    begun: Begun | None = None,
    after_step: AfterStep | None = None,
) -> dict[str, Tensor]:
    """Train a network in place.

    The images of an epoch come in an order drawn from that epoch's own generator, so that training may stop after any
    epoch and go on from there to the very same result. The host waits for the device once per epoch, to read the loss.
    Where torch.distributed was set up, all processes call this with the same arguments and train one network.

    Args:
        model: The network; the weights that the mask prunes are zeroed first and stay exactly 0.
        split: Training images and labels.
        recipe: Epochs in all, batch size, learning rate, momentum, weight decay.
        order: Epoch (from 0) to the generator that orders its images.
        mask: Which weights to keep; None trains dense.
        start: Epochs done before, and the momentum then, by parameter name.
        stop: Epoch after which to stop; None for the recipe's last.
        after_epoch: Called after every epoch with the number of epochs done, their last mean training loss in nats,
            and the momentum by parameter name, which the next step changes.
        augmentation: Epoch (from 0) to the generator that augments its images; None trains on them as they are.
        noise: Epoch (from 0) to the generator from whose seed the network itself draws, for dropout and the like:
            torch's own random numbers begin anew with every step. None leaves them as they are.
        execution: Device, precision, compiled or not; None for the CPU, float32, not compiled.
        begun: The epoch after those done, if some of its steps are done as well.
        after_step: Called after every step but an epoch's last, with how far the epoch is and the momentum.

    Returns:
        The momentum by parameter name, to go on with.
    """
    execution = execution or Execution(torch.device("cpu"))
    first_epoch, momentum = start
    steps_per_epoch = recipe.steps_per_epoch(len(split))
    split, model = split.to(execution.device), execution.place(model)
    optimizer = MomentumSGD(model, recipe.momentum, recipe.weight_decay, momentum, mask)
    processes = Processes.here()
    processes.check(len(split), recipe.batch_size)
    model.train()
    with execution.in_force(noise is not None), processes.training(model, execution.batchnorm) as network:
        mean_loss = execution.loss_function(network)
        for epoch in range(first_epoch, recipe.epochs if stop is None else stop):
            skip, sum_before = (begun.steps, begun.loss_sum) if begun and begun.epoch == epoch else (0, 0.0)
            generators = order(epoch), augmentation(epoch) if augmentation else None
            seed = noise(epoch).initial_seed() if noise else None
            loss_sum = torch.zeros((), device=execution.device) + sum_before
            batches = split.epoch(recipe.batch_size, *generators, skip, processes.share)
            for step, (images, labels) in enumerate(batches, skip):
                if seed is not None:
                    execution.seed(seed + step * processes.count + processes.rank)
                loss = mean_loss(images, labels)
                batch = min(recipe.batch_size, len(split) - step * recipe.batch_size)
                processes.weighted(loss, len(labels), batch).backward()
                optimizer.step(recipe.learning_rate_at((epoch + step / steps_per_epoch) / recipe.epochs))
                loss_sum += processes.sum(loss.detach() * len(labels))
                if after_step is not None and step + 1 < steps_per_epoch:
                    after_step(Begun(epoch, step + 1, loss_sum), optimizer.buffers)
            processes.agree(model)
            after_epoch(epoch + 1, loss_sum.item() / len(split), optimizer.buffers)
    return optimizer.buffers
