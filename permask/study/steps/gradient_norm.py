"""How steep the loss is where a sparse network begins to train: the norm of its gradient over all training images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from permask.study.rows import Number, PairRow, Part
from permask.study.step import Reported
from permask.study.steps import sparse
from permask.study.steps.outcome import Outcome

if TYPE_CHECKING:
    from permask.study.collect import Found
    from permask.study.plan import Planner
    from permask.study.steps.run import Run

VERSION = 1
BATCH_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class GradientNorm(PairRow):
    """The gradient of one sparse network before its first step.

    Attributes:
        method: As of `Trained`, as are `sparsity` and `rewind`.
        gradient_norm: Euclidean norm, over the weights that the mask keeps, of the gradient of the mean loss in nats.
    """

    table: ClassVar[str] = "gradient_norms"
    column: ClassVar[str] = "gradient_norm"

    method: str
    sparsity: Part
    rewind: Number
    trained: str
    gradient_norm: float
    step: str


ROW = GradientNorm


def plan(planner: "Planner") -> Iterator[Reported]:
    """One for every sparse network, from the same weights and mask."""
    for trained in sparse.plan(planner):
        own = trained.step.specification
        start = {name: own[name] for name in ("shuffle", "element", "rescale", "update") if name in own}
        yield Reported(trained.labels, planner.step("gradient_norm", start, dict(trained.step.parents)))


def compute(run: "Run") -> Outcome:
    """Sum the gradients of all training inputs, in batches, and take the norm of their mean."""
    import torch

    from permask.batches import label_loss

    begun = sparse.start(run)
    network, mask = begun.network.train(), begun.first_mask
    mask.apply_(network)
    train = run.data.train
    for inputs, labels in train.batches(BATCH_SIZE):
        (label_loss(network(inputs), labels, "sum") / train.labels.numel()).backward()
    squares = [
        (weight.grad[mask[name].to(weight.device)] if name in mask else weight.grad).square().sum()
        for name, weight in network.named_parameters()
        if weight.grad is not None
    ]
    return Outcome({"gradient_norm": torch.stack(squares).sum().sqrt().item()})


def rows(found: "Found") -> list[GradientNorm]:
    """The norm."""
    return [GradientNorm(**found.labelled, **found.metrics)]
