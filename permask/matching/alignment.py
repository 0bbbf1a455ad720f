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
from permask.files import UnreadableError, read_json
from permask.matching.assignment import Score, unit_sources
from permask.permutation import Permutation
from permask.seal import check_seal, sealed, typed
from permask.symmetry import Symmetry

FORMAT = "permask-alignment"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class GroupMatch:
    """How well the units of one group were matched.

    Attributes:
        group: The name of the group.
        size: The number of units, over all blocks.
        objective: The quantity that the assignment maximised, summed over the matched units.
        correlation: The mean over matched units of the Pearson correlation of their activations, or of the cosine
            similarity of their weights. It is None for a group that was not observed.
        correlation_identity: The same mean over units at equal positions, before matching.
        dead_source: The number of units of the source whose activation never varies. Only weights can match them.
        dead_target: The same number for the target.
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
    """The permutation that lines a source network up with a target network: `permutation.apply(source) ≈ target`.

    Attributes:
        symmetry: The symmetry of the architecture that both networks share.
        permutation: The permutation of the source, or of a mask of the source.
        method: The matcher that found the permutation: `activations`, `weights`, ...
        objective: The quantity that the matcher maximised, over the whole network.
        groups: How well each group was matched.
        history: The objective after every sweep.
        used: What the matcher was given: number of batches and samples, seed, and others.
        seconds: The time that matching took.
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
        """Check that the alignment fits a network.

        Raises:
            NetworkError: If a tensor does not fit. The message names the first one.
        """
        self.symmetry.check(model)

    def save(self, path: str | Path) -> None:
        """Write the alignment to a JSON file, with its symmetry, the hash of that symmetry, and a checksum."""
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
        """Read an alignment from a file that `save` wrote.

        Raises:
            PermaskError: If the file is missing or was altered, or does not hold an alignment of a known schema
                version.
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
            reason = error.reason if isinstance(error, UnreadableError) else error
            raise PermaskError(f"{path}: expected an alignment saved by permask: {reason}") from error
