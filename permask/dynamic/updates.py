"""When a mask changes while a network trains; what is pruned and what grows is each method's own file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.masks.scores import largest

Gradients = Mapping[str, Tensor | None]


class Held(Protocol):
    """A network whose pruned weights something keeps at zero, such as the handle of `permask.hold_mask`."""

    @property
    def mask(self) -> Mask:
        """What is pruned now."""
        ...

    @property
    def weights(self) -> Mapping[str, nn.Parameter]:
        """The masked parameters by name."""
        ...

    def update(self, mask: Mask) -> None:
        """Prune by another mask from now on; what it regrows starts at zero, with zero optimizer state."""

    def before_masking(self, look: Callable[[Gradients], None]) -> None:
        """Have a function look at the gradients of the masked parameters in every step, before they are masked."""


@dataclass(frozen=True)
class UpdateSchedule:
    """When the mask of a whole training changes.

    Attributes:
        every: Steps between two updates.
        until: Step from which on the mask stays as it is.
        fraction: Share of a layer's kept weights that an update exchanges, where it exchanges any.
        seed: Of what is drawn.
    """

    every: int
    until: int
    fraction: float
    seed: int


class MaskUpdates(ABC):
    """Changes to a mask during training. Call `step()` once after every `optimizer.step()`.

    Args:
        held: The handle of `permask.hold_mask`.
        every: The number of steps between two updates.
        until: The step from which on the mask does not change.

    Attributes:
        steps: The number of steps taken. This number and the mask are all that you need to resume.

    Raises:
        PermaskError: If `every` or `until` is below 1.
    """

    def __init__(self, held: Held, *, every: int, until: int):
        if every < 1 or until < 1:
            raise PermaskError(f"expected every and until of at least 1 step, got {every} and {until}")
        self.held, self.every, self.until = held, every, until
        self.steps = 0

    def is_due(self, step: int) -> bool:
        """Whether the mask changes after a step, counted from 1."""
        return step % self.every == 0 and step < self.until

    def step(self) -> bool:
        """Count a step of the optimizer, and return whether the mask changed."""
        self.steps += 1
        if not self.is_due(self.steps):
            return False
        self.held.update(self.updated(self.steps))
        return True

    @staticmethod
    def begin(mask: Mask) -> Mask:
        """Return the first mask of a training that has to end with as many weights of each layer as `mask` keeps."""
        return mask

    @classmethod
    @abstractmethod
    def over(cls, held: Held, mask: Mask, schedule: UpdateSchedule) -> Self:
        """Make the updates of a training that ends with as many weights of every layer as the mask keeps."""

    @abstractmethod
    def updated(self, step: int) -> Mask:
        """Return the mask after a step at which it changes."""


def cosine(fraction: float, step: int, until: int) -> float:
    """A fraction that falls to 0 along half a cosine: f / 2 · (1 + cos(π t / T)) (Evci et al. 2020, section 3)."""
    return fraction / 2 * (1 + cos(pi * step / until))


def check_fraction(fraction: float) -> None:
    """Raise a `PermaskError` for a fraction outside (0, 1]."""
    if not 0 < fraction <= 1:
        raise PermaskError(f"fraction: expected a share in (0, 1], got {fraction}")


def survivors(weight: Tensor, kept: Tensor, count: int) -> Tensor:
    """Which weights of a layer are kept where all but a number of those kept so far are dropped, the smallest first.

    Raises:
        NetworkError: Weights that are not numbers.
    """
    magnitude = weight.detach().to("cpu", torch.float32).abs()
    if magnitude.isnan().any():
        raise NetworkError("the weights hold NaN, so there is no order to drop them in")
    return largest(magnitude.masked_fill(~kept.cpu(), -torch.inf).flatten(), count).view(kept.shape)


def exchange(kept: Tensor, weight: Tensor, growth: Tensor, fraction: float) -> Tensor:
    """Drop the smallest weights of a layer and grow as many others.

    Floor of `fraction` times the kept weights are dropped, those of the least magnitude, and as many positions that are
    then empty grow, those of the largest growth score; just dropped ones may. Of equals the first stay, or grow.

    Args:
        kept: Boolean, of the layer's shape.
        weight: Of that shape.
        growth: Scores of that shape; larger grow first.
        fraction: Share of the kept weights, in [0, 1].

    Raises:
        NetworkError: Scores or weights that are not numbers.
    """
    kept, growth = kept.cpu(), growth.detach().to("cpu", torch.float32)
    if growth.isnan().any():
        raise NetworkError("the gradients hold NaN, so there is no order to grow weights in")
    count = int(kept.sum())
    dropped = int(fraction * count)
    retained = survivors(weight, kept, count - dropped)
    grown = largest(growth.masked_fill(retained, -torch.inf).flatten(), dropped).view(kept.shape)
    return retained | grown
