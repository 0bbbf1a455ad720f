"""VGG11 for small images, as the paper has it: eight convolutions with bias, no BatchNorm, one linear layer."""

from collections.abc import Sequence

from torch import nn

from permask.errors import NetworkError

# output channels of each convolution; "pool" halves the image
LAYERS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")


class VGG11(nn.Sequential):
    """Configuration A of Simonyan & Zisserman 2015 with one linear layer behind it.

    Args:
        input_shape: `[C, H, W]`; H and W are multiples of 32.
        classes: Number of classes.
        width: Multiplies every number of channels.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, width: int = 1):
        channels, height, image_width = input_shape
        if height < 32 or image_width < 32:
            raise NetworkError(
                f"VGG11 halves its images five times: expected at least 32×32, got {height}×{image_width}"
            )
        layers: list[nn.Module] = []
        for layer in LAYERS:
            if layer == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                n_out = int(layer) * width
                layers += [nn.Conv2d(channels, n_out, 3, padding=1), nn.ReLU()]
                channels = n_out
        positions = (height // 32) * (image_width // 32)
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels * positions, classes))
