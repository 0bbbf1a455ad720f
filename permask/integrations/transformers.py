"""A mask in the Trainer of Hugging Face's transformers."""

from typing import Any

from transformers import TrainerCallback

from permask.mask import Mask
from permask.masks.hold import Hold, hold_mask


class HoldMask(TrainerCallback):  # pyright: ignore[reportGeneralTypeIssues]  # without the library, it finds this file
    """Keep a network pruned from the beginning of `Trainer.train` to its end, as `permask.hold_mask` does.

    The Trainer clips gradients before its optimizer steps, which is before they are masked. Therefore the gradients of
    pruned weights count in the norm.

    Args:
        mask: The mask to prune by.

    Attributes:
        handle: The handle that `hold_mask` returned, or None when no training runs.

    Example:
        ```python
        trainer = Trainer(model, arguments, train_dataset=data, callbacks=[HoldMask(mask)])
        trainer.train()
        ```
    """

    def __init__(self, mask: Mask):
        self._mask = mask
        self.handle: Hold | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Prune the network, and hold the mask. The errors are those of `hold_mask`."""
        self._let_go()  # of a training that an error ended
        self.handle = hold_mask(kwargs["model"], self._mask, kwargs["optimizer"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop holding the mask."""
        self._let_go()

    def _let_go(self) -> None:
        if self.handle is not None:
            self.handle.remove()
        self.handle = None
