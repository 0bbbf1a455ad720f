"""What keeps masked parameters at zero through the steps of an optimizer."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from permask.masks.factors import Factors


class Steps:
    """Masks gradients when a step begins and after every evaluation of a closure, weights and state when it ends.

    Args:
        kept: Parameter to which of its entries are kept.
        look: Called before gradients are masked.
    """

    def __init__(self, kept: Mapping[nn.Parameter, Tensor], look: Callable[[], None] | None = None):
        self.kept, self._look = kept, look
        self._factors = Factors(kept)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Mask gradients; returns the arguments of the step, in which a closure masks those that it computes."""
        self._masked_after_a_look()
        # args[0] is the optimizer itself
        with_closure = [self._masking(x) if callable(x) else x for x in args[1:]]
        return (args[0], *with_closure), {k: self._masking(x) if callable(x) else x for k, x in kwargs.items()}

    @torch.no_grad()
    def end(self, optimizer: Optimizer) -> None:
        """Set pruned weights to zero, and every state tensor of the parameter's shape where they are pruned."""
        state = (
            (p, x)
            for p in self._factors
            for x in optimizer.state.get(p, {}).values()
            if isinstance(x, Tensor) and x.shape == p.shape
        )
        self._factors.multiply_([*((p, p) for p in self._factors), *state])

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero now."""
        self._factors.mask_gradients()

    def _masking(self, closure: Any) -> Any:
        def evaluate() -> Any:
            loss = closure()
            self._masked_after_a_look()
            return loss

        return evaluate

    def _masked_after_a_look(self) -> None:
        if self._look is not None:
            self._look()
        self.mask_gradients()
