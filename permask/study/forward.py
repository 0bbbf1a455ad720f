"""Operations of a forward pass of the built-in networks by their formulas, so that planning needs no torch.

Two per multiply-add of convolutions, matrix products and attention, as `permask.masks.cost.cost_of` counts them.
"""

from collections.abc import Sequence
from itertools import pairwise

from permask.study.network import CNN, MLP, Network, ViT, Wide

POOL = 0  # in the place of a convolution's channels
VGG11 = (64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL)
RESNET50 = (3, 4, 6, 3)  # blocks of its stages
HIDDEN = 4  # units of a transformer's MLP, by the width


def forward_operations(network: Network, input_shape: Sequence[int], classes: int) -> int | None:
    """Operations for one image; None for a network that has no formula here, or does not take images of this size.

    Args:
        network: The section of a study.
        input_shape: `[C, H, W]`.
        classes: Number of classes.
    """
    channels, height, width = input_shape
    match network:
        case MLP():
            sizes = [channels * height * width, *network.widths, classes]
            products = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
        case CNN():
            layers = [layer for n_out in network.widths for layer in (n_out, POOL)]
            products, n, _, _ = _plain((channels, height, width), layers)
            products += n * classes
        case Wide(name="vgg11"):
            layers = [n_out * network.width for n_out in VGG11]
            products, n, h, w = _plain((channels, height, width), layers)
            products += n * h * w * classes
        case Wide(name="resnet50"):
            products = _resnet50((channels, height, width), network.width) + 2048 * classes
        case Wide():
            products = _resnet((channels, height, width), network) + 64 * network.width * classes
        case ViT():
            products = _vit((channels, height, width), network) + network.width * classes
        case _:
            return None
    return 2 * products


def _plain(shape: tuple[int, int, int], layers: Sequence[int]) -> tuple[int, int, int, int]:
    """3×3 convolutions and pooling by 2: multiply-adds, and the shape behind them."""
    channels, height, width = shape
    products = 0
    for n_out in layers:
        if n_out == POOL:
            height, width = height // 2, width // 2
        else:
            products += 9 * channels * n_out * height * width
            channels = n_out
    return products, channels, height, width


def _resnet(shape: tuple[int, int, int], network: Wide) -> int:
    """Three stages of basic blocks; a change of shape goes through a 3×3 convolution."""
    channels, height, width = shape
    n = 16 * network.width
    products = 9 * channels * n * height * width
    for stage in range(3):
        n_out = n if stage == 0 else 2 * n
        if stage:
            height, width = _halved(height), _halved(width)
            products += 9 * n * n_out * height * width
        for block in range(3 if network.name == "resnet20" else 1):
            products += 9 * ((n if block == 0 else n_out) + n_out) * n_out * height * width
        n = n_out
    return products


def _resnet50(shape: tuple[int, int, int], factor: int) -> int:
    """Bottleneck blocks, whose 3×3 convolutions are wider by the factor, and halve the image."""
    channels, height, width = shape
    height, width = _halved(height), _halved(width)
    products = 49 * channels * 64 * height * width
    height, width, n = _halved(height), _halved(width), 64
    for stage, blocks in enumerate(RESNET50):
        inner, n_out = 64 * 2**stage * factor, 256 * 2**stage
        for block in range(blocks):
            before = height * width
            if block == 0 and stage:
                height, width = _halved(height), _halved(width)
            after = height * width
            products += n * inner * before + (9 * inner + n_out) * inner * after
            products += n * n_out * after if block == 0 else 0
            n = n_out
    return products


def _vit(shape: tuple[int, int, int], network: ViT) -> int:
    """Patches, blocks of attention and an MLP."""
    channels, height, width = shape
    tokens, n = (height // network.patch) * (width // network.patch), network.width
    block = (4 + 2 * HIDDEN) * tokens * n * n + 2 * tokens * tokens * n
    return tokens * channels * network.patch**2 * n + network.layers * block


def _halved(side: int) -> int:
    """By a convolution of stride 2, padded so that stride 1 would keep it."""
    return (side + 1) // 2
