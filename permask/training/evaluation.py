"""What a network scores on a split: what is measured follows from what its labels are."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from permask.batches import label_loss
from permask.training.data.dataset import Split
from permask.training.data.shares import part_of
from permask.training.distributed import Processes

TOP = 5
MANY = 20  # classes; where there are more, the label may be among the likeliest five
WIDEST = {"mps": torch.float32}  # what sums are kept in, where there is no float64; whole numbers are exact up to 2^24


@dataclass(frozen=True)
class Evaluation:
    """What a network scores, over all labels with equal weight.

    Attributes:
        accuracy: Share of labels that are the likeliest class, or the likeliest next token, in percent.
        loss: Mean cross-entropy in nats.
        accuracy_top5: Share of labels among the likeliest five classes, in percent; None for tokens, and where there
            are 20 classes or fewer.
        perplexity: exp(loss) of tokens; None for classes.
        right: `[inputs]`, whether the likeliest class of each is its label; None for tokens.
    """

    accuracy: float
    loss: float
    accuracy_top5: float | None = None
    perplexity: float | None = None
    right: Bool[Tensor, "inputs"] | None = None

    @property
    def measured(self) -> dict[str, float]:
        """By name, what there is to measure."""
        names = [field.name for field in fields(self) if field.name != "right"]
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@torch.inference_mode()
def evaluate(model: nn.Module, split: Split, batch_size: int = 1024) -> Evaluation:
    """Evaluate in evaluation mode; the model's mode is restored.

    Processes that train together evaluate a share each, every input once, and all get the result.

    Args:
        model: To logits `[B, classes]` for labels `[B]`, or `[B, T, vocabulary]` for labels `[B, T]`.
        split: What to evaluate on.
        batch_size: Inputs at a time.
    """
    processes, was_training = Processes.here(), model.training
    model.eval()
    part = part_of(torch.arange(len(split)), processes.share)
    device = split.labels.device
    right = torch.zeros(len(split), dtype=torch.int32, device=device)  # labels, of every input
    widest = WIDEST.get(device.type, torch.float64)
    counted = torch.zeros(2, dtype=widest, device=device)  # losses, right among the likeliest
    of_tokens = split.labels.ndim > 1
    has_many = False
    for rows, (inputs, labels) in zip(part.split(batch_size), split.subset(part).batches(batch_size), strict=True):
        logits = model(inputs)
        right[rows] = (logits.argmax(-1) == labels).reshape(len(rows), -1).sum(1, dtype=torch.int32)
        counted[0] += label_loss(logits, labels, "sum")
        has_many = not of_tokens and logits.shape[-1] > MANY
        if has_many:
            counted[1] += (logits.topk(TOP, -1).indices == labels.unsqueeze(-1)).sum()
    model.train(was_training)
    loss_sum, among = processes.sum(counted).tolist()
    correct = processes.sum(right).sum().item()
    count = split.labels.numel()
    loss = loss_sum / count
    return Evaluation(
        accuracy=100 * correct / count,
        loss=loss,
        accuracy_top5=100 * among / count if has_many else None,
        perplexity=_exp(loss) if of_tokens else None,
        right=None if of_tokens else right.bool().cpu(),
    )


def _exp(x: float) -> float:
    """Infinity where math.exp would overflow."""
    return torch.tensor(x, dtype=torch.float64).exp().item()
