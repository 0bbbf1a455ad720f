"""The rigged lottery: drop small weights, grow where the dense gradient is largest (Evci et al. 2020)."""

from typing import Self

from torch import Tensor

from permask.dynamic.updates import Gradients, Held, MaskUpdates, UpdateSchedule, check_fraction, cosine, exchange
from permask.errors import PermaskError
from permask.mask import Mask


class RigL(MaskUpdates):
    """Every some steps, each layer drops its smallest weights and grows where the loss would gain most.

    Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners", algorithm 1. The share that an update exchanges
    falls to 0 along a cosine; every layer keeps its count exactly. The gradients are those of the step before the
    update, of all weights, pruned ones too.

    Args:
        held: The handle of `permask.hold_mask`, with the mask to begin with.
        every: Steps between two updates.
        fraction: Share of a layer's kept weights that the first update exchanges, in (0, 1].
        until: Step from which on the mask stays as it is; the paper takes three quarters of all.

    Example:
        ```python
        handle = permask.hold_mask(model, mask, optimizer)
        updates = permask.dynamic.RigL(handle, every=100, fraction=0.3, until=22_500)
        for images, labels in loader:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
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
        """The updates of a training that begins and ends with as many weights of every layer as the mask keeps."""
        return cls(held, every=schedule.every, fraction=schedule.fraction, until=schedule.until)

    def _look(self, gradients: Gradients) -> None:
        if self.is_due(self.steps + 1):
            self._gradients = {name: x.detach().abs() for name, x in gradients.items() if x is not None}

    def updated(self, step: int) -> Mask:
        """The mask with a share of every layer exchanged.

        Raises:
            PermaskError: A layer without a gradient.
        """
        fraction, changed = cosine(self.fraction, step, self.until), {}
        for name, kept in self.held.mask.items():
            if name not in self._gradients:
                raise PermaskError(f"{name} has no gradient: was optimizer.step() called before updates.step()?")
            changed[name] = exchange(kept, self.held.weights[name], self._gradients[name], fraction)
        self._gradients = {}
        return Mask(changed)
