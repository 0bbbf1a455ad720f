"""What is reported of a network that a step trained, dense or sparse."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from permask.study.rows import Number, Part, Percent, Row, sometimes, unlisted, varies

if TYPE_CHECKING:
    from permask.study.collect import Found


@dataclass(frozen=True, kw_only=True)
class Trained(Row):
    """A trained network.

    Attributes:
        method: dense, pruned (by the rounds of iterative pruning), or the name of a method of the study.
        sparsity: Of the pruned scope, as asked for; 0 for dense.
        sparsity_network: Of all the network's weights, as counted.
        rewind: Epochs of dense training before sparse training; None for dense and pruned.
        pair: Number of the pair of seeds, from 0.
        trained: Which network of the pair was trained: A or B.
        accuracy: On the test set, percent: of its labels, or of its next tokens.
        loss: On the test set, mean cross-entropy in nats, per label.
        epochs: That this training took; of pruned, its last round.
        epochs_total: With all that this training rests on: dense networks, pruning, matching.
        epochs_ticket: The part of it that found the mask: dense A and its pruning; 0 for dense.
        train_accuracy: On the training inputs without augmentation (10,000 of them at most), percent; None, as the
            others up to `flops_marginal`, in results of before.
        train_loss: On the same inputs.
        epochs_marginal: Of the epochs in total, those of one more network once all is there that networks can share:
            what depends on the seed of the network that is trained. A further `naive` or `permuted` takes A's mask as
            it is, a further `lth` or `own-ticket` has to find its own.
        flops: Of this training: 3 x those of a forward pass of the dense network (a backward pass takes twice as
            many) x inputs x epochs. A mask saves nothing here, as in hardware without support for sparsity.
        flops_total: Of the epochs in total. What scores, matches and evaluates is not counted.
        flops_marginal: Of one more network.
        accuracy_top5: On the test set, percent that is among the likeliest five; where there are over 20 classes.
        perplexity: exp(loss), where labels are tokens.
        right: Which test inputs are right, as `permask.study.per_input` packs them; where labels are classes.
        seconds: What the epochs took; None, as those below, where the store does not tell.
        seconds_total: What the epochs in total took.
        seconds_ticket: What those of the ticket took.
        seconds_marginal: What those of one more network took.
    """

    table: ClassVar[str] = "rows"

    study: str
    dataset: str
    network: str
    method: str
    sparsity: Part
    sparsity_network: Part
    rewind: Number | None
    pair: Number
    trained: str
    seed_a: Number
    seed_b: Number
    accuracy: Percent
    loss: float
    epochs: Number
    epochs_total: Number | None = None
    epochs_ticket: Number | None = None
    step: str
    permask: str
    commit: str
    torch: str
    train_accuracy: Percent | None = None
    train_loss: float | None = None
    epochs_marginal: Number | None = None
    flops: int | None = None
    flops_total: int | None = None
    flops_marginal: int | None = None
    accuracy_top5: float | None = sometimes()
    perplexity: float | None = sometimes()
    right: str | None = unlisted()
    seconds: float | None = varies()
    seconds_total: float | None = varies()
    seconds_ticket: float | None = varies()
    seconds_marginal: float | None = varies()


def trained_row(found: "Found") -> Trained:
    """The row of a step that trained a network."""
    study, metrics, made_with, cost = found.study, found.metrics, found.made_with, found.cost
    epochs = {"": found.epochs, **{end: cost[f"epochs{end}"] for end in ("_total", "_marginal")}}
    per_epoch = 3 * metrics["flops"] * metrics["inputs"]
    return Trained(
        **found.labelled,
        study=study.name,
        dataset=study.data.name,
        network=study.network.name,
        sparsity_network=metrics.get("sparsity_network", 0.0),
        accuracy=metrics["accuracy"],
        loss=metrics["loss"],
        train_accuracy=metrics["train_accuracy"],
        train_loss=metrics["train_loss"],
        right=metrics.get("right"),
        epochs=found.epochs,
        **{name: metrics[name] for name in Trained.sometimes() if name in metrics},
        **cost,
        **{f"flops{end}": per_epoch * trained for end, trained in epochs.items()},
        **{name: made_with[name] for name in ("permask", "commit", "torch")},
    )
