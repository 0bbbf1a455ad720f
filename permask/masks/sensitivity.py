"""Masks at initialisation: which weights a loss, a gradient or a signal depends on most."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from permask.batches import Batch, cross_entropy
from permask.errors import NetworkError, PermaskError
from permask.inputs import Example, Inputs, in_mode
from permask.mask import Mask
from permask.masks.scope import scope_of
from permask.masks.scores import check_sparsity, keep_largest
from permask.masks.sources import MaskOptions
from permask.wrapped import plain, readable

# divides the outputs inside the loss of GraSP (Wang et al. 2020)
TEMPERATURE = 200.0

Loss = Callable[[nn.Module, Any], Tensor]


def snip_mask(
    model: nn.Module,
    sparsity: float,
    loss: Loss,
    batches: Iterable[Any],
    exclude: Sequence[str] = (),
    *,
    include: Sequence[str] = (),
) -> Mask:
    """Keep the weights with the largest |w · ∂L/∂w|, whose removal would change the loss most (Lee et al. 2019).

    The network runs in its current mode, and is not changed. The scope, the exact count and the order of equal scores
    are those of `magnitude_mask`.

    Args:
        model: The network, usually at initialisation.
        sparsity: The share of the scope to prune, in [0, 1).
        loss: A function that is called as `loss(network, batch)` and returns a scalar.
        batches: The batches that `loss` takes. Their gradients are added up.
        exclude: Shell patterns of the names of weights that stay dense, as in `magnitude_mask`.
        include: Shell patterns of the names of other parameters to prune, as in `magnitude_mask`.

    Raises:
        PermaskError: If the sparsity is outside [0, 1), or there are no batches.
        NetworkError: If gradients are not finite.
    """
    check_sparsity(sparsity)
    weights = _Weights(plain(model), loss, scope_of(model, exclude, include))
    total = {name: torch.zeros_like(w) for name, w in weights.free.items()}
    for batch in _some(batches):
        for name, gradient in weights.gradient(weights.loss(batch)).items():
            total[name] += gradient.detach()
    return keep_largest({n: (w * total[n]).detach().abs() for n, w in weights.free.items()}, sparsity)


def grasp_mask(
    model: nn.Module,
    sparsity: float,
    loss: Loss,
    batches: Iterable[Any],
    exclude: Sequence[str] = (),
    *,
    include: Sequence[str] = (),
) -> Mask:
    """Keep the weights with the largest w · Hg, whose removal would reduce the gradient's norm most (Wang et al. 2020).

    Here g is the gradient and H the Hessian of the loss, both summed over the batches. The paper divides the network's
    outputs by a temperature of 200 inside the loss. The arguments and errors are those of `snip_mask`.
    """
    check_sparsity(sparsity)
    batches = list(_some(batches))
    weights = _Weights(plain(model), loss, scope_of(model, exclude, include))
    g = {name: torch.zeros_like(w) for name, w in weights.free.items()}
    for batch in batches:
        for name, gradient in weights.gradient(weights.loss(batch)).items():
            g[name] += gradient.detach()
    product = {name: torch.zeros_like(w) for name, w in weights.free.items()}
    with sdpa_kernel(SDPBackend.MATH):  # other kernels of attention cannot be differentiated twice
        for batch in batches:
            gradient = weights.gradient(weights.loss(batch), create_graph=True)
            along = sum((gradient[name] * g[name]).sum() for name in g)
            assert isinstance(along, Tensor)
            for name, hg in weights.gradient(along).items():
                product[name] += hg.detach()
    return keep_largest({n: (w * product[n]).detach() for n, w in weights.free.items()}, sparsity)


def synflow_mask(
    model: nn.Module,
    sparsity: float,
    example_inputs: Example,
    rounds: int = 100,
    exclude: Sequence[str] = (),
    *,
    include: Sequence[str] = (),
) -> Mask:
    """Keep the weights with the largest w · ∂R/∂w, which carry most of the signal, without data (Tanaka et al. 2020).

    R is the sum of the network's outputs, computed with the absolute values of all weights, in evaluation mode and
    double precision. All inputs are ones; token inputs are token 1. Pruning takes several rounds, so that no layer
    loses all of its weights: after round k, the density is (1 − sparsity)^(k / rounds).

    Args:
        model: The network. It is not changed.
        sparsity: The share of the scope to prune, in [0, 1).
        example_inputs: Inputs that give the shapes, in any form that `discover` takes.
        rounds: The number of rounds.
        exclude: Shell patterns of the names of weights that stay dense, as in `magnitude_mask`.
        include: Shell patterns of the names of other parameters to prune, as in `magnitude_mask`.

    Raises:
        PermaskError: If the sparsity is outside [0, 1), or there are no rounds.
        NetworkError: If the signal is not a finite number.
    """
    check_sparsity(sparsity)
    if rounds < 1:
        raise PermaskError(f"rounds: expected at least 1, got {rounds}")
    model = readable(model)
    scope = scope_of(model, exclude, include)
    state = {name: x.detach().abs().double() if x.is_floating_point() else x for name, x in model.state_dict().items()}
    ones = Inputs.of(model, example_inputs).map(lambda x: torch.ones_like(x[:1])).double()
    mask: Mask | None = None
    with in_mode(model, training=False):
        for k in range(1, rounds + 1):
            free = {
                name: (state[name] if mask is None else state[name] * mask[name].to(state[name].device))
                .clone()
                .requires_grad_()
                for name in scope
            }
            output = functional_call(model, {**state, **free}, ones.args, dict(ones.kwargs))
            signal = sum(x.sum() for x in pytree.tree_leaves(output) if isinstance(x, Tensor))
            assert isinstance(signal, Tensor)
            if not signal.isfinite():
                raise NetworkError(
                    "the signal that SynFlow follows is not finite: the weights are too large, or divided by their norm"
                )
            gradient = torch.autograd.grad(signal, list(free.values()), allow_unused=True)
            scores = {
                name: torch.zeros_like(w) if g is None else (w * g).detach()
                for (name, w), g in zip(free.items(), gradient, strict=True)
            }
            mask = keep_largest(scores, 1 - (1 - sparsity) ** (k / rounds), mask)
    assert mask is not None
    return mask


def by_snip(network: nn.Module, batches: Sequence[Batch], sparsity: float, options: MaskOptions) -> Mask:
    """The mask source `snip`."""
    return snip_mask(network, sparsity, cross_entropy, batches, options.exclude, include=options.include)


def by_grasp(network: nn.Module, batches: Sequence[Batch], sparsity: float, options: MaskOptions) -> Mask:
    """The mask source `grasp`."""
    loss = partial(cross_entropy, temperature=TEMPERATURE)
    return grasp_mask(network, sparsity, loss, batches, options.exclude, include=options.include)


def by_synflow(network: nn.Module, batches: Sequence[Batch], sparsity: float, options: MaskOptions) -> Mask:
    """The mask source `synflow`."""
    return synflow_mask(network, sparsity, batches[0].given, exclude=options.exclude, include=options.include)


class _Weights(nn.Module):
    """Copies of a network's weights to differentiate a loss by; the network itself is not touched."""

    def __init__(self, model: nn.Module, loss: Loss, scope: Mapping[str, Tensor]):
        super().__init__()
        self.network = model
        self._loss = loss
        self.free = {n: w.detach().clone().requires_grad_() for n, w in scope.items()}

    def forward(self, batch: Any) -> Tensor:
        return self._loss(self.network, batch)

    def loss(self, batch: Any) -> Tensor:
        # what the forward pass writes to buffers goes to copies
        state = {f"network.{n}": x.clone() for n, x in self.network.named_buffers()}
        state |= {f"network.{n}": w for n, w in self.free.items()}
        return functional_call(self, state, (batch,))

    def gradient(self, value: Tensor, create_graph: bool = False) -> dict[str, Tensor]:
        gradients = torch.autograd.grad(value, list(self.free.values()), create_graph=create_graph, allow_unused=True)
        return {
            n: torch.zeros_like(w) if g is None else g for (n, w), g in zip(self.free.items(), gradients, strict=True)
        }


def _some(batches: Iterable[Any]) -> Iterable[Any]:
    seen = False
    for batch in batches:
        seen = True
        yield batch
    if not seen:
        raise PermaskError("there is no data to score weights on: expected at least one batch, got none")
