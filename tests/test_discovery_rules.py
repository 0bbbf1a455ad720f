"""Every family of rules on its own: one op between two layers, the groups it leaves, and the function they keep.

A group is written as its size, or as (size, blocks) inside another group. Units that nobody reads, and columns that
read a constant, may trade places, too.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from support.example import Net
from support.invariance import TOLERANCE, randomise_, worst_change
from torch import Tensor, nn

import permask
from permask.discovery.rules import RULES

Case = tuple[Callable[..., Tensor], dict[str, nn.Module | nn.Parameter], tuple[int, ...], list]
CASES: dict[str, Case] = {}


def dense(name: str, op: Callable[[Tensor], Tensor], groups: list, units: int = 8, out: int | None = None) -> None:
    """A case with `units` features from a linear layer, an op, and a linear layer on its `out` features."""
    parts = {"a": nn.Linear(6, units), "b": nn.Linear(out or units, 3)}
    CASES[name] = (lambda net, x: net.b(op(net.a(x))), parts, (4, 5, 6), groups)


def image(name: str, op: Callable[[Tensor], Tensor], groups: list, channels: int = 8, out: int | None = None) -> None:
    """A case with `channels` of 6 x 6 pixels from a convolution, an op, and a convolution on its `out` channels."""
    parts = {"a": nn.Conv2d(3, channels, 1), "b": nn.Conv2d(out or channels, 2, 1)}
    CASES[name] = (lambda net, x: net.b(op(net.a(x))), parts, (2, 3, 6, 6), groups)


def between(
    name: str, module: nn.Module, shape: tuple[int, ...], first: nn.Module, last: nn.Module, groups: list
) -> None:
    """A case with a module between two others."""
    CASES[name] = (lambda net, x: net.b(net.m(net.a(x))), {"a": first, "m": module, "b": last}, shape, groups)


# elementwise
dense("where", lambda y: torch.where(y > 0, y, 0.1 * y), [8])
dense("clamp_and_power", lambda y: y.clamp(-1, 1).pow(3) / (1 + y.abs()), [8])
dense("two_halves_treated_alike", lambda y: torch.relu(torch.stack(y.chunk(2, -1))).sum(0), [4], out=4)
dense("masked_by_units", lambda y: y * torch.arange(8.0), [])
dense("masked_in_turns", lambda y: y * torch.tensor([1.0, 2.0]).repeat(4), [4, 4])
between("prelu", nn.PReLU(8), (4, 6), nn.Linear(6, 8), nn.Linear(8, 3), [8])
dense("bessel_functions", lambda y: torch.special.i0(y) + torch.special.i0e(y) + torch.special.i1(y), [8])
dense("normal_tails", lambda y: torch.special.log_ndtr(y) + torch.special.ndtri(y.sigmoid()) + y.tanh().erfinv(), [8])
dense("scaled_tails", lambda y: torch.special.erfcx(y) + torch.polygamma(1, y.exp()) + y.signbit(), [8])
dense("triangle", lambda y: y.tril(), [])

# products
dense("gram_matrix", lambda y: torch.einsum("bti,bsi->bts", y, y) @ y, [8])
dense("einsum_with_dots", lambda y: torch.einsum("...i,...j->...ij", y, y).sum(-1), [8])
dense("baddbmm", lambda y: torch.baddbmm(y, y @ y.mT, y), [8])
dense("bags_of_rows", lambda y: F.embedding_bag(torch.tensor([[0, 3], [2, 2]]), y[0]), [8])
dense("largest_of_bags", lambda y: _largest_of_bags(y[0]), [8])
dense("identity", lambda y: y @ torch.eye(8).to(y), [8])
dense("row_of_an_identity", lambda y: y * (1 + torch.eye(8)[2]), [7])
dense("numbers_and_an_identity", lambda y: y @ (torch.eye(8) + torch.arange(8.0)).to(y), [])
dense("inverse", lambda y: y @ torch.linalg.inv(y.mT @ y + torch.eye(8)), [8])
dense("exponential", lambda y: y @ torch.linalg.matrix_exp(-y.mT @ y), [8])
dense("reflections", lambda y: y @ torch.linalg.householder_product(y[0].mT, y[0, :, 0]), [], out=5)
dense("outer_of_vectors", lambda y: torch.outer(y[0, 0], y[0, 1]).sum(0, keepdim=True), [8])

# equations
parts = {"a": nn.Linear(12, 8), "c": nn.Linear(12, 8)}
CASES["equations"] = (lambda net, x: torch.linalg.solve(net.a(x).mT, net.c(x)[:1].mT), parts, (4, 8, 12), [8])
CASES["equations_of_rows"] = (lambda net, x: torch.linalg.solve(net.a(x), net.c(x), left=False), parts, (4, 8, 12), [8])
CASES["equations_of_vectors"] = (
    lambda net, x: torch.linalg.solve(net.a(x).mT, net.c(x).mean(1)),
    parts,
    (4, 8, 12),
    [8],
)
parts = {"a": nn.Linear(12, 8), "c": nn.Linear(12, 7), "b": nn.Linear(8, 3)}
CASES["unknowns"] = (
    lambda net, x: net.b(torch.linalg.solve(net.a(x[0]), net.c(x)).mT.mean(1)),
    parts,
    (4, 8, 12),
    [7, 8],
)

# convolutions
between("conv1d", nn.Conv1d(8, 7, 3), (2, 3, 9), nn.Conv1d(3, 8, 1), nn.Conv1d(7, 2, 1), [7, 8])
between("conv3d", nn.Conv3d(8, 7, 2), (2, 3, 4, 4, 4), nn.Conv3d(3, 8, 1), nn.Conv3d(7, 2, 1), [7, 8])
pair = (nn.Conv2d(3, 8, 1), nn.Conv2d(6, 2, 1))
between("transposed", nn.ConvTranspose2d(8, 6, 2, 2), (2, 3, 5, 5), *pair, [6, 8])
between("transposed_by_group", nn.ConvTranspose2d(8, 6, 2, 2, groups=2), (2, 3, 5, 5), *pair, [2, (3, 2), (4, 2)])
between("transposed_by_channel", nn.ConvTranspose2d(6, 6, 2, groups=6), (2, 3, 5, 5), nn.Conv2d(3, 6, 1), pair[1], [6])
between("one_place", nn.Conv1d(5, 4, 1), (2, 5, 6), nn.Linear(6, 8), nn.Linear(8, 3), [8])
between("one_place_around", nn.Conv1d(5, 4, 1, padding=1), (2, 5, 6), nn.Linear(6, 8), nn.Linear(10, 3), [])
between("unbatched", nn.Conv2d(8, 6, 3), (3, 5, 5), *pair, [6, 8])

# pooling and interpolation
image("pools", lambda y: F.avg_pool2d(F.max_pool2d(y, 3, 1), 2), [8])
image("pool_with_places", lambda y: F.max_unpool2d(*F.max_pool2d(y, 2, return_indices=True), 2), [8])
image("interpolation", lambda y: F.interpolate(y, scale_factor=2, mode="bilinear") + F.interpolate(y, (12, 12)), [8])

# norms
image("instance_norm", lambda y: F.instance_norm(y), [8])
image("group_norm", lambda y: F.group_norm(y, 4), [4, (2, 4)])
image("batch_statistics", lambda y: F.batch_norm(y, None, None, training=True), [8])
image("local_response", lambda y: F.local_response_norm(y, 3), [])
dense("layer_norm", lambda y: F.layer_norm(y, (8,)), [8])
dense("rms_norm_of_heads", lambda y: F.rms_norm(y.unflatten(-1, (4, 2)), (2,)).flatten(-2), [4, (2, 4)])
dense("unit_length", lambda y: F.normalize(y, dim=-1), [8])

# reductions
dense("softmax_of_pairs", lambda y: y.unflatten(-1, (4, 2)).softmax(-1).flatten(-2), [4, (2, 4)])
dense("largest_of_pairs", lambda y: y.unflatten(-1, (4, 2)).max(-1).values, [4, (2, 4)], out=4)
dense("which_is_largest", lambda y: y * y.argmax(-1, keepdim=True), [])
dense("where_the_largest_is", lambda y: y.max(-1, keepdim=True).indices + y, [])
dense("sorted", lambda y: y.sort(-1).values, [8])
dense("sorted_with_places", lambda y: y.sort(-1).values + y.sort(-1).indices, [])
dense("three_largest", lambda y: y.topk(3, -1).values, [8], out=3)
dense("summed_up", lambda y: y.cumsum(-1), [])
dense("summed_up_over_time", lambda y: y.cumsum(1), [8])
dense("spread", lambda y: y - y.mean(-1, keepdim=True) / y.std(-1, keepdim=True), [8])
dense("all_at_once", lambda y: y * y.norm() + y.amax(), [8])

# shapes and segments
dense("there_and_back", lambda y: y.reshape(20, 8).t().reshape(8, 4, 5).permute(1, 2, 0).contiguous(), [8])
dense("repeated", lambda y: y.repeat(1, 1, 2), [8, (2, 8)], out=16)
dense("repeated_one_by_one", lambda y: y.repeat_interleave(2, -1), [8, (2, 8)], out=16)
dense("glu", lambda y: F.glu(y, -1), [4], out=4)
dense("reversed", lambda y: y + y.flip(-1), [4])  # a trade inside each pair is no trade of components
dense("shifted", lambda y: y + y.roll(1, -1), [])
dense("concatenated_with_itself", lambda y: torch.cat([y, y.relu()], -1), [8], out=16)
dense("padded", lambda y: F.pad(y, (1, 2)), [2, 8], out=11)
dense("cut", lambda y: F.pad(y, (-1, -2)), [3, 5], out=5)
dense("padded_over_time", lambda y: F.pad(y, (0, 0, 1, 1)), [8])
image("padded_by_reflection", lambda y: F.pad(y, (1, 1, 1, 1), mode="reflect"), [8])
image("pixel_unshuffle", lambda y: F.pixel_unshuffle(y, 2), [8], out=32)
image("channel_shuffle", lambda y: F.channel_shuffle(y, 2), [8])
dense("slice_replaced", lambda y: torch.slice_scatter(y, 0 * y[..., :3], 2, 0, 3), [3, 5])
dense("entry_replaced", lambda y: torch.select_scatter(y, y[..., 1], 2, 0), [6])

dense("with_a_constant_piece", lambda y: torch.cat([y, torch.zeros(4, 5, 4, dtype=y.dtype)], -1), [4, 8], out=12)
dense("with_an_empty_constant", lambda y: torch.cat([y, torch.tensor([[]]).expand(4, 5, 0).to(y)], -1).relu(), [8])
dense("with_an_empty_piece", lambda y: torch.cat([y[..., :0], y.relu()], -1), [8])

# losses, which return a single number
dense("squared_error", lambda y: y * F.mse_loss(y, y.relu()), [8])
dense("likelihood_of_a_class", lambda y: y * F.cross_entropy(y[:, 0], torch.tensor([0, 1, 2, 0])), [])
dense("likelihood_over_time", lambda y: y * F.cross_entropy(y, torch.zeros(4, 8, dtype=torch.long)), [8])

# indices
dense("counted", lambda y: y * torch.histc(y, 4, -1, 1)[0], [8])
dense("units_in_another_order", lambda y: y[..., torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])].relu() * y, [4])
dense("some_units_twice", lambda y: y[..., torch.tensor([0, 0, 1, 2])], [2, 5], out=4)
dense("gathered_over_time", lambda y: y.gather(1, torch.tensor([[[0], [3]]]).expand(4, 2, 8)), [8])
dense("picked_by_rank", lambda y: y.gather(-1, y.argsort(-1)), [8])
dense(
    "scattered",
    lambda y: torch.zeros(4, 5, 8, dtype=y.dtype).scatter(1, torch.zeros(4, 5, 8, dtype=torch.long), y),
    [8],
)
dense("diagonal", lambda y: torch.diagonal(y[:, :4, :4], dim1=1, dim2=2), [4], out=4)

dense("ranked_then_placed_back", lambda y: torch.zeros_like(y).scatter(-1, *y.topk(3, -1)[::-1]), [8])
dense("picked_back_by_place", lambda y: y * 2 + y.exp().gather(-1, y.topk(1, -1).indices), [8])
dense("best_as_a_class", lambda y: F.one_hot(y.argmax(-1), 8) * y, [8])

CASES["experts"] = (
    lambda net, x: torch.einsum("bte,betd->btd", _routed(net.a(x)), _stack(net, x)),
    {
        "a": nn.Linear(6, 4),
        "w1": nn.Parameter(torch.empty(4, 6, 5)),
        "b1": nn.Parameter(torch.empty(4, 5)),
        "w2": nn.Parameter(torch.empty(4, 5, 3)),
    },
    (2, 7, 6),
    [4, (5, 4)],
)

# windows, samples, frequencies
image("windows", lambda y: F.unfold(y, 2).unflatten(1, (8, 4)).sum(2)[..., None], [8])
image("windows_and_back", lambda y: F.fold(F.unfold(y, 2), (6, 6), 2), [8])
image("windows_along_an_axis", lambda y: y.unfold(2, 2, 1).mean(-1), [8])
image("sampled", lambda y: F.grid_sample(y, torch.zeros(2, 4, 4, 2, dtype=y.dtype), align_corners=False), [8])
dense("fourier_over_time", lambda y: torch.fft.rfft(y, dim=1).abs(), [8])
dense("fourier_over_units", lambda y: torch.fft.fft(y).real, [])
dense("complex_pairs", lambda y: torch.view_as_complex(y.unflatten(-1, (4, 2))).abs(), [4], out=4)

dense("picked_along_a_dim", lambda y: torch.take_along_dim(y, y.argsort(-1), -1), [8])
dense("picked_along_time", lambda y: torch.take_along_dim(y, torch.tensor([[[0], [3]]]), 1), [8])
dense("picked_from_all", lambda y: torch.take_along_dim(y[0], y[0].argsort(-1)) + y[:, :1, :1], [], out=40)

# in place
dense("assigned", lambda y: _assigned(y), [3, 3, 5])
dense("filled_in", lambda y: _filled_in(y), [8], out=16)


# composite ops without a rule, which are decomposed
dense("stacked_side_by_side", lambda y: torch.hstack([y.flatten(0, 1), y.flatten(0, 1).relu()]), [8], out=16)
dense("length", lambda y: y / torch.linalg.norm(y, dim=-1, keepdim=True), [8])
dense("length_of_all", lambda y: y / torch.linalg.norm(y), [8])
dense("length_of_pairs", lambda y: (z := y.unflatten(-1, (4, 2))).div(_length(z)).flatten(-2), [4, (2, 4)])
dense("difference_over_time", lambda y: torch.diff(y, dim=1), [8])
dense("difference_of_neighbours", lambda y: torch.diff(y), [], out=7)
dense("error_function", torch.special.erf, [8])
dense("logistic", torch.special.expit, [8])
dense("mesh", lambda y: _mesh(y[0, 0], y[0, 1]), [8])
dense("distance", lambda y: y * torch.dist(y, y.relu()), [8])  # composed of composite ops
dense("magnitude_in_place", lambda y: y.absolute_(), [8])
dense("magnitude_in_place_of_some", lambda y: _magnitude_of_three(y), [3, 5])
image("turned", lambda y: torch.rot90(y, 1, (2, 3)), [8])
CASES["product_of_tensors"] = (
    lambda net, x: net.b(torch.tensordot(net.a(x), net.w, 1).relu()),
    {"a": nn.Linear(6, 8), "w": nn.Parameter(torch.empty(8, 7)), "b": nn.Linear(7, 3)},
    (4, 5, 6),
    [7, 8],
)
CASES["inner_product"] = (
    lambda net, x: net.b(torch.inner(net.a(x), net.w).relu()),
    {"a": nn.Linear(6, 8), "w": nn.Parameter(torch.empty(7, 8)), "b": nn.Linear(7, 3)},
    (4, 5, 6),
    [7, 8],
)


def _largest_of_bags(rows: Tensor) -> Tensor:
    return F.embedding_bag(torch.tensor([0, 3, 2]), rows, torch.tensor([0, 1]), mode="max")


def _length(y: Tensor) -> Tensor:
    return torch.linalg.norm(y, dim=-1, keepdim=True)


def _mesh(first: Tensor, second: Tensor) -> Tensor:
    rows, columns = torch.meshgrid(first, second, indexing="ij")
    return (rows * columns.relu()).sum(0, keepdim=True)


def _magnitude_of_three(y: Tensor) -> Tensor:
    y[..., :3].absolute_()
    return y


def _assigned(y: Tensor) -> Tensor:
    y[..., :3].zero_()
    return y


def _filled_in(y: Tensor) -> Tensor:
    z = torch.zeros(4, 5, 16, dtype=y.dtype)
    z[..., :8] = y
    z[..., 8:] = y.relu()
    return z


def _routed(scores: Tensor) -> Tensor:
    best, index = scores.softmax(-1).topk(2, -1)
    return torch.zeros_like(scores).scatter(-1, index, best)


def _stack(net: Net, x: Tensor) -> Tensor:
    return (x[:, None] @ net.w1 + net.b1[:, None]).relu() @ net.w2


@pytest.mark.parametrize("name", CASES)
def test_the_groups_and_the_function(name):
    forward, parts, shape, groups = CASES[name]
    network = Net(forward, **parts).double().eval()
    randomise_(network)
    inputs = (torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),)
    symmetry = permask.discover(network, inputs)
    found = [(group.size, group.blocks) if group.parent else group.size for group in symmetry.groups]
    assert sorted(found, key=str) == sorted(groups, key=str)
    assert not symmetry.report["failed"]
    assert symmetry.report["error"] <= TOLERANCE
    assert worst_change(symmetry, network, inputs) <= TOLERANCE
    assert not [pin for pin in symmetry.pinned if pin.kind == "unsupported op"]


def test_an_op_has_one_rule():
    from permask.discovery.rules.registry import rule

    with pytest.raises(ValueError, match="two rules for relu"):
        rule("relu")(lambda op: op.values[0])
    assert len(RULES) > 200
