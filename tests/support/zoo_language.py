"""Sequence models of the zoo, small in size and complete in what they do."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SwiGLU(nn.Module):
    """Gated feed-forward layer."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class CausalSelfAttention(nn.Module):
    """Attention written by hand over one fused projection and a buffer that masks the future."""

    def __init__(self, width: int, heads: int, length: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("past", torch.ones(length, length, dtype=torch.bool).tril())

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        q, k, v = (part.view(batch, time, self.heads, -1).transpose(1, 2) for part in self.qkv(x).split(width, dim=2))
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        scores = scores.masked_fill(~self.past[:time, :time], float("-inf"))
        mixed = torch.softmax(scores, dim=-1) @ v
        return self.out(mixed.transpose(1, 2).contiguous().view(batch, time, width))


class GPT(nn.Module):
    """Decoder with learned positions, SwiGLU layers and input and output embeddings that are one tensor."""

    def __init__(self, vocabulary: int = 61, width: int = 48, heads: int = 4, layers: int = 2, length: int = 16):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.LayerNorm(width),
                    CausalSelfAttention(width, heads, length),
                    nn.LayerNorm(width),
                    SwiGLU(width, 2 * width),
                ]
            )
            for _ in range(layers)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for norm_attention, attention, norm_mlp, mlp in self.blocks:
            x = x + attention(norm_attention(x))
            x = x + mlp(norm_mlp(x))
        return self.head(self.norm(x))


class RMSNorm(nn.Module):
    """Root-mean-square norm written by hand, as language models of that time have it."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def rotary(x: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021), pairs half a head apart; x is [batch, heads, time, dims]."""
    time, dims = x.shape[-2:]
    frequency = 10000.0 ** (-torch.arange(0, dims, 2, device=x.device) / dims)
    angle = torch.outer(torch.arange(time, device=x.device), frequency).to(x.dtype)
    angle = torch.cat([angle, angle], dim=-1)
    turned = torch.cat([-x[..., dims // 2 :], x[..., : dims // 2]], dim=-1)
    return x * angle.cos() + turned * angle.sin()


class LlamaBlock(nn.Module):
    """Grouped-query attention with norms on queries and keys and rotary positions, then SwiGLU."""

    def __init__(self, width: int, heads: int, shared: int):
        super().__init__()
        self.heads, self.shared, dims = heads, shared, width // heads
        self.norm_attention, self.norm_mlp = RMSNorm(width), RMSNorm(width)
        self.norm_q, self.norm_k = RMSNorm(dims), RMSNorm(dims)
        self.q, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, shared * dims, bias=False)
        self.v = nn.Linear(width, shared * dims, bias=False)
        self.mlp = SwiGLU(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        y = self.norm_attention(x)
        q = self.q(y).view(batch, time, self.heads, -1).transpose(1, 2)
        k = self.k(y).view(batch, time, self.shared, -1).transpose(1, 2)
        v = self.v(y).view(batch, time, self.shared, -1).transpose(1, 2)
        q, k = rotary(self.norm_q(q)), rotary(self.norm_k(k))
        k, v = (part[:, :, None].expand(-1, -1, self.heads // self.shared, -1, -1).flatten(1, 2) for part in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, time, width))
        return x + self.mlp(self.norm_mlp(x))


class Llama(nn.Module):
    """A stack of `LlamaBlock`s between untied embeddings."""

    def __init__(self, vocabulary: int = 61, width: int = 48, heads: int = 6, shared: int = 2, layers: int = 2):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.blocks = nn.Sequential(*(LlamaBlock(width, heads, shared) for _ in range(layers)))
        self.norm, self.head = RMSNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.tokens(tokens))))


class Mixture(nn.Module):
    """The best two of several experts per token, as separate modules or stacked in one tensor."""

    def __init__(self, stacked: bool, width: int = 24, experts: int = 6, hidden: int = 20):
        super().__init__()
        self.stacked = stacked
        self.enter, self.leave = nn.Linear(9, width), nn.Linear(width, 5)
        self.router = nn.Linear(width, experts)
        if stacked:
            self.w1 = nn.Parameter(torch.empty(experts, width, hidden))
            self.b1 = nn.Parameter(torch.empty(experts, hidden))
            self.w2 = nn.Parameter(torch.empty(experts, hidden, width))
        else:
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)) for _ in range(experts)
            )

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        share = torch.softmax(self.router(x), dim=-1)
        best, index = share.topk(2, dim=-1)
        gate = torch.zeros_like(share).scatter(-1, index, best / best.sum(-1, keepdim=True))
        if self.stacked:
            hidden = F.gelu(torch.einsum("btd,edh->beth", x, self.w1) + self.b1[:, None])
            y = torch.einsum("beth,ehd->betd", hidden, self.w2)
        else:
            y = torch.stack([expert(x) for expert in self.experts], dim=1)
        return self.leave(x + (y * gate.transpose(1, 2)[..., None]).sum(1))


class EncoderDecoder(nn.Module):
    """`nn.Transformer` between projections of its own, so that its stream is free to move."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.source, self.target = nn.Linear(7, width), nn.Linear(6, width)
        self.transformer = nn.Transformer(
            width,
            nhead=4,
            num_encoder_layers=2,
            num_decoder_layers=2,
            dim_feedforward=48,
            batch_first=True,
        )
        self.leave = nn.Linear(width, 5)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1], dtype=target.dtype)
        return self.leave(self.transformer(self.source(source), self.target(target), tgt_mask=mask, tgt_is_causal=True))


def encoder_norm_first(width: int = 32) -> nn.Sequential:
    """`nn.TransformerEncoder` with the norms inside the branches."""
    layer = nn.TransformerEncoderLayer(width, 4, 48, activation="gelu", batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(width), enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(7, width), encoder, nn.Linear(width, 5))


class Recurrent(nn.Module):
    """Embedding, a recurrent layer, and a head that reads the last output, or the last states."""

    def __init__(self, layer: nn.RNNBase, states: bool = False, vocabulary: int = 31):
        super().__init__()
        self.states = states
        self.tokens, self.layer = nn.Embedding(vocabulary, layer.input_size), layer
        self.head = nn.Linear(layer.hidden_size * (2 if layer.bidirectional else 1), 5)

    def forward(self, tokens: Tensor) -> Tensor:
        y, last = self.layer(self.tokens(tokens))
        if not self.states:
            return self.head(y[:, -1])
        last = last[0] if isinstance(last, tuple) else last
        return self.head(last[-1])


class LoRALinear(nn.Module):
    """A linear layer with a low-rank correction beside it (Hu et al. 2021)."""

    def __init__(self, width_in: int, width: int, rank: int = 4):
        super().__init__()
        self.base = nn.Linear(width_in, width)
        self.down, self.up = nn.Linear(width_in, rank, bias=False), nn.Linear(rank, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2 * self.up(self.down(x))
