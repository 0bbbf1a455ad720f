"""Loss and accuracy along the line between two dense networks, before and after permuting the first."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from permask.connectivity.batchnorm import reset_batchnorm
from permask.connectivity.interpolate import connect
from permask.matching.alignment import Alignment
from permask.study.rows import Row
from permask.study.steps.files import ALIGNMENT, Run
from permask.training.evaluation import evaluate

BATCH_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class PathPoint(Row):
    """One point of the line between the dense networks of a pair.

    Attributes:
        permuted: Whether A was permuted.
        alpha: Where on the line: 0 is A, 1 is B.
        accuracy: On the test set, percent.
        loss: On the test set, mean cross-entropy in nats.
    """

    table: ClassVar[str] = "connectivity"

    pair: int
    seed_a: int
    seed_b: int
    permuted: bool
    alpha: float
    accuracy: float
    loss: float
    step: str


def compute(run: Run) -> None:
    """Evaluate the path with and without the permutation; BatchNorm statistics are recomputed at every point."""
    source, target = run.network_of("source"), run.network_of("target")
    alignment = Alignment.load(run.parents["alignment"] / ALIGNMENT)
    data, points = run.data, run.specification["points"]
    images = data.train.inputs(BATCH_SIZE)

    def measure(network: nn.Module, alpha: float) -> dict[str, float]:
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
    run.write_metrics({"path": curve})
