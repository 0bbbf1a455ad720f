"""SGD with momentum over a network's parameters, for the loop.

The arithmetic is that of `torch.optim.SGD(fused=True)`, without its bookkeeping, which takes a quarter of a step of a
small network. Where weight, momentum and gradient are 0, SGD leaves 0: a mask costs one product per step.
"""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.sgd import sgd

from permask.mask import Mask
from permask.masks.factors import Factors
from permask.masks.hold import Look
from permask.masks.storage import Storage


class MomentumSGD:
    """Updates the parameters of a network from their gradients; what a mask prunes is and stays 0.

    Args:
        model: The network, on its device; its pruned weights are set to zero at once.
        momentum: The factor of the momentum, in [0, 1).
        weight_decay: Added to the gradient times the weight.
        mask: Which weights to keep; None for all.
        buffers: The momentum so far, by parameter name; zero where it is missing.
        clip: The largest norm of the gradient of all parameters, once it is masked; None does not clip.

    Attributes:
        mask: What is pruned now.
        weights: The masked parameters by name.
        state: The momentum by parameter name, changed in place by every step; empty if its factor is 0.
    """

    def __init__(
        self,
        model: nn.Module,
        momentum: float,
        weight_decay: float,
        *,
        mask: Mask | None = None,
        buffers: Mapping[str, Tensor] | None = None,
        clip: float | None = None,
    ):
        named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._named = named
        self.state: dict[str, Tensor] = {}
        if momentum:
            self.state = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
            for name, buffer in (buffers or {}).items():
                self.state[name].copy_(buffer)
        self._model, self._momentum, self._weight_decay, self._clip = model, momentum, weight_decay, clip
        self._momentum_of = {parameter: self.state.get(name) for name, parameter in named.items()}
        self._rows = list(self._momentum_of.items())
        self._looks: list[Look] = []
        mask = mask or Mask({})
        self.weights = {name: named[name] for name in mask if name in named}
        self.update(mask)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """There is nothing to let go."""

    def update(self, mask: Mask) -> None:
        """Prune by another mask from now on; what it regrows starts at zero, with zero momentum."""
        mask.apply_(self._model)
        self.mask = mask
        self._factors = Factors({parameter: mask[name] for name, parameter in self.weights.items()})
        with torch.no_grad():
            self._factors.multiply_((parameter, self._momentum_of[parameter]) for parameter in self._factors)

    def before_masking(self, look: Look) -> None:
        """Have a function look at the gradients of the masked parameters in every step, before they are masked."""
        self._looks.append(look)

    @torch.no_grad()
    def move_into(self, storage: Storage) -> None:
        """Keep momentum and mask in tensors that stay where they are when another network is trained."""
        self.state = {name: storage.keep(f"momentum/{name}", buffer) for name, buffer in self.state.items()}
        self._momentum_of = {parameter: self.state.get(name) for name, parameter in self._named.items()}
        self._rows = list(self._momentum_of.items())
        self._factors.move_into(storage)

    @property
    def pruned(self) -> tuple[str, ...]:
        """The parameters that a step masks."""
        masked = {id(parameter) for parameter in self._factors}
        return tuple(name for name, parameter in self.weights.items() if id(parameter) in masked)

    @property
    def factors(self) -> int:
        """How many tensors of factors there are: one for each of `pruned`, if gradients have their layout."""
        return self._factors.made

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor) -> None:
        """Take a step with every parameter that has a gradient, and drop the gradients.

        Args:
            learning_rate: Of this step; a scalar tensor on the device where the step is recorded to be replayed.
        """
        rows = [row for row in self._rows if row[0].grad is not None]
        gradients: Any = [parameter.grad for parameter, _ in rows]
        for look in self._looks:
            look({name: parameter.grad for name, parameter in self.weights.items()})
        self._factors.mask_gradients()
        if self._clip is not None:
            clip_grad_norm_([parameter for parameter, _ in rows], self._clip)
        sgd(
            [parameter for parameter, _ in rows],
            gradients,
            [buffer for _, buffer in rows],
            fused=True,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=learning_rate,  # pyright: ignore[reportArgumentType]
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        for parameter, _ in rows:
            parameter.grad = None
