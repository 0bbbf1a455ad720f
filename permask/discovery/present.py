"""Families of units as the groups and pins of a symmetry."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from jaxtyping import Bool, Int

from permask.discovery.coloured import ColouredGraph, components
from permask.discovery.constraints import Constraints, Reason, Slot
from permask.discovery.hierarchy import Family
from permask.discovery.observe import Sight, best, sights
from permask.discovery.program import Capture
from permask.discovery.walk import Walk
from permask.groups import Axis, Group
from permask.symmetry import Pin

Aliases = Mapping[str, Sequence[str]]
ALONE = Reason("none", "nothing else in the network is used alike")
NOT_FOUND = Reason("none", "no interchange of units was found here", "search incomplete")


def present(families: Sequence[Family], walk: Walk, capture: Capture, aliases: Aliases) -> tuple[Group, ...]:
    """Groups with names, axes and activations, parents before children, in the order of the network.

    Args:
        families: Parents before children.
        walk: What they were found in.
        capture: The network.
        aliases: All names of a parameter, by the one that its slots have.
    """
    seen = sights(families, walk, capture.ops)
    slots = walk.constraints.slots
    where = np.full((2, walk.constraints.count), -1)
    for number, slot in enumerate(slots):
        where[:, slot.atoms] = np.stack([np.full(slot.atoms.size, number), np.arange(slot.atoms.size)])
    axes = [_axes(family, slots, where, aliases) for family in families]
    first = [seen[i][0].order if seen[i] else len(capture.ops) for i in range(len(families))]
    number = {id(family): i for i, family in enumerate(families)}

    def ancestry(i: int) -> tuple[tuple[int, int], ...]:
        parent = families[i].parent
        return (*(ancestry(number[id(parent)]) if parent else ()), (first[i], i))

    names: dict[int, str] = {}
    groups = []
    for i in sorted(range(len(families)), key=ancestry):
        if not axes[i]:
            continue
        family, parent = families[i], families[i].parent
        names[i] = _name(seen[i], axes[i], parent is not None, set(names.values()))
        sight = best(seen[i])
        groups.append(
            Group(
                name=names[i],
                size=family.atoms.shape[1],
                axes=axes[i],
                activation=sight and sight.activation(family),
                parent=parent and names[number[id(parent)]],
                blocks=family.atoms.shape[0],
            )
        )
    return tuple(groups)


def _axes(
    family: Family, slots: Sequence[Slot], where: Int[np.ndarray, "2 atoms"], aliases: Aliases
) -> tuple[Axis, ...]:
    """The axes that hold atoms of a family, with the positions of its units."""
    number, position = where[0][family.atoms[0, 0]], where[1][family.atoms]
    axes = []
    for n in np.unique(number[number >= 0]):
        slot, table = slots[n], position[:, :, number == n]
        table = table if family.parent else table[0]
        for name in aliases[slot.parameter]:
            axes.append(Axis(name, slot.dim, slot.atoms.size, table, slot.convolution_groups))
    return tuple(axes)


def _name(seen: Sequence[Sight], axes: Sequence[Axis], inside: bool, taken: set[str]) -> str:
    """The module that computes the units first, or else the parameter that holds them."""
    name = next((sight.op.module for sight in seen if sight.op.module), "")
    name = name or axes[0].parameter.rpartition(".")[0] or axes[0].parameter
    name += ".inside" if inside else ""
    return next(n for n in (name, *(f"{name}.{k}" for k in range(2, len(taken) + 3))) if n not in taken)


Moving = Mapping[tuple[str, int], Bool[np.ndarray, "length"]]


def moving(groups: Sequence[Group]) -> Moving:
    """Which positions along every axis that some group moves are moved."""
    found: dict[tuple[str, int], np.ndarray] = {}
    for axis in (axis for group in groups for axis in group.axes):
        found.setdefault((axis.parameter, axis.dim), np.zeros(axis.length, bool))[axis.table] = True
    return found


def movable(constraints: Constraints, moving: Moving, sizes: Mapping[str, int]) -> float:
    """Share of the elements of used parameters with at least one axis along which they move.

    Args:
        constraints: What the network demands.
        moving: Which positions move.
        sizes: Number of elements of every parameter that is used, by the name that its slots have.
    """
    still = dict.fromkeys(sizes, 1.0)
    for slot in constraints.slots:
        if slot.parameter in still and (slot.parameter, slot.dim) in moving:
            still[slot.parameter] *= 1 - float(moving[slot.parameter, slot.dim].mean())
    total = sum(sizes.values())
    return sum(sizes[name] * (1 - share) for name, share in still.items()) / total if total else 0.0


def pins(constraints: Constraints, moving: Moving, aliases: Aliases) -> tuple[Pin, ...]:
    """Every axis, or part of one, that cannot move; with the first reason that applies to it.

    What an op pins itself goes before what it pins through edges, and an unsupported op before all else.
    """
    edges = constraints.edges
    none = np.empty(0, np.int64)
    parents = np.concatenate([none, *(family.parents for family in edges)])
    part = components(constraints.count, parents, np.concatenate([none, *(family.children for family in edges)]))
    reasons = sorted(constraints.pins, key=lambda pin: pin[1].kind != "unsupported op")
    direct, around = (np.full(constraints.count, len(reasons)) for _ in range(2))
    for number, (atoms, _) in reversed(list(enumerate(reasons))):
        direct[atoms] = number
        around[part[atoms]] = number
    unlike = cache(lambda: ColouredGraph(constraints).unlike())
    found = []
    for slot in constraints.slots:
        moves = moving.get((slot.parameter, slot.dim), np.zeros(slot.atoms.size, bool))
        still = slot.atoms[~moves]
        why = np.where(direct[still] < len(reasons), direct[still], around[part[still]])
        merged = Counter(reasons[number][1] for number in why if number < len(reasons))
        if (why == len(reasons)).any():
            merged.update(ALONE if alone else NOT_FOUND for alone in unlike()[still[why == len(reasons)]])
        for name in aliases[slot.parameter]:
            found += [Pin(name, slot.dim, r.op, r.reason, r.kind, count) for r, count in merged.items()]
    return tuple(found)
