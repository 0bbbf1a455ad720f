"""Whether a symmetry leaves a network's function unchanged: a second opinion beside `permask.verify`."""

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from permask.groups import Group
from permask.permutation import Permutation
from permask.symmetry import Symmetry

TOLERANCE = 1e-9


def randomise_(network: nn.Module, seed: int = 0) -> None:
    """Draw weights and running statistics afresh: zeros and ones would hide permutations that are wrong.

    Matrices keep the scale of their signals (standard deviation 1 / sqrt(fan in)); other buffers stay.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    for name, x in network.state_dict().items():
        if name not in parameters and "running_" not in name:
            continue
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        if "running_var" in name:
            x.copy_(0.5 + noise.abs())
        elif x.ndim > 1:
            x.copy_(noise / x[0].numel() ** 0.5)
        else:
            x.copy_(x + noise / 3)


@torch.no_grad()
def outputs(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Every tensor that a network returns."""
    return [x.double() for x in _pytree.tree_leaves(network(*inputs)) if isinstance(x, Tensor)]


def change(permutation: Permutation, network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Largest change of an output by a permutation, relative to the range of its entries (or to a lone entry)."""
    before, after = outputs(network, inputs), outputs(permutation.apply(network), inputs)
    return max(_change(x, y) for x, y in zip(before, after, strict=True) if x.numel())


def _change(x: Tensor, y: Tensor) -> float:
    spread = float(x.max() - x.min()) if x.numel() > 1 else float(x.abs())
    difference = float((x - y).abs().max())
    return difference / spread if spread else math.inf if difference else 0.0


def worst_change(symmetry: Symmetry, network: nn.Module, inputs: tuple[Tensor, ...], draws: int = 3) -> float:
    """Largest relative change of an output over random elements of a symmetry."""
    return max(change(symmetry.random(seed), network, inputs) for seed in range(draws))


def rolled(group: Group, keep: int) -> Permutation:
    """The units of one group moved on by one along a single axis, where all its axes would have to move."""
    lone = dataclasses.replace(group, axes=(group.axes[keep],), parent=None, blocks=1, site=None)
    table = lone.axes[0].table.reshape(-1, *lone.axes[0].table.shape[-2:])[0]
    lone = dataclasses.replace(lone, axes=(dataclasses.replace(lone.axes[0], table=table),))
    return Permutation((lone,), {group.name: torch.arange(group.size).roll(1).numpy()})
