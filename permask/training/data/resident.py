"""A split that lies whole on one device, and is augmented there, a batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.dataset import Batch, Split
from permask.training.data.shares import WHOLE, Share, part_of


@dataclass(frozen=True, eq=False)
class Resident(Split):
    """Images and labels in memory.

    Args:
        images: `[N, H, W, C]`, uint8 with a normalisation, or else float32.
        labels: `[N]`, int64.
        normalisation: How uint8 pixels become float32.
        augmentation: What training does to the images; None for nothing.
    """

    images: Tensor
    labels: Tensor
    normalisation: Normalisation | None = None
    augmentation: FlipAndCrop | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`[C, H, W]`."""
        _, height, width, channels = self.images.shape
        return channels, height, width

    def to(self, device: torch.device | str) -> Self:
        """A copy on another device; itself where it is there already."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def subset(self, rows: Tensor) -> Self:
        """A copy of some rows; itself where they are all."""
        return self if len(rows) == len(self) else replace(self, images=self.images[rows], labels=self.labels[rows])

    def batch(self, rows: Sequence[int]) -> Batch:
        """Some rows."""
        chosen = torch.as_tensor(rows, device=self.labels.device)
        return self._as_inputs(self.images[chosen]), self.labels[chosen]

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All rows in order."""
        for images, labels in zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True):
            yield self._as_inputs(images), labels

    def epoch(
        self,
        batch_size: int,
        order: torch.Generator,
        augmentation: torch.Generator | None = None,
        skip: int = 0,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """All rows shuffled, each with its own flip and crop."""
        shuffled = torch.randperm(len(self), generator=order).to(self.labels.device)
        draws = None
        if self.augmentation is not None and augmentation is not None:
            draws = self.augmentation.draw(len(self), augmentation).to(self.labels.device)
        for start in range(skip * batch_size, len(self), batch_size):
            rows = part_of(shuffled[start : start + batch_size], share)
            images = self.images.index_select(0, rows)  # of whole images, several times as fast as indexing
            if self.augmentation is not None and draws is not None:
                images = self.augmentation.apply(images, part_of(draws[start : start + batch_size], share))
            yield self._as_inputs(images), self.labels[rows]

    def _as_inputs(self, images_BHWC: Tensor) -> Tensor:
        images = images_BHWC.permute(0, 3, 1, 2)
        return self.normalisation(images) if self.normalisation is not None else images
