"""A small vision transformer (Dosovitskiy et al. 2021) that averages over patches."""

from collections.abc import Sequence

from torch import Tensor, nn

from permask.errors import NetworkError
from permask.training.networks.transformer import Block


class ViT(nn.Module):
    """Patches to tokens by a convolution, embeddings of positions, blocks, a LayerNorm, the mean, a linear layer.

    The mean over patches takes the place of a class token, which small images do without (Beyer et al. 2022).

    Args:
        input_shape: `[C, H, W]`.
        classes: Number of classes.
        layers: Blocks.
        width: Of the residual stream.
        heads: Of the attention in every block; divides the width.
        patch: Side of a patch in pixels; divides H and W.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int,
        *,
        layers: int = 4,
        width: int = 128,
        heads: int = 4,
        patch: int = 4,
    ):
        super().__init__()
        channels, height, image_width = input_shape
        if height % patch or image_width % patch:
            raise NetworkError(f"expected images that patches of {patch}×{patch} divide, got {height}×{image_width}")
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.positions = nn.Embedding((height // patch) * (image_width // patch), width)
        self.blocks = nn.Sequential(*(Block(width, heads, causal=False) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, classes]`."""
        x_BTD = self.patches(images_BCHW).flatten(2).transpose(1, 2) + self.positions.weight
        return self.head(self.norm(self.blocks(x_BTD)).mean(1))
