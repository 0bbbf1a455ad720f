"""Sparse evolutionary training: drop small weights, grow others at random (Mocanu et al. 2018)."""

from typing import Self

import torch

from permask.dynamic.updates import Held, MaskUpdates, UpdateSchedule, check_fraction, exchange
from permask.mask import Mask


class SET(MaskUpdates):
    """Drop the smallest weights of each layer at regular steps, and grow as many at random positions.

    The method is that of Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse
    connectivity inspired by network science". The fraction is constant. Every layer keeps its exact number of weights.

    Args:
        held: The handle of `permask.hold_mask`, with the mask to begin with.
        every: The number of steps between two updates.
        fraction: The share of a layer's kept weights that an update exchanges, in (0, 1].
        until: The step from which on the mask does not change.
        seed: The seed of the positions that grow. They depend only on the seed and on the number of the step. Therefore
            all processes of a distributed training, and a resumed training, grow the same positions.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        handle = permask.hold_mask(model, permask.magnitude_mask(model, 0.5), optimizer)
        updates = permask.dynamic.SET(handle, every=2, fraction=0.3, until=9)
        for _ in range(10):
            inputs, labels = torch.randn(16, 4), torch.randint(3, (16,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
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
        """Make the updates of a training that begins and ends with as many weights of every layer as the mask keeps."""
        return cls(held, every=schedule.every, fraction=schedule.fraction, until=schedule.until, seed=schedule.seed)

    def updated(self, step: int) -> Mask:
        """Return the mask after a share of every layer was exchanged."""
        generator = torch.Generator().manual_seed((self.seed << 32) + step)
        mask = self.held.mask
        # in an order that a mask from a file has, too
        growth = {name: torch.rand(mask[name].shape, generator=generator) for name in sorted(mask)}
        return Mask({n: exchange(kept, self.held.weights[n], growth[n], self.fraction) for n, kept in mask.items()})
