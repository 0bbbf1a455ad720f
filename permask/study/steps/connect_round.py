"""Loss and accuracy along the line from one pruning round's network, permuted, to the dense network B.

Every point is measured three times: with BatchNorm statistics interpolated like the weights (`keep`), with BatchNorm
statistics recomputed (`reset`), and with REPAIR (`repair`; Jordan et al. 2022). The first two are the same thing for a
network without BatchNorm.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from permask.connectivity.batchnorm import reset_batchnorm
from permask.connectivity.interpolate import interpolate
from permask.connectivity.repair import repair
from permask.matching.alignment import Alignment
from permask.study.rows import Row
from permask.study.steps.files import ALIGNMENT, Run
from permask.training.data.dataset import Split
from permask.training.evaluation import Evaluation, evaluate

BATCH_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class RoundPoint(Row):
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

    pair: int
    seed_a: int
    seed_b: int
    round: int
    sparsity: float
    statistics: str
    alpha: float
    accuracy: float
    loss: float
    step: str


def compute(run: Run) -> None:
    """Evaluate the path at evenly spaced points; at its ends there is nothing to repair."""
    alignment = Alignment.load(run.parents["alignment"] / ALIGNMENT)
    source, target = alignment.permutation.apply(run.network_of("source")), run.network_of("target")
    data, points = run.data, run.specification["points"]
    images = _images(data.train, run.specification["images"])
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
    run.write_metrics({"path": curve})


def _images(split: Split, wanted: int | None) -> Sequence[Tensor]:
    """All images in batches, or as many as are wanted, evenly spaced, so that sorted classes all have their share."""
    if wanted is None or wanted >= len(split):
        return split.inputs(BATCH_SIZE)
    images, _ = split.batch([i * len(split) // wanted for i in range(wanted)])
    return images.split(BATCH_SIZE)
