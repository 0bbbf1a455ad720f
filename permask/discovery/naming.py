"""Families of units as the groups of a symmetry: their names, their axes, and where they are seen."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from permask.discovery.constraints import Slot
from permask.discovery.hierarchy import Family
from permask.discovery.program import Program
from permask.discovery.propagate import Propagation
from permask.discovery.sites import Candidate, best, candidates
from permask.groups import Axis, Group

Aliases = Mapping[str, Sequence[str]]


def named(
    families: Sequence[Family], found: Propagation, program: Program, aliases: Aliases
) -> tuple[tuple[Group, ...], dict[str, Family]]:
    """Groups with names, axes and sites, parents before children, in the order of the network; the family of each name.

    Args:
        families: Parents before children.
        found: What they were found in.
        program: The network.
        aliases: All names of a parameter, by the one that its slots have.
    """
    seen = candidates(families, found, program.nodes)
    slots = found.constraints.slots
    where = np.full((2, found.constraints.count), -1)
    for number, slot in enumerate(slots):
        where[:, slot.atoms] = np.stack([np.full(slot.atoms.size, number), np.arange(slot.atoms.size)])
    axes = [_axes(family, slots, where, aliases) for family in families]
    first = [seen[i][0].order if seen[i] else len(program.nodes) for i in range(len(families))]
    number = {family: i for i, family in enumerate(families)}

    def ancestry(i: int) -> tuple[tuple[int, int], ...]:
        parent = families[i].parent
        return (*(ancestry(number[parent]) if parent else ()), (first[i], i))

    names: dict[int, str] = {}
    groups: list[Group] = []
    for i in sorted(range(len(families)), key=ancestry):
        if not axes[i]:
            continue
        family, parent = families[i], families[i].parent
        names[i] = _name(seen[i], axes[i], parent is not None, set(names.values()))
        place = best(seen[i])
        groups.append(
            Group(
                name=names[i],
                size=family.atoms.shape[1],
                axes=axes[i],
                site=place and place.site(family),
                parent=parent and names[number[parent]],
                blocks=family.atoms.shape[0],
            )
        )
    return tuple(groups), {name: families[i] for i, name in names.items()}


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


def _name(seen: Sequence[Candidate], axes: Sequence[Axis], inside: bool, taken: set[str]) -> str:
    """The module that computes the units first, or else the parameter that holds them."""
    name = next((one.node.module for one in seen if one.node.module), "")
    name = name or axes[0].parameter.rpartition(".")[0] or axes[0].parameter
    name += ".inside" if inside else ""
    return next(n for n in (name, *(f"{name}.{k}" for k in range(2, len(taken) + 3))) if n not in taken)
