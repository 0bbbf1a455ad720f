"""Loss and accuracy along the line between two dense networks, before and after permuting the first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from permask.study.rows import PairRow, Part, Percent
from permask.study.step import Reported
from permask.study.steps.match import match
from permask.study.steps.outcome import Outcome

if TYPE_CHECKING:
    from torch import nn

    from permask.study.collect import Found
    from permask.study.plan import Planner
    from permask.study.steps.run import Run

VERSION = 1
BATCH_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class PathPoint(PairRow):
    """One point of the line between the dense networks of a pair.

    Attributes:
        permuted: Whether A was permuted.
        alpha: Where on the line: 0 is A, 1 is B.
        accuracy: On the test set, percent.
        loss: On the test set, mean cross-entropy in nats.
    """

    table: ClassVar[str] = "connectivity"

    permuted: bool
    alpha: Part
    accuracy: Percent
    loss: float
    step: str


ROW = PathPoint


def plan(planner: "Planner") -> Iterator[Reported]:
    """The line between the dense networks of every pair, if the study asks for it."""
    study = planner.study
    if study.connect is None:
        return
    for ticket in planner.tickets:
        parents = {
            "source": ticket.dense_a[study.epochs],
            "target": ticket.dense_b[study.epochs],
            "alignment": match(planner, ticket, ticket),
        }
        specification = study.connect.model_dump(mode="json", exclude_none=True)
        yield Reported(ticket.labels, planner.step("connect", specification, parents))


def compute(run: "Run") -> Outcome:
    """Evaluate the path with and without the permutation; BatchNorm statistics are recomputed at every point."""
    from permask.connectivity.batchnorm import reset_batchnorm
    from permask.connectivity.interpolate import connect
    from permask.training.evaluation import evaluate

    source, target = run.network_of("source"), run.network_of("target")
    alignment = run.alignment_of("alignment")
    data, points = run.data, run.specification["points"]
    images = data.train.spread(run.specification.get("images")).inputs(BATCH_SIZE)

    def measure(network: "nn.Module", alpha: float) -> dict[str, float]:
        reset_batchnorm(network, images)
        found = evaluate(network, data.test)
        return {"loss": found.loss, "error": 100 - found.accuracy}

    curve = []
    for permuted in (False, True):
        start = alignment.permutation.apply(source) if permuted else source
        path = connect(start, target, measure, alphas=points)
        assert isinstance(path.values, dict)
        for alpha, loss, error in zip(path.alphas, path.values["loss"], path.values["error"], strict=True):
            curve.append({"permuted": permuted, "alpha": alpha, "accuracy": 100 - error, "loss": loss})
        run.progress(1 + permuted, 2)
    return Outcome({"path": curve})


def rows(found: "Found") -> list[PathPoint]:
    """One per point."""
    return [PathPoint(**found.labelled, **point) for point in found.metrics["path"]]
