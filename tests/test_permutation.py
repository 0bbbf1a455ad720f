"""Permutations compose and invert as what they do to tensors does, structured ones too."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from support.networks import NETWORKS
from torch import nn

import permask
from permask.errors import NetworkError, PermaskError
from permask.permutation import Permutation

STRUCTURED = ("attention", "grouped_convolution", "nested_convolution_groups", "grouped_query_attention", "resnet")


@pytest.fixture(params=STRUCTURED)
def found(request):
    example = NETWORKS[request.param]
    network = example.make()
    return permask.discover(network, example.inputs()), network.state_dict()


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_inverse_undoes(found):
    symmetry, state = found
    permutation = symmetry.random(0)
    moved = permutation.apply(state)
    assert not equal(moved, state)
    assert equal(permutation.inverse().apply(moved), state)


def test_a_composition_does_one_after_the_other(found):
    symmetry, state = found
    first, second = symmetry.random(0), symmetry.random(1)
    assert equal(second.compose(first).apply(state), second.apply(first.apply(state)))


def test_the_identity_is_neutral(found):
    symmetry, state = found
    permutation = symmetry.random(0)
    composed = symmetry.identity().compose(permutation)
    assert all(np.array_equal(composed.index[name], index) for name, index in permutation.index.items())
    assert equal(symmetry.identity().apply(state), state)


def test_source_says_where_positions_come_from(found):
    symmetry, state = found
    permutation = symmetry.random(0)
    moved = permutation.apply(state)
    biases = [axis.parameter for group in symmetry.groups for axis in group.axes if state[axis.parameter].ndim == 1]
    assert biases
    for name in biases:
        assert torch.equal(moved[name], state[name][permutation.source(name, 0)])


def test_a_state_dict_keeps_its_metadata():
    """Some modules refuse a state without the version that they saved with it."""
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    symmetry = permask.discover(network, (torch.randn(2, 6),))
    state = network.state_dict()
    assert symmetry.random(0).apply(state)._metadata == state._metadata


def test_what_does_not_fit_is_refused(found):
    symmetry, state = found
    name = symmetry.groups[0].axes[0].parameter
    with pytest.raises(NetworkError, match="was the symmetry found on another network"):
        symmetry.random(0).apply(state | {name: torch.zeros(1, 1, 1, 1)})
    with pytest.raises(NetworkError, match="none of the symmetry's parameters"):
        symmetry.random(0).apply({"other": torch.zeros(3)})
    with pytest.raises(PermaskError, match="expected a permutation of shape"):
        Permutation(symmetry.groups, {symmetry.groups[0].name: np.zeros(symmetry.groups[0].size, np.int64)})
    with pytest.raises(PermaskError, match="no such group: nobody"):
        Permutation(symmetry.groups, {"nobody": np.arange(3)})


def perceptron(*widths):
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def test_what_does_not_belong_together_is_refused():
    deep, shallow = perceptron(4, 5, 5, 2), perceptron(4, 5, 2)
    of_deep, of_shallow = (permask.discover(network, torch.zeros(2, 4)) for network in (deep, shallow))
    with pytest.raises(PermaskError, match="expected two permutations of the same groups"):
        of_deep.random(0).compose(of_shallow.random(0))
    again = permask.discover(deep, torch.zeros(2, 4))
    assert of_deep.random(0).compose(again.random(1)).moved  # the same groups, found twice
    with pytest.raises(NetworkError, match=r"4\.weight: its units would move, but the network has no such tensor"):
        of_deep.random(0).apply(perceptron(4, 5, 5))
    with pytest.raises(PermaskError, match="expected whole numbers"):
        Permutation(of_shallow.groups, {of_shallow.groups[0].name: np.array([0.0, 1.2, 2.0, 3.0, 4.0])})
