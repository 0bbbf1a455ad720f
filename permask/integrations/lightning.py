"""A mask in Lightning's Trainer."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer  # pyright: ignore[reportMissingImports]

from permask.errors import PermaskError
from permask.mask import Mask
from permask.masks.hold import Hold, hold_mask


class HoldMask(Callback):
    """Keep a network pruned from the beginning of `Trainer.fit` to its end, as `permask.hold_mask` does.

    Gradients are masked before Lightning clips them, so those of pruned weights do not count in the norm.

    Args:
        mask: The mask to prune by.
        network: The name of the submodule that the mask was made for, such as `net`. By default, the mask has the names
            of the Lightning module itself.

    Attributes:
        handle: The handle that `hold_mask` returned, or None when no training runs.

    Example:
        ```python
        mask = permask.magnitude_mask(module.net, 0.9)
        Trainer(max_epochs=3, callbacks=[HoldMask(mask, network="net")]).fit(module, loader)
        ```
    """

    def __init__(self, mask: Mask, network: str = ""):
        self._mask, self._network = mask, network
        self.handle: Hold | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune the network, and hold the mask.

        Raises:
            NetworkError: If the mask does not fit the network.
            PermaskError: If there are several optimizers, or `hold_mask` raises one.
        """
        if len(trainer.optimizers) != 1:
            raise PermaskError(
                f"expected one optimizer, got {len(trainer.optimizers)}: call permask.hold_mask in on_train_start of "
                "your module, with the one that trains the masked parameters"
            )
        self.handle = hold_mask(pl_module.get_submodule(self._network), self._mask, trainer.optimizers[0])

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Mask gradients before they are clipped."""
        if self.handle is not None:
            self.handle.mask_gradients()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop holding the mask."""
        self._let_go()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop holding the mask after an error as well."""
        self._let_go()

    def _let_go(self) -> None:
        if self.handle is not None:
            self.handle.remove()
        self.handle = None
