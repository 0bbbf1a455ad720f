"""REPAIR: give a merged network back the statistics of the networks that it was merged from.

Averaging two networks shrinks the variance of their activations, layer after layer. Jordan et al. 2022
(arXiv 2211.08403) rescale every channel of the merged network so that its mean and standard deviation are
interpolated between those of the end points, which lowers the barrier by a large factor.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils import _pytree as pytree

from permask.connectivity.batchnorm import Pooled, by_batch_statistics, run, set_statistics
from permask.errors import NetworkError
from permask.inputs import Example, Inputs
from permask.wrapped import observable

# a channel whose standard deviation is below 1e-5 of its root mean square is constant
CONSTANT = 1e-10


@torch.no_grad()
def repair(
    source: nn.Module,
    target: nn.Module,
    merged: nn.Module,
    batches: Iterable[Example],
    alpha: float = 0.5,
) -> nn.Module:
    """Rescale the channels of a merged network to the interpolated statistics of its end points, in place.

    For every BatchNorm, and every convolution or linear layer that no BatchNorm follows, but for the
    network's output: mean = (1 − α)·mean_source + α·mean_target, and the same for the standard deviation,
    over samples and positions. The correction is folded into the BatchNorm or into weight and bias (a
    layer without a bias gets one), so the result is a plain network. Pruned weights stay zero.

    Args:
        source: The network at α = 0, permuted to line up with the target.
        target: The network at α = 1.
        merged: A network between the two. Each of the three may be inside of a wrapper.
        batches: Inputs, each as `discover` takes them; they are read twice, so an iterator is kept in memory.
        alpha: Where `merged` lies between the two.

    Returns:
        The merged network.

    Raises:
        NetworkError: A layer whose weight is computed by a parametrization, networks of different architectures, or one
            whose code is closed, such as a scripted one.
        PermaskError: No batches.
    """
    batches = batches if isinstance(batches, Sequence) else list(batches)
    network = observable(merged)
    layers = _repaired_layers(network, batches[:1])
    goals = [_statistics(observable(model), layers, batches) for model in (source, target)]
    modules = {name: network.get_submodule(name) for name in layers}
    found = {name: Pooled() for name in layers}
    goal = {
        name: (
            torch.lerp(goals[0][name].mean, goals[1][name].mean, alpha),
            torch.lerp(goals[0][name].variance.sqrt(), goals[1][name].variance.sqrt(), alpha),
        )
        for name in layers
    }

    def correct(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        dim = _channel_dim(module)
        seen = inputs[0] if isinstance(module, _BatchNorm) else output
        of_batch = Pooled()
        of_batch.add_values(seen, dim)
        found[name].add(of_batch.mean, of_batch.variance, of_batch.count)
        if module.weight is None:  # a BatchNorm without an affine map
            return None
        scale, shift = (x.to(seen.dtype) for x in _correction(module, of_batch, *goal[name]))
        return (seen.movedim(dim, -1) * scale + shift).movedim(-1, dim)

    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    with by_batch_statistics(network, norms), _hooks(modules, correct):
        run(network, batches)
    for name, module in modules.items():
        if isinstance(module, _BatchNorm):
            _set_batchnorm(module, found[name], *goal[name])
        else:
            _fold(module, *_correction(module, found[name], *goal[name]))
    return merged


def _repaired_layers(model: nn.Module, batches: Sequence[Example]) -> list[str]:
    """Names of the layers to correct, found by running a small batch and following the tensors."""
    outputs: list[tuple[str, Tensor]] = []
    normalised: list[Tensor] = []

    def observe(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append((name, output))
        if isinstance(module, _BatchNorm):
            normalised.append(inputs[0])

    def final(_module: nn.Module, _inputs: Any, output: Any) -> None:
        normalised.extend(x for x in pytree.tree_leaves(output) if isinstance(x, Tensor))

    few = [Inputs.of(model, batch).map(lambda x: x[:2]) for batch in batches]
    kinds = (_BatchNorm, _ConvNd, nn.Linear)
    modules: dict[str, nn.Module] = {n: m for n, m in model.named_modules() if isinstance(m, kinds)}
    with by_batch_statistics(model, []), _hooks(modules, observe):
        hook = model.register_forward_hook(final)
        try:
            run(model, few)
        finally:
            hook.remove()
    left_out = {id(x) for x in normalised}
    layers = [n for n, x in outputs if id(x) not in left_out or isinstance(modules[n], _BatchNorm)]
    layers = list(dict.fromkeys(layers))
    for name in layers:
        if modules[name].weight is not None and "weight" not in modules[name]._parameters:
            raise NetworkError(
                f"{name}: its weight is computed from other tensors, so nothing can be folded into it: "
                "make it a plain weight first (prune.remove, parametrize.remove_parametrizations)"
            )
    return layers


def _statistics(model: nn.Module, layers: Sequence[str], batches: Iterable[Example]) -> dict[str, Pooled]:
    """Mean and variance of every layer's output channels, in evaluation mode."""
    found = {name: Pooled() for name in layers}
    modules = dict(model.named_modules())
    for name in layers:
        if name not in modules:
            raise NetworkError(f"{name}: the merged network has such a layer, the source or the target has none")

    def observe(name: str, module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found[name].add_values(output, _channel_dim(module))

    with by_batch_statistics(model, []), _hooks({name: modules[name] for name in layers}, observe):
        run(model, batches)
    return found


@contextmanager
def _hooks(modules: dict[str, nn.Module], hook: Callable[..., Tensor | None]) -> Iterator[None]:
    """Call `hook(name, module, inputs, output)` after every forward of some modules."""
    handles = [m.register_forward_hook(partial(hook, name)) for name, m in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _channel_dim(module: nn.Module) -> int:
    return -1 if isinstance(module, nn.Linear) else 1


def _correction(module: nn.Module, seen: Pooled, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift per channel that turn what was seen into the wanted mean and standard deviation.

    What a BatchNorm sees is its input, so its scale takes over the sign of the layer's weight.
    """
    constant = seen.variance <= CONSTANT * (seen.variance + seen.mean.square())
    scale = torch.where(constant, 1.0, deviation / seen.variance.sqrt())
    if isinstance(module, _BatchNorm):
        scale = scale * module.weight.sign()
    return scale, mean - seen.mean * scale


def _set_batchnorm(norm: _BatchNorm, seen: Pooled, mean: Tensor, deviation: Tensor) -> None:
    set_statistics(norm, seen)
    if norm.weight is not None:
        scale, _ = _correction(norm, seen, mean, deviation)
        norm.weight.copy_(scale * (seen.unbiased_variance + norm.eps).sqrt())
        norm.bias.copy_(mean)


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
