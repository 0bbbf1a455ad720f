"""A symmetry as a value and as a file."""

import copy
import json
from math import factorial, log10, prod

import numpy as np
import pytest
import torch
from support.networks import NETWORKS
from torch import nn

import permask
from permask.errors import NetworkError, PermaskError
from permask.matching.alignment import Alignment
from permask.permutation import Permutation
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
        assert {**vars(group.site), "table": 0} == {**vars(other.site), "table": 0}
        assert np.array_equal(group.site.table, other.site.table)
        assert all(np.array_equal(a.table, b.table) for a, b in zip(group.axes, other.axes, strict=True))


# Linear(2, 2)-ReLU-Linear(2, 1) without biases, as version 1 saved it, and its hash then
VERSION_1 = {
    "schema": 1,
    "groups": [
        {
            "name": "0",
            "size": 2,
            "parent": None,
            "blocks": 1,
            "activation": {"node": "relu", "dim": 1, "table": [[0], [1]], "moved": [], "mixed": False},
            "axes": [
                {"parameter": "0.weight", "dim": 0, "length": 2, "table": [[0], [1]], "convolution_groups": 1},
                {"parameter": "2.weight", "dim": 1, "length": 2, "table": [[0], [1]], "convolution_groups": 1},
            ],
        }
    ],
    "pinned": [],
    "movable": 1.0,
    "shapes": {"0.weight": [2, 2], "2.weight": [1, 2]},
    "report": {},
}
HASH_1 = "83e6a50af18f8312c029b8f5beefaf711a4702b58163c3dcb2c485ed3f209fe7"


def test_a_file_of_version_1_still_loads_with_its_hash(tmp_path):
    path = tmp_path / "symmetry.json"
    path.write_text(json.dumps(VERSION_1))
    symmetry = Symmetry.load(path)
    site = symmetry.groups[0].site
    assert (site.node, site.dim, site.function, site.length) == ("relu", 1, "", None)
    assert symmetry.hash == HASH_1
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    symmetry.check(network)
    assert permask.discover(network, (torch.randn(3, 2),)).hash == HASH_1
    symmetry.save(path)
    assert json.loads(path.read_text())["schema"] == 2
    assert Symmetry.load(path).hash == HASH_1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda group, axis: axis.update(table=[[0], [0]]), "expected different positions, from 0 and below 2"),
        (lambda group, axis: axis.update(table=[[0], [2]]), "expected different positions, from 0 and below 2"),
        (lambda group, axis: axis.update(table=[[0], [-1]]), "expected different positions"),
        (lambda group, axis: axis.update(table=[[0.0], [1.5]]), "expected whole numbers in a table"),
        (lambda group, axis: axis.update(table=[[0]]), "expected a table of shape"),
        (lambda group, axis: axis.update(table=[[0], [1, 2]]), "expected a symmetry"),
        (lambda group, axis: axis.update(dim=2), "not those of a tensor of shape"),
        (lambda group, axis: axis.update(length=3), "not those of a tensor of shape"),
        (lambda group, axis: axis.update(parameter="5.weight"), "not those of a tensor of shape"),
        (lambda group, axis: group.update(parent="1"), "after the parent's"),
        (lambda group, axis: group.update(blocks=2), "do not fit its parent"),
        (lambda group, axis: group["activation"].update(table=[[0], [0]]), "its site: expected different positions"),
    ],
)
def test_tables_that_no_network_has_are_refused(tmp_path, change, message):
    content = copy.deepcopy(VERSION_1)
    group = content["groups"][0]
    change(group, group["axes"][0])
    (tmp_path / "symmetry.json").write_text(json.dumps(content))
    with pytest.raises(PermaskError, match=message):
        Symmetry.load(tmp_path / "symmetry.json")


def test_what_is_altered_anywhere_in_a_file_is_refused(tmp_path):
    path, symmetry = tmp_path / "file.json", Symmetry.from_json(VERSION_1)
    swapped = Permutation(symmetry.groups, {"0": np.array([1, 0])})
    alignment = Alignment(symmetry, swapped, "weights", 1.0, (), used={"seed": 0})
    for value, changes in (
        (symmetry, {"movable": 0.5, "report": {"error": 0.0}}),
        (alignment, {"objective": 2.0, "used": {}, "method": "activations", "permutation": {"0": [0, 1]}}),
    ):
        value.save(path)
        content = json.loads(path.read_text())
        for name, change in changes.items():
            assert content[name] != change
            path.write_text(json.dumps(content | {name: change}))
            with pytest.raises(PermaskError, match="the file was altered; make it anew"):
                type(value).load(path)
        path.write_text(json.dumps(content, indent=1))  # the same content, laid out in another way
        type(value).load(path)


def test_an_alignment_of_version_1_still_loads(tmp_path):
    path = tmp_path / "alignment.json"
    rest = {"permutation": {"0": [1, 0]}, "groups": [], "history": [], "used": {}, "seconds": 0.0, "objective": 1.0}
    content = {"format": "permask-alignment", "schema": 1, "method": "weights", **rest}
    path.write_text(json.dumps(content | {"symmetry": VERSION_1, "symmetry_hash": HASH_1}))
    assert Alignment.load(path).permutation.index["0"].tolist() == [1, 0]


def test_a_site_says_what_is_found_there():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    (group,) = permask.discover(network, (torch.randn(1, 3, 8, 8),)).groups
    assert (group.site.function, group.site.module, group.site.dim, group.site.length) == ("relu", "1", 1, 4)


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


@pytest.mark.parametrize("name", ["mlp", "nested_convolution_groups", "grouped_query_attention"])
def test_freedom_is_the_number_of_symmetries(name):
    """Counted along the tree of groups: the units of a group move, and inside each of them what lies there."""
    symmetry = permask.discover(NETWORKS[name].make(), NETWORKS[name].inputs())

    def arrangements(parent: str | None) -> int:
        inside = [group for group in symmetry.groups if group.parent == parent]
        return prod(factorial(group.size) * arrangements(group.name) ** group.size for group in inside)

    assert symmetry.freedom == pytest.approx(log10(arrangements(None)))


def test_positions_are_those_of_all_axes():
    symmetry = permask.discover(NETWORKS["mlp"].make(), NETWORKS["mlp"].inputs())  # 6-8-5-3 with biases
    moved, all_of_them = 8 + 8 + 8 + 5 + 5 + 5, (8 + 6 + 8) + (5 + 8 + 5) + (3 + 5 + 3)
    assert symmetry.positions == pytest.approx(moved / all_of_them)
    assert symmetry.movable > symmetry.positions
    nothing = Symmetry(groups=(), pinned=symmetry.pinned, movable=0.0, shapes=symmetry.shapes)
    assert (nothing.positions, nothing.freedom) == (0, 0)
