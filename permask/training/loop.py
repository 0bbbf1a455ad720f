"""The one training loop: by any recipe, and under a mask if there is one, which may change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn

from permask.dynamic import UPDATES
from permask.dynamic.updates import Held, MaskUpdates, Schedule
from permask.errors import PermaskError
from permask.mask import Mask
from permask.training.data.dataset import Split
from permask.training.distributed import Processes
from permask.training.execution import CPU, Execution
from permask.training.optimizer import make_optimizer
from permask.training.recipe import Recipe
from permask.training.streams import Streams


@dataclass(frozen=True)
class State:
    """How far a training is: with the weights, all that it needs to resume to the very same result.

    Attributes:
        epochs: Epochs done.
        steps: Steps done of the epoch after those.
        loss_sum: Their loss in nats, summed over images; a number, or a scalar tensor on the device.
        optimizer: What it keeps from step to step, as of `MaskedOptimizer.state`. While the training runs, its next
            step changes it.
        mask: What is pruned now; None for what the training was given.
    """

    epochs: int = 0
    steps: int = 0
    loss_sum: float | Tensor = 0.0
    optimizer: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Mask | None = None


OnStep = Callable[[State], None]
OnEpoch = Callable[[State, float], None]


@dataclass(frozen=True)
class Updates:
    """How a mask changes while a network trains under it.

    Attributes:
        by: The name of a method in `permask.dynamic.UPDATES`.
        every: Steps between two updates.
        fraction: Share of a layer's kept weights that an update exchanges, where it exchanges any.
        until: Share of the training after which the mask stays as it is.
    """

    by: str
    every: int = 100
    fraction: float = 0.3
    until: float = 0.75

    def begin(self, mask: Mask) -> Mask:
        """The mask that the training begins with."""
        return UPDATES[self.by].begin(mask)

    def over(self, held: Held, mask: Mask, steps: int, seed: int) -> MaskUpdates:
        """The updates of a training of some steps.

        Raises:
            PermaskError: The mask would never change.
        """
        until = round(self.until * steps)
        if self.every >= until:
            raise PermaskError(
                f"{self.by}: expected an update before step {until} of {steps}, got one every {self.every} steps"
            )
        return UPDATES[self.by].over(held, mask, Schedule(self.every, until, self.fraction, seed))


def train(
    model: nn.Module,
    split: Split,
    recipe: Recipe,
    streams: Streams,
    *,
    mask: Mask | None = None,
    updates: Updates | None = None,
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
        recipe: How.
        streams: What orders and augments the images of every epoch, and seeds what the network draws itself.
        mask: Which weights to keep; None trains dense.
        updates: How the mask changes; it ends with as many weights of every layer as were to be kept.
        state: How far the training is.
        stop: Epoch after which to stop; None for the recipe's last.
        execution: Device, precision, compiled or not.
        on_step: Called with the state after every step but an epoch's last.
        on_epoch: Called after every epoch with the state and the epoch's mean training loss in nats.

    Returns:
        The state after the last epoch, to resume from.

    Raises:
        PermaskError: No whole batch, a batch of fewer inputs than processes, an optimizer that torch does not have or
            that does not take the network, updates of the mask that would never come.
    """
    steps_per_epoch, inputs = recipe.steps_per_epoch(len(split)), recipe.inputs_per_epoch(len(split))
    if not steps_per_epoch:
        raise PermaskError(
            f"drop_last: expected at least the {recipe.batch_size} inputs of a whole batch, got {len(split)}"
        )
    split, model = split.to(execution.device), execution.place(model)
    processes = Processes.here()
    processes.check(inputs, recipe.batch_size)
    model.train()
    first = updates.begin(mask) if updates and mask else mask
    with (
        make_optimizer(model, recipe, mask=state.mask or first, state=state.optimizer) as optimizer,
        execution.in_force(streams.seeds_network),
        processes.training(model, execution.batchnorm) as network,
    ):
        changes = None
        if updates and mask:
            changes = updates.over(optimizer, mask, recipe.epochs * steps_per_epoch, streams.mask)
            changes.steps = state.epochs * steps_per_epoch + state.steps
        mean_loss = execution.loss_function(network, recipe.label_smoothing)
        for epoch in range(state.epochs, recipe.epochs if stop is None else stop):
            order, augmentation, seed = streams.order(epoch), streams.augmentation(epoch), streams.noise(epoch)
            loss_sum = torch.zeros((), device=execution.device) + state.loss_sum
            batches = split.epoch(recipe.batch_size, order, augmentation, state.steps, processes.share)
            for step, (images, labels) in enumerate(islice(batches, steps_per_epoch - state.steps), state.steps):
                if seed is not None:
                    execution.seed(seed + step * processes.count + processes.rank)
                loss = mean_loss(images, labels)
                batch = min(recipe.batch_size, inputs - step * recipe.batch_size)
                processes.weighted(loss, len(labels), batch).backward()
                optimizer.step(recipe.learning_rate_at(epoch, step, steps_per_epoch))
                if changes:
                    changes.step()
                loss_sum += processes.sum(loss.detach() * len(labels))
                if on_step is not None and step + 1 < steps_per_epoch:
                    on_step(State(epoch, step + 1, loss_sum, optimizer.state, changes and optimizer.mask))
            processes.agree(model)
            state = State(epoch + 1, optimizer=optimizer.state, mask=changes and optimizer.mask)
            if on_epoch is not None:
                on_epoch(state, loss_sum.item() / inputs)
    return state
