"""How many floating-point operations a network of the studies takes."""

import json
from functools import cache

import torch

from permask.masks.cost import cost_of
from permask.training.networks import outline_network


@cache
def forward_flops(network: str, dtype: torch.dtype) -> int:
    """Operations of a forward pass over one input.

    Args:
        network: The arguments of `outline_network`, as JSON, which can be looked up.
        dtype: Of inputs.
    """
    arguments = json.loads(network)
    outline = outline_network(**arguments).to_empty(device="cpu")
    return cost_of(outline, (torch.zeros(1, *arguments["input_shape"], dtype=dtype),)).flops
