"""Networks whose groups stand side by side: perceptrons, convolutions, residual streams, recurrence, sharing.

Every derivation is by hand, from two facts: a unit that is computed by rows of weights and read by columns of
weights can trade places with another that is treated alike; model inputs and outputs stay where they are.
"""

import torch
import torch.nn.functional as F
from torch import nn

from support.example import Example, Net, floats, table, tokens, units

PLAIN: dict[str, Example] = {}
example = table(PLAIN)


@example(floats(4, 6), units(8, "0.weight:0 0.bias:0 2.weight:1"), units(5, "2.weight:0 2.bias:0 4.weight:1"))
def mlp():
    """Each hidden layer is one group; 6 inputs and 3 outputs are pinned."""
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))


@example(floats(4, 6), units(8, "0.weight:0 2.weight:1"))
def mlp_without_biases():
    """As the MLP; no bias has to follow."""
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))


@example(floats(8, 8), units(8, "0.weight:0 0.bias:0 2.weight:1"))
def square_mlp():
    """Inputs, hidden units, outputs and the batch all number 8: only the hidden ones may move."""
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))


@example(
    floats(2, 3, 8, 8),
    units(8, "0.weight:0 0.bias:0 3.weight:1"),
    units(6, "3.weight:0 3.bias:0 7.weight:1x4"),
    units(7, "7.weight:0 7.bias:0 9.weight:1"),
)
def vgg():
    """6 channels of 2 x 2 positions are flattened: each owns 4 columns in a row of the first linear layer."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(24, 7), nn.ReLU(), nn.Linear(7, 3)),
    )


@example(
    floats(2, 3, 5, 5),
    units(4, "a.weight:0 a.bias:0 n.weight:0x9 n.bias:0x9 n.running_mean:0x9 n.running_var:0x9 b.weight:1x9"),
)
def flatten_then_batchnorm():
    """BatchNorm over 4 channels x 9 positions: statistics move in blocks of 9 that are pinned inside."""
    return Net(
        lambda net, x: net.b(torch.relu(net.n(net.a(x).flatten(1)))),
        a=nn.Conv2d(3, 4, 3),
        n=nn.BatchNorm1d(36),
        b=nn.Linear(36, 3),
    )


def norm(name: str) -> str:
    """The four axes of a BatchNorm that follow its channels."""
    return " ".join(f"{name}.{tensor}:0" for tensor in ("weight", "bias", "running_mean", "running_var"))


class Block(nn.Module):
    """Basic residual block, with a projection shortcut where the width changes."""

    def __init__(self, width_in: int, width: int):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        projection = (nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width)) if width != width_in else ()
        self.shortcut = nn.Sequential(*projection)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        y += self.shortcut(x)
        return F.relu(y)


@example(
    floats(2, 3, 6, 6),
    units(
        4,
        f"0.weight:0 {norm('1')} 3.conv1.weight:1 3.conv2.weight:0 {norm('3.norm2')} "
        "4.conv1.weight:1 4.shortcut.0.weight:1",
    ),
    units(
        6,
        f"4.conv2.weight:0 {norm('4.norm2')} 4.shortcut.0.weight:0 {norm('4.shortcut.1')} "
        "5.conv1.weight:1 5.shortcut.0.weight:1",
    ),
    units(8, f"5.conv2.weight:0 {norm('5.norm2')} 5.shortcut.0.weight:0 {norm('5.shortcut.1')} 8.weight:1"),
    units(4, f"3.conv1.weight:0 {norm('3.norm1')} 3.conv2.weight:1"),
    units(6, f"4.conv1.weight:0 {norm('4.norm1')} 4.conv2.weight:1"),
    units(8, f"5.conv1.weight:0 {norm('5.norm1')} 5.conv2.weight:1"),
)
def resnet():
    """Three residual streams (a sum ties what is added) and one inner group per block."""
    blocks = (Block(4, 4), Block(4, 6), Block(6, 8))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), *blocks, *head)


@example(floats(2, 3, 7, 7), units(8, "0.weight:0 0.bias:0 2.weight:0 2.bias:0 4.weight:1"))
def depthwise():
    """A depthwise filter belongs to its channel: the same group before and after it."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU()),
        *(nn.Conv2d(8, 3, 1), nn.AdaptiveAvgPool2d(1)),
    )


@example(
    floats(2, 3, 8, 8),
    units(4, "down.weight:0 down.bias:0 middle.weight:1 merge.weight:1"),
    units(6, "middle.weight:0 middle.bias:0 up.weight:0"),
    units(4, "up.weight:1 up.bias:0 merge.weight:1"),
    units(5, "merge.weight:0 merge.bias:0 out.weight:1"),
)
def unet():
    """Concatenation ties nothing: skip and upsampled channels are two segments of one axis of `merge`.

    A transposed convolution stores [in, out].
    """

    def forward(net, x):
        down = torch.relu(net.down(x))
        up = net.up(torch.relu(net.middle(F.max_pool2d(down, 2))))
        return net.out(torch.relu(net.merge(torch.cat([down, up], 1))))

    return Net(
        forward,
        down=nn.Conv2d(3, 4, 3, padding=1),
        middle=nn.Conv2d(4, 6, 3, padding=1),
        up=nn.ConvTranspose2d(6, 4, 2, 2),
        merge=nn.Conv2d(8, 5, 3, padding=1),
        out=nn.Conv2d(5, 2, 1),
    )


@example(
    floats(2, 3, 6, 6),
    units(6, "a.weight:0 a.bias:0 squeeze.weight:1 excite.weight:0 excite.bias:0 b.weight:1"),
    units(2, "squeeze.weight:0 squeeze.bias:0 excite.weight:1"),
)
def squeeze_excite():
    """The gate multiplies the channels it is computed from: one group; the bottleneck is another."""

    def forward(net, x):
        y = torch.relu(net.a(x))
        gate = torch.sigmoid(net.excite(torch.relu(net.squeeze(y.mean((2, 3), keepdim=True)))))
        return net.b(y * gate).mean((2, 3))

    return Net(
        forward,
        a=nn.Conv2d(3, 6, 3),
        squeeze=nn.Conv2d(6, 2, 1),
        excite=nn.Conv2d(2, 6, 1),
        b=nn.Conv2d(6, 3, 1),
    )


@example(
    floats(2, 5, 6),
    units(6, "norm.weight:0 norm.bias:0 gate.weight:1 up.weight:1 down.weight:0 i.weight:0 i.bias:0 o.weight:1"),
    units(7, "gate.weight:0 up.weight:0 down.weight:1"),
)
def gated_mlp():
    """SwiGLU in a residual stream: gate and value units are multiplied pairwise, so they move together."""

    def forward(net, x):
        x = net.i(x)
        y = net.norm(x)
        return net.o(x + net.down(F.silu(net.gate(y)) * net.up(y)))

    gate, up, down = (nn.Linear(*shape, bias=False) for shape in ((6, 7), (6, 7), (7, 6)))
    return Net(forward, i=nn.Linear(6, 6), norm=nn.LayerNorm(6), gate=gate, up=up, down=down, o=nn.Linear(6, 3))


@example(floats(2, 3, 6, 6), units(5, "a.weight:0x2 a.bias:0x2 b.weight:1"))
def fused_glu():
    """GLU halves its channels: unit n owns rows n and 5 + n."""
    return Net(lambda net, x: net.b(F.glu(net.a(x), 1)), a=nn.Conv2d(3, 10, 3), b=nn.Conv2d(5, 2, 1))


@example(floats(4, 6), units(8, "a.weight:0 a.bias:0"))
def tied_autoencoder():
    """The decoder is the encoder transposed: one tensor, whose columns are inputs and outputs."""
    return Net(
        lambda net, x: F.linear(torch.relu(net.a(x)), net.a.weight.t(), net.bias),
        a=nn.Linear(6, 8),
        bias=nn.Parameter(torch.zeros(6)),
    )


@example(
    tokens(2, 5, below=9),
    units(6, "embedding.weight:1 norm.weight:0 norm.bias:0 head.weight:1"),
)
def tied_embedding():
    """One tensor under two names: its vocabulary is pinned, its features are one group."""

    def forward(net, x):
        return net.head(net.norm(net.embedding(x)))

    net = Net(forward, embedding=nn.Embedding(9, 6), norm=nn.LayerNorm(6), head=nn.Linear(6, 9, bias=False))
    net.head.weight = net.embedding.weight
    return net


@example(floats(4, 6), units(4, "a.weight:0 a.bias:0 b.weight:1"), units(4, "a.weight:0 a.bias:0 b.weight:1"))
def two_functions():
    """ReLU on one half, tanh on the other: two groups of 4 on the same axes, not one of 8."""

    def forward(net, x):
        left, right = net.a(x).chunk(2, 1)
        return net.b(torch.cat([torch.relu(left), torch.tanh(right)], 1))

    return Net(forward, a=nn.Linear(6, 8), b=nn.Linear(8, 3))


@example(floats(4, 6), units(8, "a.weight:0 a.bias:0 b.weight:1x2"))
def same_units_twice():
    """Both functions of one unit are concatenated: it owns two columns of the reader."""

    def forward(net, x):
        y = net.a(x)
        return net.b(torch.cat([torch.relu(y), torch.tanh(y)], 1))

    return Net(forward, a=nn.Linear(6, 8), b=nn.Linear(16, 3))


@example(floats(4, 6), units(4, "a.weight:0x2 a.bias:0x2 b.weight:1x3"))
def twisted():
    """Unit n is the pair of rows (2n, 7 - 2n): it is read once as a sum, and each row once on its own."""

    def forward(net, x):
        y = net.a(x)
        even, odd = y[:, 0::2], y[:, 1::2].flip(1)
        return net.b(torch.cat([torch.relu(even + 2 * odd), torch.tanh(y)], 1))

    return Net(forward, a=nn.Linear(6, 8), b=nn.Linear(12, 3))


@example(floats(4, 6), units(8, "i.weight:0 i.bias:0 r.weight:0 r.weight:1 r.bias:0 o.weight:1"))
def layer_applied_twice():
    """What the layer returns is what it reads: its rows and columns are tied."""
    return Net(
        lambda net, x: net.o(torch.relu(net.r(torch.relu(net.r(net.i(x)))))),
        i=nn.Linear(6, 8),
        r=nn.Linear(8, 8),
        o=nn.Linear(8, 3),
    )


@example(floats(4, 12), units(7, "a.weight:0 a.bias:0 b.weight:1x2"))
def siamese():
    """One encoder for both halves of the input; its units appear twice in what the head reads."""

    def forward(net, x):
        left, right = x.chunk(2, 1)
        return net.b(torch.relu(torch.cat([net.a(left), net.a(right)], 1)))

    return Net(forward, a=nn.Linear(6, 7), b=nn.Linear(14, 3))


@example(floats(4, 6), units(7, "b.weight:0 b.bias:0 c.weight:1"))
def cumulative_sum_over_units():
    """A running sum depends on the order of what it sums: only the layer after it is free."""
    return Net(
        lambda net, x: net.c(torch.relu(net.b(torch.cumsum(net.a(x), 1)))),
        a=nn.Linear(6, 8),
        b=nn.Linear(8, 7),
        c=nn.Linear(7, 3),
    )


@example(floats(2, 5, 6), units(8, "a.weight:0 a.bias:0 c.weight:1"))
def cumulative_sum_over_time():
    """Summed along the sequence, the order of units is free."""
    return Net(lambda net, x: net.c(torch.cumsum(net.a(x), 1)), a=nn.Linear(6, 8), c=nn.Linear(8, 3))


@example(floats(4, 6), units(8, "a.weight:0 a.bias:0 b.weight:1"))
def softmax_over_units():
    """A softmax treats all its entries alike."""
    return Net(lambda net, x: net.b(torch.softmax(net.a(x), -1)), a=nn.Linear(6, 8), b=nn.Linear(8, 3))


@example(floats(4, 6), units(8, "a.weight:0 a.bias:0"), units(3, "b.weight:0 b.bias:0"))
def symmetric_reduction():
    """Largest and sum are symmetric functions: nobody has to read the units one by one."""
    return Net(
        lambda net, x: torch.stack([net.a(x).amax(1), net.b(x).square().sum(1)], 1),
        a=nn.Linear(6, 8),
        b=nn.Linear(6, 3),
    )


@example(floats(2, 5, 6), units(7, "i.weight:0 i.bias:0 position:2 o.weight:1"))
def positions():
    """Rows of the position table belong to places in the sequence, also those beyond the traced length."""
    return Net(
        lambda net, x: net.o(torch.relu(net.i(x) + net.position[:, : x.shape[1]])),
        i=nn.Linear(6, 7),
        position=nn.Parameter(torch.zeros(1, 9, 7)),
        o=nn.Linear(7, 3),
    )


@example(floats(4, 6), units(5, "b.weight:0 b.bias:0 c.weight:1"))
def constant_scale():
    """Units are told apart by a constant that is no parameter: 8 pinned units, then 5 free ones."""
    return Net(
        lambda net, x: net.c(torch.relu(net.b(net.a(x) * torch.arange(8, dtype=x.dtype)))),
        a=nn.Linear(6, 8),
        b=nn.Linear(8, 5),
        c=nn.Linear(5, 3),
    )


@example(floats(4, 6), units(8, "a.weight:0 a.bias:0 scale:0 b.weight:1"))
def buffer_scale():
    """A buffer in the state dict moves like a parameter."""
    net = Net(lambda net, x: net.b(net.a(x) * net.scale), a=nn.Linear(6, 8), b=nn.Linear(8, 3))
    net.register_buffer("scale", torch.linspace(1, 2, 8))
    return net


@example(floats(4, 6))
def unsaved_buffer_scale():
    """A buffer that is not saved cannot be permuted with the weights: it pins what it scales."""
    net = Net(lambda net, x: net.b(net.a(x) * net.scale), a=nn.Linear(6, 8), b=nn.Linear(8, 3))
    net.register_buffer("scale", torch.linspace(1, 2, 8), persistent=False)
    return net


@example(
    floats(4, 6),
    units(8, "a.parametrizations.weight.original0:0 a.parametrizations.weight.original1:0 a.bias:0 b.weight:1"),
)
def weight_norm():
    """Length and direction of a row move with the row."""
    a = nn.utils.parametrizations.weight_norm(nn.Linear(6, 8))
    return Net(lambda net, x: net.b(torch.relu(net.a(x))), a=a, b=nn.Linear(8, 3))


@example(floats(4, 6), units(8, "a.weight:0 a.bias:0 up:0 b.weight:1"), units(2, "up:1 down:0"))
def low_rank_adapter():
    """LoRA: the correction's rows follow the weight's rows; its rank is a group of its own."""
    return Net(
        lambda net, x: net.b(torch.relu(F.linear(x, net.a.weight + net.up @ net.down, net.a.bias))),
        a=nn.Linear(6, 8),
        up=nn.Parameter(torch.zeros(8, 2)),
        down=nn.Parameter(torch.zeros(2, 6)),
        b=nn.Linear(8, 3),
    )


def gates(count: int, layer: str) -> str:
    """The axes of one direction of a recurrent layer on which its state lives."""
    rows = " ".join(f"r.{tensor}_{layer}:0x{count}" for tensor in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    return f"{rows} r.weight_hh_{layer}:1"


@example(floats(2, 5, 6), units(7, f"{gates(4, 'l0')} r.weight_ih_l1:1"), units(7, f"{gates(4, 'l1')} o.weight:1"))
def lstm():
    """A unit of the state owns one row in each of the four gates and one recurrent column."""
    return Net(
        lambda net, x: net.o(net.r(x)[0][:, -1]),
        r=nn.LSTM(6, 7, num_layers=2, batch_first=True),
        o=nn.Linear(7, 3),
    )


@example(
    floats(2, 5, 6),
    units(7, f"{gates(3, 'l0')} o.weight:1"),
    units(7, f"{gates(3, 'l0_reverse')} o.weight:1"),
)
def gru_both_ways():
    """Three gates; the two directions are two groups, concatenated."""
    return Net(
        lambda net, x: net.o(net.r(x)[0][:, -1]),
        r=nn.GRU(6, 7, bidirectional=True, batch_first=True),
        o=nn.Linear(14, 3),
    )


@example(
    floats(2, 5, 8),
    units(6, "i.weight:0 i.bias:0 o.weight:1"),
    units(7, "mix.weight:0 mix.bias:0 unmix.weight:1"),
)
def token_mixer():
    """An MLP across the 5 tokens has hidden units of its own; tokens themselves come from the input."""

    def forward(net, x):
        y = net.i(x)
        mixed = net.unmix(F.gelu(net.mix(y.transpose(1, 2)))).transpose(1, 2)
        return net.o(y + mixed).mean(1)

    return Net(forward, i=nn.Linear(8, 6), mix=nn.Linear(5, 7), unmix=nn.Linear(7, 5), o=nn.Linear(6, 3))
