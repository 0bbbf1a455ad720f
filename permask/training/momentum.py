"""SGD with momentum over a network's parameters, for the loop.

The arithmetic is that of `torch.optim.SGD(fused=True)`, without its bookkeeping, which takes a quarter of a step of a
small network. Where weight, momentum and gradient are 0, SGD leaves 0: a mask costs one product per step.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from permask.mask import Mask
from permask.masks.factors import Factors


class MomentumSGD:
    """Updates the parameters of a network from their gradients; what a mask prunes is and stays 0.

    Args:
        model: The network, on its device; its pruned weights are set to zero at once.
        momentum: The factor of the momentum, in [0, 1).
        weight_decay: Added to the gradient times the weight.
        mask: Which weights to keep; None for all.
        buffers: The momentum so far, by parameter name; zero where it is missing.

    Attributes:
        buffers: The momentum by parameter name, changed in place by every step; empty if its factor is 0.
    """

    def __init__(
        self,
        model: nn.Module,
        momentum: float,
        weight_decay: float,
        *,
        mask: Mask | None = None,
        buffers: Mapping[str, Tensor] | None = None,
    ):
        named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.buffers: dict[str, Tensor] = {}
        if momentum:
            self.buffers = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
            for name, buffer in (buffers or {}).items():
                self.buffers[name].copy_(buffer)
        if mask is not None:
            mask.apply_(model)
        self._factors = Factors({named[name]: kept for name, kept in (mask or {}).items() if name in named})
        momentum_of = {parameter: self.buffers.get(name) for name, parameter in named.items()}
        self._factors.multiply_((parameter, momentum_of[parameter]) for parameter in self._factors)
        self._rows = list(momentum_of.items())
        self._momentum, self._weight_decay = momentum, weight_decay

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Take a step with every parameter that has a gradient, and drop the gradients."""
        rows = [row for row in self._rows if row[0].grad is not None]
        gradients: Any = [parameter.grad for parameter, _ in rows]
        self._factors.mask_gradients()
        sgd(
            [parameter for parameter, _ in rows],
            gradients,
            [buffer for _, buffer in rows],
            fused=True,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        for parameter, _ in rows:
            parameter.grad = None
