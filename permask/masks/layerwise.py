"""Masks whose layers are given their densities beforehand: uniform, or Erdős–Rényi kernel."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from permask.batches import Batch
from permask.mask import Mask
from permask.masks.scope import Prunable, scope_of
from permask.masks.scores import check_sparsity, keep_largest, kept_count
from permask.masks.sources import MaskOptions


def layer_magnitude_mask(
    model: Prunable, sparsity: float, exclude: Sequence[str] = (), *, include: Sequence[str] = ()
) -> Mask:
    """Keep the weights of every layer that are largest in absolute value: `round(size * (1 - sparsity))` of each layer.

    The order of equal weights, the scope and the errors are those of `magnitude_mask`.
    """
    kept: dict[str, Tensor] = {}
    for name, weight in scope_of(model, exclude, include).items():
        kept |= keep_largest({name: weight.detach().abs()}, sparsity)
    return Mask(kept)


def uniform_mask(
    model: Prunable, sparsity: float, seed: int, exclude: Sequence[str] = (), *, include: Sequence[str] = ()
) -> Mask:
    """Keep weights at random, the same share of every layer: `round(size * (1 - sparsity))` weights in all.

    Raises:
        PermaskError: If the sparsity is outside [0, 1), or there is nothing to prune.
    """
    weights = scope_of(model, exclude, include)
    check_sparsity(sparsity)
    densities = dict.fromkeys(weights, 1 - sparsity)
    return _scatter(weights, _counts(weights, densities, sparsity), seed)


def erk_mask(
    model: Prunable, sparsity: float, seed: int, exclude: Sequence[str] = (), *, include: Sequence[str] = ()
) -> Mask:
    """Keep weights at random, with the Erdős–Rényi kernel distribution (Evci et al. 2020, section 3).

    The density of a layer is proportional to the sum of its weight's dims divided by their product, so that small
    layers stay denser. A layer whose density would exceed 1 stays dense, and the other layers share what is left. In
    all, `round(size * (1 - sparsity))` weights are kept.

    Raises:
        PermaskError: If the sparsity is outside [0, 1), or there is nothing to prune.
    """
    weights = scope_of(model, exclude, include)
    check_sparsity(sparsity)
    raw = {name: sum(w.shape) / w.numel() for name, w in weights.items()}
    wanted = (1 - sparsity) * sum(w.numel() for w in weights.values())
    dense: set[str] = set()
    while True:
        free = [name for name in weights if name not in dense]
        left = wanted - sum(weights[name].numel() for name in dense)
        scale = left / sum(raw[name] * weights[name].numel() for name in free) if free else 0.0
        too_dense = {name for name in free if scale * raw[name] > 1}
        if not too_dense:
            break
        dense |= too_dense
    densities = {name: 1.0 if name in dense else scale * raw[name] for name in weights}
    return _scatter(weights, _counts(weights, densities, sparsity), seed)


def by_layer_magnitude(network: Prunable, batches: Sequence[Batch], sparsity: float, options: MaskOptions) -> Mask:
    """The mask source `layer-magnitude`."""
    return layer_magnitude_mask(network, sparsity, options.exclude, include=options.include)


def by_uniform(network: Prunable, batches: Sequence[Batch], sparsity: float, options: MaskOptions) -> Mask:
    """The mask source `uniform`."""
    return uniform_mask(network, sparsity, options.seed, options.exclude, include=options.include)


def by_erk(network: Prunable, batches: Sequence[Batch], sparsity: float, options: MaskOptions) -> Mask:
    """The mask source `erk`."""
    return erk_mask(network, sparsity, options.seed, options.exclude, include=options.include)


def _counts(weights: Mapping[str, Tensor], densities: Mapping[str, float], sparsity: float) -> dict[str, int]:
    """Whole numbers near size × density whose sum is exact: the largest remainders are rounded up."""
    exact = {name: weights[name].numel() * density for name, density in densities.items()}
    counts = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    missing = kept_count(sum(w.numel() for w in weights.values()), sparsity) - sum(counts.values())
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: max(0, missing)]:
        counts[name] += 1
    return counts


def _scatter(weights: Mapping[str, Tensor], counts: Mapping[str, int], seed: int) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    kept = {}
    for name, weight in weights.items():
        chosen = torch.zeros(weight.numel(), dtype=torch.bool)
        chosen[torch.randperm(weight.numel(), generator=generator)[: counts[name]]] = True
        kept[name] = chosen.view(weight.shape)
    return Mask(kept)
