"""Keep pruned weights at exactly zero while any optimizer trains the others."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from permask.errors import PermaskError
from permask.mask import Mask, parameters_by_name
from permask.masks.factors import Factors


def hold_mask(model: nn.Module, mask: Mask, optimizer: Optimizer) -> "Hold":
    """Prune a network now, and keep it pruned through every step of an optimizer.

    Pruned weights, their gradients and their optimizer state (every state tensor of the parameter's shape)
    are exactly zero after each step. Gradients are masked when a step begins, and after every evaluation of
    a closure; weights and state when it ends. Clip gradients by `handle.mask_gradients()` first, if pruned
    weights must not count in their norm.

    Args:
        model: The network; its pruned weights are set to zero at once.
        mask: What to prune.
        optimizer: Any `torch.optim` optimizer over the network's parameters.

    Returns:
        A handle; `handle.remove()` lets the weights go.

    Raises:
        NetworkError: The mask does not fit the network.
        PermaskError: The optimizer has none of the masked parameters.

    Example:
        ```python
        handle = permask.hold_mask(model, mask, optimizer)
        for images, labels in loader:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
        handle.remove()
        ```
    """
    mask.apply_(model)
    return Hold(model, mask, optimizer)


class Hold:
    """The handle that `hold_mask` returns."""

    def __init__(self, model: nn.Module, mask: Mask, optimizer: Optimizer):
        parameters = parameters_by_name(model)
        stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self._factors = Factors(
            {
                parameters[name]: kept
                for name, kept in mask.items()
                if id(parameters[name]) in stepped and not kept.all()
            }
        )
        if not self._factors and mask.count < mask.size:
            raise PermaskError("the optimizer has none of the masked parameters: was it made for another network?")
        self._optimizer = optimizer
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        self._after_step()
        self.mask_gradients()

    def remove(self) -> None:
        """Stop holding: the next step may change every weight."""
        for hook in self._hooks:
            hook.remove()

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero now."""
        self._factors.multiply_((p, p.grad) for p in self._factors)

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.mask_gradients()
        # args[0] is the optimizer itself; a closure computes gradients anew inside the step
        with_closure = [self._masking(x) if callable(x) else x for x in args[1:]]
        return (args[0], *with_closure), {k: self._masking(x) if callable(x) else x for k, x in kwargs.items()}

    def _masking(self, closure: Any) -> Any:
        def evaluate() -> Any:
            loss = closure()
            self.mask_gradients()
            return loss

        return evaluate

    def _after_step(self, *_: Any) -> None:
        state = (
            (p, x)
            for p in self._factors
            for x in self._optimizer.state.get(p, {}).values()
            if isinstance(x, Tensor) and x.shape == p.shape
        )
        self._factors.multiply_([*((p, p) for p in self._factors), *state])
