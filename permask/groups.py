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
    """One dim of one parameter, with the positions along it that belong to each unit of a group.

    Attributes:
        parameter: Key in the network's `state_dict` (a parameter or a buffer).
        dim: The dim of that tensor.
        length: Number of positions along the axis.
        table: `[N, M]` positions along the dim that belong to unit n; `[B, N, M]` in a group with a parent.
        convolution_groups: More than 1 for an axis whose positions move differently in each of G blocks of
            rows (dim 0): the input axis of a grouped convolution with weight `[out, in / G, ...]`, or any
            axis but the first of G stacked matrices `[G, in, out]`. That axis is virtual: position
            `g * L + j` is entry j along the dim, of L, in block g of the rows, so that `length` is `G * L`.
    """

    parameter: str
    dim: int
    length: int
    table: Int[np.ndarray, "*blocks units positions"]
    convolution_groups: int = 1


@dataclass(frozen=True, eq=False)
class Site:
    """A place inside a network where the units of a group are seen: along one dim of one value of its program.

    The names of nodes count the ops before them, so that another input shape may give another name to the same
    place, or the same name to another place. Function, module, length and lineage say what has to be found there.

    Attributes:
        node: Name of the node in the program that `permask.discovery.capture` gives.
        dim: The dim of that node's tensor.
        table: As in `Axis`, positions along `dim`.
        function: The op that the node calls; empty where it is not known, as in files of older versions.
        module: Path of the module whose `forward` calls it; empty for the network itself, or where it is not known.
        length: Number of positions along `dim`; None where it is not known.
        lineage: What the node's value is computed by, as `discovery.lineage` tells it; empty where it is not known.
        moved: Other dims along which units of other groups lie, which two networks have in different orders.
        mixed: Whether other groups also permute the positions of one unit among themselves.
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
    """A set of interchangeable units: every permutation of them leaves the network's function unchanged.

    A group with a `parent` lives inside each unit of the parent (the dims inside attention heads, the
    channels inside the groups of a grouped convolution): it has one independent permutation per *block*,
    where the blocks are the parent's units (times the parent's own blocks). Together they form the
    wreath product that the design writes as heads ≀ head dims. The tables of parent and child are aligned:
    moving block b onto block c moves unit n of block b onto unit n of block c.

    Attributes:
        name: Unique within a symmetry.
        size: N, the number of units (per block).
        axes: Every axis on which the units live.
        site: Where matching observes the units; None if no value of the program shows them one by one.
        parent: Name of the group whose units contain this one's, if any.
        blocks: B, how many independent copies there are; 1 without a parent.
    """

    name: str
    size: int
    axes: tuple[Axis, ...]
    site: Site | None = None
    parent: str | None = None
    blocks: int = 1

    @property
    def index_shape(self) -> tuple[int, ...]:
        """Shape of this group's index array in a `Permutation`: `[N]`, or `[B, N]` with a parent."""
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
