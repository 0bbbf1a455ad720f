"""What commands measure of a network that classifies."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from permask.batches import Batch
from permask.errors import DataError, NetworkError


@torch.no_grad()
def measure(network: nn.Module, batches: Sequence[Batch]) -> dict[str, float]:
    """Mean cross-entropy in nats and error in percent, over all samples with equal weight.

    Raises:
        DataError: Labels that the network has no class for.
        NetworkError: Outputs that are not numbers.
    """
    network.eval()
    loss = wrong = count = 0.0
    for batch in batches:
        assert batch.labels is not None
        logits = batch.call(network)
        if batch.labels.min() < 0 or batch.labels.max() >= logits.shape[-1]:
            raise DataError(f"expected labels from 0 to {logits.shape[-1] - 1}, got {int(batch.labels.max())}")
        if logits.isnan().any():
            raise NetworkError("the network's output is not a number: look for NaN in its weights and in the data")
        loss += F.cross_entropy(logits, batch.labels, reduction="sum").item()
        wrong += (logits.argmax(-1) != batch.labels).sum().item()
        count += len(batch.labels)
    return {"loss": loss / count, "error": 100 * wrong / count}
