"""Networks too large to copy, or without weights: narrow copies, and weights that are made one at a time."""

import dataclasses
import weakref

import pytest
import torch
from support.example import Net, floats
from support.networks import NETWORKS
from torch import nn

import permask
from permask.discovery import certify, narrow, parts, redraw
from permask.discovery.capture import capture
from permask.discovery.certify import TOLERANCE, parameters_of, state_of, tried
from permask.discovery.discover import captured
from permask.discovery.hierarchy import arrange
from permask.discovery.influence import Influence
from permask.discovery.naming import named
from permask.discovery.narrow import Narrow, narrowed
from permask.discovery.parts import cuts
from permask.discovery.program import tensors_in
from permask.discovery.propagate import propagate
from permask.discovery.redraw import in_float64, randomised
from permask.discovery.rules import RULES
from permask.discovery.solve import solve
from permask.errors import NetworkError
from permask.groups import Group

KEPT = 3
# units that stay would have to be at other places in one block than in another
NO_COPY = {"twisted", "channel_shuffle"}
SOME = (
    "resnet",
    "lstm",
    "grouped_convolution",
    "grouped_query_attention",
    "fused_attention",
    "outer_product",
    "group_norm",
)
OTHERS = sorted(NETWORKS.keys() - set(SOME) - NO_COPY)


@pytest.fixture
def large(monkeypatch):
    """No network is small."""
    monkeypatch.setattr(certify, "SMALL", 0)
    monkeypatch.setattr(parts, "SMALL", 0)


@pytest.fixture
def few(monkeypatch):
    """So few units stay that there is something to drop of small networks."""
    monkeypatch.setattr(narrow, "UNITS", KEPT)


def narrow_copy(network: nn.Module, inputs) -> tuple[Narrow, tuple[Group, ...]]:
    """A narrow copy, and the groups of the network itself."""
    program, names = captured(network, inputs), {name: name for name in network.state_dict()}
    names |= {other: first for first, others in program.aliases.items() for other in others}
    found = propagate(program.readable, names, program.readable.numbers(network.state_dict()))
    groups, families = named(arrange(solve(found.constraints)), found, program.program, program.aliases)
    return narrowed(program.program, found.values, families, groups, state_of(network)), groups


@pytest.mark.parametrize("name", [*SOME, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_a_narrow_copy_has_the_groups_of_the_network(name, few):
    network, inputs = NETWORKS[name].make(), NETWORKS[name].inputs()
    copy, groups = narrow_copy(network, inputs)
    assert [group.size for group in copy.groups] == [min(group.size, KEPT) for group in groups]
    certificate = tried(copy.program, copy.groups, copy.state, parameters_of(network), inputs)
    assert certificate.failed == certificate.unseen == ()
    assert certificate.error <= TOLERANCE


@pytest.mark.parametrize("name", ["mlp", "grouped_query_attention"])
def test_a_narrow_copy_shows_what_is_wrong(name, few):
    network, inputs = NETWORKS[name].make(), NETWORKS[name].inputs()
    copy, _ = narrow_copy(network, inputs)
    parameters = parameters_of(network)
    idle = tried(copy.program, copy.groups, copy.state, parameters, inputs).idle
    for number, group in enumerate(copy.groups):
        for axis in group.axes:
            if len(group.axes) == 1 or f"{group.name}: {axis.parameter} {axis.dim}" in idle:
                continue
            short = dataclasses.replace(group, axes=tuple(other for other in group.axes if other is not axis))
            claim = (*copy.groups[:number], short, *copy.groups[number + 1 :])
            assert group.name in tried(copy.program, claim, copy.state, parameters, inputs).failed


@pytest.mark.parametrize("name", sorted(NO_COPY))
def test_without_a_narrow_copy_nothing_is_certified(name, few):
    with pytest.warns(UserWarning, match="nothing is certified, since there is no narrow copy"):
        symmetry = permask.discover(NETWORKS[name].make(), NETWORKS[name].inputs(), certify="narrow")
    assert symmetry.report["certificate"] == "none" and symmetry.report["error"] is None
    assert symmetry.report["unseen"] == [group.name for group in symmetry.groups] != []


def test_an_op_of_which_nobody_knows_the_sizes_is_named(few):
    network = Net(lambda net, x: net.b(net.a(x)[:, [*range(1, 8), 0]].sigmoid()), a=nn.Linear(6, 8), b=nn.Linear(8, 3))
    with pytest.warns(UserWarning, match=r"no narrow copy of this network: index cannot be run at .*example\.py"):
        symmetry = permask.discover(network.double(), floats(4, 6)(), certify="narrow")
    assert symmetry.report["certificate"] == "none"


@pytest.mark.parametrize("name", ["mlp", "vgg", "grouped_query_attention", "rotary_attention", "tied_autoencoder"])
def test_a_network_without_weights_has_the_symmetries_of_one_with_weights(name):
    network, inputs = NETWORKS[name].make(), NETWORKS[name].inputs()
    expected = permask.discover(network, inputs)
    for given in (inputs, tuple(x.to("meta") for x in inputs)):
        symmetry = permask.discover(network.to("meta"), given)
        assert symmetry.hash == expected.hash and symmetry.pinned == expected.pinned
        assert symmetry.report["certificate"] == "narrow" and expected.report["certificate"] == "full"
        assert symmetry.report["error"] <= TOLERANCE
        assert not symmetry.report["failed"] and not symmetry.report["unseen"]
    assert permask.verify(symmetry, network, inputs) <= TOLERANCE
    assert all(x.is_meta for x in network.parameters())


@pytest.mark.parametrize("how", ["full", "narrow"])
def test_a_wrong_rule_is_noticed_without_weights(how, monkeypatch):
    monkeypatch.setitem(RULES, "batch_norm", lambda op: op["input"])
    network = NETWORKS["flatten_then_batchnorm"].make().to("meta")
    with pytest.warns(UserWarning, match="a rule must be wrong"):
        symmetry = permask.discover(network, NETWORKS["flatten_then_batchnorm"].inputs(), certify=how)
    assert symmetry.report["failed"] and symmetry.report["certificate"] == how


def test_all_parameters_of_a_shape_are_not_tied_without_weights():
    network = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).to("meta")
    assert [group.size for group in permask.discover(network, torch.randn(4, 6)).groups] == [6, 6]


def test_what_nobody_tries_is_said_loudly():
    network, inputs = NETWORKS["mlp"].make(), NETWORKS["mlp"].inputs()
    with pytest.warns(UserWarning, match="nothing is certified, as certify='off' asks for"):
        symmetry = permask.discover(network, inputs, certify="off")
    assert symmetry.report["certificate"] == "off" and symmetry.report["error"] is None
    assert len(symmetry.report["unseen"]) == len(symmetry.groups) == 2
    with pytest.raises(NetworkError, match="certify: expected one of full, narrow, off, got 'quick'"):
        permask.discover(network, inputs, certify="quick")


def deep(layers: int = 16) -> nn.Module:
    return nn.Sequential(*(module for _ in range(layers) for module in (nn.Linear(12, 12), nn.Tanh())))


@pytest.mark.parametrize("call", ["discover", "verify"])
def test_few_weights_exist_at_a_time(call, large, monkeypatch):
    """In verify, all of them in one copy of the network; what is drawn besides goes at once."""
    network, inputs, made, most = deep(), torch.randn(3, 12), [], 0
    symmetry = permask.discover(network, inputs)
    drawn = redraw._redrawn

    def watched(*arguments):
        nonlocal most
        x = drawn(*arguments)
        made.extend([weakref.ref(x)] if x.ndim > 1 else [])
        most = max(most, sum(ref() is not None for ref in made))
        return x

    monkeypatch.setattr(redraw, "_redrawn", watched)
    permask.discover(network, inputs) if call == "discover" else permask.verify(symmetry, network, inputs)
    assert 1 <= most <= (6 if call == "discover" else 2)


@pytest.mark.parametrize(
    "name", ["vgg", "resnet", "lstm", "tied_embedding", "layer_applied_twice", "grouped_query_attention"]
)
def test_a_run_in_parts_gives_the_same_outputs_and_derivatives(name, large):
    network, inputs = NETWORKS[name].make(), NETWORKS[name].inputs()
    program, state = capture(network, inputs), in_float64(state_of(network))
    found = {}
    influence = Influence((), state, parameters_of(network))
    influence._responded = lambda memory, weights, gradient: found.setdefault(memory, []).append(gradient)
    outputs = influence.outputs(lambda weights: tensors_in(program.run_in_parts(weights, inputs)))
    influence.follow(outputs, {0: 1.0})
    assert influence.known
    own = {name: x.detach().clone().requires_grad_() for name, x in network.named_parameters()}
    with torch.enable_grad():
        again = torch.func.functional_call(network, own, inputs)
    signs = torch.randn(again.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (again * signs / again.numel() ** 0.5).sum().abs().backward()
    assert torch.allclose(outputs[0], again, rtol=1e-12, atol=1e-14)
    for name, x in own.items():
        if x.grad is not None:
            assert torch.allclose(sum(found[state.memory[name]]), x.grad, rtol=1e-10, atol=1e-13)


def test_no_part_ends_between_a_tensor_and_what_modifies_it(large):
    network = nn.Sequential(*(m for _ in range(8) for m in (nn.Linear(6, 6), nn.ReLU(inplace=True), nn.LayerNorm(6))))
    nodes = capture(network, torch.randn(2, 6))._in_order
    ends = cuts(nodes)
    assert ends[0] == 0 and ends[-1] == len(nodes) and ends == sorted(set(ends)) and len(ends) > 4
    assert not [end for end in ends[1:-1] if nodes[end].writes]


def test_what_is_modified_until_the_end_is_never_cut(large):
    def forward(net, x):
        sums = torch.zeros(4, 6)
        for _ in range(8):
            x = torch.tanh(net.a(x))
            sums += x
        return net.b(sums)

    nodes = capture(Net(forward, a=nn.Linear(6, 6), b=nn.Linear(6, 3)), torch.randn(4, 6))._in_order
    last = max(i for i, node in enumerate(nodes) if node.writes)
    assert len(nodes) > 20 and not [end for end in cuts(nodes) if 4 < end <= last]


@pytest.mark.parametrize("name", ["resnet", "grouped_query_attention"])
def test_a_large_network_is_certified_as_a_small_one_is(name, request):
    network, inputs = NETWORKS[name].make(), NETWORKS[name].inputs()
    small = permask.discover(network, inputs).report
    request.getfixturevalue("large")
    large = permask.discover(network, inputs).report
    assert small | {"seconds": None} == large | {"seconds": None}


def test_drawn_weights_are_the_same_every_time_and_tied_ones_alike():
    network = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.BatchNorm1d(6))
    network[1].weight = network[0].weight
    weights, other = (randomised(state_of(network), parameters_of(network), seed) for seed in (0, 1))
    for name, x in weights.items():
        assert torch.equal(x, weights[name])
        assert not x.is_floating_point() or not torch.equal(x, other[name])
    assert torch.equal(weights["0.weight"], weights["1.weight"])
    assert (weights["2.running_var"] > 0).all() and (weights["2.weight"] > 0).all()
