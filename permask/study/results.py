"""What a study found: one row per trained network, and the measurements between networks."""

import csv
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from permask.errors import PermaskError

SCHEMA_VERSION = 1

# the columns of results.csv, in order
COLUMNS: tuple[str, ...] = (
    "study",
    "dataset",
    "network",
    "method",  # dense, lth, naive, permuted, random
    "sparsity",  # of the pruned scope, as asked for; 0 for dense
    "sparsity_network",  # of all the network's weights, as counted
    "rewind",  # epochs of dense training before sparse training; empty for dense
    "pair",  # number of the pair of seeds, from 0
    "trained",  # which network of the pair was trained: A or B
    "seed_a",
    "seed_b",
    "accuracy",  # on the test set, percent
    "loss",  # on the test set, mean cross-entropy in nats
    "epochs",  # that this training took
    "step",  # hash of the step in the store
    "permask",
    "commit",
    "torch",
)


@dataclass(frozen=True)
class Results:
    """All results of one study.

    Attributes:
        study: The study's name and complete specification.
        provenance: Versions, commit and hardware.
        rows: One per trained network, with the keys `COLUMNS`.
        connectivity: One per point of a path between two dense networks, with the keys `pair, seed_a, seed_b,
            permuted, alpha, accuracy, loss, step`; alpha = 0 is A (permuted or not), alpha = 1 is B.
        matching: One per group and pair, with the keys `pair, seed_a, seed_b, group, size, correlation`
            (mean correlation of matched units), `correlation_identity` (of units at equal position), `step`.
    """

    study: dict[str, Any]
    provenance: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    connectivity: list[dict[str, Any]] = field(default_factory=list)
    matching: list[dict[str, Any]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write `results.csv` (the rows) and `results.json` (everything) into a folder."""
        with (folder / "results.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        content = {"schema": SCHEMA_VERSION, **asdict(self)}
        (folder / "results.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a `results.json`.

        Raises:
            PermaskError: A file that is missing or no results file of a schema version known here.
        """
        try:
            content = json.loads(path.read_text())
            schema = content.pop("schema")
            if schema != SCHEMA_VERSION:
                raise PermaskError(f"{path}: schema version {schema}, this permask reads version {SCHEMA_VERSION}")
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PermaskError(f"{path}: expected results saved by permask: {error}") from error
