"""The one training loop: SGD with momentum, a cosine schedule, and a mask if there is one."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from permask.mask import Mask
from permask.masks.hold import hold_mask
from permask.training.data.dataset import Split


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


def train(
    model: nn.Module,
    split: Split,
    recipe: Recipe,
    order: Callable[[int], torch.Generator],
    mask: Mask | None = None,
    start: tuple[int, dict[str, Tensor]] = (0, {}),
    stop: int | None = None,
    after_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
    augmentation: Callable[[int], torch.Generator] | None = None,
) -> dict[str, Tensor]:
    """Train a network in place.

    The images of an epoch come in an order drawn from that epoch's own generator, so that training may stop after any
    epoch and go on from there to the very same result.

    Args:
        model: The network; the weights that the mask prunes are zeroed first and stay exactly 0.
        split: Training images and labels.
        recipe: Epochs in all, batch size, learning rate, momentum, weight decay.
        order: Epoch (from 0) to the generator that orders its images.
        mask: Which weights to keep; None trains dense.
        start: Epochs done before, and the momentum then, by parameter name.
        stop: Epoch after which to stop; None for the recipe's last.
        after_epoch: Called after every epoch with the number of epochs done and their last mean training loss in nats.
        augmentation: Epoch (from 0) to the generator that augments its images; None trains on them as they are.

    Returns:
        The momentum by parameter name, to go on with.
    """
    first_epoch, momentum = start
    steps_per_epoch = math.ceil(len(split) / recipe.batch_size)
    parameters = dict(model.named_parameters())
    optimizer = SGD(
        parameters.values(),
        recipe.learning_rate,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    for name, buffer in momentum.items():
        optimizer.state[parameters[name]]["momentum_buffer"] = buffer
    held = hold_mask(model, mask, optimizer) if mask is not None else None
    model.train()
    for epoch in range(first_epoch, recipe.epochs if stop is None else stop):
        batches = split.epoch(recipe.batch_size, order(epoch), augmentation(epoch) if augmentation else None)
        loss_sum = torch.zeros(())
        for step, (batch_images, batch_labels) in enumerate(batches):
            progress = (epoch + step / steps_per_epoch) / recipe.epochs
            optimizer.param_groups[0]["lr"] = recipe.learning_rate_at(progress)
            loss = F.cross_entropy(model(batch_images), batch_labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss_sum += loss.detach() * len(batch_labels)
        after_epoch(epoch + 1, loss_sum.item() / len(split))
    if held is not None:
        held.remove()
    return {
        name: state["momentum_buffer"]
        for name, parameter in parameters.items()
        if (state := optimizer.state[parameter]).get("momentum_buffer") is not None
    }
