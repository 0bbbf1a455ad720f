"""Networks whose units contain units: heads, convolution groups, normalisation groups, flattened products.

A group inside another has one independent permutation per unit of the outer one.
"""

import torch
import torch.nn.functional as F
from torch import nn

from support.example import Example, Net, floats, table, units

STRUCTURED: dict[str, Example] = {}
example = table(STRUCTURED)


@example(
    floats(2, 3, 7, 7),
    units(
        4,
        "a.weight:0x2 a.bias:0x2 g.weight:1x2 g.weight:0x3 g.bias:0x3 b.weight:1x3",
        units(2, "a.weight:0 a.bias:0 g.weight:1"),
        units(3, "g.weight:0 g.bias:0 b.weight:1"),
    ),
)
def grouped_convolution():
    """Four convolution groups move as blocks; inside each, 2 inputs and 3 outputs move freely."""
    return Net(
        lambda net, x: net.b(torch.relu(net.g(torch.relu(net.a(x))))),
        a=nn.Conv2d(3, 8, 1),
        g=nn.Conv2d(8, 12, 3, groups=4),
        b=nn.Conv2d(12, 2, 1),
    )


@example(
    floats(2, 3, 7, 7),
    units(
        5,
        "a.weight:0 a.bias:0 g.weight:0x2 g.bias:0x2 b.weight:1x2",
        units(2, "g.weight:0 g.bias:0 b.weight:1"),
    ),
)
def depthwise_multiplier():
    """Every channel has two depthwise filters, which are alike."""
    return Net(
        lambda net, x: net.b(torch.relu(net.g(net.a(x)))),
        a=nn.Conv2d(3, 5, 1),
        g=nn.Conv2d(5, 10, 3, groups=5),
        b=nn.Conv2d(10, 2, 1),
    )


@example(
    floats(2, 3, 7, 7),
    units(
        2,
        "a.weight:0x4 a.bias:0x4 g.weight:1x4 g.weight:0x4 g.bias:0x4 "
        "h.weight:1x4 h.weight:0x6 h.bias:0x6 b.weight:1x6",
        units(4, "a.weight:0 a.bias:0 g.weight:1"),
        units(
            2,
            "g.weight:0x2 g.bias:0x2 h.weight:1x2 h.weight:0x3 h.bias:0x3 b.weight:1x3",
            units(2, "g.weight:0 g.bias:0 h.weight:1"),
            units(3, "h.weight:0 h.bias:0 b.weight:1"),
        ),
    ),
)
def nested_convolution_groups():
    """Two groups of 4 outputs feed four groups of 2 inputs: two of these lie inside each of those."""
    return Net(
        lambda net, x: net.b(torch.relu(net.h(torch.relu(net.g(torch.relu(net.a(x))))))),
        a=nn.Conv2d(3, 8, 1),
        g=nn.Conv2d(8, 8, 3, groups=2),
        h=nn.Conv2d(8, 12, 3, groups=4),
        b=nn.Conv2d(12, 2, 1),
    )


@example(
    floats(2, 3, 6, 6),
    units(
        2,
        "a.weight:0x4 a.bias:0x4 n.weight:0x4 n.bias:0x4 b.weight:1x4",
        units(4, "a.weight:0 a.bias:0 n.weight:0 n.bias:0 b.weight:1"),
    ),
)
def group_norm():
    """Channels normalised together stay together; the two sets of 4 may trade places."""
    return Net(
        lambda net, x: net.b(torch.relu(net.n(net.a(x)))),
        a=nn.Conv2d(3, 8, 3),
        n=nn.GroupNorm(2, 8),
        b=nn.Conv2d(8, 2, 1),
    )


def heads(x, count):
    """[batch, time, heads x dims] to [batch, heads, time, dims]."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def merge(x):
    """[batch, heads, time, dims] to [batch, time, heads x dims]."""
    return x.transpose(1, 2).flatten(2)


@example(
    floats(2, 5, 6),
    units(7, "i.weight:0 i.bias:0 q.weight:1 k.weight:1 v.weight:1 o.weight:0 o.bias:0 end.weight:1"),
    units(
        3,
        "q.weight:0x4 q.bias:0x4 k.weight:0x4 k.bias:0x4 v.weight:0x4 v.bias:0x4 o.weight:1x4",
        units(4, "q.weight:0 q.bias:0 k.weight:0 k.bias:0"),
        units(4, "v.weight:0 v.bias:0 o.weight:1"),
    ),
)
def attention():
    """Heads move as a whole; inside one, q and k are contracted together, v with the output projection."""

    def forward(net, x):
        x = net.i(x)
        y = F.scaled_dot_product_attention(*(heads(part(x), 3) for part in (net.q, net.k, net.v)))
        return net.end(x + net.o(merge(y)))

    q, k, v = (nn.Linear(7, 12) for _ in "qkv")
    return Net(forward, i=nn.Linear(6, 7), q=q, k=k, v=v, o=nn.Linear(12, 7), end=nn.Linear(7, 3))


@example(
    floats(2, 5, 6),
    units(7, "i.weight:0 i.bias:0 qkv.weight:1 o.weight:0 o.bias:0 end.weight:1"),
    units(
        3,
        "qkv.weight:0x12 qkv.bias:0x12 o.weight:1x4",
        units(4, "qkv.weight:0x2 qkv.bias:0x2"),
        units(4, "qkv.weight:0 qkv.bias:0 o.weight:1"),
    ),
)
def fused_attention():
    """The same written by hand with one projection: q, k and v are three segments of its rows."""

    def forward(net, x):
        x = net.i(x)
        q, k, v = (heads(part, 3) for part in net.qkv(x).chunk(3, -1))
        weights = torch.softmax(q @ k.transpose(-2, -1) / 2, -1)
        return net.end(x + net.o(merge(weights @ v)))

    return Net(forward, i=nn.Linear(6, 7), qkv=nn.Linear(7, 36), o=nn.Linear(12, 7), end=nn.Linear(7, 3))


@example(
    floats(2, 5, 6),
    units(6, "i.weight:0 i.bias:0 m.in_proj_weight:1 m.out_proj.weight:0 m.out_proj.bias:0 end.weight:1"),
    units(
        2,
        "m.in_proj_weight:0x9 m.in_proj_bias:0x9 m.out_proj.weight:1x3",
        units(3, "m.in_proj_weight:0x2 m.in_proj_bias:0x2"),
        units(3, "m.in_proj_weight:0 m.in_proj_bias:0 m.out_proj.weight:1"),
    ),
)
def multihead_attention_module():
    """`nn.MultiheadAttention` with its averaged attention weights unused."""

    def forward(net, x):
        x = net.i(x)
        return net.end(x + net.m(x, x, x, need_weights=False)[0])

    return Net(forward, i=nn.Linear(6, 6), m=nn.MultiheadAttention(6, 2, batch_first=True), end=nn.Linear(6, 3))


@example(
    floats(2, 5, 6),
    units(
        2,
        "q.weight:0x12 q.bias:0x12 k.weight:0x4 k.bias:0x4 v.weight:0x4 v.bias:0x4 o.weight:1x12",
        units(3, "q.weight:0x4 q.bias:0x4 o.weight:1x4"),
        units(4, "q.weight:0x3 q.bias:0x3 k.weight:0 k.bias:0"),
        units(4, "v.weight:0 v.bias:0 o.weight:1x3"),
    ),
)
def grouped_query_attention():
    """Two key-value heads serve three query heads each.

    Query heads move inside their key-value head. The dims of a key are shared by its three queries: a row
    of k moves together with three rows of q. Likewise a dim of v is read by three columns of o.
    """

    def forward(net, x):
        q = heads(net.q(x), 6)
        k, v = (heads(part(x), 2).repeat_interleave(3, 1) for part in (net.k, net.v))
        return net.o(merge(F.scaled_dot_product_attention(q, k, v)))

    k, v = (nn.Linear(6, 8) for _ in "kv")
    return Net(forward, q=nn.Linear(6, 24), k=k, v=v, o=nn.Linear(24, 3))


@example(
    floats(2, 5, 6),
    units(
        3,
        "q.weight:0x4 q.bias:0x4 k.weight:0x4 k.bias:0x4 v.weight:0x4 v.bias:0x4 o.weight:1x4",
        units(4, "v.weight:0 v.bias:0 o.weight:1"),
    ),
)
def rotary_attention():
    """Rotations mix dim j with dim j + 2 by an angle of its own, so nothing moves inside q and k."""

    def rotate(x):
        angle = torch.arange(5)[:, None] * torch.tensor([1.0, 0.1, 1.0, 0.1])
        turned = torch.cat([-x[..., 2:], x[..., :2]], -1)
        return x * angle.cos().to(x.dtype) + turned * angle.sin().to(x.dtype)

    def forward(net, x):
        q, k, v = (heads(part(x), 3) for part in (net.q, net.k, net.v))
        return net.o(merge(F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)))

    q, k, v = (nn.Linear(6, 12) for _ in "qkv")
    return Net(forward, q=q, k=k, v=v, o=nn.Linear(12, 3))


@example(
    floats(2, 5, 6),
    units(4, "latent:0"),
    units(7, "latent:1 q.weight:1"),
    units(8, "q.weight:0 q.bias:0 k.weight:0 k.bias:0"),
    units(9, "v.weight:0 v.bias:0 o.weight:1"),
)
def latent_tokens():
    """Four learned queries that are averaged in the end are alike: a group of tokens, not of features."""

    def forward(net, x):
        q = net.q(net.latent).expand(len(x), -1, -1)
        return net.o(F.scaled_dot_product_attention(q, net.k(x), net.v(x))).mean(1)

    return Net(
        forward,
        latent=nn.Parameter(torch.zeros(4, 7)),
        q=nn.Linear(7, 8),
        k=nn.Linear(6, 8),
        v=nn.Linear(6, 9),
        o=nn.Linear(9, 3),
    )


@example(floats(4, 6), units(5, "a.weight:0x2 a.bias:0x2 b.weight:1", units(2, "a.weight:0 a.bias:0")))
def maxout():
    """A unit is the larger of two pieces, which are alike."""
    return Net(lambda net, x: net.b(net.a(x).unflatten(1, (5, 2)).amax(-1)), a=nn.Linear(6, 10), b=nn.Linear(5, 3))


@example(floats(2, 3, 4, 4), units(5, "a.weight:0x4 a.bias:0x4 b.weight:1"))
def pixel_shuffle():
    """Four channels become one, at four places that are not alike."""
    return Net(
        lambda net, x: net.b(torch.relu(F.pixel_shuffle(net.a(x), 2))),
        a=nn.Conv2d(3, 20, 3),
        b=nn.Conv2d(5, 2, 2),
    )


@example(floats(2, 3, 4, 4), units(4, "a.weight:0 a.bias:0 b.weight:1"), units(4, "a.weight:0 a.bias:0 b.weight:1"))
def channel_shuffle():
    """The shuffle brings channels 0, 4, 1, 5 into the first half and 2, 6, 3, 7 into the other."""

    def forward(net, x):
        y = net.a(x).unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
        left, right = y.chunk(2, 1)
        return net.b(torch.cat([torch.relu(left), torch.tanh(right)], 1))

    return Net(forward, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 2, 1))


@example(floats(4, 6), units(5, "a.weight:0 a.bias:0 o.weight:1x4"), units(4, "b.weight:0 b.bias:0 o.weight:1x5"))
def outer_product():
    """The flattened product is a grid of 5 x 4 columns; each factor moves its rows or columns."""
    return Net(
        lambda net, x: net.o((net.a(x)[:, :, None] * net.b(x)[:, None, :]).flatten(1)),
        a=nn.Linear(6, 5),
        b=nn.Linear(6, 4),
        o=nn.Linear(20, 3),
    )


@example(
    floats(4, 6),
    units(5, "a.weight:0 a.bias:0 m.weight:1"),
    units(4, "b.weight:0 b.bias:0 m.weight:2"),
    units(7, "m.weight:0 m.bias:0 o.weight:1"),
)
def bilinear():
    """A bilinear layer has three free axes."""
    return Net(
        lambda net, x: net.o(torch.relu(net.m(net.a(x), net.b(x)))),
        a=nn.Linear(6, 5),
        b=nn.Linear(6, 4),
        m=nn.Bilinear(5, 4, 7),
        o=nn.Linear(7, 3),
    )
