"""Accuracy and loss of a network on a set of images."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from permask.training.data.dataset import Split
from permask.training.data.shares import part_of
from permask.training.distributed import Processes


class Evaluation(NamedTuple):
    """Accuracy in percent and mean cross-entropy in nats, over all images with equal weight."""

    accuracy: float
    loss: float


@torch.inference_mode()
def evaluate(model: nn.Module, split: Split, batch_size: int = 1024) -> Evaluation:
    """Evaluate in evaluation mode; the model's mode is restored.

    Processes that train together evaluate a share each, every image once, and all get the result.
    """
    processes, was_training = Processes.here(), model.training
    model.eval()
    counted = torch.zeros(2, dtype=torch.float64, device=split.labels.device)  # right answers, sum of losses
    for images, labels in split.subset(part_of(torch.arange(len(split)), processes.share)).batches(batch_size):
        logits = model(images)
        counted[0] += (logits.argmax(1) == labels).sum()
        counted[1] += F.cross_entropy(logits, labels, reduction="sum")
    model.train(was_training)
    correct, loss = processes.sum(counted).tolist()
    return Evaluation(100 * correct / len(split), loss / len(split))
