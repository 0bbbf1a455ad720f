"""Running captured networks on images whose channels lie last in memory."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given
from support.random_networks import networks
from torch import nn

from permask.discovery.capture import capture
from permask.discovery.channels_last import channels_last, with_channels_last
from permask.discovery.discover import discover
from permask.discovery.program import tensors_in
from permask.inputs import Inputs
from permask.matching import observation
from permask.matching.activations import match_activations
from permask.training.networks import create_network

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Convolution(nn.Module):
    """A convolution, and what a function makes of its result."""

    def __init__(self, then):
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.then = nn.Conv2d(3, 4, 3), then

    def forward(self, x):
        return self.then(self.convolution(x))


def run(program, state, inputs):
    return tensors_in(program.run([state], inputs.tensors)[0])


def both(network, images):
    """What the network gives as it is, and what it gives for channels that lie last; None where it cannot."""
    inputs, state = Inputs.of(network, images), network.state_dict()
    program = capture(network, inputs)
    faster = with_channels_last(program)
    return run(program, state, inputs), faster and run(faster, state, channels_last(inputs))


def agree(first, second):
    return all(torch.allclose(x, y, rtol=1e-4, atol=1e-5) for x, y in zip(first, second, strict=True))


def written_before(x):
    return torch.relu_(x).flatten(1)


def written_after(x):
    y = x.flatten(1)
    y.mul_(2)
    return x.sum((2, 3)), y


def copied_then_written(x):
    y = x.permute(0, 2, 3, 1).reshape(len(x), -1)
    y.mul_(2)
    return x.sum((2, 3)), y


def moved_then_written(x):
    y = x.to(memory_format=torch.channels_last)
    y.mul_(2)
    return x.sum((2, 3)), y.sum((2, 3))


def written_from_beside(x):
    x[:, 1:, :-1] = x[:, :-1, 1:]
    return x


def source_written_after(x):
    y = x.permute(0, 2, 3, 1).reshape(len(x), -1)
    x.mul_(2)
    return x.sum((2, 3)), y


@pytest.mark.parametrize(
    "then",
    [
        lambda x: x.view(len(x), -1),
        lambda x: x.view_as(torch.zeros(2, 4, 36)),
        lambda x: x.view(2, 2, 2, 6, 6).sum(2),
        lambda x: x.contiguous().view(-1),
        lambda x: F.dropout(x, 0.5, training=False, inplace=True).flatten(1),
        written_before,
    ],
)
def test_a_view_of_an_activation_is_no_obstacle(then):
    plain, faster = both(Convolution(then), IMAGES)
    assert faster is not None
    assert agree(plain, faster)


@pytest.mark.parametrize(
    "then",
    [
        lambda x: x.as_strided((2, 4), (36, 1)),
        lambda x: x.view(torch.int32),
        written_after,
        copied_then_written,
        moved_then_written,
        written_from_beside,
        lambda x: torch.take_along_dim(x, torch.arange(4)),
        source_written_after,
    ],
)
def test_a_network_that_would_compute_something_else_keeps_its_order_in_memory(then):
    _, faster = both(Convolution(then), IMAGES)
    assert faster is None


def test_an_op_of_another_library_keeps_its_order_in_memory():
    @torch.library.custom_op("permask_test::first_in_memory", mutates_args=())
    def first_in_memory(x: torch.Tensor) -> torch.Tensor:
        return x.as_strided((4,), (1,)).clone()

    first_in_memory.register_fake(lambda x: x.new_empty(4))
    assert both(Convolution(first_in_memory), IMAGES)[1] is None


def test_inputs_that_a_network_writes_into_are_kept():
    class Normalising(Convolution):
        def forward(self, x):
            return super().forward(x.to(memory_format=torch.channels_last).sub_(0.5).div_(0.2))

    network = Normalising(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten()))
    for images in (IMAGES.clone(), IMAGES.contiguous(memory_format=torch.channels_last)):
        before = images.clone()
        alignment = match_activations(discover(network, IMAGES), network, network, [images])
        assert alignment.groups[0].correlation == pytest.approx(1)
        assert torch.equal(images, before)


def test_networks_without_convolutions_and_in_float64_are_left_alone():
    assert both(nn.Flatten(), IMAGES)[1] is None
    assert both(Convolution(nn.Flatten()).double(), IMAGES.double())[1] is None


@pytest.mark.parametrize("name", ["cnn", "resnet20", "vgg11"])
def test_our_networks_take_them(name):
    network = create_network(name, (3, 32, 32), 10, torch.Generator().manual_seed(0)).eval()
    plain, faster = both(network, torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert faster is not None
    assert agree(plain, faster)


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x0_5", "squeezenet1_1", "convnext_tiny"])
def test_networks_of_torchvision_take_them(name):
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(num_classes=10).eval()
    plain, faster = both(network, torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert faster is not None
    assert agree(plain, faster)


def test_matching_by_activations_uses_them_and_finds_the_same(monkeypatch):
    source, target = (create_network("cnn", (3, 32, 32), 10, torch.Generator().manual_seed(i)).eval() for i in (0, 1))
    batches = list(torch.randn(4, 16, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    symmetry = discover(source, batches[0][:2])
    given = []
    monkeypatch.setattr(observation, "channels_last", lambda inputs: given.append(channels_last(inputs)) or given[-1])
    faster = match_activations(symmetry, source, target, batches)
    assert [inputs.tensors[0].stride(1) for inputs in given] == [1] * 4
    monkeypatch.setattr(observation, "with_channels_last", lambda program: None)
    plain = match_activations(symmetry, source, target, batches)
    assert len(given) == 4
    for name, index in plain.permutation.index.items():
        assert np.array_equal(index, faster.permutation.index[name])
    for before, now in zip(plain.groups, faster.groups, strict=True):
        assert now.correlation == pytest.approx(before.correlation, abs=1e-5)


@given(networks())
def test_random_networks_give_the_same(drawn):
    network, (x,) = drawn
    plain, faster = both(network.float(), x.float())
    assert faster is None or agree(plain, faster)
