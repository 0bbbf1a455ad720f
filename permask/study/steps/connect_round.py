"""Loss and accuracy along the line from one pruning round's network, permuted, to the dense network B.

Every point is measured three times: with BatchNorm statistics interpolated like the weights (`keep`), with BatchNorm
statistics recomputed (`reset`), and with REPAIR (`repair`; Jordan et al. 2022). The first two are the same thing for a
network without BatchNorm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from permask.study.rows import Number, PairRow, Part, Percent
from permask.study.step import Reported
from permask.study.steps.match import match
from permask.study.steps.outcome import Outcome

if TYPE_CHECKING:
    from permask.study.collect import Found
    from permask.study.plan import Planner
    from permask.study.steps.run import Run

VERSION = 2
BATCH_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class RoundPoint(PairRow):
    """One point of the line from A after a round of pruning, permuted, to dense B.

    Attributes:
        round: Of pruning network A; 0 is the dense network.
        sparsity: Of the pruned scope.
        statistics: Of activations: keep (BatchNorm's interpolated), reset (recomputed) or repair.
        alpha: Where on the line: 0 is A after that round, 1 is dense B.
        accuracy: On the test set, percent.
        loss: On the test set, mean cross-entropy in nats.
    """

    table: ClassVar[str] = "rounds"

    round: Number
    sparsity: Part
    statistics: str
    alpha: Part
    accuracy: Percent
    loss: float
    step: str


ROW = RoundPoint


def plan(planner: "Planner") -> Iterator[Reported]:
    """The line from dense A and from every round of pruning it, if the study asks for them."""
    study = planner.study
    if study.connect_rounds is None:
        return
    specification = study.connect_rounds.model_dump(mode="json")
    for ticket in planner.tickets:
        others = {"target": ticket.dense_b[study.epochs], "alignment": match(planner, ticket, ticket)}
        for pruned in (ticket.dense_a[study.epochs], *ticket.rounds):
            labels = {name: pruned.specification.get(name, 0) for name in ("round", "sparsity")}
            step = planner.step("connect_round", specification, {"source": pruned} | others)
            yield Reported({**ticket.labels, **labels}, step)


def compute(run: "Run") -> Outcome:
    """Evaluate the path at evenly spaced points; at its ends there is nothing to repair."""
    import copy

    from permask.connectivity.batchnorm import reset_batchnorm
    from permask.connectivity.interpolate import interpolate
    from permask.connectivity.repair import repair
    from permask.training.evaluation import Evaluation, evaluate

    permutation = run.alignment_of("alignment").permutation
    source, target = permutation.apply(run.network_of("source")), run.network_of("target")
    data, points = run.data, run.specification["points"]
    images = data.train.spread(run.specification["images"]).inputs(BATCH_SIZE)
    curve = []

    def note(statistics: str, alpha: float, found: Evaluation) -> None:
        curve.append({"statistics": statistics, "alpha": alpha, "accuracy": found.accuracy, "loss": found.loss})

    for i in range(points):
        alpha = i / (points - 1)
        network = interpolate(source, target, alpha)
        note("keep", alpha, evaluate(network, data.test))
        reset = evaluate(reset_batchnorm(copy.deepcopy(network), images), data.test)
        note("reset", alpha, reset)
        inside = 0 < alpha < 1
        repaired = evaluate(repair(source, target, network, images, alpha), data.test) if inside else reset
        note("repair", alpha, repaired)
        run.progress(i + 1, points)
    return Outcome({"path": curve})


def rows(found: "Found") -> list[RoundPoint]:
    """One per point and way of treating statistics."""
    return [RoundPoint(**found.labelled, **point) for point in found.metrics["path"]]
