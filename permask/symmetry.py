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
from permask.files import UnreadableError, read_json
from permask.groups import Axis, Group, Site, check_groups, moving
from permask.permutation import Permutation
from permask.seal import check_seal, sealed, typed
from permask.wrapped import tensors_of, unwrap

SCHEMA_VERSION = 2
READABLE = (1, 2)  # version 1 calls a group's site its activation

PinKind = Literal["genuine", "unsupported op", "search incomplete"]


@dataclass(frozen=True)
class Pin:
    """Positions along an axis that cannot move, and the reason.

    Attributes:
        parameter: The name of the tensor in the network's `state_dict`.
        dim: The dim of that tensor.
        op: The op that pins the axis.
        reason: Why the op pins the axis.
        kind: `genuine` (inputs, outputs, vocabulary, kernel positions, tokens), `unsupported op`, or `search
            incomplete`.
        count: The number of pinned positions along the dim.
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

    `permask.discover` returns a symmetry. `symmetry["name"]` is the group of that name.

    Attributes:
        groups: Sets of units that can trade places. Parents come before their children. Any combination of the groups'
            permutations leaves the function unchanged.
        pinned: The axes, or parts of axes, that cannot move.
        movable: The share of the parameters' elements that have at least one axis along which they can move, in [0, 1].
        shapes: The shape of every parameter and buffer of the network, by name.
        report: What discovery measured. `seconds` is the time of each phase. `certificate` is the kind of test: `full`,
            `narrow`, `off` or `none`. `error` is the change of the outputs relative to their spread, or None if there
            is no evidence. `float32` is the same change in float32, if the network amplifies rounding errors. `failed`
            lists the groups that failed the test. `unseen` lists the groups, and `idle` the axes, of which the test
            could not have noticed an error. `unused` lists the parameters that the network does not use. `outputs`
            lists the outputs that have to stay unchanged. `inputs` describes the inputs by name, shape and type.
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
        """Return the permutation that moves nothing."""
        return Permutation(self.groups, {})

    def random(self, seed: int) -> Permutation:
        """Draw a permutation from the symmetry, uniformly at random."""
        rng = np.random.default_rng(seed)
        index = {}
        for group in self.groups:
            units = np.broadcast_to(np.arange(group.size), group.index_shape)
            index[group.name] = rng.permuted(units, axis=-1)
        return Permutation(self.groups, index)

    def check(self, model: nn.Module) -> None:
        """Check that the symmetry fits a network, which may be wrapped.

        Raises:
            NetworkError: If a tensor does not fit. The message names the first one.
        """
        state = {name: tuple(tensor.shape) for name, tensor in tensors_of(unwrap(model))[0].items()}
        for name in [*self.shapes, *state]:
            if state.get(name) != self.shapes.get(name):
                expected, got = _shape(self.shapes.get(name)), _shape(state.get(name))
                raise NetworkError(
                    f"{name}: the symmetry expects {expected}, the network has {got}; find the symmetry of this network"
                )

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check that the tensors of a checkpoint fit the symmetry.

        A checkpoint may lack tensors of the network, for example those that are tied to others.

        Raises:
            NetworkError: If the network has no such tensor, or one of another shape. The message names the first one.
        """
        for name, shape in shapes.items():
            if self.shapes.get(name) != shape:
                expected, got = _shape(self.shapes.get(name)), _shape(shape)
                raise NetworkError(f"{name}: the symmetry expects {expected}, the checkpoint has {got}")

    @property
    def freedom(self) -> float:
        """The logarithm to base 10 of the number of symmetries: Σ B · log10(N!) over groups of N units in B blocks.

        In a group with a parent, the units of every block move independently. The parent is counted as a group of its
        own.
        """
        return sum(group.blocks * lgamma(group.size + 1) for group in self.groups) / log(10)

    @property
    def positions(self) -> float:
        """The share of all positions along the axes of parameters and buffers that can move, in [0, 1].

        This share differs from `movable`, which counts an element if it can move along any of its axes. Here, every
        position along an axis that cannot move lowers the share, even if its elements can move along another axis. Axes
        with a single position are not counted.
        """
        moved = sum(int(moves.sum()) for moves in moving(self.groups).values())
        still = sum(pin.count for pin in self.pinned)
        return moved / (moved + still) if moved else 0.0

    @property
    def hash(self) -> str:
        """The SHA-256 hash of the groups and shapes. The file of an `Alignment` refers to its symmetry by this hash.

        A dense network and a network that `torch.nn.utils.prune` prunes have the same hash, although pruning registers
        the parameters in another order.
        """
        groups = sorted(map(_hashed, self.groups), key=lambda group: group["name"])
        for group in groups:
            group["axes"].sort(key=lambda axis: (axis["parameter"], axis["dim"]))
        return self._digest(groups)

    def has_hash(self, written: str) -> bool:
        """Whether a hash from a file belongs to this symmetry.

        The hashes in older files depend on the order of groups and axes. They are recognised as well, because a file
        keeps that order.
        """
        return written in (self.hash, self._digest([_hashed(group) for group in self.groups]))

    def _digest(self, groups: list[dict[str, Any]]) -> str:
        content = [groups, {name: list(shape) for name, shape in self.shapes.items()}]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the symmetry to a JSON file, with a checksum of the whole content."""
        Path(path).write_text(json.dumps(sealed(self.to_json()), sort_keys=True), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a symmetry from a file that `save` wrote.

        Raises:
            PermaskError: If the file is missing or was altered, or does not hold a symmetry of a known schema version.
        """
        try:
            content = read_json(Path(path))
            symmetry = cls.from_json(content)
            check_seal(content)
            return symmetry
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, PermaskError) as error:
            reason = error.reason if isinstance(error, UnreadableError) else error
            raise PermaskError(f"{path}: expected a symmetry saved by permask: {reason}") from error

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Make a symmetry from the values that `to_json` returned.

        Raises:
            PermaskError: If the schema version is unknown, or no network of these shapes can have these groups.
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
        """Return the symmetry as plain JSON values."""
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
