import numpy as np
import pytest
import torch
from torch import nn

from permask.errors import NetworkError
from permask.groups import Axis, Group
from permask.mask import Mask
from permask.masks.scores import magnitude_mask
from permask.masks.transport import transport
from permask.matching.alignment import Alignment
from permask.symmetry import Symmetry

AXES = tuple(
    Axis(name, dim, 8, np.arange(8)[:, None]) for name, dim in (("0.weight", 0), ("0.bias", 0), ("2.weight", 1))
)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def alignment(seed=1):
    shapes = {name: tuple(x.shape) for name, x in network().state_dict().items()}
    symmetry = Symmetry((Group("hidden", 8, AXES),), (), 1.0, shapes)
    return Alignment(symmetry, symmetry.random(seed), "planted", 0.0, ())


def test_the_mask_moves_as_the_weights_do():
    source, found = network(), alignment()
    mask = magnitude_mask(source, 0.6)
    moved = transport(mask, found)
    assert moved == magnitude_mask(found.permutation.apply(source), 0.6)
    assert isinstance(moved, Mask)
    for other in (mask.permuted(found.permutation), found.permutation.apply(mask)):
        assert isinstance(other, Mask) and other == moved
    assert {n: int(kept.sum()) for n, kept in moved.items()} == {n: int(kept.sum()) for n, kept in mask.items()}


def test_a_mask_over_part_of_the_network_is_transported():
    mask = Mask({"2.weight": magnitude_mask(network(), 0.6)["2.weight"]})
    assert set(transport(mask, alignment())) == {"2.weight"}


@pytest.mark.parametrize(
    ("name", "shape"), [("1.weight", (8, 6)), ("0.weight", (6, 8)), ("0.weight", (16, 6)), ("2.weight", (8, 8))]
)
def test_a_mask_of_another_network_is_an_error_that_names_the_tensor(name, shape):
    with pytest.raises(NetworkError, match=name):
        transport(Mask({name: torch.ones(shape, dtype=torch.bool)}), alignment())
