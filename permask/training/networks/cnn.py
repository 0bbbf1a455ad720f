"""A plain convolutional network with BatchNorm, for studies that a laptop can run."""

from collections.abc import Sequence

from torch import nn


class CNN(nn.Sequential):
    """3×3 convolutions with BatchNorm, ReLU and 2×2 max pooling each; the mean over positions; a linear layer.

    Args:
        input_shape: `[C, H, W]`.
        classes: Number of classes.
        widths: Channels of each convolution.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, widths: Sequence[int] = (64, 128, 256)):
        layers: list[nn.Module] = []
        n_in = input_shape[0]
        for n_out in widths:
            layers += [
                nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            n_in = n_out
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_in, classes))
