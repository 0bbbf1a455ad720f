"""The network half-way between some weights and a target's, and its loss."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from permask.inputs import in_mode
from permask.matching.descent import Weights

Loss = Callable[[nn.Module, Any], Tensor]


class Halfway(nn.Module):
    """The network between some weights and the target's, without touching either.

    BatchNorm normalises by each batch, as the running statistics of a mid-point mean nothing; all else is in
    evaluation mode.

    Args:
        target: The network at the other end.
        loss: Called as `loss(network, batch)`.
        weights_B: The target's parameters by name.
    """

    def __init__(self, target: nn.Module, loss: Loss, weights_B: Weights):
        super().__init__()
        self.network = target
        self._loss = loss
        self._weights_B = weights_B

    def forward(self, batch: Any) -> Tensor:
        """The loss of the network as it stands."""
        return self._loss(self.network, batch)

    def loss(self, weights: Mapping[str, Tensor], batch: Any) -> Tensor:
        """Loss of the mid-point on a batch."""
        middle = {f"network.{n}": ((x + self._weights_B[n]) / 2) for n, x in weights.items()}
        # batch statistics are used and the running ones discarded: what is written goes to copies
        buffers = {f"network.{n}": x.clone() for n, x in self.network.named_buffers()}
        with in_mode(self.network, training=False):
            for module in self.network.modules():
                module.training = isinstance(module, _BatchNorm)
            return functional_call(self, middle | buffers, (batch,))

    @torch.no_grad()
    def mean_loss(self, weights: Mapping[str, Tensor], batches: Sequence[Any]) -> float:
        """Mean over batches of the loss of the mid-point."""
        return sum(self.loss(weights, batch).item() for batch in batches) / len(batches)
