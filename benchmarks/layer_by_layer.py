"""The published procedure of matching by activations in plain form: the reference that `matching.py` times."""

from contextlib import suppress

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn


class Reached(Exception):
    """Raised to leave a forward pass at the layer that was wanted."""


@torch.no_grad()
def correlations(
    networks: list[nn.Module], batches: list[Tensor], layers: dict[str, str], stop: bool = False
) -> dict[str, np.ndarray]:
    """For some layers, under the name of the weight that their units order, how they correlate; from one pass."""
    kept: dict[str, list[Tensor]] = {layer: [] for layer in layers}

    def keep(layer: str, y: Tensor) -> None:
        kept[layer].append(torch.relu(y).transpose(0, 1).flatten(1))
        if stop:
            raise Reached

    hooks = [
        network.get_submodule(layer).register_forward_hook(lambda _module, _inputs, y, layer=layer: keep(layer, y))
        for network in networks
        for layer in layers
    ]
    pooled = {layer: Pooled() for layer in layers}
    for batch in batches:
        for network in networks:
            with suppress(Reached):
                network(batch)
        for layer, ends in kept.items():
            pooled[layer].add(*ends)
            ends.clear()
    for hook in hooks:
        hook.remove()
    return {weight: pooled[layer].correlation() for layer, weight in layers.items()}


class Pooled:
    """Sums over batches, in float64, of what both networks show at one layer."""

    def __init__(self) -> None:
        self.sums, self.squares, self.cross, self.count = [0.0, 0.0], [0.0, 0.0], 0.0, 0

    def add(self, *ends: Tensor) -> None:
        """Add what the source and the target show on a batch, `[units, samples × positions]`."""
        for i, z in enumerate(ends):
            self.sums[i] = self.sums[i] + z.sum(1).double()
            self.squares[i] = self.squares[i] + z.square().sum(1).double()
        self.cross = self.cross + (ends[1] @ ends[0].T).double()
        self.count += ends[0].shape[1]

    def correlation(self) -> np.ndarray:
        """Pearson correlation of every target unit with every source unit; 0 where it is undefined."""
        mean = [s / self.count for s in self.sums]
        deviation = [(q / self.count - m.square()).clamp(min=0).sqrt() for q, m in zip(self.squares, mean, strict=True)]
        covariance = self.cross / self.count - torch.outer(mean[1], mean[0])
        return np.nan_to_num((covariance / torch.outer(deviation[1], deviation[0])).numpy(), posinf=0, neginf=0)


def layer_by_layer(
    networks: list[nn.Module], batches: list[Tensor], layers: dict[str, str], stop: bool = False
) -> dict[str, np.ndarray]:
    """For every group its permutation, each from passes of its own over the data."""
    found = {}
    for layer, weight in layers.items():
        (score,) = correlations(networks, batches, {layer: weight}, stop).values()
        found[weight] = linear_sum_assignment(score, maximize=True)[1]
    return found
