"""On networks that tempt a search into mistakes, nothing that discovery returns changes the output."""

import pytest
from support.adversarial import ADVERSARIAL
from support.invariance import TOLERANCE, randomise_, worst_change

import permask


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_nothing_found_changes_the_output(name):
    example = ADVERSARIAL[name]
    network, inputs = example.make(), example.inputs()
    randomise_(network)
    symmetry = permask.discover(network, inputs)
    assert not symmetry.report["failed"]
    assert worst_change(symmetry, network, inputs) <= TOLERANCE
