"""How a network is trained: optimizer, learning rate and what else is regular about it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Schedule = Literal["cosine", "step", "constant"]


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
    decay: Literal["all", "weights"] = "all"
    schedule: Schedule = "cosine"
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
