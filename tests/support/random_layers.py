"""The steps of a random network that are particular to vectors, images or sequences."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from support.random_steps import IMAGE, SEQUENCE, VECTOR, WIDTHS, Apply, Draw, divisor, step


@step(VECTOR)
def vector_layer(draw: Draw, x: Tensor) -> nn.Module:
    n = x.shape[1]
    kinds = {
        "batch norm": lambda: nn.BatchNorm1d(n),
        "layer norm": lambda: nn.LayerNorm(n),
        "group norm": lambda: nn.GroupNorm(divisor(draw, n), n),
        "rms norm": lambda: nn.RMSNorm(n, eps=1e-6),
        "prelu": lambda: nn.PReLU(n),
        "to image": lambda: nn.Sequential(nn.Linear(n, 4 * n), nn.Unflatten(1, (n, 2, 2))),
        "to sequence": lambda: nn.Unflatten(1, (divisor(draw, n), -1)),
        "bilinear": lambda: Apply("bilinear", lambda x, w: F.bilinear(x, torch.relu(x), w), (4, n, n)),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


@step(IMAGE)
def convolution(draw: Draw, x: Tensor) -> nn.Module:
    n = x.shape[1]
    groups = divisor(draw, n)
    width = (
        draw(WIDTHS.filter(lambda width: width % groups == 0)) if groups < 5 else groups * draw(st.sampled_from([1, 2]))
    )
    kind = draw(st.sampled_from(["1x1", "3x3", "strided", "dilated", "circular", "transposed"]))
    bias = draw(st.booleans())
    if kind == "transposed":
        return nn.ConvTranspose2d(n, width, 2, stride=2, groups=groups, bias=bias)
    options = {
        "1x1": {"kernel_size": 1},
        "3x3": {"kernel_size": 3, "padding": 1},
        "strided": {"kernel_size": 3, "padding": 1, "stride": 2},
        "dilated": {"kernel_size": 3, "padding": 2, "dilation": 2},
        "circular": {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    }[kind]
    return nn.Conv2d(n, width, groups=groups, bias=bias, **options)


@step(IMAGE)
def image_layer(draw: Draw, x: Tensor) -> nn.Module:
    n, size = x.shape[1], x.shape[2]
    hidden = draw(WIDTHS)
    kinds: dict[str, Callable[[], nn.Module]] = {
        "batch norm": lambda: nn.BatchNorm2d(n),
        "group norm": lambda: nn.GroupNorm(divisor(draw, n), n),
        "instance norm": lambda: nn.InstanceNorm2d(n, affine=True),
        "layer norm over all": lambda: nn.LayerNorm(list(x.shape[1:])),
        "prelu": lambda: nn.PReLU(n),
        "average pool": lambda: nn.AvgPool2d(3, 1, 1),
        "max pool": lambda: nn.MaxPool2d(2, ceil_mode=True),
        "adaptive pool": lambda: nn.AdaptiveAvgPool2d(2),
        "nearest": lambda: nn.Upsample(scale_factor=2),
        "bilinear": lambda: nn.Upsample(size=3, mode="bilinear"),
        "flatten": lambda: nn.Flatten(),
        "mean": lambda: Apply("mean", lambda x: x.mean((2, 3))),
        "to sequence": lambda: Apply("to sequence", lambda x: x.flatten(2).transpose(1, 2)),
        "rows as sequence": lambda: Apply("rows as sequence", lambda x: x.permute(0, 2, 1, 3).flatten(2)),
        "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(n, 4 * hidden, 1), nn.PixelShuffle(2)),
        "pixel unshuffle": lambda: nn.PixelUnshuffle(2) if size % 2 == 0 else nn.Identity(),
        "squeeze and excite": lambda: Apply(
            "squeeze and excite",
            lambda x, a, b: x * torch.sigmoid(torch.relu(x.mean((2, 3)) @ a) @ b)[..., None, None],
            (n, hidden),
            (hidden, n),
        ),
        "pad": lambda: nn.ReflectionPad2d(1) if size > 1 else nn.ZeroPad2d(1),
        "position": lambda: Apply("position", lambda x, p: x + p, (1, *x.shape[1:])),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


@step(SEQUENCE)
def sequence_layer(draw: Draw, x: Tensor) -> nn.Module:
    time, n = x.shape[1:]
    hidden = draw(WIDTHS)
    kinds: dict[str, Callable[[], nn.Module]] = {
        "layer norm": lambda: nn.LayerNorm(n),
        "rms norm": lambda: nn.RMSNorm(n, eps=1e-6),
        "lstm": lambda: First(nn.LSTM(n, hidden, batch_first=True, bidirectional=draw(st.booleans()))),
        "gru": lambda: First(nn.GRU(n, hidden, num_layers=2, batch_first=True)),
        "mean": lambda: Apply("mean", lambda x: x.mean(1)),
        "last": lambda: Apply("last", lambda x: x[:, -1]),
        "flatten": lambda: nn.Flatten(),
        "across time": lambda: Apply("across time", lambda x, w: torch.relu(w @ x), (time + 1, time)),
        "position": lambda: Apply("position", lambda x, p: x + p[:, : x.shape[1]], (1, time + 2, n)),
        "class token": lambda: Apply(
            "class token", lambda x, c: torch.cat([c.expand(len(x), -1, -1), x], 1), (1, 1, n)
        ),
        "transpose": lambda: Apply("transpose", lambda x: x.transpose(1, 2)),
        "convolution": lambda: Apply(
            "convolution",
            lambda x, w: F.conv1d(x.transpose(1, 2), w, padding=1).transpose(1, 2),
            (hidden, n, 3),
        ),
        "pick": lambda: Apply("pick", lambda x: x[:, torch.arange(time).flip(0)]),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


class First(nn.Module):
    """The first of what a layer returns."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


class Attention(nn.Module):
    """Heads with fused or separate projections, shared keys and values, masked or not, by hand or not."""

    def __init__(self, width: int, heads: int, shared: int, dims: int, fused: bool, by_hand: bool, causal: bool):
        super().__init__()
        self.heads, self.shared, self.dims = heads, shared, dims
        self.by_hand, self.causal = by_hand, causal
        rows = [heads * dims, shared * dims, shared * dims]
        self.rows = rows
        self.projections = nn.ModuleList(nn.Linear(width, n) for n in ([sum(rows)] if fused else rows))
        self.out = nn.Linear(heads * dims, width)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, shared={self.shared}, by_hand={self.by_hand}, causal={self.causal}"

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = torch.cat([part(x) for part in self.projections], -1).split(self.rows, -1)
        q, k, v = (part.unflatten(-1, (-1, self.dims)).transpose(1, 2) for part in (q, k, v))
        k, v = (part.repeat_interleave(self.heads // self.shared, 1) for part in (k, v))
        if self.by_hand:
            scores = q @ k.transpose(-2, -1)
            if self.causal:
                scores = scores + torch.full_like(scores, -1e9).triu(1)
            y = torch.softmax(scores, -1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return x + self.out(y.transpose(1, 2).flatten(2))


@step(SEQUENCE)
def attention(draw: Draw, x: Tensor) -> nn.Module:
    heads = draw(st.sampled_from([1, 2, 3, 4]))
    flags = [draw(st.booleans()) for _ in range(3)]
    return Attention(x.shape[-1], heads, divisor(draw, heads), draw(st.sampled_from([2, 3])), *flags)
