"""Every way to make a mask, by its name: exact counts, the same mask twice, weights left alone."""

import pytest
import torch
from torch import nn

from permask.batches import Batch
from permask.mask import Mask
from permask.masks.sources import SOURCES, MaskOptions

SCOPE = 8 * 1 * 3 * 3 + 10 * 8 * 4 * 4  # weights of the convolution and of the linear layer
each_source = pytest.mark.parametrize("name", SOURCES)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, 10))


def batches() -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(16, 1, 4, 4, generator=generator) for _ in range(2)]
    return [Batch((x,), torch.randint(10, (16,), generator=generator)) for x in inputs]


def make(name: str, sparsity: float, model: nn.Module, **options: object) -> Mask:
    found = {"nothing": [], "example": batches()[:1]}.get(SOURCES[name].needs, batches())
    return SOURCES[name](model, found, sparsity, MaskOptions(**options))


@each_source
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.875])
def test_as_many_weights_are_kept_as_were_asked_for(name, sparsity):
    model = network()
    before = [weight.clone() for weight in model.parameters()]
    mask = make(name, sparsity, model)
    assert mask.count == round(SCOPE * (1 - sparsity))
    assert set(mask) == {"0.weight", "3.weight"}
    assert all(map(torch.equal, before, model.parameters()))


@each_source
def test_the_same_seed_gives_the_same_mask(name):
    assert make(name, 0.9, network(), seed=3) == make(name, 0.9, network(), seed=3)


@each_source
def test_what_is_excluded_is_not_pruned(name):
    assert set(make(name, 0.5, network(), exclude=("3.*",))) == {"0.weight"}
