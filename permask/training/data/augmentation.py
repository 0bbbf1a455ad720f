"""What training does to images: flip, crop, normalise, a batch at a time on the batch's own device.

Every image has a flip and a crop of its own. The distribution is that of torchvision's `RandomCrop(size, padding)` and
`RandomHorizontalFlip()`: all crops and both flips equally likely.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normalisation:
    """uint8 pixels to float32: scaled to [0, 1], less the mean, over the standard deviation, per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels_BCHW: Tensor) -> Tensor:
        """Normalise a batch."""
        mean, std = _on_device(self, pixels_BCHW.device)
        return pixels_BCHW.float().sub_(mean).div_(std)


@cache
def _on_device(normalisation: Normalisation, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of uint8 pixels, `[C, 1, 1]`: a copy per batch would make the host wait for a GPU."""
    mean, std = torch.tensor([normalisation.mean, normalisation.std], device=device)
    return 255 * mean[:, None, None], 255 * std[:, None, None]


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
        """The augmented batch, by one gather from the padded one."""
        batch, height, width, _ = images_BHWC.shape
        device, padding = images_BHWC.device, self.padding
        padded = torch.nn.functional.pad(images_BHWC, (0, 0, padding, padding, padding, padding))
        across = torch.arange(width, device=device)
        flip = (draws_B // self._shifts**2).bool()[:, None]
        columns = (draws_B % self._shifts)[:, None] + torch.where(flip, across.flip(0), across)
        rows = (draws_B // self._shifts % self._shifts)[:, None] + torch.arange(height, device=device)
        image = torch.arange(batch, device=device)
        return padded[image[:, None, None], rows[:, :, None], columns[:, None, :]]

    @property
    def _shifts(self) -> int:
        return 2 * self.padding + 1
