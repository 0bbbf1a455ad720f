"""The rigged lottery: drop small weights, grow where the dense gradient is largest (Evci et al. 2020)."""

from typing import Self

from torch import Tensor

from permask.dynamic.updates import Gradients, Held, MaskUpdates, UpdateSchedule, check_fraction, cosine, exchange
from permask.errors import PermaskError
from permask.mask import Mask


class RigL(MaskUpdates):
    """Drop the smallest weights of each layer at regular steps, and grow those with the largest gradients.

    The method is algorithm 1 of Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners". The share of
    weights that an update exchanges falls to 0 along a cosine. Every layer keeps its exact number of weights. The
    gradients are those of the step before the update, of all weights including the pruned ones.

    Args:
        held: The handle of `permask.hold_mask`, with the mask to begin with.
        every: The number of steps between two updates.
        fraction: The share of a layer's kept weights that the first update exchanges, in (0, 1].
        until: The step from which on the mask does not change. In the paper, this is three quarters of all steps.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        handle = permask.hold_mask(model, permask.magnitude_mask(model, 0.5), optimizer)
        updates = permask.dynamic.RigL(handle, every=2, fraction=0.3, until=9)
        for _ in range(10):
            inputs, labels = torch.randn(16, 4), torch.randint(3, (16,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            updates.step()
        ```
    """

    def __init__(self, held: Held, *, every: int = 100, fraction: float = 0.3, until: int):
        super().__init__(held, every=every, until=until)
        check_fraction(fraction)
        self.fraction = fraction
        self._gradients: dict[str, Tensor] = {}
        held.before_masking(self._look)

    @classmethod
    def over(cls, held: Held, mask: Mask, schedule: UpdateSchedule) -> Self:
        """Make the updates of a training that begins and ends with as many weights of every layer as the mask keeps."""
        return cls(held, every=schedule.every, fraction=schedule.fraction, until=schedule.until)

    def _look(self, gradients: Gradients) -> None:
        if self.is_due(self.steps + 1):
            self._gradients = {name: x.detach().abs() for name, x in gradients.items() if x is not None}

    def updated(self, step: int) -> Mask:
        """Return the mask after a share of every layer was exchanged.

        Raises:
            PermaskError: If a layer has no gradient.
        """
        fraction, changed = cosine(self.fraction, step, self.until), {}
        for name, kept in self.held.mask.items():
            if name not in self._gradients:
                raise PermaskError(f"{name} has no gradient: was optimizer.step() called before updates.step()?")
            changed[name] = exchange(kept, self.held.weights[name], self._gradients[name], fraction)
        self._gradients = {}
        return Mask(changed)
