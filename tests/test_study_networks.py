"""The networks that a study file can name: torchvision's ResNet50, transformers, anyone's by import path."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import permask
from permask.errors import NetworkError, PermaskError
from permask.training.networks import create_network, outline_network
from permask.training.streams import stream


def shapes(network):
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    ("width", "theirs"), [(1, torchvision.models.resnet50), (2, torchvision.models.wide_resnet50_2)]
)
def test_resnet50_is_torchvisions(width, theirs):
    ours = outline_network("resnet50", (3, 224, 224), 1000, width=width)
    with torch.device("meta"):
        assert shapes(ours) == shapes(theirs())
    assert outline_network("resnet50", (3, 64, 64), 10).fc.out_features == 10


def imported(seed, **arguments):
    options = {"factory": "torchvision.models:squeezenet1_1", "arguments": {"num_classes": 7} | arguments}
    return create_network("imported", (3, 64, 64), 7, stream(seed, "initialisation"), **options)


def test_an_imported_network_initialises_itself_from_the_seed_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = imported(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    again, other = imported(0), imported(1)
    weights = [nn.utils.parameters_to_vector(network.parameters()) for network in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert first(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_weights_are_loaded_into_an_imported_network():
    first, other = imported(0), imported(1)
    other.load_state_dict(first.state_dict(), assign=True)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(first.eval()(images), other.eval()(images))


@pytest.mark.parametrize(
    ("factory", "arguments", "error", "message"),
    [
        ("torchvision.models:squeezenet1_2", {}, PermaskError, "did you mean squeezenet1_1"),
        ("torchvision.models:squeezenet1_1", {"width": 2}, NetworkError, r"squeezenet1_1\(width=2\) failed"),
        ("no.such.package:net", {}, PermaskError, "cannot be imported"),
        ("builtins:dict", {}, NetworkError, "returned a dict"),
    ],
)
def test_an_import_that_gives_no_network(factory, arguments, error, message):
    with pytest.raises(error, match=message):
        create_network("imported", (3, 8, 8), 7, stream(0, "initialisation"), factory=factory, arguments=arguments)


def test_vgg11_refuses_images_that_it_would_halve_to_nothing():
    with pytest.raises(NetworkError, match="at least 32×32, got 16×16"):
        create_network("vgg11", (3, 16, 16), 10, stream(0, "initialisation"))


def test_vgg11_does_not_diverge_at_the_papers_learning_rate():
    network = create_network("vgg11", (3, 32, 32), 10, stream(0, "initialisation"))
    images, labels = torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 10
    optimizer = torch.optim.SGD(network.parameters(), 0.08, 0.9)
    for _ in range(5):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss < 4  # a guess costs log(10)


def test_vgg11_starts_as_torch_draws_it_where_a_study_says_so():
    def made(seed, **options):
        return create_network("vgg11", (3, 32, 32), 10, stream(seed, "initialisation"), **options)

    ours, theirs = made(0), made(0, initialisation="torch")
    for name, layer in theirs.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5  # uniform within it, of variance 1 / (3 fan-in)
            assert 0.99 * bound < layer.weight.abs().max() <= bound
            assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.1)
            assert 0 < layer.bias.abs().max() <= bound
            assert not ours.get_submodule(name).bias.any()
    again, other = made(0, initialisation="torch"), made(1, initialisation="torch")
    assert torch.equal(again[0].weight, theirs[0].weight) and not torch.equal(other[0].weight, theirs[0].weight)


def test_resnet50_starts_as_torchvision_draws_it_where_a_study_says_so():
    seed = int(torch.randint(2**63 - 1, (), generator=stream(0, "initialisation")))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = torchvision.models.resnet50(weights=None, num_classes=7).state_dict()
    made = create_network("resnet50", (3, 64, 64), 7, stream(0, "initialisation"), initialisation="torch")
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in expected.items())


def test_a_cnn_has_the_widths_it_is_told():
    network = create_network("cnn", (3, 16, 16), 10, stream(0, "initialisation"), widths=(4, 6))
    assert [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)] == [4, 6]
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 10)


def transformer(name, **options):
    """A transformer with 3 heads of 4 dims, and what it takes."""
    shape = (5,) if name == "gpt" else (3, 8, 12)
    options |= {"layers": 2, "width": 12, "heads": 3}
    network = create_network(name, shape, 7, stream(0, "initialisation"), **options)
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randint(7, (2, 5), generator=draw) if name == "gpt" else torch.randn(2, *shape, generator=draw)
    return network.eval(), inputs


def groups_of_a_transformer(name):
    """By hand: what moves with the residual stream, with the heads of a block, inside heads, with an MLP's units."""
    first = {("tokens.weight", 1)} if name == "gpt" else {("patches.weight", 0), ("patches.bias", 0)}
    streams = first | {("positions.weight", 1), ("norm.weight", 0), ("norm.bias", 0), ("head.weight", 1)}
    expected = []
    for block in ("blocks.0", "blocks.1"):
        attention = f"{block}.attention"
        streams |= {(f"{block}.{norm}.{part}", 0) for norm in ("norm1", "norm2") for part in ("weight", "bias")}
        streams |= {(f"{attention}.{layer}.weight", 1) for layer in ("query", "key", "value")}
        streams |= {
            (f"{layer}.{part}", 0) for layer in (f"{attention}.output", f"{block}.mlp.2") for part in ("weight", "bias")
        }
        streams |= {(f"{block}.mlp.0.weight", 1)}
        scored = {(f"{attention}.query.weight", 0), (f"{attention}.query.bias", 0), (f"{attention}.key.weight", 0)}
        mixed = {(f"{attention}.value.weight", 0), (f"{attention}.value.bias", 0), (f"{attention}.output.weight", 1)}
        units = {(f"{block}.mlp.0.weight", 0), (f"{block}.mlp.0.bias", 0), (f"{block}.mlp.2.weight", 1)}
        expected += [(3, 1, None, scored | mixed), (4, 3, 3, scored), (4, 3, 3, mixed), (48, 1, None, units)]
    return [(12, 1, None, streams), *expected]


@pytest.mark.parametrize("name", ["gpt", "vit"])
def test_a_transformer_has_the_symmetry_that_is_derived_by_hand(name):
    network, inputs = transformer(name)
    symmetry = permask.discover(network, (inputs,), strict=True)
    found = [
        (
            group.size,
            group.blocks,
            symmetry[group.parent].size if group.parent else None,
            {(axis.parameter, axis.dim) for axis in group.axes},
        )
        for group in symmetry.groups
    ]
    expected = groups_of_a_transformer(name)
    assert len(found) == len(expected)
    assert all(group in found for group in expected)
    assert symmetry.movable >= 0.99
    assert not symmetry.report["idle"] and not symmetry.report["failed"] and not symmetry.report["unused"]
    assert all(pin.kind == "genuine" for pin in symmetry.pinned)
    moved = symmetry.random(1).apply(network)
    assert not torch.equal(moved.blocks[0].attention.query.weight, network.blocks[0].attention.query.weight)
    torch.testing.assert_close(moved(inputs), network(inputs), rtol=1e-4, atol=1e-5)


def test_transformers_begin_small_and_from_one_stream():
    network, _ = transformer("vit")
    again, _ = transformer("vit")
    assert all(torch.equal(x, y) for x, y in zip(network.parameters(), again.parameters(), strict=True))
    wide = create_network("gpt", (64,), 100, stream(0, "initialisation"), layers=1, width=128, heads=4)
    expected = {
        "tokens.weight": 0.02,
        "positions.weight": 0.02,
        "blocks.0.attention.query.weight": (2 / 256) ** 0.5,
        "blocks.0.mlp.0.weight": (2 / 640) ** 0.5,
        "head.weight": (2 / 228) ** 0.5,
    }
    for parameter, std in expected.items():
        assert np.isclose(wide.get_parameter(parameter).std().item(), std, rtol=0.05)
    assert not wide.blocks[0].mlp[0].bias.any() and (wide.norm.weight == 1).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gpt", {"width": 10, "heads": 3}, "expected a width that 3 heads divide, got 10"),
        ("vit", {"patch": 3}, "expected images that patches of 3×3 divide, got 8×12"),
    ],
)
def test_a_transformer_refuses_what_does_not_divide(name, options, message):
    with pytest.raises(NetworkError, match=message):
        create_network(name, (5,) if name == "gpt" else (3, 8, 12), 7, stream(0, "initialisation"), **options)
