"""What `discover` promises besides finding the right groups: names, activations, pins, the certificate."""

import copy

import numpy as np
import pytest
import torch
from support.example import Net, floats, found_groups, tokens
from support.networks import NETWORKS
from support.zoo_language import GPT, LlamaBlock
from support.zoo_vision import UNet, wide_resnet
from torch import nn

import permask
from permask.discovery.capture import capture
from permask.discovery.certify import certify
from permask.discovery.discover import tied
from permask.discovery.propagate import propagate
from permask.discovery.rules import RULES, UnsupportedError
from permask.errors import NetworkError, RuleError
from permask.groups import Group
from permask.symmetry import Symmetry
from permask.training.networks.resnet import ResNet20
from permask.training.networks.vgg import VGG11


def found(name: str) -> Symmetry:
    return permask.discover(NETWORKS[name].make(), NETWORKS[name].inputs())


@pytest.fixture(scope="module")
def resnet20() -> Symmetry:
    return permask.discover(ResNet20((3, 32, 32), 10), (torch.zeros(1, 3, 32, 32),))


def published_resnet20() -> dict[str, set[tuple[str, int]]]:
    """The permutation specification of git-re-basin (Ainsworth et al. 2023) for ResNet20, on our names."""
    spec: dict[str, set[tuple[str, int]]] = {}

    def conv(name: str, before: str | None, after: str) -> None:
        spec.setdefault(after, set()).add((f"{name}.weight", 0))
        if before:
            spec.setdefault(before, set()).add((f"{name}.weight", 1))

    def norm(name: str, group: str) -> None:
        spec[group] |= {(f"{name}.{part}", 0) for part in ("weight", "bias", "running_mean", "running_var")}

    conv("conv1", None, "stage0")
    norm("bn1", "stage0")
    for stage in range(3):
        for block in range(3):
            name, after = f"layer{stage + 1}.{block}", f"stage{stage}"
            before = f"stage{stage - 1}" if block == 0 and stage > 0 else after
            conv(f"{name}.conv1", before, name)
            norm(f"{name}.bn1", name)
            conv(f"{name}.conv2", name, after)
            norm(f"{name}.bn2", after)
            if before != after:
                conv(f"{name}.shortcut.0", before, after)
                norm(f"{name}.shortcut.1", after)
    spec["stage2"].add(("linear.weight", 1))
    return spec


def test_resnet20_has_the_groups_of_the_published_specification(resnet20):
    groups = [{(axis.parameter, axis.dim) for axis in group.axes} for group in resnet20.groups]
    expected = published_resnet20()
    assert len(groups) == len(expected) == 12
    assert all(axes in groups for axes in expected.values())
    for group in resnet20.groups:  # a unit is one channel everywhere
        assert all(np.array_equal(axis.table, np.arange(group.size)[:, None]) for axis in group.axes)


def test_groups_are_named_after_the_module_that_makes_their_units(resnet20):
    assert [group.name for group in resnet20.groups][:4] == [
        "conv1",
        "layer1.0.conv1",
        "layer1.1.conv1",
        "layer1.2.conv1",
    ]
    assert [group.name for group in found("mlp").groups] == ["0", "2"]
    assert [(group.name, group.parent) for group in found("attention").groups] == [
        ("i", None),
        ("q", None),
        ("q.inside", "q"),
        ("v.inside", "q"),
    ]


def test_a_residual_stream_is_observed_at_the_last_block_of_its_stage(resnet20):
    captured = capture(ResNet20((3, 32, 32), 10), (torch.zeros(1, 3, 32, 32),))
    modules = {node.name: (node.function, node.module) for node in captured.nodes if node.kind == "call"}
    seen = {group.name: modules[group.site.node] for group in resnet20.groups}
    assert seen["conv1"] == ("relu", "layer1.2")
    assert seen["layer3.1.conv1"] == ("relu", "layer3.1")
    assert {seen[group.name] for group in resnet20.groups if group.size == 64} >= {("relu", "layer3.2")}


def test_convolutions_are_observed_before_they_are_flattened():
    network, x = VGG11((3, 32, 32), 10), torch.zeros(1, 3, 32, 32)
    shapes = {node.name: node.shape for node in capture(network, (x,)).nodes}
    for group in permask.discover(network, (x,)).groups:
        assert shapes[group.site.node][group.site.dim] == group.size
        assert group.site.table.shape == (group.size, 1)


def test_a_gate_of_one_number_per_channel_is_no_place_to_observe_channels():
    symmetry = found("squeeze_excite")
    example = NETWORKS["squeeze_excite"]
    shapes = {node.name: node.shape for node in capture(example.make(), example.inputs()).nodes}
    channels = max(symmetry.groups, key=lambda group: len(group.axes))
    assert np.prod(shapes[channels.site.node][2:]) > 1


def test_activations_show_the_units_that_weights_have():
    """Permuting the weights permutes what is observed, by the site's table."""
    for name in ("resnet", "attention", "vgg", "fused_glu", "lstm"):
        network, inputs = NETWORKS[name].make(), NETWORKS[name].inputs()
        symmetry = permask.discover(network, inputs)
        permutation = symmetry.random(1)
        state = network.state_dict()
        values: dict[str, list[torch.Tensor]] = {}
        shown = [group for group in symmetry.groups if group.site is not None]  # not inside of an nn.LSTM
        watch = frozenset(group.site.node for group in shown)
        capture(network, inputs).run([state, permutation.apply(state)], inputs, values.__setitem__, watch)
        for group in shown:
            if group.parent is None and not any(other.parent == group.name for other in symmetry.groups):
                before, after = values[group.site.node]
                table = group.site.table
                moved = table[permutation.index[group.name]]
                dim = group.site.dim
                expected = before.index_select(dim, torch.as_tensor(moved.ravel()))
                torch.testing.assert_close(after.index_select(dim, torch.as_tensor(table.ravel())), expected)


def test_the_network_is_left_as_it_is():
    network = NETWORKS["resnet"].make().float().train()
    network[1].eval()
    before = copy.deepcopy(network.state_dict())
    permask.discover(network, (torch.randn(2, 3, 6, 6),))
    assert all(
        torch.equal(x, before[name]) and x.dtype == before[name].dtype for name, x in network.state_dict().items()
    )
    assert network.training and network[0].training and not network[1].training


def test_training_mode_makes_no_difference():
    example = NETWORKS["resnet"]
    assert permask.discover(example.make().train(), example.inputs()).hash == found("resnet").hash


def test_an_op_without_a_rule_pins_what_it_touches_and_says_so():
    network = Net(
        lambda net, x: net.c(torch.relu(net.b(torch.linalg.qr(net.a(x))[0]))),
        a=nn.Linear(6, 8),
        b=nn.Linear(4, 7),
        c=nn.Linear(7, 3),
    )
    network.a = nn.Linear(6, 4)
    inputs = (torch.randn(5, 6),)
    symmetry = permask.discover(network, inputs)
    assert [(group.name, group.size) for group in symmetry.groups] == [("b", 7)]
    unsupported = {(pin.parameter, pin.dim, pin.count) for pin in symmetry.pinned if pin.kind == "unsupported op"}
    assert unsupported == {("a.weight", 0, 4), ("a.bias", 0, 4)}
    assert all("linalg_qr" in pin.op for pin in symmetry.pinned if pin.kind == "unsupported op")
    with pytest.raises(NetworkError, match=r"linalg_qr.*no rule for this op"):
        permask.discover(network, inputs, strict=True)


def pins_of(op, axis: str, **parts) -> list[tuple[str, str]]:
    """Kind and reason of what pins an axis of `a`, which computes what `op` is applied to."""
    network = Net(lambda net, x: net.b(op(net.a(x))), **parts)
    symmetry = permask.discover(network, (torch.randn(2, 3, 8, 8),))
    return [(pin.kind, pin.reason) for pin in symmetry.pinned if f"{pin.parameter}:{pin.dim}" == axis]


def test_pins_say_what_cannot_move():
    parts = {"a": nn.Conv2d(3, 8, 3), "b": nn.Conv2d(8, 2, 1)}
    assert pins_of(torch.relu, "a.weight:1", **parts) == [("genuine", "indexed together with the network's input")]
    assert pins_of(torch.relu, "a.weight:2", **parts) == [("genuine", "kernel positions")]
    assert pins_of(torch.relu, "b.weight:0", **parts) == [("genuine", "output of the network")]
    tokens = {"a": nn.Conv2d(3, 8, 3), "b": nn.Linear(36, 2)}
    windows = "indexed together with positions that a window slides over"
    assert pins_of(lambda y: y.flatten(2), "b.weight:1", **tokens) == [("genuine", windows)]


def test_what_no_symmetry_moves_is_told_from_what_was_not_found():
    """A trade of two neighbours is no trade of components; units shifted onto each other form one chain."""
    parts = {"a": nn.Conv2d(3, 4, 1), "b": nn.Conv2d(4, 2, 1)}
    chain = torch.tensor([1, 2, 3, 3])
    assert pins_of(lambda y: y[:, chain], "a.weight:0", **parts) == [
        ("genuine", "nothing else in the network is used alike")
    ]
    ((kind, _),) = pins_of(lambda y: y + y.roll(1, 1), "a.weight:0", **parts)
    assert kind == "search incomplete"


def test_inputs_and_outputs_are_pinned_and_counted():
    symmetry = found("mlp")
    pins = {(pin.parameter, pin.dim): (pin.count, pin.kind) for pin in symmetry.pinned}
    assert pins == {
        ("0.weight", 1): (6, "genuine"),
        ("4.weight", 0): (3, "genuine"),
        ("4.bias", 0): (3, "genuine"),
    }
    assert symmetry.movable == pytest.approx(1 - 3 / (6 * 8 + 8 + 8 * 5 + 5 + 5 * 3 + 3))


def test_rows_that_the_example_does_not_reach_are_pinned():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(10, 4))
            self.out = nn.Linear(4, 2)

        def forward(self, x):
            return self.out(x + self.table[: x.shape[1]])

    symmetry = permask.discover(Positions(), (torch.randn(1, 6, 4),))
    (pin,) = [pin for pin in symmetry.pinned if (pin.parameter, pin.dim) == ("table", 0) and "not used" in pin.reason]
    assert pin.count == 4 and not symmetry.groups


def test_a_tied_parameter_moves_under_all_its_names():
    network = NETWORKS["tied_embedding"].make()
    (group,) = found("tied_embedding").groups
    names = {axis.parameter for axis in group.axes}
    state = network.state_dict()
    tied = [name for name in state if sum(x.data_ptr() == state[name].data_ptr() for x in state.values()) > 1]
    assert len(tied) == 2 and names.issuperset(tied)


def claimed(symmetry: Symmetry, name: str, drop: str) -> tuple[Group, ...]:
    """The groups of a symmetry with an axis left out of one of them."""
    return tuple(
        Group(
            g.name, g.size, tuple(a for a in g.axes if g.name != name or a.parameter != drop), None, g.parent, g.blocks
        )
        for g in symmetry.groups
    )


def test_the_certificate_finds_the_group_that_is_wrong():
    example = NETWORKS["resnet"]
    network, inputs = example.make(), example.inputs()
    symmetry = permask.discover(network, inputs)
    captured = capture(network, inputs)
    assert certify(captured, symmetry.groups, network, inputs).failed == ()
    for group in symmetry.groups:
        for axis in group.axes:
            certificate = certify(captured, claimed(symmetry, group.name, axis.parameter), network, inputs)
            assert certificate.failed == (group.name,)
            assert certificate.error <= 1e-9


def test_what_lies_inside_a_wrong_group_falls_with_it():
    example = NETWORKS["attention"]
    network, inputs = example.make(), example.inputs()
    symmetry = permask.discover(network, inputs)
    groups = claimed(symmetry, "q", "v.weight")
    assert certify(capture(network, inputs), groups, network, inputs).failed == ("q", "q.inside", "v.inside")


def test_the_negative_control_names_axes_without_influence():
    """Biases of keys cancel in the softmax."""
    symmetry = found("attention")
    assert symmetry.report["idle"] == ["q: k.bias 0", "q.inside: k.bias 0"]


@pytest.mark.parametrize("op", [lambda y: torch.heaviside(y, y.exp()), lambda y: torch.special.zeta(y.exp() + 2, 2.0)])
def test_an_op_without_a_derivative_leaves_axes_unproven(op):
    network = Net(lambda net, x: net.b(op(net.a(x))), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    symmetry = permask.discover(network, (torch.randn(5, 3),))
    assert [group.size for group in symmetry.groups] == [4]
    assert symmetry.report["idle"] == ["a: a.weight 0", "a: a.bias 0", "a: b.weight 1"]
    assert symmetry.report["error"] <= 1e-9


def test_a_broken_rule_is_noticed_and_its_groups_are_left_out(monkeypatch):
    monkeypatch.setitem(RULES, "batch_norm", lambda op: op["input"])
    example = NETWORKS["resnet"]
    network, inputs = example.make(), example.inputs()
    with pytest.warns(UserWarning, match="a rule must be wrong"):
        symmetry = permask.discover(network, inputs)
    assert len(symmetry.report["failed"]) == 6 and symmetry.groups == ()


def misspelled(op):
    return op.contract((op["input"], "bi"), (op["wieght"], "oi"), to="bo")


def misspelled_and_optional(op):
    return op.contract((op["input"], "bi"), (op["weight"], "oi"), (op.get("bais"), "o"), to="bo")


def careless_of_a_missing_bias(op):
    return op.contract((op["input"], "bi"), (op["weight"], "oi"), (op["bias"], "o"), to="bo")


def gives_nothing(op):
    pass


def gives_two_results(op):
    return [op["input"], op["input"]]


def names_two_dims_alike(op):
    return op.contract((op["input"], "bi"), (op["weight"], "ii"), to="bi")


def names_too_few_dims(op):
    return op.contract((op["input"], "bi"), (op["weight"], "o"), to="bo")


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (misspelled, "no argument 'wieght' in this call, which has bias, input, weight"),
        (misspelled_and_optional, "no op of this rule has an argument 'bais'"),
        (careless_of_a_missing_bias, r"the argument 'bias' is None in this call: read it with op.get\('bias'\)"),
        (gives_nothing, "TypeError"),
        (names_two_dims_alike, r"expected another name for each of the 2 dims of an operand, not \['i', 'i'\]"),
        (names_too_few_dims, r"expected another name for each of the 2 dims of an operand, not \['o'\]"),
        (gives_two_results, "it gives 2 results, where the op returns 1"),
    ],
)
def test_a_mistake_in_a_rule_is_an_error_that_names_the_op_and_the_rule(broken, told, monkeypatch):
    monkeypatch.setitem(RULES, "linear", broken)
    example = NETWORKS["mlp_without_biases"]
    with pytest.raises(RuleError, match=told) as caught:
        permask.discover(example.make(), example.inputs())
    assert "linear (linear)" in str(caught.value)
    assert f"the rule {broken.__name__} ({__file__}:" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_rule_that_does_not_know_a_call_pins_and_says_so(monkeypatch):
    def particular(op):
        raise UnsupportedError("not on a Tuesday")

    monkeypatch.setitem(RULES, "relu", particular)
    symmetry = found("mlp")
    reasons = {pin.reason for pin in symmetry.pinned if pin.kind == "unsupported op"}
    assert reasons == {"not on a Tuesday"}
    assert [group.name for group in symmetry.groups] == ["2"]


def test_an_argument_of_another_op_of_the_rule_may_be_asked_for(monkeypatch):
    asked = []

    def asks(op):
        asked.append((op.get("weight"), op.get("running_mean"), op.get("use_input_stats"), op.get("eps")))
        return op["input"]

    monkeypatch.setitem(RULES, "batch_norm", asks)
    network = Net(lambda net, x: nn.functional.batch_norm(x, net.mean, net.var), a=nn.Linear(1, 1))
    network.register_buffer("mean", torch.zeros(3))
    network.register_buffer("var", torch.ones(3))
    permask.discover(network, (torch.randn(2, 3),))
    ((weight, mean, use_input_stats, eps),) = asked
    assert weight is None and mean.shape == (3,) and use_input_stats is None and eps == 1e-5


@pytest.mark.parametrize("op", [lambda y: y.cumsum(0), lambda y: y.topk(1)[0], lambda y: y.gather(0, y.long())])
def test_along_the_dim_of_a_single_number_nothing_moves(op):
    network = Net(lambda net, x: net.a(x) * op(net.scale), a=nn.Linear(3, 2), scale=nn.Parameter(torch.zeros(())))
    pins = permask.discover(network, (torch.randn(2, 3),)).pinned
    assert {pin.parameter for pin in pins} == {"a.weight", "a.bias"}


def test_lists_among_the_results_of_an_op_without_a_rule_are_pinned():
    def forward(net, x):
        y = torch.relu(net.a(x))
        counts, edges = torch.histogramdd(y.detach(), [2, 2], [-1.0, 1.0, -1.0, 1.0])
        return net.b(y) + counts.sum() + edges[1].sum()

    network = Net(forward, a=nn.Linear(3, 2), b=nn.Linear(2, 2))
    symmetry = permask.discover(network, (torch.randn(4, 3),))
    assert symmetry.groups == ()
    assert "unsupported op" in {pin.kind for pin in symmetry.pinned}


def test_a_result_of_another_shape_than_the_op_returns_pins_what_reads_it(monkeypatch):
    monkeypatch.setitem(RULES, "relu", lambda op: op.view(op["self"], [*op.shape, 1]))
    symmetry = found("mlp")
    reasons = {(pin.op, pin.reason) for pin in symmetry.pinned if pin.kind == "unsupported op"}
    told = "reads a result of which the rule gives the shape [4, 8, 1], the op returns [4, 8]"
    assert reasons == {("linear_1 (linear)", told)}
    assert [group.name for group in symmetry.groups] == ["2"]


def test_weights_that_are_all_alike_hide_nothing():
    """A head that starts at zero makes every permutation look right; the certificate randomises first."""
    network = NETWORKS["mlp"].make()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    inputs = NETWORKS["mlp"].inputs()
    symmetry = permask.discover(network, inputs)
    certificate = certify(capture(network, inputs), claimed(symmetry, "0", "0.bias"), network, inputs)
    assert certificate.failed == ("0",)


def test_a_network_that_does_not_run_in_float64_is_refused():
    network = Net(lambda net, x: net.b(torch.quantize_per_tensor(net.a(x), 0.1, 0, torch.qint8).dequantize()))
    network.a, network.b = nn.Linear(6, 8), nn.Linear(8, 3)
    with pytest.raises(NetworkError, match=r"does not run in float64|cannot be captured at .*quantize_per_tensor"):
        permask.discover(network, (torch.randn(4, 6),))


@pytest.mark.parametrize(
    "make", [lambda width: UNet(width), lambda width: GPT(width=width), lambda width: LlamaBlock(width, 6, 2)]
)
def test_what_discovery_keeps_in_memory_grows_linearly_with_width(make):
    """Weights aside: atoms, edges, and colours."""

    def kept(width: int) -> int:
        network = make(width).double().eval()
        inputs = {UNet: floats(2, 3, 16, 16), GPT: tokens(2, 9, below=61)}.get(type(network), floats(2, 9, width))()
        captured = capture(network, inputs)
        names = {name: key for key, names in tied(network).items() for name in names}
        constraints = propagate(captured, names, captured.numbers(network.state_dict())).constraints
        edges = sum(family.parents.size for family in constraints.edges)
        return constraints.count + edges + sum(atoms.size for atoms, _ in constraints.colours)

    once, twice, four_times = kept(48), kept(96), kept(192)
    assert twice <= 2.05 * once and four_times <= 2.05 * twice


@pytest.mark.gpu
def test_a_network_on_a_gpu_has_the_same_groups():
    for make, inputs in ((wide_resnet, floats(2, 3, 16, 16)()), (GPT, tokens(2, 9, below=61)())):
        network = make().eval()
        inputs = tuple(x.float() if x.is_floating_point() else x for x in inputs)
        on_cpu = found_groups(permask.discover(network, inputs))
        network, inputs = network.cuda(), tuple(x.cuda() for x in inputs)
        symmetry = permask.discover(network, inputs)
        assert found_groups(symmetry) == on_cpu
        assert symmetry.report["error"] <= 1e-9
        assert permask.verify(symmetry, network, inputs) <= 1e-9
        assert next(symmetry.random(0).apply(network).parameters()).is_cuda


def test_a_parameter_without_entries_hides_nothing():
    """Such as the tokens of a transformer that has none of that kind."""

    def forward(net, x):
        return net.b(torch.cat([net.a(x), net.none.expand(len(x), 0, 8)], dim=1).relu()).sum(1)

    network = Net(forward, a=nn.Linear(6, 8), b=nn.Linear(8, 3), none=nn.Parameter(torch.zeros(1, 0, 8)))
    symmetry = permask.discover(network, (torch.randn(4, 5, 6),))
    assert [group.size for group in symmetry.groups] == [8]
    assert symmetry.report["error"] <= 1e-9 and not symmetry.report["unseen"]
