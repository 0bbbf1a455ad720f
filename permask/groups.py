"""Units that can trade places, and where each of them lives in a network's parameters and is seen inside it.

Arrays are named by the shape of what they hold: B blocks, N units, M positions per unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from permask.errors import PermaskError


@dataclass(frozen=True, eq=False)
class Axis:
    """One dim of one parameter, and the positions along it that belong to each unit of a group.

    Attributes:
        parameter: The name of the tensor, a parameter or a buffer, in the network's `state_dict`.
        dim: The dim of that tensor.
        length: The number of positions along the axis.
        table: The positions along the dim that belong to each of N units: `[N, M]`, or `[B, N, M]` in a group with a
            parent.
        convolution_groups: 1 for an ordinary axis. It is G > 1 if the positions move differently in each of G blocks of
            rows (dim 0). Such axes are the input axis of a grouped convolution with weight `[out, in / G, ...]`, and
            every axis but the first of G stacked matrices `[G, in, out]`. The axis is then virtual: position `g * L +
            j` is entry j of the L entries along the dim, in block g of the rows, and `length` is `G * L`.
    """

    parameter: str
    dim: int
    length: int
    table: Int[np.ndarray, "*blocks units positions"]
    convolution_groups: int = 1


@dataclass(frozen=True, eq=False)
class Site:
    """A place inside a network where the units of a group can be observed, along one dim of one value.

    The name of a node depends on the number of ops before it. With another input shape, the same place may have another
    name, or another place the same name. Therefore `function`, `module`, `length` and `lineage` describe what has to be
    found at that place.

    Attributes:
        node: The name of the node in the program that `permask.discovery.capture` returns.
        dim: The dim of that node's tensor.
        table: The positions along `dim` that belong to each unit, as in `Axis`.
        function: The op that the node calls. It is empty if unknown, as in files of older versions.
        module: The path of the module whose `forward` calls the op. It is empty for the network itself, or if unknown.
        length: The number of positions along `dim`, or None if unknown.
        lineage: A description of the computation of the node's value, from `permask.discovery.lineage`. It is empty if
            unknown.
        moved: Other dims that hold units of other groups. Two networks have these units in different orders.
        mixed: Whether other groups permute the positions inside one unit as well.
    """

    node: str
    dim: int
    table: Int[np.ndarray, "*blocks units positions"]
    function: str = ""
    module: str = ""
    length: int | None = None
    lineage: str = ""
    moved: tuple[int, ...] = ()
    mixed: bool = False


@dataclass(frozen=True, eq=False)
class Group:
    """A set of units that can trade places: every permutation of them leaves the network's function unchanged.

    A group with a `parent` lies inside each unit of the parent. Examples are the dims inside attention heads, and the
    channels inside the groups of a grouped convolution. Such a group has one independent permutation per *block*. Its
    blocks are the parent's units, in each of the parent's own blocks. Parent and child together form a wreath product,
    written heads ≀ head dims. The tables of parent and child are aligned: if block b moves onto block c, then unit n of
    block b moves onto unit n of block c.

    Attributes:
        name: The name of the group, which is unique within a symmetry.
        size: N, the number of units per block.
        axes: Every axis on which the units lie.
        site: The place where matching observes the units, or None if no value of the program shows the units one by
            one.
        parent: The name of the group whose units contain this group, or None.
        blocks: B, the number of independent copies. It is 1 without a parent.
    """

    name: str
    size: int
    axes: tuple[Axis, ...]
    site: Site | None = None
    parent: str | None = None
    blocks: int = 1

    @property
    def index_shape(self) -> tuple[int, ...]:
        """The shape of this group's index array in a `Permutation`: `[N]`, or `[B, N]` with a parent."""
        return (self.size,) if self.parent is None else (self.blocks, self.size)


def moving(groups: Sequence[Group]) -> Mapping[tuple[str, int], Bool[np.ndarray, "length"]]:
    """Which positions along every axis (parameter, dim) that some group moves are moved."""
    found: dict[tuple[str, int], np.ndarray] = {}
    for axis in (axis for group in groups for axis in group.axes):
        found.setdefault((axis.parameter, axis.dim), np.zeros(axis.length, bool))[axis.table] = True
    return found


def are_same(groups: Sequence[Group], others: Sequence[Group]) -> bool:
    """Whether groups are the same units on the same axes; where they are observed does not count."""
    return len(groups) == len(others) and all(map(_is_same, groups, others))


def _is_same(one: Group, other: Group) -> bool:
    return one is other or (
        [getattr(one, name) for name in ("name", "size", "parent", "blocks")]
        == [getattr(other, name) for name in ("name", "size", "parent", "blocks")]
        and len(one.axes) == len(other.axes)
        and all(
            (a.parameter, a.dim, a.length, a.convolution_groups) == (b.parameter, b.dim, b.length, b.convolution_groups)
            and np.array_equal(a.table, b.table)
            for a, b in zip(one.axes, other.axes, strict=True)
        )
    )


def check_groups(groups: Sequence[Group], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a `PermaskError` that names the first group that cannot be one of a network with tensors of these shapes.

    Every unit has places of its own along every axis, as many as the others, within the tensor; parents come first.
    """
    before: dict[str, Group] = {}
    for group in groups:
        parent = before.get(group.parent) if group.parent is not None else None
        if group.name in before or (group.parent is not None and parent is None):
            raise PermaskError(f"group {group.name}: expected names that stand once, after the parent's")
        if group.size < 1 or group.blocks != (parent.size * parent.blocks if parent else 1):
            raise PermaskError(f"group {group.name}: {group.size} units in {group.blocks} blocks do not fit its parent")
        for axis in group.axes:
            what = f"group {group.name}: dim {axis.dim} of {axis.parameter}"
            shape = shapes.get(axis.parameter, ())
            if not 0 <= axis.dim < len(shape) or axis.length != shape[axis.dim] * axis.convolution_groups:
                raise PermaskError(f"{what}: {axis.length} positions are not those of a tensor of shape {list(shape)}")
            _check_table(what, axis.table, group, axis.length)
        if group.site is not None:
            _check_table(f"group {group.name}: its site", group.site.table, group, group.site.length)
        before[group.name] = group


def _check_table(what: str, table: np.ndarray, group: Group, length: int | None) -> None:
    if table.shape[:-1] != group.index_shape or not table.size:
        raise PermaskError(f"{what}: expected a table of shape {[*group.index_shape, 'M']}, got {list(table.shape)}")
    if table.min() < 0 or (length is not None and table.max() >= length) or len(np.unique(table)) != table.size:
        raise PermaskError(f"{what}: expected different positions, from 0 and below {length}, in its table")
