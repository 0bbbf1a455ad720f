"""Fan-in rescaling against calculations by hand, and what holds of it for any network."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import permask
from permask.errors import NetworkError
from permask.mask import Mask
from permask.masks.scores import magnitude_mask


def linear(rows):
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


def test_per_neuron_by_hand():
    layer = linear([[1.0, 2.0, 3.0, 9.0], [4.0, 8.0, 6.0, 5.0]])
    kept = torch.tensor([[True, False, True, False], [True, True, True, False]])
    assert permask.rescale_fan_in(layer, Mask({"weight": kept})) is layer
    # first: 1 and 3, mean 2, variance 1, two survivors; second: 4, 8, 6, mean 6, variance 8/3, three survivors
    expected = torch.tensor([[-1.0, 0.0, 1.0, 0.0], [-1.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(layer.weight.detach(), expected)


def test_per_layer_by_hand():
    layer = linear([[1.0, 2.0, 3.0, 9.0], [4.0, 8.0, 6.0, 5.0]])
    kept = torch.tensor([[True, False, True, False], [True, False, True, False]])
    permask.rescale_fan_in(layer, Mask({"weight": kept}), per="layer")
    # 1, 3, 4, 6: mean 3.5, variance 3.25; two survivors per neuron on average, so a variance of 1
    spread = math.sqrt(3.25)
    expected = torch.tensor([[-2.5, 0.0, -0.5, 0.0], [0.5, 0.0, 2.5, 0.0]]) / spread
    torch.testing.assert_close(layer.weight.detach(), expected)


def test_survivors_without_spread_stay():
    layer = linear([[0.1, 0.1, 0.1], [7.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    kept = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    permask.rescale_fan_in(layer, Mask({"weight": kept}))
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[0.1, 0.1, 0.1], [7.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.0, 0.9), st.sampled_from(["neuron", "layer"]))
def test_survivors_have_mean_0_and_variance_2_over_fan_in(seed, sparsity, per):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(4, 6))
    mask = magnitude_mask(model, sparsity)
    permask.rescale_fan_in(model, mask, per)
    for name, kept in mask.items():
        weight = model.get_parameter(name).detach()
        assert (weight[~kept] == 0).all()
        rows = zip(weight, kept, strict=True) if per == "neuron" else [(weight, kept)]
        for values, alive in rows:
            if alive.sum() > 1:
                fan_in = alive.sum() / (1 if per == "neuron" else len(weight))
                assert values[alive].mean().item() == pytest.approx(0, abs=1e-5)
                assert (values[alive].var(correction=0) * fan_in).item() == pytest.approx(2, rel=1e-4)


def test_a_mask_of_another_network_changes_nothing():
    layer = linear([[1.0, 2.0]])
    with pytest.raises(NetworkError, match="other"):
        permask.rescale_fan_in(layer, Mask({"other": torch.ones(1, 2, dtype=torch.bool)}))
    assert layer.weight.tolist() == [[1.0, 2.0]]
