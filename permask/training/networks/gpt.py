"""A small decoder that predicts the next token (Radford et al. 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from permask.training.networks.transformer import Block


class GPT(nn.Module):
    """Embeddings of tokens and of positions, causal blocks, a LayerNorm, a linear layer to the vocabulary.

    The embedding of tokens and the last layer are two tensors: the layer is pruned with all other layers and the
    embedding is not, which one tensor could not be.

    Args:
        input_shape: `[T]`, the tokens of a sequence.
        classes: Tokens of the vocabulary.
        layers: Blocks.
        width: Of the residual stream.
        heads: Of the attention in every block; divides the width.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, layers: int = 4, width: int = 128, heads: int = 4):
        super().__init__()
        (context,) = input_shape
        self.tokens, self.positions = nn.Embedding(classes, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads, causal=True) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes, bias=False)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """`[B, T]` to `[B, T, classes]`."""
        positions_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        x_BTD = self.tokens(tokens_BT) + self.positions(positions_T)
        return self.head(self.norm(self.blocks(x_BTD)))
