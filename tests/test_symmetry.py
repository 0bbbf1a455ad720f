"""A symmetry as a value and as a file."""

import json

import numpy as np
import pytest
from support.networks import NETWORKS
from torch import nn

import permask
from permask.errors import NetworkError, PermaskError
from permask.symmetry import Symmetry


@pytest.fixture(params=["vgg", "grouped_query_attention", "nested_convolution_groups"])
def symmetry(request) -> Symmetry:
    return permask.discover(NETWORKS[request.param].make(), NETWORKS[request.param].inputs())


def test_a_file_gives_back_all_of_it(symmetry, tmp_path):
    symmetry.save(tmp_path / "symmetry.json")
    loaded = Symmetry.load(tmp_path / "symmetry.json")
    assert loaded.hash == symmetry.hash
    assert (loaded.pinned, loaded.movable, loaded.shapes) == (symmetry.pinned, symmetry.movable, symmetry.shapes)
    assert loaded.report == symmetry.report
    for group, other in zip(symmetry.groups, loaded.groups, strict=True):
        assert (group.name, group.size, group.parent, group.blocks) == (
            other.name,
            other.size,
            other.parent,
            other.blocks,
        )
        assert group.activation.node == other.activation.node
        assert all(np.array_equal(a.table, b.table) for a, b in zip(group.axes, other.axes, strict=True))


def test_the_hash_is_that_of_groups_and_shapes():
    first, second = (permask.discover(NETWORKS["vgg"].make(), NETWORKS["vgg"].inputs()) for _ in range(2))
    assert first.hash == second.hash
    assert first.hash != permask.discover(NETWORKS["mlp"].make(), NETWORKS["mlp"].inputs()).hash


def test_random_elements_follow_their_seed(symmetry):
    first, again, other = symmetry.random(0), symmetry.random(0), symmetry.random(1)
    assert all(np.array_equal(first.index[name], again.index[name]) for name in first.index)
    assert any(not np.array_equal(first.index[name], other.index[name]) for name in first.index)


def test_groups_by_name(symmetry):
    assert all(symmetry[group.name] is group for group in symmetry.groups)
    with pytest.raises(KeyError):
        symmetry["nobody"]


def test_a_network_that_does_not_fit_is_refused():
    symmetry = permask.discover(NETWORKS["mlp"].make(), NETWORKS["mlp"].inputs())
    symmetry.check(NETWORKS["mlp"].make())
    with pytest.raises(
        NetworkError, match=r"0\.weight: the symmetry expects shape \[8, 6\], the network has shape \[9, 6\]"
    ):
        symmetry.check(nn.Sequential(nn.Linear(6, 9)))
    with pytest.raises(NetworkError, match=r"2\.weight.*no such tensor"):
        symmetry.check(nn.Sequential(nn.Linear(6, 8)))


def test_files_that_are_no_symmetries_are_refused(tmp_path):
    path = tmp_path / "symmetry.json"
    with pytest.raises(PermaskError, match="expected a symmetry"):
        Symmetry.load(path)
    path.write_text("{}")
    with pytest.raises(PermaskError, match="expected a symmetry"):
        Symmetry.load(path)
    path.write_text(json.dumps({"schema": 99}))
    with pytest.raises(PermaskError, match="schema version 99"):
        Symmetry.load(path)
