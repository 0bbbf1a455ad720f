"""Composite ops without a rule are written as the ops that they are composed of, one node at a time."""

import pytest
import torch
from support.example import Net
from support.invariance import TOLERANCE, worst_change
from torch import Tensor, nn

import permask
from permask.discovery.capture import capture
from permask.discovery.decompose import decomposed
from permask.discovery.rules import RULES
from permask.errors import NetworkError

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def network(op, out: int = 8) -> Net:
    torch.manual_seed(0)
    return Net(lambda net, x: net.b(op(torch.relu(net.a(x)))), a=nn.Linear(6, 8), b=nn.Linear(out, 3))


def test_a_program_without_such_ops_is_taken_as_it_is():
    program = capture(network(torch.sigmoid), (X,))
    assert decomposed(program, RULES) is program


def test_only_the_node_without_a_rule_is_decomposed():
    program = capture(network(lambda y: torch.hstack([y, y]), out=16), (X,))
    nodes = decomposed(program, RULES).nodes
    assert [node for node in nodes if "/" not in node.name and node.kind != "result"] == [
        node for node in program.nodes if node.function != "hstack"
    ]
    assert [(node.name, node.function) for node in nodes if "/" in node.name] == [("hstack/cat", "cat")]
    (result,) = (node for node in nodes if node.kind == "result")
    assert (result.name, result.inputs, result.shape) == ("hstack", ("hstack/cat",), (4, 16))


def test_what_its_parts_pin_names_the_node_and_the_part():
    symmetry = permask.discover(network(lambda y: torch.cumulative_trapezoid(y), out=7), (X,))
    assert symmetry.groups == ()
    assert "cumulative_trapezoid/cumsum (cumsum)" in {pin.op for pin in symmetry.pinned}


def test_an_op_with_parts_that_have_no_rule_is_reported_by_its_own_name():
    nuclear = network(lambda y: y * torch.linalg.norm(y, "nuc"))
    symmetry = permask.discover(nuclear, (X,))
    unsupported = {(pin.op, pin.reason) for pin in symmetry.pinned if pin.kind == "unsupported op"}
    assert unsupported == {("linalg_norm (linalg_norm)", "no rule for this op")}
    with pytest.raises(NetworkError, match="linalg_norm"):
        permask.discover(nuclear, (X,), strict=True)


def test_units_are_seen_at_nodes_of_the_network_itself():
    net = network(lambda y: torch.hstack([torch.special.erf(y), y]), out=16)
    (group,) = permask.discover(net, (X,)).groups
    assert group.site.node in {node.name for node in capture(net, (X,)).nodes}


def test_integers_that_a_composite_op_makes_are_known():
    swapped = network(lambda y: y * y[:, torch.hstack((torch.arange(4, 8), torch.arange(4)))])
    (group,) = permask.discover(swapped, (X,)).groups  # a unit moves with the one that it multiplies
    assert (group.size, group.axes[0].table.shape) == (
        4,
        (4, 2),
    )


def test_several_results_keep_their_order():
    net = network(lambda y: torch.meshgrid(y[0], y[1].exp(), indexing="ij")[1].mean(0, keepdim=True)).double()
    symmetry = permask.discover(net, (X.double(),))
    assert [group.size for group in symmetry.groups] == [8]
    assert worst_change(symmetry, net, (X.double(),)) <= TOLERANCE


@pytest.fixture(scope="module")
def library():
    """An op of someone's own that is composed of others."""
    with torch.library._scoped_library("composites", "DEF") as mine:
        mine.define("squared_relu(Tensor x) -> Tensor")
        mine.define("drawn(Tensor x) -> Tensor", tags=(torch.Tag.nondeterministic_seeded,))

        def squared_relu(x: Tensor) -> Tensor:
            return torch.relu(x) ** 2

        mine.impl("squared_relu", squared_relu, "CompositeImplicitAutograd")
        mine.impl("drawn", squared_relu, "CompositeImplicitAutograd")
        yield torch.ops.composites


def test_an_op_of_ones_own_is_decomposed(library):
    symmetry = permask.discover(network(lambda y: library.squared_relu(y)), (X,))
    assert [group.size for group in symmetry.groups] == [8]


def test_an_op_that_draws_at_random_is_left_alone(library):
    symmetry = permask.discover(network(lambda y: library.drawn(y)), (X,))
    assert symmetry.groups == ()
    assert {pin.op for pin in symmetry.pinned if pin.kind == "unsupported op"} == {"drawn (composites::drawn)"}
