"""The layers whose channels REPAIR corrects, and the statistics of these channels."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils import _pytree as pytree

from permask.connectivity.batchnorm import Pooled, by_batch_statistics, run
from permask.errors import NetworkError
from permask.inputs import Example, Inputs


@dataclass(frozen=True)
class Channels:
    """Mean and standard deviation of every channel of a layer, over samples and positions."""

    mean: Tensor
    deviation: Tensor


def repaired_layers(model: nn.Module, batches: Sequence[Example], new_biases: bool) -> list[str]:
    """Names of the layers to correct, found by running a small batch and following the tensors.

    Every BatchNorm, and every convolution or linear layer that no BatchNorm follows, but for the network's output and
    for weights that several layers share.

    Args:
        model: The network.
        batches: Inputs.
        new_biases: Whether layers without a bias are among them.

    Raises:
        NetworkError: A layer whose weight is computed by a parametrization.
    """
    uses = Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
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
    modules: dict[str, nn.Module] = {
        n: m
        for n, m in model.named_modules()
        if isinstance(m, kinds) and all(uses[id(p)] == 1 for p in m.parameters(recurse=False))
    }
    with by_batch_statistics(model, []), hooks(modules, after=observe):
        hook = model.register_forward_hook(final)
        try:
            run(model, few)
        finally:
            hook.remove()
    left_out = {id(x) for x in normalised}
    layers = [
        name
        for name, x in outputs
        if isinstance(modules[name], _BatchNorm)
        or (id(x) not in left_out and (new_biases or modules[name].bias is not None))
    ]
    layers = list(dict.fromkeys(layers))
    for name in layers:
        if modules[name].weight is not None and "weight" not in modules[name]._parameters:
            raise NetworkError(
                f"{name}: its weight is computed from other tensors, so nothing can be folded into it: "
                "make it a plain weight first (prune.remove, parametrize.remove_parametrizations)"
            )
    return layers


def channel_statistics(model: nn.Module, layers: Sequence[str], batches: Iterable[Example]) -> dict[str, Channels]:
    """Mean and standard deviation of every layer's output channels, in evaluation mode.

    Raises:
        NetworkError: The network lacks one of the layers.
        PermaskError: No batches.
    """
    found = {name: Pooled() for name in layers}
    modules = dict(model.named_modules())
    for name in layers:
        if name not in modules:
            raise NetworkError(f"{name}: the merged network has such a layer, the source or the target has none")

    def observe(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found[name].add_values(inputs[0] if isinstance(module, _BatchNorm) else output, channel_dim(module))

    with by_batch_statistics(model, []), hooks({name: modules[name] for name in layers}, after=observe):
        run(model, batches)
    return {name: _output_of(modules[name], found[name]) for name in layers}


def _output_of(module: nn.Module, seen: Pooled) -> Channels:
    """The statistics of a layer's output; of a BatchNorm by those of its input, as an activation may be part of it."""
    mean, deviation = seen.mean, seen.variance.sqrt()
    if isinstance(module, _BatchNorm):
        if module.running_mean is None or module.running_var is None:
            mean, deviation = torch.zeros_like(mean), (seen.variance / (seen.variance + module.eps)).sqrt()
        else:
            inverse = (module.running_var.double() + module.eps).rsqrt()
            mean, deviation = (mean - module.running_mean) * inverse, deviation * inverse
        if module.weight is not None:
            mean, deviation = mean * module.weight + module.bias, deviation * module.weight.abs()
    return Channels(mean, deviation)


@contextmanager
def hooks(
    modules: Mapping[str, nn.Module],
    *,
    before: Callable[..., None] | None = None,
    after: Callable[..., Tensor | None] | None = None,
) -> Iterator[None]:
    """Call `before(name, module, inputs)` and `after(name, module, inputs, output)` whenever some modules run."""
    handles = [m.register_forward_pre_hook(partial(before, name)) for name, m in modules.items() if before]
    handles += [m.register_forward_hook(partial(after, name)) for name, m in modules.items() if after]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def channel_dim(module: nn.Module) -> int:
    """The dim of a layer's output along which its channels lie."""
    return -1 if isinstance(module, nn.Linear) else 1
