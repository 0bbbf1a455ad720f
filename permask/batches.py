"""Batches as matchers and mask sources take them, and the loss that some of them differentiate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from permask.errors import DataError, NetworkError
from permask.inputs import Inputs

# what a matcher or mask source reads besides weights: an example of the inputs, data, or data with labels
Needs = Literal["nothing", "example", "inputs", "labels"]


@dataclass(frozen=True)
class Batch:
    """What a network takes, and what it should answer if that is known.

    Attributes:
        inputs: Positional arguments.
        labels: The answers; None if they are not known.
        keywords: Keyword arguments.
    """

    inputs: tuple[Any, ...]
    labels: Tensor | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def given(self) -> Inputs:
        """All arguments."""
        return Inputs(self.inputs, self.keywords)

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        given, labels = self.given.to(device), self.labels
        return Batch(given.args, labels if labels is None else labels.to(device), given.kwargs)

    def call(self, network: nn.Module) -> Any:
        """What a network returns for the inputs.

        Raises:
            NetworkError: Its code fails or exits.
        """
        return self.given.answer(network)

    def logits(self, network: nn.Module) -> Tensor:
        """What a network returns for the inputs, where it has to classify them.

        Raises:
            NetworkError: Its code fails or exits, or returns no logits for the labels.
            DataError: Labels that it has no class for.
        """
        logits, labels = self.call(network), self.labels
        assert labels is not None
        fits = isinstance(logits, Tensor) and logits.is_floating_point() and logits.ndim > 1 and logits.shape[-1] > 0
        if not fits or logits.shape[: labels.ndim] != labels.shape or logits.ndim - labels.ndim not in (0, 1):
            got = f"{logits.dtype} {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise NetworkError(
                f"expected the network to return logits, one for each class, for labels of shape {list(labels.shape)}, "
                f"got {got}"
            )
        if labels.shape != logits.shape and labels.numel():
            if labels.is_floating_point() or labels.is_complex():
                raise DataError(f"expected labels that are whole numbers, got {labels.dtype}")
            if labels.min() < 0 or labels.max() >= logits.shape[-1]:
                raise DataError(
                    f"expected labels from 0 to {logits.shape[-1] - 1}, got {int(labels.min())} to {int(labels.max())}"
                )
        return logits


def label_loss(
    logits: Tensor, labels: Tensor, reduction: Literal["mean", "sum"] = "mean", *, label_smoothing: float = 0.0
) -> Tensor:
    """The cross-entropy of all labels with equal weight, in nats.

    Args:
        logits: `[B, classes]`, or `[B, T, vocabulary]`.
        labels: Classes, `[B]` or `[B, T]`; or shares of the classes, of the shape of the logits.
        reduction: Mean or sum over the labels.
        label_smoothing: Share of every label that is spread over all classes.
    """
    rows = labels.flatten(0, -2) if labels.is_floating_point() else labels.flatten()
    return F.cross_entropy(logits.flatten(0, -2), rows, reduction=reduction, label_smoothing=label_smoothing)


def cross_entropy(network: nn.Module, batch: Batch, temperature: float = 1.0) -> Tensor:
    """The mean loss of a network on a labelled batch, in nats; its outputs are divided by the temperature first."""
    assert batch.labels is not None
    return label_loss(batch.logits(network) / temperature, batch.labels)
