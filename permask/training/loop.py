"""The one training loop: by any recipe, and under a mask if there is one, which may change."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from torch import Tensor, nn

from permask.errors import PermaskError
from permask.mask import Mask
from permask.training.data.dataset import Split
from permask.training.distributed import Processes
from permask.training.execution import CPU, Execution
from permask.training.optimizer import Decayed, UpdateRule
from permask.training.streams import Streams
from permask.training.trainer import trainer_of
from permask.training.updates import Updates


@dataclass(frozen=True)
class State:
    """How far a training is: with the weights, all that it needs to resume to the very same result.

    Attributes:
        epochs: Epochs done.
        steps: Steps done of the epoch after those.
        loss_sum: Their loss in nats, summed over images; a number, or a scalar on the device. Of several processes
            it is each one's own, but where `Processes.meet_after(steps)`: only there can a training be resumed.
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
class Recipe:
    """How to train.

    Attributes:
        epochs: In all.
        batch_size: Inputs of a step.
        learning_rate: What the schedule begins with.
        momentum: Factor of SGD's momentum, in [0, 1).
        weight_decay: Factor of the weights that is added to their gradients; what else it is, the optimizer says.
        optimizer: `sgd`, or the name of another one in `torch.optim`.
        options: Further arguments of that optimizer, such as `betas`.
        decay: Whether all parameters decay, or the weights of layers and embeddings alone: no biases, no norms.
        schedule: `cosine` falls to 0 along half a cosine (Loshchilov & Hutter 2017, equation 5), `step` is multiplied
            by `factor` at every milestone, `constant` stays.
        milestones: Epochs of `step`, the first epoch being 0.
        factor: Of `step`.
        warmup: Epochs at the beginning in which the learning rate rises to its start along a line, before the schedule
            begins (Goyal et al. 2017, section 2.2); milestones count from the first epoch all the same.
        per: Whether the learning rate changes from step to step, or from epoch to epoch.
        label_smoothing: Share of every label that is spread over all classes (Szegedy et al. 2016, section 7).
        clip: The largest norm of the gradient of all parameters, of pruned weights none; None does not clip.
        drop_last: Whether the last batch of an epoch is left out where it is short.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    optimizer: str = "sgd"
    options: Mapping[str, Any] = field(default_factory=dict)
    decay: Decayed = "all"
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    warmup: int = 0
    per: Literal["step", "epoch"] = "step"
    label_smoothing: float = 0.0
    clip: float | None = None
    drop_last: bool = False

    def learning_rate_at(self, epoch: int, step: int = 0, steps: int = 1) -> float:
        """The learning rate of a step.

        Args:
            epoch: Epochs done.
            step: Steps done of the epoch after those.
            steps: Steps of an epoch.
        """
        now, unit = (epoch + step / steps, 1 / steps) if self.per == "step" else (epoch, 1)
        if now < self.warmup:
            return self.learning_rate * (now + unit) / self.warmup
        if self.schedule == "cosine":
            progress = (now - self.warmup) / (self.epochs - self.warmup)
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        if self.schedule == "step":
            return self.learning_rate * self.factor ** sum(now >= milestone for milestone in self.milestones)
        return self.learning_rate

    def steps_per_epoch(self, inputs: int) -> int:
        """Batches of an epoch; the last may be short, unless it is left out."""
        return inputs // self.batch_size if self.drop_last else math.ceil(inputs / self.batch_size)

    def inputs_per_epoch(self, inputs: int) -> int:
        """How many inputs of a split an epoch trains on."""
        return min(inputs, self.steps_per_epoch(inputs) * self.batch_size)

    @property
    def update_rule(self) -> UpdateRule:
        """What a step makes of the gradients."""
        return UpdateRule(
            self.optimizer,
            options=self.options,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            decay=self.decay,
            clip=self.clip,
        )


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
    first = state.mask or (updates.begin(mask) if updates and mask else mask)
    made = {"mask": first, "label_smoothing": recipe.label_smoothing}
    trainer = trainer_of(model, recipe.update_rule, execution, fixed=not (updates and mask), **made)
    with (
        execution.in_force(streams.seeds_network),
        trainer.begin(model, recipe.update_rule, execution, state=state.optimizer, **made) as steps,
    ):
        optimizer, changes = steps.optimizer, None
        if updates and mask:
            changes = updates.over(optimizer, mask, recipe.epochs * steps_per_epoch, streams.mask)
            changes.steps = state.epochs * steps_per_epoch + state.steps
        for epoch in range(state.epochs, recipe.epochs if stop is None else stop):
            order, augmentation, seed = streams.order(epoch), streams.augmentation(epoch), streams.noise(epoch)
            chunks = split.chunks(recipe.batch_size, order, augmentation, state.steps, processes.share)
            # of several processes each adds up its own inputs', beside what all had before
            before = state.loss_sum if processes.rank == 0 else 0.0
            to_take = trainer.epoch(chunks, before, recipe.learning_rate)
            for step, take in enumerate(islice(to_take, steps_per_epoch - state.steps), state.steps):
                if seed is not None:
                    execution.seed(seed + step * processes.count + processes.rank)
                batch = min(recipe.batch_size, inputs - step * recipe.batch_size)
                take(recipe.learning_rate_at(epoch, step, steps_per_epoch), batch)
                if changes:
                    changes.step()
                done = step + 1
                if on_step is not None and done < steps_per_epoch:
                    meet = processes.meet_after(done)
                    loss_sum = processes.total(trainer.loss_sum) if meet else trainer.loss_sum
                    on_step(State(epoch, done, loss_sum, optimizer.state, changes and optimizer.mask))
            processes.agree(model)
            loss_sum = processes.total(trainer.loss_sum)
            state = State(epoch + 1, optimizer=optimizer.state, mask=changes and optimizer.mask)
            if on_epoch is not None:
                on_epoch(state, loss_sum.item() / inputs)
        # what the trainer keeps, the next training changes
        kept = {name: x.clone() for name, x in state.optimizer.items()} if trainer.keeps else state.optimizer
    return replace(state, optimizer=kept)
