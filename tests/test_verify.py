"""`permask.verify` asks the network itself."""

import copy
import dataclasses

import pytest
import torch
from support.networks import NETWORKS
from torch import nn

import permask
from permask.errors import NetworkError

PLAIN = ("mlp", "vgg", "resnet")


@pytest.mark.parametrize("name", PLAIN)
def test_a_true_symmetry_leaves_the_function_unchanged(name):
    example = NETWORKS[name]
    network = example.make()
    assert permask.verify(permask.discover(network, example.inputs()), network, example.inputs()) <= 1e-9


@pytest.mark.parametrize("name", PLAIN)
def test_a_missing_member_is_seen(name):
    example = NETWORKS[name]
    network = example.make()
    symmetry = permask.discover(network, example.inputs())
    for number, group in enumerate(symmetry.groups):
        short = dataclasses.replace(group, axes=group.axes[1:])
        groups = (*symmetry.groups[:number], short, *symmetry.groups[number + 1 :])
        assert permask.verify(dataclasses.replace(symmetry, groups=groups), network, example.inputs()) > 1e-4


def test_the_network_keeps_its_mode_type_and_weights():
    network = NETWORKS["resnet"].make().float().train()
    inputs = (torch.randn(2, 3, 6, 6),)
    before = copy.deepcopy(network.state_dict())
    error = permask.verify(permask.discover(network, inputs), network, inputs)
    assert error <= 1e-9  # in float64, although the network is in float32
    assert network.training
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())


def test_a_network_that_returns_many_tensors():
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 2)

        def forward(self, x):
            y = torch.relu(self.a(x))
            return {"first": self.b(y), "rest": (self.c(y), [y.sum(1)])}

    network, inputs = Many(), (torch.randn(5, 4),)
    symmetry = permask.discover(network, inputs)
    assert [group.size for group in symmetry.groups] == [6]
    assert permask.verify(symmetry, network, inputs) <= 1e-9


def test_another_network_is_refused():
    example = NETWORKS["mlp"]
    symmetry = permask.discover(example.make(), example.inputs())
    with pytest.raises(NetworkError, match=r"0\.weight"):
        permask.verify(symmetry, nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)), example.inputs())


def test_what_a_network_rounds_inside_is_computed_in_float64():
    class Rounds(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 64), nn.Linear(64, 3)

        def forward(self, x):
            y = self.a(x)
            scale = torch.rsqrt(y.to(torch.float32).square().mean(-1, keepdim=True))
            return self.b(torch.softmax(y * scale.type_as(y), dim=-1, dtype=torch.float32).to(y.dtype))

    network, inputs = Rounds().double(), (torch.randn(5, 4, dtype=torch.float64),)
    assert permask.verify(permask.discover(network, inputs), network, inputs) <= 1e-12


def test_a_network_whose_code_refuses_float64_is_verified_by_its_graph():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            if self.a.weight.dtype != torch.float32:
                raise TypeError("expected float32")
            return self.b(torch.relu(self.a(x)))

    network, inputs = Single(), (torch.randn(5, 4),)
    symmetry = permask.discover(network, inputs)
    assert 0 < permask.verify(symmetry, network, inputs) <= 1e-12
