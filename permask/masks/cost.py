"""What a network costs: parameters, bytes, and floating-point operations, dense or under a mask."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils.flop_counter import FlopCounterMode

from permask.mask import Mask
from permask.wrapped import readable


@dataclass(frozen=True)
class Cost:
    """The cost of a network.

    Attributes:
        parameters: The number of parameters that are not pruned.
        bytes: The size of parameters and buffers. A tensor under a mask is counted as a bitmap and the values that are
            kept.
        flops: The number of floating-point operations of one forward pass over one sample, two for each multiply-add.
            `torch.utils.flop_counter` counts them in convolutions, matrix products and attention. Pruning saves its
            share of the operations of convolutions and linear layers, and nothing elsewhere.
    """

    parameters: int
    bytes: int
    flops: int


@torch.no_grad()
def cost_of(network: nn.Module, example: Sequence[Tensor], mask: Mask | None = None) -> Cost:
    """Measure the cost of a network; with a mask, on hardware that skips every zero.

    Args:
        network: The network.
        example: The network's inputs, with any number of samples along their first dim.
        mask: The mask that prunes the network, or None.

    Raises:
        NetworkError: If the mask does not fit the network.
    """
    network = readable(network)
    pruned = {name: kept.numel() - int(kept.sum()) for name, kept in (mask or {}).items()}
    if mask is not None:
        mask.check(network)
    state = network.state_dict()
    bitmaps = sum(math.ceil(state[name].numel() / 8) for name in pruned)
    saved = sum(count * state[name].element_size() for name, count in pruned.items())
    total, uses = _operations(network, [x[:1] for x in example])
    return Cost(
        parameters=sum(p.numel() for p in network.parameters()) - sum(pruned.values()),
        bytes=sum(x.numel() * x.element_size() for x in state.values()) + bitmaps - saved,
        flops=total - 2 * sum(count * uses.get(name, 0) for name, count in pruned.items()),
    )


def _operations(network: nn.Module, example: Sequence[Tensor]) -> tuple[int, dict[str, int]]:
    """All operations of a forward pass, and for every weight of a layer how often each of its entries is used."""
    uses: dict[str, int] = {}

    def observe(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, _ConvNd):
            seen = inputs[0] if isinstance(module, _ConvTransposeNd) else output
            positions = math.prod(seen.shape[2:])
        else:
            positions = math.prod(output.shape[:-1])
        uses[name] = uses.get(name, 0) + positions

    copied = copy.deepcopy(network).eval()  # hooks of its own, and buffers that a forward pass may change
    for name, module in copied.named_modules():
        if isinstance(module, _ConvNd | nn.Linear):
            module.register_forward_hook(partial(observe, f"{name}.weight".lstrip(".")))
    with FlopCounterMode(display=False) as counter:
        copied(*example)
    return counter.get_total_flops(), uses
