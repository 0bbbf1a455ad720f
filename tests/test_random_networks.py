"""On networks put together at random, discovery never returns a permutation that changes the output."""

import pytest
from hypothesis import HealthCheck, given, settings
from support.invariance import TOLERANCE, randomise_, worst_change
from support.random_networks import networks

import permask


def check(drawn):
    network, inputs = drawn
    randomise_(network)
    symmetry = permask.discover(network, inputs)
    assert not symmetry.report["failed"]
    assert worst_change(symmetry, network, inputs) <= TOLERANCE


reproducibly = settings(database=None, suppress_health_check=[HealthCheck.too_slow])


@settings(reproducibly, max_examples=40)
@given(networks())
def test_forty_random_networks(drawn):
    check(drawn)


@pytest.mark.slow
@settings(reproducibly, max_examples=500)
@given(networks())
def test_five_hundred_random_networks(drawn):
    check(drawn)
