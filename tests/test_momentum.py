"""The loop's optimizer updates as torch's does with a held mask, bit for bit."""

import copy

import pytest
import torch
from torch import nn

from permask.masks.hold import hold_mask
from permask.masks.scores import magnitude_mask
from permask.training.momentum import MomentumSGD


class Branched(nn.Module):
    """A network with a parameter that some of its losses do not depend on."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.used, self.unused = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x, both):
        z = self.norm(self.conv(x)).mean((2, 3))
        return self.used(z) + self.unused(z) if both else self.used(z)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("sparsity", [None, 0.8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_updates_are_those_of_torch(momentum, sparsity, layout):
    ours = Branched().to(memory_format=layout)
    theirs = copy.deepcopy(ours)
    mask = magnitude_mask(ours, sparsity) if sparsity else None
    optimizer = MomentumSGD(ours, momentum, 0.01, mask=mask)
    reference = torch.optim.SGD(theirs.parameters(), 0.1, momentum, weight_decay=0.01, fused=True)
    if mask is not None:
        hold_mask(theirs, mask, reference)
    generator = torch.Generator().manual_seed(1)
    for step in range(5):
        rate = reference.param_groups[0]["lr"] = 0.1 / (step + 1)
        x = torch.randn(4, 3, 6, 6, generator=generator)
        for model in (ours, theirs):
            model(x, both=step % 2 == 0).square().sum().backward()
        optimizer.step(rate)
        reference.step()
        reference.zero_grad()
        for name, parameter in theirs.named_parameters():
            assert torch.equal(ours.get_parameter(name), parameter)
            if momentum and (state := reference.state[parameter]):
                assert torch.equal(optimizer.state[name], state["momentum_buffer"])


def test_momentum_to_go_on_with_is_masked_and_not_shared():
    model = Branched()
    mask = magnitude_mask(model, 0.8)
    before = {name: torch.ones_like(parameter) for name, parameter in model.named_parameters()}
    optimizer = MomentumSGD(model, 0.9, 0.0, mask=mask, buffers=before)
    for name, kept in mask.items():
        assert torch.equal(optimizer.state[name], kept.float())
        assert before[name].min() == 1


def test_frozen_parameters_stay():
    model = Branched()
    model.conv.weight.requires_grad_(False)
    mask = magnitude_mask(model, 0.5)
    before = model.conv.weight * mask["conv.weight"]
    optimizer = MomentumSGD(model, 0.9, 0.1, mask=mask)
    model(torch.randn(2, 3, 6, 6), both=True).sum().backward()
    optimizer.step(0.1)
    assert torch.equal(model.conv.weight, before)
    assert "conv.weight" not in optimizer.state
