"""What is reported of a network that a step trained, dense or sparse."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from permask.study.rows import Row, sometimes, varies

if TYPE_CHECKING:
    from permask.study.collect import Found


@dataclass(frozen=True, kw_only=True)
class Trained(Row):
    """A trained network.

    Attributes:
        method: dense, lth, naive, permuted, random, or `permuted t=...` for an early match.
        sparsity: Of the pruned scope, as asked for; 0 for dense.
        sparsity_network: Of all the network's weights, as counted.
        rewind: Epochs of dense training before sparse training; None for dense.
        pair: Number of the pair of seeds, from 0.
        trained: Which network of the pair was trained: A or B.
        accuracy: On the test set, percent: of its labels, or of its next tokens.
        loss: On the test set, mean cross-entropy in nats, per label.
        epochs: That this training took.
        epochs_total: With all that this training rests on: dense networks, pruning, matching.
        epochs_ticket: The part of it that found the mask: dense A and its pruning; 0 for dense.
        accuracy_top5: On the test set, percent that is among the likeliest five; where there are over 20 classes.
        perplexity: exp(loss), where labels are tokens.
        seconds: What the epochs took; None, as those below, where the store does not tell.
        seconds_total: What the epochs in total took.
        seconds_ticket: What those of the ticket took.
    """

    table: ClassVar[str] = "rows"

    study: str
    dataset: str
    network: str
    method: str
    sparsity: float
    sparsity_network: float
    rewind: int | None
    pair: int
    trained: str
    seed_a: int
    seed_b: int
    accuracy: float
    loss: float
    epochs: int
    epochs_total: int | None = None
    epochs_ticket: int | None = None
    step: str
    permask: str
    commit: str
    torch: str
    accuracy_top5: float | None = sometimes()
    perplexity: float | None = sometimes()
    seconds: float | None = varies()
    seconds_total: float | None = varies()
    seconds_ticket: float | None = varies()


def trained_row(found: "Found") -> Trained:
    """The row of a step that trained a network."""
    study, metrics, made_with = found.study, found.metrics, found.made_with
    return Trained(
        **found.labelled,
        study=study.name,
        dataset=study.data.name,
        network=study.network.name,
        sparsity_network=metrics.get("sparsity_network", 0.0),
        accuracy=metrics["accuracy"],
        loss=metrics["loss"],
        epochs=found.step.specification["recipe"]["epochs"],
        **{name: metrics[name] for name in Trained.sometimes() if name in metrics},
        **found.cost,
        **{name: made_with[name] for name in ("permask", "commit", "torch")},
    )
