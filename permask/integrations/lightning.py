"""A mask in Lightning's Trainer."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer  # pyright: ignore[reportMissingImports]

from permask.errors import PermaskError
from permask.mask import Mask
from permask.masks.hold import Hold, hold_mask


class HoldMask(Callback):
    """Keep a network pruned from the beginning of `Trainer.fit` to its end, as `permask.hold_mask` does.

    Gradients are masked before Lightning clips them, so that those of pruned weights do not count in the norm.

    Args:
        mask: What to prune.
        network: Name of the submodule that the mask was made for, such as `net`; by default the mask has the names of
            the Lightning module itself.

    Attributes:
        handle: What `hold_mask` returned; None when nothing trains.

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
        """Prune, and hold; raises what `hold_mask` does, and a `PermaskError` for several optimizers."""
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
        """Let the weights go."""
        self._let_go()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let the weights go after an error, too."""
        self._let_go()

    def _let_go(self) -> None:
        if self.handle is not None:
            self.handle.remove()
        self.handle = None
