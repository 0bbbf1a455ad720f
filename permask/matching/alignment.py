"""What a matching found: the permutation, how good it is, and what it was made from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Bool
from torch import nn

from permask.display import card, one_line, table
from permask.errors import PermaskError
from permask.files import read_json
from permask.matching.assignment import Score, unit_sources
from permask.permutation import Permutation
from permask.seal import check_seal, sealed, typed
from permask.symmetry import Symmetry

FORMAT = "permask-alignment"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class GroupMatch:
    """How well one group's units were matched.

    Attributes:
        group: Name of the group.
        size: Number of units, all blocks together.
        objective: What the assignment maximised, summed over the matched units.
        correlation: Mean over matched units: Pearson correlation of their activations, or cosine similarity
            of their weights; None for a group that was not observed itself.
        correlation_identity: The same for units at equal positions, before matching.
        dead_source: Units of the source that never vary, and so could only be matched by their weights.
        dead_target: Likewise of the target.
    """

    group: str
    size: int
    objective: float
    correlation: float | None
    correlation_identity: float | None
    dead_source: int = 0
    dead_target: int = 0


def group_matches(
    permutation: Permutation,
    scores: Mapping[str, Score],
    similarity: Mapping[str, Score],
    dead: Mapping[str, tuple[Bool[np.ndarray, "units"], Bool[np.ndarray, "units"]]],
) -> tuple[GroupMatch, ...]:
    """How well a permutation matches the units of every group.

    Args:
        permutation: Of the source.
        scores: Group name to `[U, U]`, what was maximised: target unit by source unit.
        similarity: Likewise, what is reported as correlation; a missing group was not observed.
        dead: Group name to which units never vary, in the source and in the target.
    """
    sources = unit_sources(permutation)
    matches = []
    for group in permutation.groups:
        units, order = np.arange(group.blocks * group.size), sources[group.name]
        if group.name not in similarity:
            matches.append(GroupMatch(group.name, len(units), 0.0, None, None))
            continue
        matches.append(
            GroupMatch(
                group.name,
                len(units),
                objective=float(scores[group.name][units, order].sum()),
                correlation=float(similarity[group.name][units, order].mean()),
                correlation_identity=float(similarity[group.name][units, units].mean()),
                dead_source=int(dead[group.name][0].sum()),
                dead_target=int(dead[group.name][1].sum()),
            )
        )
    return tuple(matches)


@dataclass(frozen=True, eq=False)
class Alignment:
    """What lines a source network up with a target network: `permutation.apply(source) ≈ target`.

    Attributes:
        symmetry: Of the architecture that both networks share.
        permutation: What to do to the source, or to a mask of it.
        method: How it was found: `activations`, `weights`, ...
        objective: What the matching maximised, over the whole network.
        groups: One entry per group.
        history: The objective after every sweep.
        used: What went in: batches, samples, seed, and the like.
        seconds: What it took.
    """

    symmetry: Symmetry
    permutation: Permutation
    method: str
    objective: float
    groups: tuple[GroupMatch, ...]
    history: tuple[float, ...] = ()
    used: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __repr__(self) -> str:
        seen = [group.correlation for group in self.groups if group.correlation is not None]
        mean = f", mean correlation {sum(seen) / len(seen):.3f}" if seen else ""
        return one_line(f"Alignment(by {self.method}: {len(self.groups)} groups, objective {self.objective:.6g}{mean})")

    def _repr_html_(self) -> str:
        header = ["group", "units", "correlation before", "after", "dead in source", "in target"]
        cells = [
            [
                escape(group.group),
                f"{group.size:,}",
                *("" if x is None else f"{x:.3f}" for x in (group.correlation_identity, group.correlation)),
                f"{group.dead_source:,}",
                f"{group.dead_target:,}",
            ]
            for group in self.groups
        ]
        return card(repr(self), table(header, cells))

    def check(self, model: nn.Module) -> None:
        """Raise a `NetworkError` that names the first tensor of the network that does not fit."""
        self.symmetry.check(model)

    def save(self, path: str | Path) -> None:
        """Write the alignment as JSON, with the symmetry that it belongs to, that symmetry's hash, and a checksum."""
        content = {
            "format": FORMAT,
            "schema": SCHEMA_VERSION,
            "symmetry_hash": self.symmetry.hash,
            "symmetry": self.symmetry.to_json(),
            "permutation": {name: index.tolist() for name, index in self.permutation.index.items()},
            "groups": [asdict(group) for group in self.groups],
            **{name: getattr(self, name) for name in ("method", "objective", "seconds")},
            "history": list(self.history),
            "used": dict(self.used),
        }
        Path(path).write_text(json.dumps(sealed(content), sort_keys=True), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an alignment that `save` wrote.

        Raises:
            PermaskError: A file that is missing, altered, or no alignment of a schema version known here.
        """
        try:
            content = read_json(Path(path))
            if content["format"] != FORMAT or content["schema"] != SCHEMA_VERSION:
                raise PermaskError(f"this permask reads {FORMAT} version {SCHEMA_VERSION}")
            symmetry = Symmetry.from_json(content["symmetry"])
            if not symmetry.has_hash(content["symmetry_hash"]):
                raise PermaskError("its symmetry is not the one whose hash it carries; the file was altered")
            index = {name: np.asarray(vector) for name, vector in content["permutation"].items()}
            alignment = typed(
                cls(
                    symmetry=symmetry,
                    permutation=Permutation(symmetry.groups, index),
                    method=content["method"],
                    objective=content["objective"],
                    groups=tuple(typed(GroupMatch(**entry)) for entry in content["groups"]),
                    history=tuple(map(float, content["history"])),
                    used={**content["used"]},
                    seconds=content["seconds"],
                )
            )
            check_seal(content)
            return alignment
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, PermaskError) as error:
            raise PermaskError(f"{path}: expected an alignment saved by permask: {error}") from error
