"""What a data set is to the training loop: images and labels as tensors, and a fixed split."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images `[N, C, H, W]` in float32 and their labels `[N]`."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Data:
    """A data set with its fixed split and its number of classes."""

    train: Split
    test: Split
    classes: int

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`[C, H, W]`."""
        return tuple(self.train.images.shape[1:])
