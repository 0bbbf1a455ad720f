"""Networks whose symmetries were derived by hand: exactly those are found, and they are symmetries."""

import pytest
from support.example import expected_groups, found_groups
from support.invariance import TOLERANCE, change, randomise_, rolled, worst_change
from support.networks import NETWORKS

import permask


@pytest.mark.parametrize("name", NETWORKS)
def test_finds_exactly_the_groups_derived_by_hand(name):
    example = NETWORKS[name]
    symmetry = permask.discover(example.make(), example.inputs())
    assert found_groups(symmetry) == expected_groups(example)


@pytest.mark.parametrize("name", NETWORKS)
def test_leaves_the_output_unchanged(name):
    example = NETWORKS[name]
    network, inputs = example.make(), example.inputs()
    randomise_(network)
    assert worst_change(permask.discover(network, inputs), network, inputs) <= TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
def test_half_a_permutation_changes_the_output(name):
    example = NETWORKS[name]
    network, inputs = example.make(), example.inputs()
    randomise_(network)
    for group in permask.discover(network, inputs).groups:
        if len(group.axes) > 1:
            assert max(change(rolled(group, axis), network, inputs) for axis in range(len(group.axes))) > 1e-6
