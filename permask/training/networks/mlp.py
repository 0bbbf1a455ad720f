"""A multi-layer perceptron."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn


class MLP(nn.Sequential):
    """Linear layers with ReLU between them, over the flattened image.

    Args:
        input_shape: `[C, H, W]`.
        classes: Number of classes.
        widths: Hidden units per layer.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, widths: Sequence[int] = (256, 256)):
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in pairwise([math.prod(input_shape), *widths]):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        super().__init__(*layers, nn.Linear(widths[-1] if widths else math.prod(input_shape), classes))
