"""What commands measure of a network that classifies."""

from collections.abc import Sequence

import torch
from torch import nn

from permask.batches import Batch, label_loss
from permask.errors import NetworkError


@torch.no_grad()
def measure(network: nn.Module, batches: Sequence[Batch]) -> dict[str, float]:
    """Mean cross-entropy in nats and error in percent, over all samples with equal weight.

    Raises:
        DataError: Labels that the network has no class for.
        NetworkError: Outputs that are no logits, or not numbers.
    """
    network.eval()
    loss = wrong = count = 0.0
    for batch in batches:
        assert batch.labels is not None
        logits = batch.logits(network)
        if logits.isnan().any():
            raise NetworkError("the network's output is not a number: look for NaN in its weights and in the data")
        loss += label_loss(logits, batch.labels, "sum").item()
        wrong += (logits.argmax(-1) != batch.labels).sum().item()
        count += batch.labels.numel()
    return {"loss": loss / count, "error": 100 * wrong / count}
