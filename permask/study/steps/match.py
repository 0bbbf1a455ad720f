"""Find the permutation that lines network A up with network B."""

from dataclasses import dataclass, replace
from typing import ClassVar

from permask.discovery.discover import discover
from permask.matching.activations import match_activations
from permask.study.rows import Row
from permask.study.steps.files import ALIGNMENT, Run

BATCH_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class MatchedGroup(Row):
    """How well one group of units of A was matched to that of B.

    Attributes:
        group: Its name.
        size: Units.
        correlation: Mean over matched units.
        correlation_identity: Mean over units at equal positions.
        dead_source: Units of A that do not vary; None in results of before they were counted.
        dead_target: Units of B that do not vary.
    """

    table: ClassVar[str] = "matching"

    pair: int
    seed_a: int
    seed_b: int
    group: str
    size: int
    correlation: float
    correlation_identity: float
    dead_source: int | None = None
    dead_target: int | None = None
    step: str


def compute(run: Run) -> None:
    """Match by activations on all training images, in one pass."""
    source, target = run.network_of("source"), run.network_of("target")
    images = run.data.train.inputs(BATCH_SIZE)
    symmetry = discover(source, (images[0][:2],))
    # times go beside the result, which is the same in every run
    report = {name: value for name, value in symmetry.report.items() if name != "seconds"}
    alignment = match_activations(replace(symmetry, report=report), source, target, images)
    run.measured["discovery"], run.measured["matching"] = symmetry.report["seconds"], alignment.seconds
    replace(alignment, seconds=0.0).save(run.folder / ALIGNMENT)
    run.write_metrics(
        {
            "groups": [
                {
                    "group": group.group,
                    "size": group.size,
                    "correlation": group.correlation,
                    "correlation_identity": group.correlation_identity,
                    "dead_source": group.dead_source,
                    "dead_target": group.dead_target,
                }
                for group in alignment.groups
            ]
        }
    )
