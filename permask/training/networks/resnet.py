"""ResNets for small images, as the paper has them (He et al. 2016, section 4.2, with projection shortcuts)."""

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a residual sum; a change of shape goes through a 3×3 convolution."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, n_in, H, W]` to `[B, n_out, H / stride, W / stride]`."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def stage(n_in: int, n_out: int, stride: int, blocks: int) -> nn.Sequential:
    """Basic blocks in a row, the first of which changes the shape."""
    return nn.Sequential(BasicBlock(n_in, n_out, stride), *(BasicBlock(n_out, n_out, 1) for _ in range(blocks - 1)))


class ResNet(nn.Module):
    """Three stages of basic blocks with 16, 32 and 64 channels times `width`.

    Args:
        input_shape: `[C, H, W]`.
        classes: Number of classes.
        blocks: Per stage, of two convolutions each.
        width: Multiplies every number of channels.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, blocks: int, width: int = 1):
        super().__init__()
        c1, c2, c3 = 16 * width, 32 * width, 64 * width
        self.conv1 = nn.Conv2d(input_shape[0], c1, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c1)
        self.layer1 = stage(c1, c1, 1, blocks)
        self.layer2 = stage(c1, c2, 2, blocks)
        self.layer3 = stage(c2, c3, 2, blocks)
        self.linear = nn.Linear(c3, classes)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, classes]`."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


ResNet8 = partial(ResNet, blocks=1)
ResNet20 = partial(ResNet, blocks=3)
