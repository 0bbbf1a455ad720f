"""Which weights to keep: masks made from scores, with exact counts."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from permask.batches import Batch
from permask.errors import NetworkError, PermaskError
from permask.mask import Mask, check_fits
from permask.masks.scope import Prunable, scope_of, weights_by_name
from permask.masks.sources import MaskOptions


def magnitude_mask(
    model: Prunable,
    sparsity: float,
    exclude: Sequence[str] = (),
    mask: Mask | None = None,
    *,
    include: Sequence[str] = (),
) -> Mask:
    """Keep the weights that are largest in absolute value, over all layers together (unstructured).

    The mask keeps exactly `round(size * (1 - sparsity))` weights, where `size` is the number of weights in the scope.
    Of equal magnitudes, the mask keeps those that come first, in the order of the network's parameters and of the
    positions inside them.

    Args:
        model: The network, or its `state_dict`.
        sparsity: The share of the scope to prune, in [0, 1).
        exclude: Shell patterns of the names of weights that stay dense. This argument is not used if `mask` is given.
        mask: An earlier mask to prune further. The new mask has the same scope, and what was pruned stays pruned.
        include: Shell patterns of the names of parameters to prune besides the weights of layers, such as embeddings.
            This argument is not used if `mask` is given.

    Raises:
        PermaskError: If the sparsity is outside [0, 1), or below that of the earlier mask.
        NetworkError: If the earlier mask does not fit the network, or weights are not finite.

    Example:
        ```python
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        mask = permask.magnitude_mask(model, 0.9)
        mask.apply_(model)
        ```
    """
    if mask is not None:
        check_fits(mask, weights_by_name(model))
    named = weights_by_name(model)
    weights = scope_of(model, exclude, include) if mask is None else {name: named[name] for name in mask}
    scores = {name: weight.detach().abs() for name, weight in weights.items()}
    return keep_largest(scores, sparsity, mask)


def by_magnitude(network: Prunable, batches: Sequence[Batch], sparsity: float, options: MaskOptions) -> Mask:
    """The mask source `magnitude`."""
    return magnitude_mask(network, sparsity, options.exclude, options.earlier, include=options.include)


def random_mask(
    model: Prunable, sparsity: float, seed: int, exclude: Sequence[str] = (), *, include: Sequence[str] = ()
) -> Mask:
    """Keep weights at random, over all layers together: every choice of `round(size * (1 - sparsity))` is as likely.

    Raises:
        PermaskError: A sparsity outside [0, 1), or nothing to prune.
    """
    weights = scope_of(model, exclude, include)
    check_sparsity(sparsity)
    sizes = [weight.numel() for weight in weights.values()]
    order = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed))
    kept = (order < kept_count(sum(sizes), sparsity)).split(sizes)
    return Mask({name: part.view(weights[name].shape) for name, part in zip(weights, kept, strict=True)})


def by_random(network: Prunable, batches: Sequence[Batch], sparsity: float, options: MaskOptions) -> Mask:
    """The mask source `random`."""
    return random_mask(network, sparsity, options.seed, options.exclude, include=options.include)


def random_mask_like(mask: Mask, seed: int) -> Mask:
    """Return a mask that keeps as many weights of every layer, at positions drawn uniformly at random."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = {
        name: kept.cpu().flatten()[torch.randperm(kept.numel(), generator=generator)].view(kept.shape)
        for name, kept in mask.items()
    }
    return Mask(shuffled)


def keep_largest(scores: Mapping[str, Tensor], sparsity: float, mask: Mask | None = None) -> Mask:
    """Keep exactly `round(size * (1 - sparsity))` of all entries: the largest ones, and of equal ones the first.

    Args:
        scores: Parameter name to scores of that parameter's shape.
        sparsity: The share to prune, in [0, 1).
        mask: An earlier mask. Entries that it prunes are never kept.

    Raises:
        PermaskError: If the sparsity is outside [0, 1), or below that of `mask`.
        NetworkError: If scores are not finite.
    """
    check_sparsity(sparsity)
    for name, score in scores.items():
        if not score.isfinite().all():
            what = "NaN" if score.isnan().any() else "infinite values"
            raise NetworkError(f"{name} holds {what}, so there is no order to prune it in")
    count = kept_count(sum(score.numel() for score in scores.values()), sparsity)
    if mask is not None and count > mask.count:
        raise PermaskError(
            f"sparsity {sparsity} keeps {count} weights, the earlier mask only has {mask.count} left: "
            f"ask for at least {mask.sparsity:.6g}"
        )
    flat = torch.cat([_alive(score, mask, name).flatten() for name, score in scores.items()])
    kept = largest(flat, count)
    sizes = [score.numel() for score in scores.values()]
    parts = zip(scores.items(), kept.split(sizes), strict=True)
    return Mask({name: part.view(score.shape) for (name, score), part in parts})


def kept_count(size: int, sparsity: float) -> int:
    """How many of `size` weights survive."""
    return round(size * (1 - sparsity))


def check_sparsity(sparsity: float) -> None:
    """Raise a `PermaskError` for a sparsity outside [0, 1)."""
    if not 0 <= sparsity < 1:
        raise PermaskError(f"sparsity: expected a share in [0, 1), got {sparsity}")


def _alive(score: Tensor, mask: Mask | None, name: str) -> Tensor:
    score = score.detach().to("cpu", score.dtype if score.element_size() > 4 else torch.float32)
    return score if mask is None else score.masked_fill(~mask[name].cpu(), -math.inf)


def largest(scores: Tensor, count: int) -> Tensor:
    """Of a vector, which are the `count` largest entries, ties by position; what is -inf comes last."""
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.kthvalue(len(scores) - count + 1).values
    kept = scores > threshold
    at_threshold = (scores == threshold).nonzero().squeeze(1)
    kept[at_threshold[: count - int(kept.sum())]] = True
    return kept
