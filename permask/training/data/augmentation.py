"""What training does to images: flip, crop, normalise, a batch at a time on the batch's own device.

Every image has a flip and a crop of its own. The distribution is that of torchvision's `RandomCrop(size, padding)` and
`RandomHorizontalFlip()`: all crops and both flips equally likely.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Normalisation:
    """uint8 pixels to float32: scaled to [0, 1], less the mean, over the standard deviation, per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels_BCHW: Tensor) -> Tensor:
        """Normalise a batch; its memory format stays."""
        batch, channels, height, width = pixels_BCHW.shape
        values = pixels_BCHW.float()
        if channels > 1 and values.stride(1) == 1:  # channels last: a row of pixels is one run of numbers
            scale, shift = _scale_and_shift(self.mean, self.std, width, values.device)
            rows = values.permute(0, 2, 3, 1).view(batch * height, width * channels)
        else:
            scale, shift = (x[:, None, None] for x in _scale_and_shift(self.mean, self.std, 1, values.device))
            rows = values
        rows.mul_(scale).add_(shift)
        return values


@cache
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], pixels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """What a run of pixels is multiplied by, and what is added then: `[pixels · C]`."""
    mean_C, std_C = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    scale, shift = 1 / (255 * std_C), -mean_C / std_C
    return scale.float().repeat(pixels).to(device), shift.float().repeat(pixels).to(device)


@dataclass(frozen=True)
class FlipAndCrop:
    """Flip left to right with probability ½, and crop the image's own size from it with a black margin around it.

    Args:
        padding: Width of the margin, in pixels.
        flip: Whether to flip at all.
    """

    padding: int
    flip: bool = True

    def draw(self, images: int, generator: torch.Generator) -> Tensor:
        """One number per image `[N]`, that says its flip and its crop, from a generator on the CPU."""
        return torch.randint((1 + self.flip) * self._shifts**2, (images,), generator=generator)

    def apply(self, images_BHWC: Tensor, draws_B: Tensor) -> Tensor:
        """The augmented batch.

        A row of a crop is one run of memory of the padded images, and all runs are copied at once by where they start.
        """
        batch, height, width, channels = images_BHWC.shape
        images, shifts, padding = torch.arange(batch, device=images_BHWC.device), self._shifts, self.padding
        padded = F.pad(images_BHWC, (0, 0, padding, padding, padding, padding))
        _, padded_height, padded_width, _ = padded.shape
        rows = (draws_B // shifts % shifts)[:, None] + torch.arange(height, device=images_BHWC.device)
        starts = (images[:, None] * padded_height + rows) * padded_width + (draws_B % shifts)[:, None]
        runs = padded.as_strided((padded.numel() // channels - width + 1, width * channels), (channels, 1))
        cropped = runs.index_select(0, starts.flatten()).view(images_BHWC.shape)
        if not self.flip:
            return cropped
        either = torch.cat([cropped, cropped.flip(2)])
        return either.index_select(0, images + batch * (draws_B // shifts**2))

    @property
    def _shifts(self) -> int:
        return 2 * self.padding + 1
