"""Give the weights that a mask keeps the spread that an initialisation would have given them."""

from typing import Literal

import torch
from torch import nn

from permask.mask import Mask, parameters_by_name

# a variance below this share of the mean square is rounding
NO_SPREAD = 1e-12


@torch.no_grad()
def rescale_fan_in(model: nn.Module, mask: Mask, per: Literal["neuron", "layer"] = "neuron") -> nn.Module:
    """Prune a network, and rescale the weights that are kept to mean 0 and variance 2 / fan-in of the mask.

    Let μ and σ² be the mean and variance of the kept weights of a neuron (one index of the weight's first dim) or of a
    layer. Then

        w ← (w − μ) · √(2 / (n σ²)),

    where n is the number of kept weights per neuron: of the neuron itself, or on average over the layer. This is the
    initialisation of He et al. 2015 with the fan-in that is left after pruning (Evci et al. 2022). Kept weights without
    any spread, such as the only one of a neuron, are not changed. The statistics of BatchNorm are not updated: call
    `reset_batchnorm` afterwards.

    Args:
        model: The network. It is changed in place.
        mask: The mask to prune by. Parameters with fewer than two dims are pruned, but not rescaled.
        per: Whether mean and variance are those of each neuron or of each layer.

    Returns:
        The same network.

    Raises:
        NetworkError: If the mask does not fit the network.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        mask = permask.magnitude_mask(model, 0.5)
        permask.rescale_fan_in(model, mask)
        permask.reset_batchnorm(model, [torch.randn(64, 4)])
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
