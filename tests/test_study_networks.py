"""The networks that a study file can name: torchvision's ResNet50, anyone's by import path, and what is refused."""

import pytest
import torch
import torchvision
from torch import nn

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


def test_a_cnn_has_the_widths_it_is_told():
    network = create_network("cnn", (3, 16, 16), 10, stream(0, "initialisation"), widths=(4, 6))
    assert [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)] == [4, 6]
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
