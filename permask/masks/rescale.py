"""Give the weights that a mask keeps the spread that an initialisation would have given them."""

from typing import Literal

import torch
from torch import nn

from permask.mask import Mask, parameters_by_name

# a variance below this share of the mean square is rounding
NO_SPREAD = 1e-12


@torch.no_grad()
def rescale_fan_in(model: nn.Module, mask: Mask, per: Literal["neuron", "layer"] = "neuron") -> nn.Module:
    """Prune a network; re-centre and rescale the survivors to mean 0 and variance 2 / fan-in of the mask.

    With mean μ and variance σ² over the survivors of a neuron (an index of the weight's first dim) or of a layer,

        w ← (w − μ) · √(2 / (n σ²)),

    where n is the number of survivors per neuron: of the neuron itself, or on average over the layer. That is the
    initialisation of He et al. 2015 with the fan-in that pruning leaves (Evci et al. 2022). Survivors without spread,
    such as the only one of a neuron, stay as they are. BatchNorm statistics do not follow: call `reset_batchnorm`.

    Args:
        model: The network, changed in place.
        mask: What to prune; parameters with fewer than two dims are pruned and not rescaled.
        per: Over what mean and variance are taken.

    Returns:
        The same network.

    Raises:
        NetworkError: The mask does not fit the network.

    Example:
        ```python
        permask.rescale_fan_in(model, mask)
        permask.reset_batchnorm(model, batches)
        ```
    """
    mask.apply_(model)
    parameters = parameters_by_name(model)
    for name, kept in mask.items():
        weight = parameters[name]
        if weight.ndim < 2:
            continue
        rows = len(weight) if per == "neuron" else 1
        w, m = weight.double().reshape(rows, -1), kept.to(weight.device, torch.float64).reshape(rows, -1)
        count = m.sum(1, keepdim=True).clamp(min=1)
        centred = (w - w.sum(1, keepdim=True) / count) * m
        variance = centred.square().sum(1, keepdim=True) / count
        fan_in = count * rows / len(weight)
        scaled = centred * (2 / (fan_in * variance)).sqrt()
        has_spread = variance > NO_SPREAD * w.square().sum(1, keepdim=True) / count
        weight.copy_(torch.where(has_spread, scaled, w).reshape(weight.shape))
    return model
