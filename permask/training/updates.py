"""How a mask changes over a whole training, as its recipe says it: in shares of the training, not in steps."""

from dataclasses import dataclass

from permask.dynamic import UPDATES
from permask.dynamic.updates import Held, MaskUpdates, UpdateSchedule
from permask.errors import PermaskError
from permask.mask import Mask

USUAL, CHANGES = 100, 10  # steps between updates (Evci et al. 2020, section 4), and updates of a short training


@dataclass(frozen=True)
class Updates:
    """How a mask changes while a network trains under it.

    Attributes:
        by: The name of a method in `permask.dynamic.UPDATES`.
        every: Steps between two updates; None for 100, or for a tenth of the steps with updates if that is less.
        fraction: Share of a layer's kept weights that an update exchanges, where it exchanges any.
        until: Share of the training after which the mask stays as it is.
    """

    by: str
    every: int | None = None
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
        every = self.every or max(1, min(USUAL, until // CHANGES))
        if every >= until:
            raise PermaskError(
                f"{self.by}: expected an update before step {until} of {steps}, got one every {every} steps"
            )
        return UPDATES[self.by].over(held, mask, UpdateSchedule(every, until, self.fraction, seed))
