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
    correct = torch.zeros((), dtype=torch.int64, device=split.labels.device)
    loss = torch.zeros((), dtype=torch.float64, device=split.labels.device)
    for images, labels in zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True):
        logits = model(images)
        correct += (logits.argmax(1) == labels).sum()
        loss += F.cross_entropy(logits, labels, reduction="sum")
    model.train(was_training)
    return Evaluation(100 * correct.item() / len(split.labels), loss.item() / len(split.labels))
