"""What networks cost, against counts by hand."""

import pytest
import torch
from torch import nn

from permask.errors import NetworkError
from permask.mask import Mask
from permask.masks.cost import Cost, cost_of
from permask.masks.scores import random_mask_like


def keep(weight, count):
    kept = torch.zeros(weight.numel(), dtype=torch.bool)
    kept[:count] = True
    return kept.view(weight.shape)


def test_an_mlp_by_hand():
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))
    example = [torch.zeros(5, 6)]
    assert cost_of(network, example) == Cost(48 + 8 + 24, 4 * 80, 2 * (48 + 24))
    mask = Mask({"0.weight": keep(network[0].weight, 10)})
    # 38 weights fewer; a bitmap of 48 bits
    assert cost_of(network, example, mask) == Cost(80 - 38, 4 * (80 - 38) + 6, 2 * (10 + 24))


def test_a_convolution_is_used_at_every_position_of_its_output():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.ConvTranspose2d(4, 2, 2, stride=2),
        nn.Flatten(),
    )
    example = [torch.zeros(2, 3, 8, 8)]  # 4x4 after the first convolution, 8x8 after the transposed one
    weights = {"0.weight": 108, "2.weight": 72, "3.weight": 32}
    dense = cost_of(network, example)
    assert dense.flops == 2 * 16 * sum(weights.values())
    assert dense.parameters == 108 + 8 + 72 + 4 + 32 + 2
    assert dense.bytes == 4 * (dense.parameters + 8) + 8  # running mean and variance, and a count in int64
    for name in weights:
        mask = Mask({name: keep(network.get_parameter(name), 5)})
        assert cost_of(network, example, mask).flops == dense.flops - 2 * 16 * (weights[name] - 5)


def test_a_layer_that_is_used_twice_costs_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x))

    network = Twice()
    mask = Mask({"layer.weight": keep(network.layer.weight, 3)})
    assert cost_of(network, [torch.zeros(1, 4)]).flops == 2 * 2 * 16
    assert cost_of(network, [torch.zeros(1, 4)], mask).flops == 2 * 2 * 3


def test_what_no_layer_multiplies_saves_no_operations_and_the_network_stays_as_it_was():
    network = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).train()
    before = {name: x.clone() for name, x in network.state_dict().items()}
    example = [torch.zeros(1, 5, 8)]
    dense = cost_of(network, example)
    full = Mask({"self_attn.in_proj_weight": torch.ones(24, 8, dtype=torch.bool)})
    assert cost_of(network, example, random_mask_like(full, 0)).flops == dense.flops
    half = Mask({"linear1.weight": keep(network.linear1.weight, 64)})
    assert cost_of(network, example, half).flops == dense.flops - 2 * 5 * 64
    assert network.training
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    assert not network.linear1._forward_hooks


def test_a_mask_that_does_not_fit_is_refused():
    with pytest.raises(NetworkError, match="which the network does not have"):
        cost_of(nn.Linear(2, 2), [torch.zeros(1, 2)], Mask({"other": torch.ones(2, 2, dtype=torch.bool)}))
