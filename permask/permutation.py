"""Permutations of hidden units, one index array per group, and what they do to tensors.

The direction is the same everywhere: `new[i] = old[p[i]]`. In a group with a parent the blocks are permuted
inside first, and moved by the parent afterwards.
"""

import copy
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from html import escape
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from permask.display import bar, card, table
from permask.errors import NetworkError, PermaskError
from permask.groups import Axis, Group, are_same
from permask.wrapped import copied, refresh, tensors_of, unwrap

Index = Int[np.ndarray, "*blocks units"]
Permutable = TypeVar("Permutable", bound="nn.Module | Mapping[str, Tensor]")


@runtime_checkable
class SelfPermuting(Protocol):
    """A value that knows how it is permuted, such as a mask, which stays a mask."""

    def permuted(self, permutation: "Permutation") -> Self:
        """The value, permuted."""
        ...


class Permutation:
    """One permutation of a network's units: for every group, the place that each unit comes from.

    Args:
        groups: The groups of the symmetry. Parents come before their children.
        index: Group name to an array `[N]`, or `[B, N]` for a group in B blocks, with `new[i] = old[index[i]]`. A group
            that is missing does not move.

    Raises:
        PermaskError: If an array is not a permutation of its group's units, or a name is no group's.
    """

    def __init__(self, groups: tuple[Group, ...], index: Mapping[str, Index]):
        self.groups = groups
        unknown = set(index) - {group.name for group in groups}
        if unknown:
            raise PermaskError(f"no such group: {', '.join(sorted(unknown))}")
        self.index: dict[str, Index] = {}
        for group in groups:
            still = np.broadcast_to(np.arange(group.size), group.index_shape)
            vector = np.asarray(index.get(group.name, still))
            if vector.dtype.kind not in "iu":
                raise PermaskError(f"group {group.name}: expected whole numbers, got a vector of {vector.dtype}")
            vector = vector.astype(np.int64)
            if vector.shape != group.index_shape or not np.array_equal(np.sort(vector, axis=-1), still):
                raise PermaskError(
                    f"group {group.name}: expected a permutation of shape {list(group.index_shape)}, "
                    f"got shape {list(vector.shape)}"
                )
            self.index[group.name] = vector

    @cached_property
    def moved(self) -> dict[str, int]:
        """How many units of each group, over all blocks, leave their place within their block; by group name."""
        return {name: int((index != np.arange(index.shape[-1])).sum()) for name, index in self.index.items()}

    def __repr__(self) -> str:
        units = sum(index.size for index in self.index.values())
        groups = sum(map(bool, self.moved.values()))
        moved = sum(self.moved.values())
        return f"Permutation({len(self.groups)} groups, {groups} of them move; {moved} of {units} units)"

    def _repr_html_(self) -> str:
        cells = [
            [escape(name), f"{moved:,}", f"{self.index[name].size:,}", bar(moved / max(1, self.index[name].size))]
            for name, moved in self.moved.items()
        ]
        return card(repr(self), table(["group", "units that move", "of", ""], cells))

    def inverse(self) -> Self:
        """Return the permutation that undoes this one."""
        index = {}
        for group in self.groups:
            inverse = np.argsort(self.index[group.name], axis=-1)
            # inside first, outside after: undone in the opposite order, a block is found where it was moved to
            index[group.name] = inverse if group.parent is None else inverse[self._block_source[group.name]]
        return type(self)(self.groups, index)

    def compose(self, other: Self) -> Self:
        """Return the permutation that applies `other` first and this one second.

        Raises:
            PermaskError: If the permutations have different groups, such as those of two architectures.
        """
        if not are_same(self.groups, other.groups):
            raise PermaskError("expected two permutations of the same groups, as a network's symmetry gives them")
        index = {}
        for group in self.groups:
            first, second = other.index[group.name], self.index[group.name]
            if group.parent is not None:
                second = second[np.argsort(other._block_source[group.name])]
            index[group.name] = np.take_along_axis(first, second, axis=-1)
        return type(self)(self.groups, index)

    def apply(self, x: Permutable) -> Permutable:
        """Permute a network, a `state_dict` or a mask, and return the result. The argument is not changed.

        Args:
            x: A network, or a mapping from parameter names to tensors, such as a `state_dict` or a `Mask`. For a
                wrapped network, the result is a permuted copy of the network inside the wrapper. Weights that
                `torch.nn.utils.prune` prunes stay pruned. Tensors without an axis that can move are not permuted.

        Raises:
            NetworkError: If the shape of a tensor does not fit the symmetry, or a network lacks a tensor that would
                move.
        """
        if not isinstance(x, Mapping):
            return self._permuted_copy(unwrap(x))  # pyright: ignore[reportReturnType]
        if isinstance(x, SelfPermuting):
            return x.permuted(self)
        return self.permute_tensors(x)  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def _permuted_copy(self, network: nn.Module) -> nn.Module:
        permuted = copied(network)
        tensors, masks = tensors_of(permuted)
        if lacking := [name for name, _ in self._sources if name not in tensors]:
            raise NetworkError(
                f"{lacking[0]}: its units would move, but the network has no such tensor; was the symmetry found on "
                "another network?"
            )
        moved = self.permute_tensors(tensors)
        moved_masks = self.permute_tensors({**tensors, **masks}) if masks else {}
        for name, tensor in tensors.items():
            tensor.copy_(moved[name])
        for name, mask in masks.items():
            mask.copy_(moved_masks[name])
        refresh(permuted)
        return permuted

    def source(self, parameter: str, dim: int) -> Int[np.ndarray, "length"] | None:
        """Return the position that each position along an axis comes from, or None if nothing moves there.

        For the virtual input axis of a grouped convolution, positions are counted as in `Axis`.
        """
        return self._sources.get((parameter, dim), (None, None))[1]

    @cached_property
    def _block_source(self) -> dict[str, Index]:
        """For every group with a parent, the block that each of its blocks comes from, `[B]`."""
        source: dict[str, Index] = {}
        by_name = {group.name: group for group in self.groups}
        for group in self.groups:
            if group.parent is None:
                continue
            parent = by_name[group.parent]
            inside = self.index[parent.name].reshape(parent.blocks, parent.size)
            outside = source.get(parent.name, np.arange(parent.blocks))
            source[group.name] = (outside[:, None] * parent.size + inside[outside]).ravel()
        return source

    @cached_property
    def _sources(self) -> dict[tuple[str, int], tuple[Axis, Index]]:
        sources: dict[tuple[str, int], tuple[Axis, Index]] = {}
        for group in reversed(self.groups):  # children before parents
            for axis in group.axes:
                table = axis.table
                moved = np.take_along_axis(table, self.index[group.name][..., None], axis=-2)
                step = np.arange(axis.length)
                step[table.ravel()] = moved.ravel()
                key = (axis.parameter, axis.dim)
                before = sources[key][1] if key in sources else np.arange(axis.length)
                sources[key] = (axis, before[step])
        return sources

    @cached_property
    def _axes(self) -> dict[str, list[tuple[int, Axis, Index]]]:
        """For every parameter, the dims along which it moves, in order: the axis of each, and the source."""
        axes: dict[str, list[tuple[int, Axis, Index]]] = {}
        for (name, dim), (axis, source) in sorted(self._sources.items(), key=lambda item: item[0]):
            axes.setdefault(name, []).append((dim, axis, source))
        return axes

    def permute_tensor(self, name: str, x: Tensor) -> Tensor:
        """Permute one tensor, as `apply` permutes the tensor of that name in a `state_dict`.

        Raises:
            NetworkError: If the shape of the tensor does not fit the symmetry.
        """
        # rows first: the virtual axis of a grouped convolution is read off the rows that are there already
        for dim, axis, source in self._axes.get(name, ()):
            per_row = axis.length // axis.convolution_groups
            if dim >= x.ndim or x.shape[dim] != per_row:
                raise NetworkError(
                    f"{name}: expected {per_row} entries along dim {dim}, got a tensor of shape {list(x.shape)}; "
                    "was the symmetry found on another network?"
                )
            if axis.convolution_groups == 1:
                x = x.index_select(dim, torch.as_tensor(source, device=x.device))
            else:
                x = _select_within_blocks(x, dim, source, axis.convolution_groups)
        return x

    def permute_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Permute tensors by the names of their parameters, as `apply` permutes a `state_dict`.

        Raises:
            NetworkError: If a shape does not fit the symmetry, or no tensor has a name of the symmetry's parameters.
        """
        # a state_dict keeps its metadata: `load_state_dict` of some modules needs it
        permuted = copy.copy(tensors) if isinstance(tensors, OrderedDict) else dict(tensors)
        if self._sources and not any(name in permuted for name, _ in self._sources):
            expected, got = next(iter(self._sources))[0], next(iter(permuted), "nothing")
            raise NetworkError(f"none of the symmetry's parameters is here: expected {expected} …, got {got} …")
        for name in self._axes:
            if name in permuted:
                permuted[name] = self.permute_tensor(name, permuted[name])
        return permuted


@torch.no_grad()
def overwrite(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors into a network's own, by the names of its `state_dict`."""
    for name, tensor in network.state_dict().items():
        if isinstance(tensor, Tensor):
            tensor.copy_(tensors[name])


def _select_within_blocks(x: Tensor, dim: int, source: Index, blocks: int) -> Tensor:
    """Reorder a dim differently for each block of rows; the rows are already in their new order."""
    rows, per_row = x.shape[0], x.shape[dim]
    within = torch.as_tensor(source.reshape(blocks, per_row) % per_row, device=x.device)
    index = within.repeat_interleave(rows // blocks, dim=0)
    shape = [n if k in (0, dim) else 1 for k, n in enumerate(x.shape)]
    return x.gather(dim, index.reshape(shape).expand_as(x))
