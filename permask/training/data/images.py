"""Images in memory, augmented and normalised on their device, a batch at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.resident import Resident


@dataclass(frozen=True, eq=False)
class Images(Resident):
    """Images and labels in memory.

    Args:
        samples: `[N, H, W, C]`, uint8 with a normalisation, or else float32; batches are `[B, C, H, W]`.
        labels: `[N]`, int64.
        normalisation: How uint8 pixels become float32.
        augmentation: What training does to the images; None for nothing.
    """

    normalisation: Normalisation | None = None
    augmentation: FlipAndCrop | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`[C, H, W]`."""
        _, height, width, channels = self.samples.shape
        return channels, height, width

    def _draw(self, generator: torch.Generator) -> Tensor | None:
        if self.augmentation is None:
            return None
        return self.augmentation.draw(len(self), generator).to(self.labels.device)

    def _augment(self, inputs: Tensor, draws: Tensor) -> Tensor:
        assert self.augmentation is not None
        return self.augmentation.apply(inputs, draws)

    def _for_network(self, inputs: Tensor) -> Tensor:
        images = inputs.permute(0, 3, 1, 2)
        return self.normalisation(images) if self.normalisation is not None else images
