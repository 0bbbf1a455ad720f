"""A narrow copy of a network: the same program, with few units left of every group.

The copy is tried in place of a network that is too large for that, or that has no weights. Units are dropped along
all axes of their group, so that the same ops meet the same dims in the same order; only sizes differ. The units that
stay are spread over all of their group, since an op may treat some places unlike others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from permask.discovery.atoms import Value
from permask.discovery.hierarchy import Family
from permask.discovery.program import Program
from permask.discovery.resize import Kept, Sizes, resized
from permask.discovery.weights import memory_of
from permask.errors import NetworkError
from permask.groups import Axis, Group

UNITS = 8  # that are left of a group, at most

Mask = Bool[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Narrow:
    """A narrow copy.

    Attributes:
        program: The network.
        groups: Its groups, under their names.
        state: Its `state_dict`: the entries that are left.
        sizes: What is left of all its values.
    """

    program: Program
    groups: tuple[Group, ...]
    state: Mapping[str, Tensor]
    sizes: Sizes


def narrowed(
    program: Program,
    values: Mapping[str, Any],
    families: Mapping[str, Family],
    groups: Sequence[Group],
    state: Mapping[str, Tensor],
) -> Narrow:
    """Leave `UNITS` units of every group.

    Args:
        program: The network.
        values: What is known of the value of every node, as `propagate` finds it.
        families: The family of every group, by the group's name.
        groups: Parents before children.
        state: The network's `state_dict`.

    Raises:
        NetworkError: It is not known how to call an op at other sizes; see also `resize.check_shapes`.
    """
    axes = _Axes(groups)
    last = max((int(family.atoms.max()) for family in families.values()), default=-1)
    gone = np.zeros(last + 1, bool)
    for group in groups:
        gone[families[group.name].atoms[:, ~axes.units[group.name]]] = True
    kept = {name: [_kept(one, gone) for one in (x if isinstance(x, list) else [x])] for name, x in values.items()}
    tensors: dict[object, Tensor] = {}  # tied ones stay tied
    smaller = {}
    for name, x in state.items():
        memory = memory_of(name, x)
        smaller[name] = tensors[memory] if memory in tensors else tensors.setdefault(memory, axes.pick(name, x))
    return Narrow(resized(program, kept), tuple(map(axes.narrow, groups)), smaller, kept)


def _kept(x: Any, gone: Bool[np.ndarray, "atoms"]) -> Kept | None:
    """Which positions along the dims of a value stay; None if it is no tensor."""
    if not isinstance(x, Value):
        return None
    stays = [np.ones([digit.size for digit in dim], bool) for dim in x.dims]
    for bundle in x.bundles:
        atoms = bundle.atoms
        if not gone[atoms[atoms < len(gone)]].any():
            continue
        counts = []
        for k, dim in enumerate(x.dims):
            here = [digit for digit in dim if digit in bundle.digits]
            atoms = bundle.ordered([*here, *(digit for digit in bundle.digits if digit not in here)])
            left = ~((atoms < len(gone)) & gone[np.minimum(atoms, len(gone) - 1)])
            left = left.reshape([*(digit.kinds for digit in here), -1])
            counts.append((left.any(axis=-1).sum(), left.sum()))
            if here and not any(digit.route for digit in here):  # rows stay, whatever becomes of their expert
                stays[k] &= left.any(axis=-1).reshape([digit.size if digit in here else 1 for digit in dim])
        if prod(count for count, _ in counts) != counts[0][1]:
            raise NetworkError("the units that stay are at other places in one block than in another")
    constant = [any(digit in x.constant for digit in dim) for dim in x.dims]
    return Kept(tuple(mask.ravel() for mask in stays), tuple(constant))


class _Axes:
    """Which units of every group stay, and which positions along the axes of parameters."""

    def __init__(self, groups: Sequence[Group]):
        self.units = {group.name: _spread(group.size) for group in groups}
        self._by_name = {group.name: group for group in groups}
        self._positions: dict[str, dict[int, Mask]] = {}  # [convolution groups, positions in each]
        for group in groups:
            for axis in group.axes:
                dims = self._positions.setdefault(axis.parameter, {})
                mask = dims.setdefault(
                    axis.dim, np.ones((axis.convolution_groups, axis.length // axis.convolution_groups), bool)
                )
                mask.reshape(-1)[axis.table[..., ~self.units[group.name], :]] = False

    def pick(self, name: str, x: Tensor) -> Tensor:
        """What stays of a parameter or buffer."""
        for dim, mask in sorted(self._positions.get(name, {}).items()):  # rows first: blocks are made of them
            inside = [torch.as_tensor(np.flatnonzero(row), device=x.device) for row in mask if row.any()]
            blocks = x.chunk(len(inside)) if len(mask) > 1 else [x]
            x = torch.cat([block.index_select(dim, places) for block, places in zip(blocks, inside, strict=True)])
        return x

    def narrow(self, group: Group) -> Group:
        """A group with the units that stay."""
        units, blocks = self.units[group.name], self._blocks(group)
        axes = tuple(self._narrow(axis, units, blocks if group.parent else None) for axis in group.axes)
        return replace(group, size=int(units.sum()), axes=axes, blocks=int(blocks.sum()), site=None)

    def _blocks(self, group: Group) -> Mask:
        """Which blocks stay: where a unit of the parent does."""
        if group.parent is None:
            return np.ones(1, bool)
        parent = self._by_name[group.parent]
        return np.outer(self._blocks(parent), self.units[parent.name]).ravel()

    def _narrow(self, axis: Axis, units: Mask, blocks: Mask | None) -> Axis:
        mask = self._positions[axis.parameter][axis.dim]
        table = axis.table[units] if blocks is None else axis.table[blocks][:, units]
        stays = mask.ravel()[table]  # other groups lie across this one
        columns = stays.reshape(-1, stays.shape[-1])
        if (columns != columns[0]).any():
            raise NetworkError(f"other parts of one unit than of another stay of {axis.parameter}")
        table = table[..., columns[0]]
        place = np.cumsum(mask.ravel()) - 1
        groups = int(mask.any(axis=1).sum())
        return replace(axis, length=int(mask.sum()), table=place[table], convolution_groups=groups)


def _spread(size: int) -> Mask:
    """Which units of a group stay."""
    stays = np.zeros(size, bool)
    stays[np.linspace(0, size - 1, min(size, UNITS)).round().astype(int)] = True
    return stays
