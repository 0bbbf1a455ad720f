"""The block that both transformers are made of: attention and an MLP, each behind a LayerNorm, each added to x."""

import torch.nn.functional as F
from torch import Tensor, nn

from permask.errors import NetworkError

HIDDEN = 4  # units of the MLP, by the width


class Attention(nn.Module):
    """Self-attention (Vaswani et al. 2017, section 3.2).

    Args:
        width: Of the residual stream; all heads together are as wide.
        heads: Number of heads; divides the width.
        causal: Whether a token sees only itself and those before it.
    """

    def __init__(self, width: int, heads: int, causal: bool):
        super().__init__()
        if width % heads:
            raise NetworkError(f"expected a width that {heads} heads divide, got {width}")
        self.heads, self.causal = heads, causal
        self.query, self.value, self.output = (nn.Linear(width, width) for _ in range(3))
        self.key = nn.Linear(width, width, bias=False)  # a bias would add the same to all scores of a query

    def forward(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` to the same."""
        q_BHTd, k_BHTd, v_BHTd = (
            layer(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        mixed_BHTd = F.scaled_dot_product_attention(q_BHTd, k_BHTd, v_BHTd, is_causal=self.causal)
        return self.output(mixed_BHTd.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): pre-LayerNorm (Xiong et al. 2020), with GELU.

    Args:
        width: As of `Attention`, as are the others.
        heads: Number of heads.
        causal: Whether tokens see only those before them.
    """

    def __init__(self, width: int, heads: int, causal: bool):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, HIDDEN * width), nn.GELU(), nn.Linear(HIDDEN * width, width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` to the same."""
        x_BTD = x_BTD + self.attention(self.norm1(x_BTD))
        return x_BTD + self.mlp(self.norm2(x_BTD))
