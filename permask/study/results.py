"""What a study found: one row per trained network, and the measurements between networks."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from permask.errors import PermaskError

SCHEMA_VERSION = 1

# the columns of results.csv, in order; none of them differs between two runs of one study on the same machine
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
    "epochs_total",  # with all that this training rests on: dense networks, pruning, matching
    "epochs_ticket",  # the part of it that found the mask: dense A and its pruning; 0 for dense
    "step",  # hash of the step in the store
    "permask",
    "commit",
    "torch",
)

# the columns of the other files, which are written when there is something for them
ROUNDS_COLUMNS: tuple[str, ...] = (
    "pair",
    "seed_a",
    "seed_b",
    "round",  # of pruning network A; 0 is the dense network
    "sparsity",  # of the pruned scope
    "statistics",  # of activations at every point: keep (BatchNorm's interpolated), reset (recomputed) or repair
    "alpha",  # 0 is network A after that round, permuted; 1 is dense B
    "accuracy",
    "loss",
    "step",
)
ENSEMBLES_COLUMNS: tuple[str, ...] = (
    "pair",  # whose network A the ensemble is around
    "seed_a",
    "seed_b",
    "pairs",  # numbers of the pairs that the members come from
    "method",  # dense, lth, imp, permuted, naive, random
    "sparsity",
    "rewind",
    "members",  # how many, and then what `permask.ensembles.Ensemble` says of each measure
    "samples",
    "accuracy",
    "loss",
    "calibration_error",
    "member_accuracy",
    "member_loss",
    "member_calibration_error",
    "disagreement",
    "kl",
    "js",
    "step",
)
MASKS_COLUMNS: tuple[str, ...] = (
    "pair",
    "seed_a",
    "seed_b",
    "sparsity",
    "layer",
    "shape",
    "size",  # weights of the layer
    "kept",  # by A's mask
    "kept_by_both",  # by A's mask and by the magnitudes of dense B's weights, as many in each layer
    "kept_by_both_permuted",  # the same of the transported mask
    "step",
)


@dataclass(frozen=True)
class Results:
    """All results of one study.

    Attributes:
        study: The study's name and complete specification.
        provenance: Versions, commit and hardware.
        rows: One per trained network, with the keys `COLUMNS`, and `seconds, seconds_total, seconds_ticket`, what the
            epochs of the same name took, or None where the store does not tell.
        connectivity: One per point of a path between two dense networks, with the keys `pair, seed_a, seed_b,
            permuted, alpha, accuracy, loss, step`; alpha = 0 is A (permuted or not), alpha = 1 is B.
        matching: One per group and pair, with the keys `pair, seed_a, seed_b, group, size, correlation`
            (mean correlation of matched units), `correlation_identity` (of units at equal position), `step`.
        rounds: One per point of a path from A after a round of pruning, permuted, to dense B, with the keys
            `ROUNDS_COLUMNS`.
        ensembles: One per ensemble, with the keys `ENSEMBLES_COLUMNS`.
        masks: One per pair and sparsity, with the keys `pair, seed_a, seed_b, sparsity, step`, `layers` (one per
            layer, with the other keys of `MASKS_COLUMNS`), and `dense` and `sparse`, what the network costs
            without the mask and under it: `parameters, bytes, flops`.
        throughput: One per training, with the keys `kind, step, images_per_second, share_of_peak, device, precision,
            compile, deterministic`; the share is that of the fastest product of large matrices on the same device.
    """

    study: dict[str, Any]
    provenance: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    connectivity: list[dict[str, Any]] = field(default_factory=list)
    matching: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    ensembles: list[dict[str, Any]] = field(default_factory=list)
    masks: list[dict[str, Any]] = field(default_factory=list)
    throughput: list[dict[str, Any]] = field(default_factory=list)

    def save(self, folder: Path) -> list[Path]:
        """Write `results.csv` (the rows), `results.json` (everything), and one file each for rounds, ensembles, masks.

        Returns:
            The files.
        """
        rows = [{key: row[key] for key in COLUMNS if key in row} for row in self.rows]
        files = [_write_csv(folder / "results.csv", COLUMNS, rows)]
        if self.rounds:
            files.append(_write_csv(folder / "rounds.csv", ROUNDS_COLUMNS, self.rounds))
        if self.ensembles:
            listed = [row | {"pairs": " ".join(map(str, row["pairs"]))} for row in self.ensembles]
            files.append(_write_csv(folder / "ensembles.csv", ENSEMBLES_COLUMNS, listed))
        if self.masks:
            layers = [
                {key: mask[key] for key in ("pair", "seed_a", "seed_b", "sparsity", "step")}
                | layer
                | {"shape": "x".join(map(str, layer["shape"]))}
                for mask in self.masks
                for layer in mask["layers"]
            ]
            files.append(_write_csv(folder / "masks.csv", MASKS_COLUMNS, layers))
        content = {"schema": SCHEMA_VERSION, **asdict(self)}
        whole = folder / "results.json"
        whole.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        return [*files, whole]

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


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
