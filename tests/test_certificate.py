"""A certificate that needs evidence: at any scale of the outputs, a mistake is noticed, or nothing is said to hold."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from support.example import Net
from torch import nn

import permask
from permask.discovery.certify import TOLERANCE, certify
from permask.discovery.discover import captured, find
from permask.discovery.redraw import moves, resampled
from permask.discovery.rules import RULES
from permask.errors import NetworkError
from permask.groups import Group
from permask.permutation import Permutation
from permask.symmetry import Symmetry

SCALES = [10.0**k for k in range(-12, 8, 2)]
TRIES = [(scale, seed) for scale in SCALES for seed in range(10)]  # a hundred
SOME = [TRIES[0], TRIES[64], TRIES[-1]]  # the smallest scale, 1 and the largest
INPUTS = (torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),)


class Perceptron(nn.Module):
    """Two hidden layers of a few units, and outputs of any size, around any constant."""

    def __init__(self, first: int, second: int):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, first), nn.Linear(first, second), nn.Linear(second, 3)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros(3))

    def forward(self, x):
        return self.offset + self.scale * self.c(torch.tanh(self.b(torch.relu(self.a(x)))))

    def drawn(self, seed: int, scale: float, offset: float = 0.0) -> "Perceptron":
        """The same with other weights."""
        torch.manual_seed(seed)
        for layer in (self.a, self.b, self.c):
            layer.reset_parameters()
        self.scale.fill_(scale)
        self.offset.copy_(offset * torch.tensor([1.0, -2.0, 3.0]))
        return self


@pytest.fixture(scope="module", params=[(2, 3), (8, 5)], ids=str)
def network(request):
    return Perceptron(*request.param).double()


@pytest.fixture(scope="module")
def program(network):
    return captured(network, INPUTS)


@pytest.fixture(scope="module")
def symmetry(network, program) -> Symmetry:
    return find(program, network.drawn(0, 1.0), strict=False)


def without_bias(op):
    """A linear layer whose bias stays behind when units move."""
    return op.contract((op["input"], "bi"), (op["weight"], "oi"), to="bo")


def without_columns(op):
    """A linear layer whose columns stay behind when its inputs move."""
    return op.contract((op["input"], "bj"), (op["weight"], "oi"), (op["bias"], "o"), to="bo")


tries = pytest.mark.parametrize("tries", [SOME, pytest.param(TRIES, marks=pytest.mark.slow)], ids=len)


@tries
@pytest.mark.filterwarnings("ignore:a rule must be wrong")
@pytest.mark.parametrize("broken", [without_bias, without_columns])
def test_a_wrong_rule_is_noticed_at_every_scale(network, program, monkeypatch, broken, tries):
    monkeypatch.setitem(RULES, "linear", broken)
    told = Counter(judged(find(program, network.drawn(seed, scale), strict=False)) for scale, seed in tries)
    print(f"{broken.__name__}, a network of {network.a.out_features} and {network.b.out_features} units: {dict(told)}")
    assert told["noticed"] + told["no evidence"] == len(tries)


def judged(found: Symmetry) -> str:
    """What is said of the groups of a network that moves wrongly whichever of them moves."""
    if {group.name for group in found.groups} <= set(found.report["unseen"]):
        return "noticed" if found.report["failed"] else "no evidence"
    return "passed"


@tries
def test_a_wrong_symmetry_is_noticed_at_every_scale(network, symmetry, tries):
    wrong, told = list(without_one_axis(symmetry)), Counter()
    for scale, seed in tries:
        network.drawn(seed, scale)
        assert permask.verify(symmetry, network, INPUTS, seed=seed) <= TOLERANCE
        told[permask.verify(wrong[seed % len(wrong)], network, INPUTS, seed=seed) > 1e-4] += 1
    print(f"one axis left behind, {network.a.out_features} and {network.b.out_features} units: {told[True]} noticed")
    assert told == {True: len(tries)}


def without_one_axis(symmetry: Symmetry):
    """Every way of leaving one axis behind."""
    for number, group in enumerate(symmetry.groups):
        for axis in group.axes:
            short = dataclasses.replace(group, axes=tuple(other for other in group.axes if other is not axis))
            groups = (*symmetry.groups[:number], short, *symmetry.groups[number + 1 :])
            yield dataclasses.replace(symmetry, groups=groups)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e6])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_constant_hides_nothing(network, program, symmetry, scale, offset):
    """Also where the outputs are rounded to fewer digits, next to a large constant: that is not taken for a mistake."""
    network.drawn(1, scale, offset)
    certificate = certify(program.program, symmetry.groups, network, INPUTS)
    assert certificate.failed == ()
    if scale / max(offset, 1e-3) < 1e-11:  # rounding leaves nothing of the network
        assert certificate.error is None and certificate.unseen == ("a", "b")
        return
    assert certificate.unseen == ()
    assert certificate.error <= TOLERANCE or certificate.error < 1e-6 < 1e-2 < certificate.float32
    for wrong in without_one_axis(symmetry):
        assert certify(program.program, wrong.groups, network, INPUTS).failed


def test_outputs_that_never_vary_are_no_evidence():
    still = Net(lambda net, x: 0 * net.b(net.a(x)), a=nn.Linear(5, 4), b=nn.Linear(4, 3))
    with pytest.warns(UserWarning, match="no evidence"):
        symmetry = permask.discover(still, INPUTS)
    assert symmetry.report["error"] is None and symmetry.report["unseen"] == ["a"]
    with pytest.raises(NetworkError, match="symmetry cannot be tested"):
        permask.verify(symmetry, still, INPUTS)


def test_units_without_influence_are_no_evidence():
    skipping = Net(lambda net, x: x + 0 * net.b(net.a(x)), a=nn.Linear(5, 4), b=nn.Linear(4, 5))
    symmetry = permask.discover(skipping, INPUTS)
    assert symmetry.report["error"] == 0 and symmetry.report["unseen"] == ["a"]
    with pytest.raises(NetworkError, match="symmetry cannot be tested"):
        permask.verify(symmetry, skipping, INPUTS)


def test_one_group_without_influence_is_named():
    parts = {name: nn.Linear(5, 5) for name in "abc"}
    network = Net(lambda net, x: net.b(torch.tanh(net.a(x))) + 0 * net.c(torch.tanh(net.b(x))), **parts)
    symmetry = permask.discover(network, INPUTS)
    assert symmetry.report["unseen"] == []
    parts = {name: nn.Linear(5, 5) for name in "abcd"}
    network = Net(lambda net, x: net.b(torch.tanh(net.a(x))) + 0 * net.d(torch.tanh(net.c(x))), **parts)
    symmetry = permask.discover(network, INPUTS)
    assert symmetry.report["unseen"] == ["c"] and 0 < symmetry.report["error"] <= TOLERANCE
    assert permask.verify(symmetry, network, INPUTS) <= TOLERANCE


def test_a_group_of_one_axis_is_seen_by_what_its_entries_count_for():
    """Entries that are summed may trade places; those that are read and multiplied by zero have no influence."""

    def forward(net, x):
        return x * net.p[:4].square().sum() + 0 * net.p[4:].square().sum()

    symmetry = permask.discover(Net(forward, p=nn.Parameter(torch.rand(9))), INPUTS)
    assert [(group.size, len(group.axes)) for group in symmetry.groups] == [(4, 1), (5, 1)]
    assert symmetry.report["unseen"] == [symmetry.groups[1].name] and len(symmetry.report["idle"]) == 1


def test_a_head_that_starts_at_zero_hides_nothing(network, symmetry):
    network.drawn(0, 1.0)
    nn.init.zeros_(network.c.weight)
    assert permask.verify(symmetry, network, INPUTS) <= TOLERANCE
    for wrong in without_one_axis(symmetry):
        assert permask.verify(wrong, network, INPUTS) > 1e-4


def test_an_output_that_is_rounding_alone_is_left_out():
    """The sum of a softmax, less one."""

    def forward(net, x):
        y = net.b(torch.tanh(net.a(x)))
        return {"scores": y, "rest": torch.softmax(y, -1).sum(-1) - 1}

    network, inputs = Net(forward, a=nn.Linear(5, 4), b=nn.Linear(4, 7)), torch.randn(64, 5)
    symmetry = permask.discover(network, inputs)
    assert [group.size for group in symmetry.groups] == [4]
    assert symmetry.report["error"] <= TOLERANCE and symmetry.report["failed"] == []
    assert permask.verify(symmetry, network, inputs) <= TOLERANCE


@pytest.mark.parametrize(("steps", "amplified"), [(4, False), (26, True)])
def test_rounding_that_a_network_amplifies_is_told_from_a_wrong_rule(steps, amplified, monkeypatch):
    """Every step of the logistic map doubles an error: the last bit of float64 grows by 2^steps."""

    def forward(net, x):
        y = torch.sigmoid(net.b(torch.tanh(net.a(x))))
        for _ in range(steps):
            y = 4 * y * (1 - y)
        return net.c(y)

    network = Net(forward, a=nn.Linear(5, 40), b=nn.Linear(40, 8), c=nn.Linear(8, 3))
    symmetry = permask.discover(network, INPUTS)
    assert [group.size for group in symmetry.groups] == [40, 8]
    assert (TOLERANCE < symmetry.report["error"] <= 1e-6) == amplified
    assert (symmetry.report["float32"] is not None) == amplified
    assert amplified is False or symmetry.report["float32"] > 1e-2
    monkeypatch.setitem(RULES, "linear", without_bias)
    with pytest.warns(UserWarning, match="a rule must be wrong"):
        assert permask.discover(network, INPUTS).groups == ()


def test_a_branch_that_starts_small_is_seen():
    def forward(net, x):
        return x + net.scale * net.b(torch.tanh(net.a(x)))

    scale = nn.Parameter(torch.full((5,), 1e-12, dtype=torch.float64))
    symmetry = permask.discover(Net(forward, a=nn.Linear(5, 4), b=nn.Linear(4, 5), scale=scale).double(), INPUTS)
    assert symmetry.report["unseen"] == symmetry.report["idle"] == []
    assert [group.size for group in symmetry.groups] == [4] and symmetry.report["error"] <= TOLERANCE


@pytest.mark.parametrize("name", ["doubled", "tripled"])
def test_an_op_without_derivatives_is_unproven_and_a_wrong_rule_is_noticed(name, monkeypatch):
    monkeypatch.setitem(RULES, f"certificate::{name}", RULES["relu"])
    op = getattr(torch.ops.certificate, name)
    network = Net(lambda net, x: net.b(op(net.a(x))), a=nn.Linear(5, 4), b=nn.Linear(4, 3))
    symmetry = permask.discover(network, INPUTS)
    assert [group.size for group in symmetry.groups] == [4]
    assert symmetry.report["idle"] == ["a: a.weight 0", "a: a.bias 0", "a: b.weight 1"]
    assert symmetry.report["unseen"] == [] and symmetry.report["error"] <= TOLERANCE
    monkeypatch.setitem(RULES, "linear", without_bias)
    with pytest.warns(UserWarning, match="a rule must be wrong"):
        assert permask.discover(network, INPUTS).groups == ()


@torch.library.custom_op("certificate::doubled", mutates_args=())
def doubled(self: torch.Tensor) -> torch.Tensor:
    """An op of the network's own that refuses to run where derivatives are asked for."""
    if self.requires_grad:
        raise RuntimeError("no derivatives")
    return 2 * self


@torch.library.custom_op("certificate::tripled", mutates_args=())
def tripled(self: torch.Tensor) -> torch.Tensor:
    """An op of the network's own that runs, and of which nobody has said what its derivative is."""
    return 3 * self


@doubled.register_fake
@tripled.register_fake
def _(self):
    return torch.empty_like(self)


def test_every_pair_of_small_groups_moves_apart_and_every_group_in_full():
    outer = Group("outer", 3, ())
    inside = Group("inside", 2, (), parent="outer", blocks=3)
    large = Group("large", 9, ())
    others = tuple(Group(f"pair {k}", 2, ()) for k in range(8))
    groups = (outer, inside, large, *others)
    for seed in range(20):
        cycles, *swaps = moves(groups, seed)
        for group in groups:
            assert Permutation(groups, {group.name: cycles[group.name]})
            assert (cycles[group.name] != np.arange(group.size)).all()  # every unit moves
        assert "large" not in swaps[0]
        swapped = np.stack(
            [np.concatenate([(x != np.arange(x.shape[-1])).any(-1).ravel() for x in index.values()]) for index in swaps]
        )
        patterns = {tuple(column) for column in swapped.T}
        assert len(patterns) == swapped.shape[1] == 12 and (False,) * len(swaps) not in patterns


def test_other_inputs_keep_shape_type_and_range():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.tensor([[3, 5, 9, 9], [3, 5, 5, 7]])
    drawn = resampled(tokens, generator)
    assert drawn.shape == tokens.shape and drawn.dtype == tokens.dtype
    assert set(drawn.unique().tolist()) <= {3, 5, 7, 9} and not torch.equal(drawn, tokens)
    assert resampled(torch.zeros(0, 3), generator).shape == (0, 3)
