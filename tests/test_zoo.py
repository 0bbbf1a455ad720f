"""The zoo: permuting all that discovery finds leaves a network's function unchanged, and hardly anything is missed."""

import pytest
import torch
from support.example import Net, floats, found_groups
from support.invariance import TOLERANCE, change, randomise_, rolled, worst_change
from support.zoo import ZOO
from torch import nn

import permask
from permask.discovery.certify import Certificate
from permask.discovery.rules import RULES

SMALL = [name for name, entry in ZOO.items() if entry.small]
LARGE = [name for name, entry in ZOO.items() if not entry.small]
CONTROLS = 3  # groups per network


def check(entry):
    network, inputs = entry.make(), entry.inputs()
    randomise_(network)
    symmetry = permask.discover(network, inputs)
    assert not symmetry.report["failed"]
    assert symmetry.report["error"] <= TOLERANCE and symmetry.report["float32"] is None
    assert worst_change(symmetry, network, inputs) <= TOLERANCE
    # where more is pinned, it is in tiny networks: outputs, tokens, and a router's rows, one to each separate expert
    assert symmetry.movable >= 0.999 or "unsupported op" not in {pin.kind for pin in symmetry.pinned}
    several = [group for group in symmetry.groups if len(group.axes) > 1]
    controls = several[:: max(1, len(several) // CONTROLS)]
    # one axis on its own, where all would have to move; some experts may be of no influence on these inputs
    assert max(change(rolled(group, axis), network, inputs) for group in controls for axis in (0, 1)) > 1e-6


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network(name):
    check(ZOO[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_large_network(name):
    check(ZOO[name])


@pytest.mark.parametrize("name", ["llama", "transformer", "gru"])
def test_a_float32_network_has_the_same_groups(name):
    network, inputs = ZOO[name].make(), ZOO[name].inputs()
    single = tuple(x.float() if x.is_floating_point() else x for x in inputs)
    found = [permask.discover(network, inputs), permask.discover(network.float(), single)]
    assert found_groups(found[0]) == found_groups(found[1])
    assert not found[1].report["failed"]
    assert found[1].report["error"] <= TOLERANCE  # the certificate works in float64 all the same


def test_rounding_inside_a_float64_network_is_not_mistaken_for_a_wrong_rule():
    """Language models compute their norms in float32, whatever the type of the rest."""

    def forward(net, x):
        y = net.a(x)
        scale = torch.rsqrt(y.float().square().mean(-1, keepdim=True) + 1e-6)
        return net.b(torch.relu(y * scale.to(y.dtype)))

    network = Net(forward, a=nn.Linear(6, 8), b=nn.Linear(8, 3)).double()
    symmetry = permask.discover(network, floats(4, 6)())
    assert [group.size for group in symmetry.groups] == [8]
    assert symmetry.report["error"] <= TOLERANCE


def without_statistics(op):
    """BatchNorm whose scales and statistics stay behind when channels move."""
    return op["input"]


def without_groups(op):
    """GroupNorm that forgets which channels are normalised together."""
    axes = list(range(op["input"].ndim))
    return op.contract((op["input"], axes), (op["weight"], [1]), (op["bias"], [1]), to=axes)


def without_bias(op):
    """A linear layer whose bias stays behind when units move."""
    axes = list(range(op["input"].ndim - 1))
    return op.contract((op["input"], [*axes, "in"]), (op["weight"], ["out", "in"]), to=[*axes, "out"])


@pytest.mark.parametrize(
    ("name", "function", "broken"),
    [
        ("wide_resnet", "batch_norm", without_statistics),
        ("unet", "group_norm", without_groups),
        ("gpt", "linear", without_bias),
    ],
)
def test_a_broken_rule_is_noticed(name, function, broken, monkeypatch):
    monkeypatch.setitem(RULES, function, broken)
    network, inputs = ZOO[name].make(), ZOO[name].inputs()
    randomise_(network)
    with pytest.warns(UserWarning, match="a rule must be wrong"):
        symmetry = permask.discover(network, inputs)
    assert symmetry.report["failed"]
    assert worst_change(symmetry, network, inputs) <= TOLERANCE  # what is left is right
    monkeypatch.setattr("permask.discovery.discover.certificate_of", lambda *_: (Certificate(0.0, (), ()), "full"))
    with pytest.raises(AssertionError, match="worst_change"):
        check(ZOO[name])
