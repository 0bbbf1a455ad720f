"""Keep pruned weights at exactly zero while any optimizer trains the others."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from permask.display import card
from permask.errors import PermaskError
from permask.mask import Mask, parameters_by_name
from permask.masks.places import Place, hold_at, let_go, place_at, spots_of, standing
from permask.masks.steps import Steps

WRAPPED = 8  # wrappers of an optimizer that are looked into, at most
Look = Callable[[Mapping[str, Tensor | None]], None]


def hold_mask(model: nn.Module, mask: Mask, optimizer: Optimizer) -> "Hold":
    """Prune a network now, and keep it pruned in every step of an optimizer.

    After each step, pruned weights, their gradients and their optimizer state (every state tensor of the parameter's
    shape) are exactly zero, even if a gradient is infinite or NaN. Gradients are masked at the beginning of a step and
    after every evaluation of a closure; weights and state are masked at the end. If you clip gradients, call
    `handle.mask_gradients()` first, so that pruned weights do not count in their norm.

    The mask is held until `handle.remove()`. It also holds in parameters that are added to the optimizer, and in the
    steps of any other optimizer of masked parameters. A deep copy of the network cannot be trained until a mask is held
    in the copy as well.

    Args:
        model: The network, which may be wrapped, for example by DDP or `torch.compile`. Its pruned weights become zero
            at once.
        mask: The mask to prune by.
        optimizer: Any `torch.optim` optimizer of the network's parameters, which accelerate may have wrapped.

    Returns:
        A handle. `handle.update(mask)` changes the mask. `handle.remove()` stops holding the weights, as does the end
        of a `with` block.

    Raises:
        NetworkError: If the mask does not fit the network.
        PermaskError: If the optimizer has none of the masked parameters, one of them is held already, or the optimizer
            is neither torch's nor a wrapper of one.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        mask = permask.magnitude_mask(model, 0.5)
        handle = permask.hold_mask(model, mask, optimizer)
        for _ in range(3):
            inputs, labels = torch.randn(16, 4), torch.randint(3, (16,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        handle.remove()
        ```
    """
    mask.check(model)
    return Hold(model, mask, _unwrapped(optimizer))


class Hold:
    """The handle that `hold_mask` returns. As a context manager, it removes itself at the end of the block.

    Attributes:
        mask: The current mask.
        weights: The masked parameters that the optimizer trains, by name.
    """

    def __init__(self, model: nn.Module, mask: Mask, optimizer: Optimizer):
        self._parameters, self._spots = parameters_by_name(model), spots_of(model)
        self._model, self._optimizer, self.mask = model, optimizer, mask
        trained = self._trained()
        if not trained and mask.count < mask.size:
            raise PermaskError("the optimizer has none of the masked parameters: was it made for another network?")
        for name in trained:
            place = place_at(self._spots[name])
            if place is not None and place.is_watched:
                raise PermaskError(
                    f"{name} is held already: change the mask by handle.update(mask), or call handle.remove() first"
                )
        self._hold = object()  # by which places know this, and do not keep the network in memory
        self._looks: list[Look] = []
        for name in mask:
            place = place_at(self._spots[name])
            if place is None or not place.is_watched:
                hold_at(self._spots[name], Place(name, mask[name], self._hold))
        self._prune()
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]

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

        Weights that the new mask prunes are zero at once, with their gradients and their optimizer state. Weights that
        it keeps again also start from zero, and are trained.

        Raises:
            NetworkError: If the mask does not fit the network.
            PermaskError: If the new mask has other parameters than the old one, or parameters of the network were
                replaced.
        """
        if mask.keys() != self.mask.keys():
            other = min(mask.keys() ^ self.mask.keys())
            raise PermaskError(
                f"expected a mask of the same parameters as the one that is held; {other} is in one only"
            )
        self._check_standing()
        mask.check(self._model)
        self.mask = mask
        self._prune()

    def before_masking(self, look: Look) -> None:
        """Call a function in every step with the gradients of the masked parameters, before they are masked.

        Args:
            look: The function. It gets a mapping from name to gradient, or to None for a parameter without one. It is
                called after every evaluation of a closure.
        """
        self._looks.append(look)

    def remove(self) -> None:
        """Stop holding the mask: the next step of any optimizer may change every weight."""
        for hook in self._hooks:
            hook.remove()
        let_go(self._hold)

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero now."""
        self._steps.mask_gradients()

    def _trained(self) -> dict[str, nn.Parameter]:
        """The masked parameters that the optimizer trains, by name."""
        stepped = {id(p) for group in self._optimizer.param_groups for p in group["params"]}
        self._count = _count(self._optimizer)
        return {name: self._parameters[name] for name in self.mask if id(self._parameters[name]) in stepped}

    def _prune(self) -> None:
        """Set to zero what the mask prunes, and keep it there in the steps of the optimizer."""
        self.mask.apply_(self._model)
        self.weights = {}
        trained, watched = self._trained(), weakref.ref(self._optimizer)
        for name in self.mask:
            place = place_at(self._spots[name])
            if place is not None and place.hold is self._hold:
                optimizer = watched if name in trained else None
                hold_at(self._spots[name], Place(name, self.mask[name], self._hold, optimizer))
                self.weights |= {name: trained[name]} if name in trained else {}
        self._steps = Steps({p: self.mask[name] for name, p in self.weights.items()}, self._looked_at)
        self._steps.end(self._optimizer)
        self._steps.mask_gradients()

    def _check_standing(self) -> None:
        """Raise a `PermaskError` if another parameter stands where one that the optimizer trains did."""
        for name, parameter in self.weights.items():
            if (there := standing(self._spots[name])) is not None and there is not parameter:
                raise PermaskError(
                    f"{name} was replaced by another parameter, as load_state_dict(assign=True) does, and the "
                    "optimizer does not train that: call handle.remove(), make the optimizer anew from "
                    "model.parameters(), and call permask.hold_mask with it"
                )

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._check_standing()
        if _count(optimizer) != self._count:
            self._prune()  # parameters were added
        return self._steps.begin(args, kwargs)

    def _after_step(self, *_: Any) -> None:
        self._steps.end(self._optimizer)

    def _looked_at(self) -> None:
        for look in self._looks:
            look({name: p.grad for name, p in self.weights.items()})


def _unwrapped(optimizer: Any) -> Optimizer:
    """The optimizer that steps, inside of one that only passes calls on and so has no hooks, as accelerate's."""
    inside = optimizer
    for _ in range(WRAPPED):
        if isinstance(inside, Optimizer) and hasattr(inside, "_optimizer_step_pre_hooks"):
            return inside
        inside = getattr(inside, "optimizer", None)
    raise PermaskError(
        f"expected an optimizer of torch, or a wrapper that holds one as its attribute optimizer; "
        f"got {type(optimizer).__module__}.{type(optimizer).__qualname__}"
    )


def _count(optimizer: Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)
