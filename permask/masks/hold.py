"""Keep pruned weights at exactly zero while any optimizer trains the others."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.weak import WeakIdKeyDictionary

from permask.display import card
from permask.errors import PermaskError
from permask.mask import Mask, parameters_by_name
from permask.masks.factors import Factors

Look = Callable[[Mapping[str, Tensor | None]], None]


def hold_mask(model: nn.Module, mask: Mask, optimizer: Optimizer) -> "Hold":
    """Prune a network now, and keep it pruned through every step of an optimizer.

    Pruned weights, their gradients and their optimizer state (every state tensor of the parameter's shape)
    are exactly zero after each step, also where a gradient is infinite or NaN. Gradients are masked when a step
    begins, and after every evaluation of a closure; weights and state when it ends. Clip gradients by
    `handle.mask_gradients()` first, if pruned weights must not count in their norm.

    Args:
        model: The network, also inside of DDP, `torch.compile` and the like; its pruned weights are zero at once.
        mask: What to prune.
        optimizer: Any `torch.optim` optimizer over the network's parameters, also as accelerate wraps it.

    Returns:
        A handle: `handle.update(mask)` changes the mask, `handle.remove()` lets the weights go, as the end of a `with`
        block does.

    Raises:
        NetworkError: The mask does not fit the network.
        PermaskError: The optimizer has none of the masked parameters, or one of them is held already. No optimizer of
            torch, or none inside of a wrapper.

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
    mask.check(model)
    return Hold(model, mask, _unwrapped(optimizer))


class Hold:
    """The handle that `hold_mask` returns; as a context manager it removes itself at the end of the block.

    Attributes:
        mask: What is pruned now.
        weights: The masked parameters by name.
    """

    def __init__(self, model: nn.Module, mask: Mask, optimizer: Optimizer):
        parameters = parameters_by_name(model)
        stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.weights = {name: parameters[name] for name in mask if id(parameters[name]) in stepped}
        if not self.weights and mask.count < mask.size:
            raise PermaskError("the optimizer has none of the masked parameters: was it made for another network?")
        for name, parameter in self.weights.items():
            if _holder_of(parameter) is not None:
                raise PermaskError(
                    f"{name} is held already: change the mask by handle.update(mask), or call handle.remove() first"
                )
        self._model, self._optimizer = model, optimizer
        self._looks: list[Look] = []
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        for parameter in self.weights.values():
            _HOLDERS[parameter] = weakref.ref(self)
        self.update(mask)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"Hold({self.mask}, {len(self.weights)} layers, {type(self._optimizer).__name__})"

    def _repr_html_(self) -> str:
        held = Mask({name: self.mask[name] for name in self.weights})
        return card(f"Hold: {len(held)} layers, {type(self._optimizer).__name__}", held._repr_html_())

    def update(self, mask: Mask) -> None:
        """Prune by another mask from now on.

        What it prunes is zero at once, with its gradient and its optimizer state. What it regrows is zero as well, and
        trains from there.

        Raises:
            NetworkError: The mask does not fit the network.
            PermaskError: A mask of other parameters than the one before.
        """
        if hasattr(self, "mask") and mask.keys() != self.mask.keys():
            other = min(mask.keys() ^ self.mask.keys())
            raise PermaskError(
                f"expected a mask of the same parameters as the one that is held; {other} is in one only"
            )
        mask.apply_(self._model)
        self.mask = mask
        self._factors = Factors({p: mask[name] for name, p in self.weights.items()})
        self._after_step()
        self.mask_gradients()

    def before_masking(self, look: Look) -> None:
        """Have a function look at the gradients of the masked parameters in every step, before they are masked.

        Args:
            look: Called with name to gradient, None where there is none; after every evaluation of a closure.
        """
        self._looks.append(look)

    def remove(self) -> None:
        """Stop holding: the next step may change every weight."""
        for hook in self._hooks:
            hook.remove()
        for parameter in self.weights.values():
            if _holder_of(parameter) is self:
                del _HOLDERS[parameter]

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero now."""
        self._factors.mask_gradients()

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._masked_after_a_look()
        # args[0] is the optimizer itself; a closure computes gradients anew inside the step
        with_closure = [self._masking(x) if callable(x) else x for x in args[1:]]
        return (args[0], *with_closure), {k: self._masking(x) if callable(x) else x for k, x in kwargs.items()}

    def _masking(self, closure: Any) -> Any:
        def evaluate() -> Any:
            loss = closure()
            self._masked_after_a_look()
            return loss

        return evaluate

    def _masked_after_a_look(self) -> None:
        for look in self._looks:
            look({name: p.grad for name, p in self.weights.items()})
        self.mask_gradients()

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        state = (
            (p, x)
            for p in self._factors
            for x in self._optimizer.state.get(p, {}).values()
            if isinstance(x, Tensor) and x.shape == p.shape
        )
        self._factors.multiply_([*((p, p) for p in self._factors), *state])


def _unwrapped(optimizer: Any) -> Optimizer:
    """The optimizer that steps, inside of one that only passes calls on and so has no hooks, as accelerate's."""
    inside = optimizer
    while not hasattr(inside, "_optimizer_step_pre_hooks"):
        if not hasattr(inside, "optimizer"):
            raise PermaskError(
                f"expected an optimizer of torch, or a wrapper that holds one as its attribute optimizer; "
                f"got {type(optimizer).__module__}.{type(optimizer).__qualname__}"
            )
        inside = inside.optimizer
    return inside


# parameter to the handle that holds it
_HOLDERS: WeakIdKeyDictionary = WeakIdKeyDictionary()


def _holder_of(parameter: nn.Parameter) -> Hold | None:
    reference = _HOLDERS.get(parameter)
    return None if reference is None else reference()
