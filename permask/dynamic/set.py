"""Sparse evolutionary training: drop small weights, grow others at random (Mocanu et al. 2018)."""

from typing import Self

import torch

from permask.dynamic.updates import Held, MaskUpdates, UpdateSchedule, check_fraction, exchange
from permask.mask import Mask


class SET(MaskUpdates):
    """Every some steps, each layer drops its smallest weights and grows as many at random positions.

    Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science". The fraction is constant; every layer keeps its count exactly.

    Args:
        held: The handle of `permask.hold_mask`, with the mask to begin with.
        every: Steps between two updates.
        fraction: Share of a layer's kept weights that an update exchanges, in (0, 1].
        until: Step from which on the mask stays as it is.
        seed: Of the positions that grow. They depend on it and on the number of the step alone, so that all processes
            of a distributed training, and a resumed one, grow the same.

    Example:
        ```python
        handle = permask.hold_mask(model, mask, optimizer)
        updates = permask.dynamic.SET(handle, every=100, fraction=0.3, until=30_000)
        for images, labels in loader:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
            updates.step()
        ```
    """

    def __init__(self, held: Held, *, every: int = 100, fraction: float = 0.3, until: int, seed: int = 0):
        super().__init__(held, every=every, until=until)
        check_fraction(fraction)
        self.fraction, self.seed = fraction, seed

    @classmethod
    def over(cls, held: Held, mask: Mask, schedule: UpdateSchedule) -> Self:
        """The updates of a training that begins and ends with as many weights of every layer as the mask keeps."""
        return cls(held, every=schedule.every, fraction=schedule.fraction, until=schedule.until, seed=schedule.seed)

    def updated(self, step: int) -> Mask:
        """The mask with a share of every layer exchanged."""
        generator = torch.Generator().manual_seed((self.seed << 32) + step)
        mask = self.held.mask
        # in an order that a mask from a file has, too
        growth = {name: torch.rand(mask[name].shape, generator=generator) for name in sorted(mask)}
        return Mask({n: exchange(kept, self.held.weights[n], growth[n], self.fraction) for n, kept in mask.items()})
