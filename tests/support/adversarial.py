"""Networks that tempt a symmetry search into a mistake: aliases, chance equalities of size, reuse, order in disguise.

What is free in them is beside the point; nothing that is returned may change the output.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.example import Example, Net, floats, table, tokens

ADVERSARIAL: dict[str, Example] = {}
example = table(ADVERSARIAL)


def dense(forward: Callable[..., Tensor], *widths: int, **parts: nn.Module | nn.Parameter) -> Net:
    """A network with linear layers `a`, `b`, `c` … between the widths."""
    layers = {name: nn.Linear(n, m) for name, n, m in zip("abcdef", widths, widths[1:], strict=False)}
    return Net(forward, **layers, **parts)


@example(floats(4, 6))
def writes_through_views():
    """Halves of one value are changed in place, differently, after it was captured under another name."""

    def forward(net, x):
        y = net.a(x)
        alias = y.view(-1, 2, 4)
        y[:, :3].mul_(2)
        alias[:, 1].relu_()
        return net.b(y)

    return dense(forward, 6, 8, 3)


@example(floats(4, 6))
def write_after_read():
    """A value is read, then overwritten, then read again."""

    def forward(net, x):
        y = net.a(x)
        before = torch.tanh(y)
        y[:, ::2] = y[:, 1::2]
        return net.b(y * before)

    return dense(forward, 6, 8, 3)


@example(floats(4, 6))
def write_into_zeros():
    """A buffer of zeros is filled piece by piece, in an order of its own."""

    def forward(net, x):
        y = net.a(x)
        z = torch.zeros_like(y)
        z[:, 4:] = torch.relu(y[:, :4])
        z[:, :3] += y[:, 5:]
        return net.b(z)

    return dense(forward, 6, 8, 3)


@example(floats(4, 6))
def chained_aliases():
    """In place through a transpose of a slice of a view."""

    def forward(net, x):
        y = net.a(x)
        y.view(4, 4, 2).transpose(1, 2)[:, 0, 1:3].add_(1)
        return net.b(torch.relu(y))

    return dense(forward, 6, 8, 3)


@example(floats(8, 8))
def batch_as_channels():
    """Batch and units have the same number; the transposed value is added to itself."""
    return dense(lambda net, x: net.b(net.a(x) + net.a(x).t()), 8, 8, 3)


@example(floats(8, 8, 8))
def everything_is_eight():
    """Batch, time and units number 8; attention across each of them in turn."""

    def forward(net, x):
        y = net.a(x)
        y = torch.softmax(y @ y.transpose(1, 2), -1) @ y
        y = y + torch.softmax(y.transpose(1, 2) @ y, -1).transpose(0, 1)
        return net.b(y.permute(2, 0, 1))

    return dense(forward, 8, 8, 8)


@example(floats(4, 6))
def regrouped_with_the_batch():
    """A reshape that moves units into the batch dim and back, across one another."""
    return dense(lambda net, x: net.b(torch.relu(net.a(x).reshape(8, 4)).sin().reshape(4, 8)), 6, 8, 3)


@example(floats(4, 6))
def normalised_after_regrouping():
    """A norm over pieces that do not follow the units."""
    return dense(lambda net, x: net.b(F.layer_norm(net.a(x).reshape(-1, 6), (6,)).reshape(4, 12)), 6, 12, 3)


@example(floats(4, 6))
def flipped_product():
    """Unit i is multiplied with unit 7 - i."""
    return dense(lambda net, x: net.b(net.a(x) * torch.tanh(net.a(x).flip(1))), 6, 8, 3)


@example(floats(4, 6))
def neighbours():
    """Every unit is added to the next: a ring, whose rotations are symmetries and transpositions are not."""
    return dense(lambda net, x: net.b(torch.relu(net.a(x) + net.a(x).roll(1, 1))), 6, 8, 3)


@example(floats(4, 6))
def differences():
    """Differences of neighbours."""
    return dense(lambda net, x: net.b(torch.diff(net.a(x), dim=1)), 6, 8, b=nn.Linear(7, 3))


@example(floats(4, 6))
def convolution_across_units():
    """The units are a signal that is convolved."""
    return dense(lambda net, x: net.b(net.k(net.a(x)[:, None])[:, 0]), 6, 8, 8, k=nn.Conv1d(1, 1, 3, padding=1))


@example(floats(4, 6))
def pooled_across_units():
    """The units are a signal that is pooled."""
    return dense(lambda net, x: net.b(F.max_pool1d(net.a(x)[:, None], 2)[:, 0]), 6, 8, b=nn.Linear(4, 3))


@example(floats(4, 6))
def resized_across_units():
    """The units are a signal that is resampled."""
    return dense(
        lambda net, x: net.b(F.interpolate(net.a(x)[:, None], size=5, mode="linear")[:, 0]), 6, 8, b=nn.Linear(5, 3)
    )


@example(floats(4, 6))
def unlike_constants():
    """Units are compared with a ramp, and shifted by a constant that looks like a parameter."""

    def forward(net, x):
        y = net.a(x)
        return net.b(torch.where(y > torch.linspace(-1, 1, 8), y, 0.5) + torch.tensor([0.0] * 7 + [1.0]))

    return dense(forward, 6, 8, 3)


@example(floats(4, 6))
def triangular():
    """A mask over pairs of units orders them."""
    return dense(lambda net, x: net.b(F.linear(net.a(x), net.w.tril())), 6, 8, 3, w=nn.Parameter(torch.empty(8, 8)))


@example(floats(4, 6))
def diagonal():
    """The diagonal of a weight ties its rows to its columns."""
    return dense(
        lambda net, x: net.b(net.a(x) * net.w.diagonal() + net.a(x) @ net.w),
        *(6, 8, 3),
        w=nn.Parameter(torch.empty(8, 8)),
    )


@example(floats(4, 6))
def symmetrised_weight():
    """w + wᵀ has its rows tied to its columns."""
    return dense(
        lambda net, x: net.b(torch.relu(net.a(x)) @ (net.w + net.w.t())),
        *(6, 8, 3),
        w=nn.Parameter(torch.empty(8, 8)),
    )


@example(floats(4, 6))
def orthogonalised_weight():
    """A QR factorisation depends on the order of columns."""
    return dense(lambda net, x: net.b(net.a(x) @ torch.linalg.qr(net.w)[0]), 6, 8, 3, w=nn.Parameter(torch.rand(8, 8)))


@example(floats(4, 6))
def spectrally_normed():
    """The norm's power iteration vectors are buffers that belong to rows and columns."""
    a = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8))
    return Net(lambda net, x: net.b(torch.relu(net.a(x))), a=a, b=nn.Linear(8, 3))


@example(floats(4, 6))
def weight_from_a_network():
    """A layer's weight is the output of another layer, regrouped."""
    return dense(
        lambda net, x: F.linear(torch.tanh(F.linear(x, net.a(x.mean(0)).view(8, 6))), net.w),
        *(6, 48),
        w=nn.Parameter(torch.empty(3, 8)),
    )


@example(floats(4, 6))
def weight_reshaped():
    """One parameter is used in two shapes."""
    return dense(
        lambda net, x: torch.relu(x @ net.w) @ net.w.reshape(8, 6)[:, :3] + net.a(x),
        *(6, 3),
        w=nn.Parameter(torch.empty(6, 8)),
    )


@example(floats(4, 6))
def weight_sliced():
    """Two layers are slices of one parameter that overlap."""
    return dense(
        lambda net, x: net.b(torch.relu(net.a(torch.relu(x @ net.w[:6])) @ net.w[4:, :].t())),
        *(8, 8),
        w=nn.Parameter(torch.empty(10, 8)),
        b=nn.Linear(6, 3),
    )


@example(floats(4, 6))
def one_bias_for_two():
    """Two layers share a bias, one of them reversed."""

    def forward(net, x):
        return net.c(torch.relu(net.a(x) + net.bias) * net.b(net.a(x)) + net.bias.flip(0))

    return dense(forward, 6, 8, 8, 3, bias=nn.Parameter(torch.zeros(8)))


@example(floats(4, 8))
def shared_with_the_input():
    """A layer is used on the input and on hidden units: its columns are inputs."""
    return dense(lambda net, x: net.b(torch.relu(net.a(torch.relu(net.a(x))))), 8, 8, 3)


@example(floats(4, 6))
def returned_on_the_side():
    """Hidden units are returned beside the output, half of them."""
    return dense(lambda net, x: (net.b(torch.relu(net.a(x))), net.a(x)[:, :4]), 6, 8, 3)


@example(floats(4, 6))
def indexed_by_position():
    """The position of the largest unit, and the order of all, are read."""

    def forward(net, x):
        y = net.a(x)
        return net.b(y) + y.argmax(1, keepdim=True) + y.argsort(1)[:, :1]

    return dense(forward, 6, 8, 3)


@example(floats(4, 6))
def gathered():
    """Constant indices with repetitions, as `gather` and as `index_select`."""

    def forward(net, x):
        y = net.a(x)
        index = torch.tensor([0, 1, 2, 3, 0, 1, 2, 2])
        return net.b(y.gather(1, index.expand(4, 8)) + y.index_select(1, index.flip(0)) * y)

    return dense(forward, 6, 8, 3)


@example(floats(4, 6))
def scattered():
    """Units are added up into bins by constant numbers."""

    def forward(net, x):
        bins = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
        return net.b(torch.zeros(4, 4, dtype=x.dtype).index_add(1, bins, torch.relu(net.a(x))))

    return dense(forward, 6, 8, b=nn.Linear(4, 3))


@example(floats(4, 6))
def integer_buffer():
    """A permutation that is kept as a buffer."""
    net = dense(lambda net, x: net.b(torch.relu(net.a(x))[:, net.order] * net.a(x)), 6, 8, 3)
    net.register_buffer("order", torch.tensor([1, 0, 3, 2, 5, 4, 7, 6]))
    return net


@example(floats(4, 6))
def buffer_beside_a_parameter():
    """A float buffer that is saved, one that is not, and one that is never used."""
    net = dense(lambda net, x: net.b(torch.relu(net.a(x) * net.kept) * net.lost), 6, 8, 3)
    net.register_buffer("kept", torch.linspace(1, 2, 8))
    net.register_buffer("lost", torch.linspace(1, 2, 8).round(decimals=1), persistent=False)
    net.register_buffer("unused", torch.linspace(1, 2, 8))
    return net


@example(floats(4, 6))
def buffer_under_two_names():
    """One buffer, saved twice."""
    net = dense(lambda net, x: net.b(torch.relu(net.a(x) * net.first) * net.second), 6, 8, 3)
    net.register_buffer("first", torch.linspace(1, 2, 8))
    net.register_buffer("second", net.first)
    return net


@example(floats(4, 6))
def view_of_a_parameter():
    """Two parameters share memory, half of it."""
    net = dense(lambda net, x: torch.relu(net.a(x)) @ net.w + (net.a(x) @ net.v).repeat(1, 3)[:, :3], 6, 8)
    net.w = nn.Parameter(torch.empty(8, 3, dtype=torch.float64))  # a cast would separate them
    net.v = nn.Parameter(net.w.detach()[:, :2])
    return net


@example(floats(4, 6))
def overlapping_parameters():
    """Two parameters share half of their memory and belong to different layers."""
    net = dense(lambda net, x: torch.relu(net.a(x)) @ net.w + torch.tanh(net.b(x)) @ net.v, 6, 8)
    net.b = nn.Linear(6, 7)
    net.w = nn.Parameter(torch.empty(8, 3, dtype=torch.float64))  # a cast would separate them
    net.v = nn.Parameter(net.w.detach()[1:])
    return net


@example(floats(4, 6))
def cast_in_between():
    """Rounded to integers and back."""
    return dense(lambda net, x: net.b((4 * net.a(x)).long().to(x.dtype)), 6, 8, 3)


@example(floats(4, 6))
def counted():
    """A comparison between units of two layers of the same size, counted."""

    def forward(net, x):
        y, z = net.a(x), net.c(x)
        return net.b((y[:, :, None] > z[:, None, :]).to(x.dtype).sum(2)) + (y == z.flip(1)).sum()

    return dense(forward, 6, 8, 3, c=nn.Linear(6, 8))


@example(floats(4, 6))
def outer_product_with_itself():
    """The columns of the reader are pairs of units of one layer."""
    return dense(
        lambda net, x: net.b((net.a(x)[:, :, None] * net.a(x)[:, None, :]).flatten(1)), 6, 4, b=nn.Linear(16, 3)
    )


@example(floats(4, 6))
def upper_triangle_of_pairs():
    """Only pairs i < j are read."""

    def forward(net, x):
        y = net.a(x)
        i, j = torch.triu_indices(5, 5, 1)
        return net.b((y[:, :, None] * y[:, None, :])[:, i, j])

    return dense(forward, 6, 5, b=nn.Linear(10, 3))


@example(floats(4, 6))
def two_shapes_of_one_grid():
    """Flattened as 3 x 4 by one reader, as 4 x 3 by the other."""

    def forward(net, x):
        y = net.a(x)
        rows = torch.softmax(y.view(4, 3, 4), -1).flatten(1)
        columns = torch.softmax(y.view(4, 4, 3), -1).flatten(1)
        return net.b(rows + columns)

    return dense(forward, 6, 12, 3)


@example(floats(4, 6))
def grid_and_its_transpose():
    """Softmax over the rows of a 3 x 3 grid, and over the columns."""

    def forward(net, x):
        y = net.a(x).view(4, 3, 3)
        return net.b((torch.softmax(y, 1) * torch.softmax(y, 2) + y.transpose(1, 2)).flatten(1))

    return dense(forward, 6, 9, 3)


@example(floats(2, 3, 6, 6))
def unlike_channel_shuffles():
    """Two grouped convolutions around shuffles that do not undo each other."""

    def forward(net, x):
        y = net.g(F.channel_shuffle(torch.relu(net.i(x)), 2))
        return net.o(torch.relu(net.h(F.channel_shuffle(y, 4))) + F.channel_shuffle(y, 2))

    i, g = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=2)
    return Net(forward, i=i, g=g, h=nn.Conv2d(8, 8, 3, padding=1, groups=4), o=nn.Conv2d(8, 2, 1))


@example(floats(2, 3, 6, 6))
def grouped_and_normed():
    """Convolution groups and norm groups that lie across each other: 6 groups of 2 and 4 groups of 3."""
    return nn.Sequential(
        *(nn.Conv2d(3, 12, 1), nn.ReLU(), nn.Conv2d(12, 12, 3, groups=6), nn.GroupNorm(4, 12), nn.ReLU()),
        nn.Conv2d(12, 2, 1),
    )


@example(floats(2, 3, 4, 4))
def channels_and_pixels_mixed():
    """Flattened pixels first in one branch and channels first in the other."""

    def forward(net, x):
        y = torch.relu(net.i(x))
        return net.o(y.flatten(1)) + net.o(y.permute(0, 2, 3, 1).flatten(1))

    return Net(forward, i=nn.Conv2d(3, 4, 1), o=nn.Linear(64, 3))


@example(floats(2, 3, 4, 4))
def square_image_transposed():
    """Rows and columns of the image change places in between; 4 channels like 4 rows."""

    def forward(net, x):
        y = torch.relu(net.i(x))
        y = y + y.transpose(2, 3) + y.transpose(1, 2)
        return net.o(y)

    return Net(forward, i=nn.Conv2d(3, 4, 1), o=nn.Conv2d(4, 2, 3))


@example(floats(2, 5, 6))
def tokens_told_apart():
    """Learned tokens are treated alike until one of them is returned."""

    def forward(net, x):
        y = torch.cat([net.learned.expand(2, -1, -1), net.i(x)], 1)
        y = y + F.scaled_dot_product_attention(net.q(y), net.k(y), net.v(y))
        return net.o(y[:, 1])

    q, k, v = (nn.Linear(6, 6) for _ in "qkv")
    return Net(forward, learned=nn.Parameter(torch.empty(1, 4, 6)), i=nn.Linear(6, 6), q=q, k=k, v=v, o=nn.Linear(6, 3))


@example(floats(2, 4, 8))
def heads_of_unlike_scale():
    """Every head has a temperature from a list (as in ALiBi), dims have rotary angles in one half only."""

    def forward(net, x):
        q, k, v = (part(x).unflatten(-1, (4, 2)).transpose(1, 2) for part in (net.q, net.k, net.v))
        distance = torch.arange(4)[:, None] - torch.arange(4)
        slopes = 2.0 ** -torch.arange(1, 5)
        scores = q @ k.transpose(2, 3) / math.sqrt(2) - (slopes[:, None, None] * distance.abs()).to(x.dtype)
        return net.o((torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2))

    q, k, v = (nn.Linear(8, 8) for _ in "qkv")
    return Net(forward, q=q, k=k, v=v, o=nn.Linear(8, 3))


@example(floats(2, 4, 8))
def heads_of_two_kinds():
    """The first two heads are causal, the others are not."""

    def forward(net, x):
        q, k, v = (part(x).unflatten(-1, (4, 2)).transpose(1, 2) for part in (net.q, net.k, net.v))
        causal = F.scaled_dot_product_attention(q[:, :2], k[:, :2], v[:, :2], is_causal=True)
        full = F.scaled_dot_product_attention(q[:, 2:], k[:, 2:], v[:, 2:])
        return net.o(torch.cat([causal, full], 1).transpose(1, 2).flatten(2))

    q, k, v = (nn.Linear(8, 8) for _ in "qkv")
    return Net(forward, q=q, k=k, v=v, o=nn.Linear(8, 3))


@example(floats(2, 4, 8))
def talking_heads():
    """Attention weights of the heads are mixed by a matrix before and after the softmax."""

    def forward(net, x):
        q, k, v = net.a(x).unflatten(-1, (3, 4, 2)).permute(2, 0, 3, 1, 4)
        scores = torch.einsum("bhts,hg->bgts", q @ k.transpose(2, 3), net.before)
        weights = torch.einsum("bgts,gh->bhts", torch.softmax(scores, -1), net.after)
        return net.b((weights @ v).transpose(1, 2).flatten(2))

    before, after = nn.Parameter(torch.empty(4, 4)), nn.Parameter(torch.empty(4, 4))
    return Net(forward, a=nn.Linear(8, 24), b=nn.Linear(8, 3), before=before, after=after)


@example(floats(2, 4, 8))
def two_head_counts():
    """One projection is split into 2 heads of 6 and, elsewhere, into 4 heads of 3."""

    def forward(net, x):
        y = net.a(x)
        parts = [y.unflatten(-1, (heads, -1)).transpose(1, 2) for heads in (2, 4)]
        mixed = [F.scaled_dot_product_attention(p, p, p).transpose(1, 2).flatten(2) for p in parts]
        return net.b(mixed[0] + mixed[1])

    return dense(forward, 8, 12, 3)


@example(tokens(2, 6, below=8))
def embedding_of_eight():
    """Vocabulary, width and hidden units number 8; the tied head's logits pass through a softmax into it again."""

    def forward(net, x):
        y = net.a(net.e(x))
        return torch.softmax(y @ net.e.weight.t(), -1) @ net.e.weight @ net.e.weight.t()

    return Net(forward, e=nn.Embedding(8, 8), a=nn.Linear(8, 8))


@example(floats(2, 6, 5))
def recurrent_by_hand():
    """A recurrence whose state is shifted by one unit in every step."""

    def forward(net, x):
        h = torch.zeros(2, 8, dtype=x.dtype)
        for t in range(4):
            h = torch.tanh(net.i(x[:, t]) + net.r(h.roll(1, 1)))
        return net.o(h)

    return Net(forward, i=nn.Linear(5, 8), r=nn.Linear(8, 8), o=nn.Linear(8, 3))


@example(floats(2, 6, 5))
def recurrent_with_two_units():
    """Two layers of two units in two directions: as many gates' rows as other things."""
    return Net(
        lambda net, x: net.o(torch.cat([net.r(x)[0][:, -1], net.r(x)[1][1][-1]], 1)),
        r=nn.LSTM(5, 2, num_layers=2, bidirectional=True, batch_first=True),
        o=nn.Linear(6, 3),
    )


@example(floats(4, 6))
def dead_ends():
    """A layer whose result is dropped, and one multiplied by zero."""

    def forward(net, x):
        y = net.a(x)
        net.c(y)
        return net.b(torch.relu(y)) + 0 * net.c(y)[:, :3]

    return dense(forward, 6, 8, 3, c=nn.Linear(8, 5))


@example(floats(4, 6))
def sums_that_agree_by_chance():
    """Two sums over different halves, each read by a unit of its own."""

    def forward(net, x):
        y = torch.relu(net.a(x))
        return net.b(torch.stack([y[:, :4].sum(1), y[:, 4:].sum(1), y[:, 2:6].sum(1)], 1))

    return dense(forward, 6, 8, b=nn.Linear(3, 3))


@example(floats(4, 6))
def dilated_windows():
    """Overlapping windows over the units."""
    return dense(lambda net, x: net.b(net.a(x).unfold(1, 4, 2).amax(-1)), 6, 8, b=nn.Linear(3, 3))


@example(floats(4, 6))
def complex_numbers():
    """Units are real and imaginary parts in pairs, rotated by a parameter."""

    def forward(net, x):
        z = torch.view_as_complex(net.a(x).view(4, 4, 2).contiguous())
        turned = z * torch.polar(torch.ones_like(net.angle), net.angle)
        return net.b(torch.view_as_real(turned).flatten(1))

    return dense(forward, 6, 8, 3, angle=nn.Parameter(torch.zeros(4)))


@example(floats(4, 6))
def fourier():
    """The units are a signal whose spectrum is read."""
    return dense(lambda net, x: net.b(torch.fft.rfft(net.a(x), dim=1).abs()), 6, 8, b=nn.Linear(5, 3))
