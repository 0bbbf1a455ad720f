"""Which axes of a network's parameters move together: the value that `permask.discover` returns."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import lgamma, log
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from torch import nn

from permask.display import card, folded_by, groups_table, listed
from permask.errors import NetworkError, PermaskError
from permask.files import read_json
from permask.groups import Axis, Group, Site, check_groups, moving
from permask.permutation import Permutation
from permask.seal import check_seal, sealed, typed
from permask.wrapped import tensors_of, unwrap

SCHEMA_VERSION = 2
READABLE = (1, 2)  # version 1 calls a group's site its activation

PinKind = Literal["genuine", "unsupported op", "search incomplete"]


@dataclass(frozen=True)
class Pin:
    """Positions along an axis that cannot move, and why.

    Attributes:
        parameter: Key in the network's `state_dict`.
        dim: The dim of that tensor.
        op: The op that pins the axis.
        reason: What about it pins the axis.
        kind: `genuine` (inputs, outputs, vocabulary, kernel positions, tokens), `unsupported op`, or
            `search incomplete`.
        count: Number of pinned positions along the dim.
    """

    parameter: str
    dim: int
    op: str
    reason: str
    kind: PinKind
    count: int


@dataclass(frozen=True, eq=False)
class Symmetry:
    """The permutations of hidden units that leave a network's function unchanged.

    Attributes:
        groups: Sets of interchangeable units, parents before children; any combination of their permutations is valid.
        pinned: The axes, or parts of them, that cannot move.
        movable: Share of parameter elements with at least one permutable axis, in [0, 1].
        shapes: Every parameter and buffer of the network, with its shape.
        report: What discovery measured: `seconds` by phase; `certificate`, its kind: `full`, `narrow`, `off` or `none`;
            `error`, the change of the outputs relative to their spread, or None without any evidence; `float32`, that
            change in float32 if it is rounding that the network amplifies; `failed`, groups that failed the
            certificate; `unseen`, groups and `idle`, axes of which it could see nothing; `unused` parameters; the
            `outputs` that count; the `inputs`, as `Inputs.described` has them.
    """

    groups: tuple[Group, ...]
    pinned: tuple[Pin, ...]
    movable: float
    shapes: Mapping[str, tuple[int, ...]]
    report: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        groups = [f"{group.name} ({group.size})" for group in self.groups]
        return listed(f"Symmetry({len(self.groups)} groups, {100 * self.movable:.1f}% movable", groups, ")")

    def __getitem__(self, name: str) -> Group:
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(name)

    def identity(self) -> Permutation:
        """The permutation that moves nothing."""
        return Permutation(self.groups, {})

    def random(self, seed: int) -> Permutation:
        """A uniformly random element of the symmetry."""
        rng = np.random.default_rng(seed)
        index = {}
        for group in self.groups:
            units = np.broadcast_to(np.arange(group.size), group.index_shape)
            index[group.name] = rng.permuted(units, axis=-1)
        return Permutation(self.groups, index)

    def check(self, model: nn.Module) -> None:
        """Raise a `NetworkError` that names the first tensor of the network, wrapped or not, that does not fit."""
        state = {name: tuple(tensor.shape) for name, tensor in tensors_of(unwrap(model))[0].items()}
        for name in [*self.shapes, *state]:
            if state.get(name) != self.shapes.get(name):
                expected, got = _shape(self.shapes.get(name)), _shape(state.get(name))
                raise NetworkError(f"{name}: the symmetry expects {expected}, the network has {got}")

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise a `NetworkError` that names the first tensor of a checkpoint that the network does not have so.

        A checkpoint need not hold all of them, such as those that are tied to others.
        """
        for name, shape in shapes.items():
            if self.shapes.get(name) != shape:
                expected, got = _shape(self.shapes.get(name)), _shape(shape)
                raise NetworkError(f"{name}: the symmetry expects {expected}, the checkpoint has {got}")

    @property
    def freedom(self) -> float:
        """log10 of the number of symmetries: Σ B · log10(N!) over groups of N units, each in B blocks.

        In a group with a parent, the units of every block move on their own; the parent counts for itself.
        """
        return sum(group.blocks * lgamma(group.size + 1) for group in self.groups) / log(10)

    @property
    def positions(self) -> float:
        """Share of all positions along axes of parameters and buffers that move, in [0, 1].

        An element counts as `movable` if one of its axes moves; here, a position along an axis that cannot move is
        missing, whatever becomes of its elements along the other axes. Axes of one position are left out.
        """
        moved = sum(int(moves.sum()) for moves in moving(self.groups).values())
        still = sum(pin.count for pin in self.pinned)
        return moved / (moved + still) if moved else 0.0

    @property
    def hash(self) -> str:
        """SHA-256 of the groups and shapes: what an `Alignment` file refers to.

        It is the same for a dense network and for one that `torch.nn.utils.prune` prunes, which registers its
        parameters in another order.
        """
        groups = sorted(map(_hashed, self.groups), key=lambda group: group["name"])
        for group in groups:
            group["axes"].sort(key=lambda axis: (axis["parameter"], axis["dim"]))
        return self._digest(groups)

    def has_hash(self, written: str) -> bool:
        """Whether a hash that was written into a file is this symmetry's.

        Older files have one that depends on the order of groups and axes, which the file keeps.
        """
        return written in (self.hash, self._digest([_hashed(group) for group in self.groups]))

    def _digest(self, groups: list[dict[str, Any]]) -> str:
        content = [groups, {name: list(shape) for name, shape in self.shapes.items()}]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the symmetry as JSON, with a checksum of all of it."""
        Path(path).write_text(json.dumps(sealed(self.to_json()), sort_keys=True), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a symmetry that `save` wrote.

        Raises:
            PermaskError: A file that is missing, altered, or not a symmetry of a schema version known here.
        """
        try:
            content = read_json(Path(path))
            symmetry = cls.from_json(content)
            check_seal(content)
            return symmetry
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, PermaskError) as error:
            raise PermaskError(f"{path}: expected a symmetry saved by permask: {error}") from error

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The symmetry that `to_json` described.

        Raises:
            PermaskError: A schema version not known here, or groups that no network of these shapes has.
        """
        if content["schema"] not in READABLE:
            raise PermaskError(
                f"schema version {content['schema']}, this permask reads versions up to {SCHEMA_VERSION}"
            )
        groups = tuple(_group(entry) for entry in content["groups"])
        shapes = {name: tuple(shape) for name, shape in content["shapes"].items()}
        for name, shape in shapes.items():
            if not all(type(size) is int and size >= 0 for size in shape):
                raise PermaskError(f"{name}: expected a shape of whole numbers, got {list(shape)}")
        check_groups(groups, shapes)
        return typed(
            cls(
                groups=groups,
                pinned=tuple(typed(Pin(**entry)) for entry in content["pinned"]),
                movable=content["movable"],
                shapes=shapes,
                report={**content["report"]},
            )
        )

    def to_json(self) -> dict[str, Any]:
        """The symmetry as plain JSON values."""
        return {
            "schema": SCHEMA_VERSION,
            "groups": [_entry(group) for group in self.groups],
            "pinned": [vars(pin) for pin in self.pinned],
            "movable": self.movable,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "report": dict(self.report),
        }

    def _repr_html_(self) -> str:
        title = f"Symmetry: {len(self.groups)} groups, {100 * self.movable:.1f}% movable"
        return card(title, groups_table(self.groups, self.shapes), folded_by("kind", self.pinned))


def _shape(shape: tuple[int, ...] | None) -> str:
    return "no such tensor" if shape is None else f"shape {list(shape)}"


def _entry(group: Group) -> dict[str, Any]:
    axes = [vars(axis) | {"table": axis.table.tolist()} for axis in group.axes]
    site = group.site and vars(group.site) | {"table": group.site.table.tolist()}
    return vars(group) | {"axes": axes, "site": site}


def _group(entry: dict[str, Any]) -> Group:
    axes = tuple(typed(Axis(**axis | {"table": _table(axis["table"])})) for axis in entry["axes"])
    rest = dict(entry)
    seen = rest.pop("activation") if "activation" in rest else rest["site"]  # as version 1 calls it
    site = seen and typed(Site(**seen | {"table": _table(seen["table"]), "moved": tuple(seen["moved"])}))
    return typed(Group(**rest | {"axes": axes, "site": site or None}))


def _table(positions: Any) -> np.ndarray:
    table = np.asarray(positions)
    if table.dtype.kind != "i":
        raise PermaskError(f"expected whole numbers in a table of positions, got {table.dtype}")
    return table


def _hashed(group: Group) -> dict[str, Any]:
    """A group as version 1 wrote it: a hash that was written into a file stays the hash of its symmetry."""
    entry = _entry(group)
    site = entry.pop("site")
    known = ("node", "dim", "table", "moved", "mixed")
    return entry | {"activation": site and {name: site[name] for name in known}}
