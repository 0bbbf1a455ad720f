"""torchvision's ResNet50, of a size that fits the images' classes."""

from collections.abc import Sequence

from torch import nn


def ResNet50(input_shape: Sequence[int], classes: int, width: int = 1) -> nn.Module:
    """He et al. 2016, table 1; with `width` 2 the Wide ResNet50-2 of Zagoruyko & Komodakis 2016.

    Args:
        input_shape: `[3, H, W]`.
        classes: Number of classes.
        width: Multiplies the channels of the 3×3 convolutions.
    """
    from torchvision.models.resnet import Bottleneck, ResNet  # 3 s that the other networks do without

    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes=classes, width_per_group=64 * width)
