"""REPAIR: give a merged network back the statistics of the networks that it was merged from.

Averaging two networks shrinks the variance of their activations, layer after layer. Jordan et al. 2022
(arXiv 2211.08403) rescale every channel of the merged network so that its mean and standard deviation are
interpolated between those of the end points, which lowers the barrier by a large factor. The same holds for the
weighted mean of any number of networks.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd

from permask.connectivity.batchnorm import Pooled, by_batch_statistics, run, set_statistics
from permask.connectivity.channels import Channels, channel_dim, channel_statistics, hooks, repaired_layers
from permask.errors import PermaskError
from permask.inputs import Example
from permask.wrapped import observable

# a channel whose standard deviation is below 1e-5 of its root mean square is constant
CONSTANT = 1e-10


def repair(
    source: nn.Module,
    target: nn.Module,
    merged: nn.Module,
    batches: Iterable[Example],
    alpha: float = 0.5,
) -> nn.Module:
    """Rescale the channels of a merged network to the interpolated statistics of its two ends, in place.

    The function corrects every BatchNorm, and every convolution or linear layer that no BatchNorm follows, except the
    network's output and weights that several layers share. The new mean over samples and positions is (1 −
    α)·mean_source + α·mean_target, and likewise for the standard deviation (REPAIR, Jordan et al. 2022). The correction
    becomes part of the BatchNorm, or of weight and bias: a layer without a bias gets one. The result needs no hooks,
    and pruned weights stay zero.

    Args:
        source: The network at α = 0, permuted to line up with the target.
        target: The network at α = 1.
        merged: A network between the two. Each of the three may be wrapped.
        batches: Batches of inputs, each in any form that `discover` takes. They are read several times, so an iterator
            is kept in memory.
        alpha: The place of `merged` between the two.

    Returns:
        The merged network.

    Raises:
        NetworkError: If the weight of a layer is computed by a parametrization, the networks have different
            architectures, or modules cannot be observed, as in a scripted network.
        PermaskError: If there are no batches.
    """
    return repair_many([source, target], merged, batches, weights=(1 - alpha, alpha))


@torch.no_grad()
def repair_many(
    networks: Sequence[nn.Module],
    merged: nn.Module,
    batches: Iterable[Example],
    *,
    weights: Sequence[float] | None = None,
    new_biases: bool = True,
) -> nn.Module:
    """Rescale the channels of a merged network to the weighted statistics of any number of networks, in place.

    The new mean is Σ w_i·mean_i, and likewise for the standard deviation. Everything else is as in `repair`.

    Args:
        networks: The networks that were merged, permuted to line up with each other.
        merged: Their weighted mean.
        batches: Batches of inputs, as in `repair`. They are read once for every network, and once for the merged one.
        weights: The share of every network. The shares sum to 1, and are equal by default.
        new_biases: Whether a layer without a bias may get one. If not, such layers are not corrected, and the names of
            the merged network's tensors do not change.

    Returns:
        The merged network.

    Raises:
        NetworkError: For the same reasons as in `repair`.
        PermaskError: If there are no batches, a batch has a single value per channel of a BatchNorm, or the number of
            weights is not that of the networks.
    """
    shares = [1 / len(networks)] * len(networks) if weights is None else list(weights)
    if len(shares) != len(networks):
        raise PermaskError(f"weights: expected one for each of {len(networks)} networks, got {len(shares)}")
    batches = batches if isinstance(batches, Sequence) else list(batches)
    network = observable(merged)
    layers = repaired_layers(network, batches[:1], new_biases)
    modules = {name: network.get_submodule(name) for name in layers}
    goals = _means([channel_statistics(observable(end), layers, batches) for end in networks], shares)
    found = {name: Pooled() for name in layers}

    def see(name: str, module: nn.Module, values: Tensor) -> Pooled:
        of_batch = Pooled()
        of_batch.add_values(values, channel_dim(module))
        found[name].add(of_batch.mean, of_batch.variance, of_batch.count)
        return of_batch

    def correct_norm(name: str, norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        # before it runs, as an activation may be part of it
        of_batch = see(name, norm, inputs[0])
        _set_affine(norm, of_batch, of_batch.variance, goals[name])

    def correct(name: str, module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        dim = channel_dim(module)
        scale, shift = (x.to(output.dtype) for x in _correction(module, see(name, module, output), goals[name]))
        return (output.movedim(dim, -1) * scale + shift).movedim(-1, dim)

    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    normalising = {name: m for name, m in modules.items() if isinstance(m, _BatchNorm)}
    others = {name: m for name, m in modules.items() if name not in normalising}
    with (
        by_batch_statistics(network, norms),
        hooks(normalising, before=correct_norm),
        hooks(others, after=correct),
    ):
        run(network, batches)
    for name, norm in normalising.items():
        set_statistics(norm, found[name])
        _set_affine(norm, found[name], found[name].unbiased_variance, goals[name])
    for name, module in others.items():
        _fold(module, *_correction(module, found[name], goals[name]))
    return merged


def _means(found: Sequence[dict[str, Channels]], shares: Sequence[float]) -> dict[str, Channels]:
    """The weighted means of what several networks have."""
    return {
        name: Channels(
            _sum(shares, [one[name].mean for one in found]), _sum(shares, [one[name].deviation for one in found])
        )
        for name in found[0]
    }


def _sum(shares: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    return torch.stack([share * x for share, x in zip(shares, values, strict=True)]).sum(0)


def _correction(module: nn.Module, seen: Pooled, goal: Channels) -> tuple[Tensor, Tensor]:
    """Scale and shift per channel that turn what was seen into the wanted mean and standard deviation.

    What a BatchNorm sees is its input, so its scale takes over the sign of the layer's weight.
    """
    constant = seen.variance <= CONSTANT * (seen.variance + seen.mean.square())
    scale = torch.where(constant, 1.0, goal.deviation / seen.variance.sqrt())
    if isinstance(module, _BatchNorm):
        scale = scale * module.weight.sign()
    return scale, goal.mean - seen.mean * scale


def _set_affine(norm: _BatchNorm, seen: Pooled, variance: Tensor, goal: Channels) -> None:
    """Make a BatchNorm that divides by the root of a variance of what it saw return what is wanted."""
    if norm.weight is not None:
        scale, _ = _correction(norm, seen, goal)
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.bias.copy_(goal.mean)


def _fold(layer: nn.Module, scale: Tensor, shift: Tensor) -> None:
    """Make a convolution or linear layer return `scale * output + shift`."""
    weight: Tensor = layer.weight  # pyright: ignore[reportAssignmentType]
    if isinstance(layer, _ConvTransposeNd):  # [in, out / groups, ...]
        by_group = weight.unflatten(0, (layer.groups, -1))
        by_group.mul_(scale.view(layer.groups, 1, -1, *[1] * (weight.ndim - 2)))
    else:
        weight.mul_(scale.view(-1, *[1] * (weight.ndim - 1)))
    bias: Tensor | None = layer.bias  # pyright: ignore[reportAssignmentType]
    if bias is None:
        layer.bias = nn.Parameter(shift.to(weight))
    else:
        bias.copy_(bias * scale + shift)
