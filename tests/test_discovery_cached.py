"""A symmetry that was found is found on disk the next time, and never that of another program."""

import json
from pathlib import Path

import pytest
import torch
from support.networks import NETWORKS
from torch import nn

import permask
from permask.discovery import cached
from permask.discovery.cached import discover_cached, structure_key
from permask.discovery.discover import captured
from permask.discovery.rules import RULES

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path))
    return tmp_path / "symmetries"


class Network(nn.Module):
    """Two layers, and what may differ between two networks of the same parameters."""

    def __init__(self, between=torch.relu, mask=None, order=None):
        super().__init__()
        self.a, self.n, self.b = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
        self.between = between
        self.register_buffer("mask", torch.ones(8) if mask is None else mask)
        self.register_buffer("order", torch.arange(8) if order is None else order, persistent=False)

    def forward(self, x):
        return self.b(self.between(self.n(self.a(x)) * self.mask)[:, self.order])


def from_cache(symmetry: permask.Symmetry) -> bool:
    return set(symmetry.report["seconds"]) == {"capture", "cache"}


@pytest.mark.parametrize("name", ["mlp", "vgg", "grouped_query_attention", "nested_convolution_groups"])
def test_the_second_time_gives_what_the_first_gave(name, folder):
    network, inputs = NETWORKS[name].make(), NETWORKS[name].inputs()
    first, second = discover_cached(network, inputs), discover_cached(network, inputs)
    assert not from_cache(first) and from_cache(second)
    plain = permask.discover(network, inputs).to_json()
    for found in (first.to_json(), second.to_json()):
        assert found | {"report": 0} == plain | {"report": 0}
    apart_from_time = [{**found.report, "seconds": 0} for found in (first, second)]
    assert apart_from_time[0] == apart_from_time[1]


def test_weights_and_running_statistics_do_not_matter(folder):
    discover_cached(Network(), (X,))
    other = Network()
    other.train()(X)
    assert from_cache(discover_cached(other, (X,)))


def test_the_names_are_those_of_the_network(folder):
    layers = (nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    discover_cached(nn.Sequential(*layers), (X,))
    named = nn.ModuleDict({"first": layers[0], "last": layers[2]})
    named.forward = lambda x: named["last"](torch.relu(named["first"](x)))
    (group,) = discover_cached(named, (X,)).groups
    assert {axis.parameter for axis in group.axes} == {"first.weight", "first.bias", "last.weight"}


@pytest.mark.parametrize(
    "other",
    [
        lambda: (Network(torch.sigmoid), (X,), False),
        lambda: (Network(lambda y: y.cumsum(-1)), (X,), False),
        lambda: (Network(lambda y: y.clamp(-1, 1)), (X,), False),
        lambda: (Network(mask=torch.ones(8).index_fill(0, torch.tensor([3]), 0.0)), (X,), False),
        lambda: (Network(order=torch.arange(8).flip(0)), (X,), False),
        lambda: (Network(), (X[:3],), False),
        lambda: (Network().double(), (X.double(),), False),
        lambda: (Network(), (X,), True),
    ],
    ids=["op", "another_op", "argument", "mask", "order", "shape", "type", "strict"],
)
def test_another_program_is_found_anew(other, folder):
    discover_cached(Network(lambda y: y.clamp(-1, 2)), (X,))
    discover_cached(Network(), (X,))
    network, inputs, strict = other()
    symmetry = discover_cached(network, inputs, strict)
    assert not from_cache(symmetry)
    assert symmetry.hash == permask.discover(network, inputs).hash


def test_a_tied_parameter_is_not_taken_for_one_that_only_looks_like_it(folder):
    """The program is the same: nothing reads the second name."""

    def layers(tie: bool) -> nn.Module:
        network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        network.spare = nn.Linear(6, 8)
        network.spare.weight = network[0].weight if tie else network.spare.weight
        network.forward = lambda x: network[2](network[1](network[0](x)))
        return network

    first, second = (discover_cached(layers(tie), (X,)) for tie in (False, True))
    moved = [{axis.parameter for group in found.groups for axis in group.axes} for found in (first, second)]
    assert moved[1] - moved[0] == {"spare.weight"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1, 2]",
        lambda text: '{"format": "another"}',
        lambda text: text.replace('"size": 8', '"size": 9'),
        lambda text: text.replace('"movable"', '"moved"'),
        lambda text: text.replace('"key": "', '"key": "0'),
    ],
)
def test_a_file_that_is_damaged_or_someone_elses_is_written_anew(damage, folder):
    network, inputs = NETWORKS["mlp"].make(), NETWORKS["mlp"].inputs()
    discover_cached(network, inputs)
    (file,) = folder.iterdir()
    whole = file.read_text()
    file.write_text(damage(whole))
    symmetry = discover_cached(network, inputs)
    assert not from_cache(symmetry)
    assert symmetry.hash == permask.discover(network, inputs).hash
    assert [place.name for place in folder.iterdir()] == [file.name]
    assert json.loads(file.read_text())["key"] == json.loads(whole)["key"]
    assert from_cache(discover_cached(network, inputs))


def test_a_file_under_the_name_of_another_program_is_not_taken(folder):
    discover_cached(Network(), (X,))
    (file,) = folder.iterdir()
    network = Network(lambda y: y.cumsum(-1))
    key = structure_key(captured(network, (X,)), network, False)
    Path(file).rename(folder / f"{key}.json")
    assert not from_cache(discover_cached(network, (X,)))


def test_a_folder_that_cannot_be_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "file"))
    network, inputs = NETWORKS["mlp"].make(), NETWORKS["mlp"].inputs()
    assert len(discover_cached(network, inputs).groups) == 2


def test_a_place_that_cannot_be_written_is_no_error(folder):
    network, inputs = NETWORKS["mlp"].make(), NETWORKS["mlp"].inputs()
    key = structure_key(captured(network, inputs), network, False)
    (folder / f"{key}.json").mkdir(parents=True)
    assert len(discover_cached(network, inputs).groups) == 2
    assert [place.name for place in folder.iterdir()] == [f"{key}.json"]


def test_what_failed_the_certificate_is_not_kept(folder, monkeypatch):
    from permask.discovery.rules import norm

    broken = lambda op: op["input"]  # noqa: E731
    broken.__module__ = norm.__name__  # as if it were one of ours
    monkeypatch.setitem(RULES, "batch_norm", broken)
    for _ in range(2):
        with pytest.warns(UserWarning, match="a rule must be wrong"):
            discover_cached(Network(), (X,))
    assert list(folder.iterdir()) == []


def test_rules_of_someone_else_are_never_trusted_to_be_the_same(folder, monkeypatch):
    monkeypatch.setitem(RULES, "relu", lambda op: op["self"])
    assert structure_key(captured(Network(), (X,)), Network(), False) is None
    assert not from_cache(discover_cached(Network(), (X,)))
    assert not folder.exists()


def test_another_version_of_discovery_finds_anew(folder, monkeypatch):
    discover_cached(Network(), (X,))
    monkeypatch.setattr(cached, "_sources", lambda: "another")
    assert not from_cache(discover_cached(Network(), (X,)))
