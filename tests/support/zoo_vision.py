"""Vision models of the zoo that torchvision does not have."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def double_convolution(channels_in: int, channels: int) -> nn.Sequential:
    """Two convolutions, normalised over groups of channels and over the batch."""
    return nn.Sequential(
        *(nn.Conv2d(channels_in, channels, 3, padding=1), nn.GroupNorm(4, channels), nn.ReLU(inplace=True)),
        *(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)),
    )


class UNet(nn.Module):
    """Skips by concatenation, transposed convolutions on the way up (Ronneberger et al. 2015)."""

    def __init__(self, width: int = 8):
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        self.down = nn.ModuleList(map(double_convolution, [3, *widths], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[1::-1])
        self.merge = nn.ModuleList(double_convolution(2 * w, w) for w in widths[1::-1])
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.out(x)


class MixerBlock(nn.Module):
    """An MLP across patches, then one across channels (Tolstikhin et al. 2021)."""

    def __init__(self, patches: int, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across_patches = nn.Sequential(nn.Linear(patches, 12), nn.GELU(), nn.Linear(12, patches))
        self.across_channels = nn.Sequential(nn.Linear(width, 40), nn.GELU(), nn.Linear(40, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across_patches(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.across_channels(self.norm2(x))


class MLPMixer(nn.Module):
    """Patches of 4 x 4, mixer blocks, mean, head."""

    def __init__(self, size: int = 16, width: int = 24, blocks: int = 2):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, stride=4)
        self.blocks = nn.Sequential(*(MixerBlock((size // 4) ** 2, width) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.patch(x).flatten(2).transpose(1, 2))).mean(1))


class WideBlock(nn.Module):
    """Pre-activation block: the shortcut branches off after the first norm where the width changes."""

    def __init__(self, width_in: int, width: int, stride: int):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width_in), nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False) if width != width_in else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(x))
        residual = x if self.shortcut is None else self.shortcut(y)
        return residual + self.conv2(F.dropout(F.relu(self.norm2(self.conv1(y))), 0.3, self.training))


def wide_resnet(widen: int = 2) -> nn.Sequential:
    """Wide ResNet with two blocks per stage (Zagoruyko & Komodakis 2016)."""
    widths = [16, 16 * widen, 32 * widen, 64 * widen]
    blocks = [
        WideBlock(widths[stage] if first else widths[stage + 1], widths[stage + 1], 2 if stage and first else 1)
        for stage in range(3)
        for first in (True, False)
    ]
    head = (
        nn.BatchNorm2d(widths[-1]),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(widths[-1], 10),
    )
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), *blocks, *head)


class TiedAutoencoder(nn.Module):
    """Convolutional encoder, whose kernels decode too."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = (
            nn.Conv2d(3, 12, 4, stride=2, padding=1),
            nn.Conv2d(12, 20, 4, stride=2, padding=1),
        )
        self.bias1, self.bias2 = nn.Parameter(torch.zeros(12)), nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        code = F.relu(self.conv2(F.relu(self.conv1(x))))
        y = F.relu(F.conv_transpose2d(code, self.conv2.weight, self.bias1, stride=2, padding=1))
        return F.conv_transpose2d(y, self.conv1.weight, self.bias2, stride=2, padding=1)


def weight_normed() -> nn.Sequential:
    """Convolutions and a linear layer, each split into lengths and directions (Salimans & Kingma 2016)."""
    normed = nn.utils.parametrizations.weight_norm
    return nn.Sequential(
        *(normed(nn.Conv2d(3, 12, 3)), nn.ELU(), normed(nn.Conv2d(12, 16, 3)), nn.ELU()),
        *(nn.AdaptiveMaxPool2d(2), nn.Flatten(), normed(nn.Linear(64, 10)), nn.ELU(), nn.Linear(10, 5)),
    )
