"""How well the weights of one network's units fit in the place of another's: W_B · π(W_A)ᵀ, axis by axis."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from permask.errors import NetworkError
from permask.groups import Axis, Group
from permask.mask import Mask
from permask.matching.assignment import Score
from permask.permutation import Permutation
from permask.wrapped import plain


def weights_of(model: nn.Module, mask: Mask | None = None) -> dict[str, Tensor]:
    """The parameters that weight similarity looks at, in float32 at least; buffers are no weights.

    Args:
        model: The network.
        mask: What it prunes counts as zero.

    Raises:
        NetworkError: Weights that are not finite, or a mask that does not fit.
    """
    model = plain(model)
    weights = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.is_floating_point():
            weights[name] = parameter.detach().to(torch.promote_types(parameter.dtype, torch.float32))
    for name, finite in zip(weights, _are_finite(list(weights.values())), strict=True):
        if not finite:
            raise NetworkError(f"{name} holds values that are not finite, so it cannot be matched")
    if mask is not None:
        mask.check(model)
        weights |= {name: weights[name] * kept.to(weights[name].device) for name, kept in mask.items()}
    return weights


def _are_finite(tensors: Sequence[Tensor]) -> list[bool]:
    """Whether each holds finite values alone; the host waits for the device once."""
    found = [x.isfinite().all() for x in tensors]
    return torch.stack([x.to(found[0].device) for x in found]).tolist() if found else []


def beside(others: Mapping[str, Tensor], first: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network on the device where those of another one are."""
    return {name: x.to(first[name].device) if name in first else x for name, x in others.items()}


def weight_scores(
    family: Sequence[Group],
    permutation: Permutation,
    source: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
) -> dict[str, Score]:
    """For every group of a family, the inner product of each source unit's weights with each target unit's.

    All other dims of the source's weights are in the order that `permutation` gives them (Ainsworth et al.
    2023, section 3.2, generalised to index tables). In a family, a position that belongs to a child counts
    in the child's score and not again in the parent's.

    Args:
        family: A group without a parent and all its descendants.
        permutation: The current permutation of the source.
        source: Parameter name to weights; axes of tensors that are not here are left out.
        target: Likewise.

    Returns:
        Group name to `[B * N, B * N]` in float64.
    """
    parameters = {axis.parameter for group in family for axis in group.axes} & source.keys()
    current = restrict(permutation, parameters)
    grouped = {axis.parameter for g in current.groups for axis in g.axes if axis.convolution_groups > 1}
    scores: dict[str, Score] = {}
    for group in family:
        features_A, features_B = [], []
        within = _without_ancestors(current, group, family)
        for axis in group.axes:
            table_UM = _own_positions(group, axis, family)
            if axis.parameter not in parameters or table_UM.shape[1] == 0:
                continue
            weight = source[axis.parameter]
            if axis.parameter in grouped:
                weight = within.apply({axis.parameter: weight})[axis.parameter]
            else:
                for dim in range(weight.ndim):
                    order = (within if dim == axis.dim else current).source(axis.parameter, dim)
                    if order is not None:
                        weight = weight.index_select(dim, torch.as_tensor(order, device=weight.device))
            features_A.append(units_first(weight, axis, table_UM))
            features_B.append(units_first(target[axis.parameter], axis, table_UM))
        units = group.blocks * group.size
        scores[group.name] = np.zeros((units, units))
        if features_A:
            product = torch.cat(features_B, 1) @ torch.cat(features_A, 1).T
            scores[group.name] = product.double().cpu().numpy()
    return scores


def unit_norms(family: Sequence[Group], weights: Mapping[str, Tensor]) -> dict[str, Float[np.ndarray, "units"]]:
    """For every group of a family, the norm of each unit's weights as `weight_scores` counts them."""
    norms = {}
    for group in family:
        square = np.zeros(group.blocks * group.size)
        for axis in group.axes:
            table_UM = _own_positions(group, axis, family)
            if axis.parameter in weights and table_UM.shape[1]:
                rows = units_first(weights[axis.parameter], axis, table_UM)
                square += rows.double().square().sum(1).cpu().numpy()
        norms[group.name] = np.sqrt(square)
    return norms


def restrict(permutation: Permutation, parameters: Collection[str]) -> Permutation:
    """The same permutation as far as it concerns some parameters."""
    groups = (
        replace(group, axes=tuple(axis for axis in group.axes if axis.parameter in parameters))
        for group in permutation.groups
    )
    return Permutation(tuple(groups), permutation.index)


def _own_positions(group: Group, axis: Axis, family: Sequence[Group]) -> Int[np.ndarray, "units positions"]:
    """`[U, M]`: the positions of each unit that belong to none of the group's children."""
    table = axis.table.reshape(-1, axis.table.shape[-1])
    for child in family:
        if child.parent == group.name:
            for other in child.axes:
                if (other.parameter, other.dim) == (axis.parameter, axis.dim):
                    # parents and children are aligned: a column is a child's in all units or in none
                    table = table[:, ~np.isin(table[0], other.table)]
                elif other.parameter == axis.parameter and other.table.size == other.length:
                    table = table[:, :0]  # along another dim, every entry is a child's
    return table


def _without_ancestors(permutation: Permutation, group: Group, family: Sequence[Group]) -> Permutation:
    """What is left when neither the group nor what contains it moves.

    That is how the axis that is being decided stands. Rows and input channels of a grouped convolution meet
    at the convolution group that both belong to, so there it holds for both dims.
    """
    index = dict(permutation.index)
    parent = {member.name: member.parent for member in family}
    name: str | None = group.name
    while name is not None:
        del index[name]
        name = parent[name]
    return Permutation(permutation.groups, index)


def units_first(
    weight: Tensor, axis: Axis, table_UM: Int[np.ndarray, "units positions"]
) -> Float[Tensor, "units features"]:
    """All that belongs to each unit of an axis in a parameter, or in some positions along its other dims."""
    if axis.convolution_groups > 1:  # [G, O/G, I/G, ...] -> the virtual axis (g, input channel of g) first
        by_group = weight.unflatten(0, (axis.convolution_groups, -1)).movedim(axis.dim + 1, 1)
        positions = by_group.reshape(axis.length, -1)
    else:
        positions = weight.movedim(axis.dim, 0).reshape(axis.length, -1)
    flat = table_UM.ravel()
    if not np.array_equal(flat, np.arange(axis.length)):
        positions = positions.index_select(0, torch.as_tensor(flat, device=weight.device))
    return positions.reshape(len(table_UM), -1)
