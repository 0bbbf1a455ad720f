"""Accuracy and loss of a network on a set of images."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from permask.training.data.dataset import Split


class Evaluation(NamedTuple):
    """Accuracy in percent and mean cross-entropy in nats, over all images with equal weight."""

    accuracy: float
    loss: float


@torch.inference_mode()
def evaluate(model: nn.Module, split: Split, batch_size: int = 1024) -> Evaluation:
    """Evaluate in evaluation mode; the model's mode is restored."""
    was_training = model.training
    model.eval()
    correct, loss = 0, 0.0
    for images, labels in split.batches(batch_size):
        logits = model(images)
        correct += (logits.argmax(1) == labels).sum()
        loss += F.cross_entropy(logits, labels, reduction="sum").double()
    model.train(was_training)
    return Evaluation(100 * int(correct) / len(split), float(loss) / len(split))
