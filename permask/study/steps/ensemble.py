"""What an ensemble of a study's networks scores on the test set, and how much its members differ."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import torch

from permask.ensembles import evaluate_ensemble
from permask.study.rows import Line, Row
from permask.study.steps.files import Run

BATCH_SIZE = 1024


@dataclass(frozen=True, kw_only=True)
class MeasuredEnsemble(Row):
    """An ensemble around one network A; its measures are those of `permask.ensembles.Ensemble`.

    Attributes:
        pair: Whose network A the ensemble is around.
        pairs: Numbers of the pairs that the members come from.
        method: dense, lth, imp, permuted, naive or random.
        members: How many.
    """

    table: ClassVar[str] = "ensembles"

    pair: int
    seed_a: int
    seed_b: int
    pairs: list[int]
    method: str
    sparsity: float
    rewind: int | None
    members: int
    samples: int
    accuracy: float
    loss: float
    calibration_error: float
    member_accuracy: float
    member_loss: float
    member_calibration_error: float
    disagreement: float
    kl: float
    js: float
    step: str

    def lines(self) -> list[Line]:
        """One line, the pairs with spaces between them."""
        (line,) = super().lines()
        return [{**line, "pairs": " ".join(map(str, self.pairs))}]


@torch.inference_mode()
def compute(run: Run) -> None:
    """Let every parent predict, and measure the ensemble of all of them."""
    test = run.data.test
    labels = torch.cat([labels for _, labels in test.batches(BATCH_SIZE)])
    predictions = []
    for number, role in enumerate(run.parents):
        network = run.network_of(role).eval()
        predictions.append(torch.cat([network(images) for images in test.inputs(BATCH_SIZE)]))
        run.progress(number + 1, len(run.parents))
    run.write_metrics(asdict(evaluate_ensemble(torch.stack(predictions), labels)))
