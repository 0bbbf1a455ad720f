"""Units are observed where they were found, whatever the shape of the inputs, or not at all."""

import dataclasses

import numpy as np
import pytest
import torch
from support.example import Net
from support.zoo import ZOO
from torch import nn

import permask
from permask.discovery.capture import capture
from permask.discovery.discover import discover
from permask.discovery.lineage import lineages
from permask.discovery.sites import located
from permask.errors import NetworkError
from permask.inputs import Inputs

FEW, MANY = torch.randn(3, 8), torch.randn(64, 8)


def layers():
    torch.manual_seed(0)
    return {"first": nn.Linear(8, 8), "second": nn.Linear(8, 8), "last": nn.Linear(8, 3)}


def swaps_its_layers(net, x):
    """The same ops under the same names at every batch size, of the same shapes, but on other units."""
    first, second = (net.first, net.second) if x.shape[0] > 4 else (net.second, net.first)
    return net.last(torch.relu(second(torch.relu(first(x)))))


def does_more_before(net, x):
    """At large batch sizes, nodes have other names."""
    more = torch.relu(x).mean(-1, keepdim=True) if x.shape[0] > 4 else 0
    return net.last(torch.relu(net.second(torch.relu(net.first(x))))) + more


def overwrites(net, x):
    """At large batch sizes, what is read was modified in place."""
    y = net.first(x)
    if x.shape[0] > 4:
        y[:, ::2] = 0
    return net.last(torch.relu(net.second(torch.relu(y))))


def matched(forward, batches):
    """Whether a planted permutation is recovered, by a symmetry that was found with a few inputs."""
    network = Net(forward, **layers())
    symmetry = permask.discover(network, FEW)
    planted = symmetry.random(1)
    alignment = permask.match_activations(symmetry, network, planted.apply(network), batches)
    return all(np.array_equal(alignment.permutation.index[name], planted.index[name]) for name in planted.index)


def test_a_network_that_computes_something_else_at_another_batch_size_is_refused():
    assert matched(swaps_its_layers, [torch.randn(4, 8) for _ in range(20)])
    with pytest.raises(NetworkError, match=r"with inputs float32 \[64, 8\], .* units of second .* relu .* were found"):
        matched(swaps_its_layers, [FEW, MANY])


def test_what_is_modified_in_place_is_something_else():
    with pytest.raises(NetworkError, match="discover the symmetry with inputs of that shape"):
        matched(overwrites, [MANY])


def test_a_unit_is_found_where_nodes_have_other_names():
    assert matched(does_more_before, [MANY])


def test_a_site_of_an_older_file_is_known_by_name_module_and_length():
    network = Net(does_more_before, **layers())
    few, many = capture(network, FEW), capture(network, MANY)
    (first, _) = permask.discover(network, FEW).groups
    site = first.site
    assert located(site, many.nodes, lineages(many.nodes)).name != site.node
    old = dataclasses.replace(site, lineage="")
    assert located(old, few.nodes, {}).name == site.node
    for change in ({"function": "gelu"}, {"module": "other"}, {"length": 9}, {"dim": 2}, {"node": "nowhere"}):
        assert located(dataclasses.replace(old, **change), few.nodes, {}) is None
    assert located(dataclasses.replace(old, function="", module="", length=None), few.nodes, {}).name == site.node


def test_lineages_are_those_of_any_batch_size():
    network = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    program, other = capture(network, torch.randn(2, 5, 8)), capture(network, torch.randn(7, 6, 8))
    assert list(lineages(program.nodes).values()) == list(lineages(other.nodes).values())
    assert len(set(lineages(program.nodes).values())) > 10


def test_every_site_is_found_again_where_it_was_also_beside_one_of_the_same_lineage():
    """Keys and values of cross-attention are two parts of one product."""
    network, inputs = ZOO["transformer"].make().eval(), ZOO["transformer"].inputs()
    symmetry = discover(network, inputs)
    program = capture(network, Inputs.of(network, inputs))
    lineage = lineages(program.nodes)
    sites = [group.site for group in symmetry.groups if group.site]
    assert len({site.lineage for site in sites}) < len(sites)
    assert all(located(site, program.nodes, lineage).name == site.node for site in sites)
