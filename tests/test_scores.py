import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.masks.scores import keep_largest, magnitude_mask, random_mask_like


class Shortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.shortcut = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
        self.linear = nn.Linear(8, 4)


def block():
    torch.manual_seed(0)
    return nn.ModuleDict({"block": Shortcut()})


CONV, LINEAR, SHORTCUT = "block.conv.weight", "block.linear.weight", "block.shortcut.0.weight"


def test_the_scope_is_every_weight_matrix_that_is_not_excluded():
    assert set(magnitude_mask(block(), 0.5)) == {CONV, LINEAR, SHORTCUT}
    assert set(magnitude_mask(block(), 0.5, exclude=("*.shortcut.*",))) == {CONV, LINEAR}
    assert set(magnitude_mask(block(), 0.5, exclude=("*.conv.*", "*shortcut*"))) == {LINEAR}


@given(st.floats(0, 1, exclude_max=True))
def test_the_count_is_exact(sparsity):
    mask = magnitude_mask(block(), sparsity, exclude=("*.shortcut.*",))
    assert mask.size == 8 * 3 * 9 + 32
    assert mask.count == round(mask.size * (1 - sparsity))


def test_the_largest_weights_survive_over_all_layers_together():
    model = block()
    mask = magnitude_mask(model, 0.7)
    weights = torch.cat([model.block.conv.weight.flatten(), model.block.linear.weight.flatten()]).abs()
    kept = torch.cat([mask[CONV].flatten(), mask[LINEAR].flatten()])
    assert weights[kept].min() > weights[~kept].max()


def test_of_equal_magnitudes_the_first_survive():
    scores = {"a": torch.tensor([1.0, 2.0, 1.0]), "b": torch.tensor([1.0, 1.0])}
    mask = keep_largest(scores, 0.4)
    assert mask["a"].tolist() == [True, True, True]
    assert mask["b"].tolist() == [False, False]


def test_pruning_further_keeps_what_was_pruned_pruned():
    model = block()
    earlier = random_mask_like(magnitude_mask(model, 0.5, exclude=("*.shortcut.*",)), seed=1)
    mask = magnitude_mask(model, 0.8, mask=earlier)
    assert mask.count == round(mask.size * 0.2)
    assert all((earlier[name] | ~kept).all() for name, kept in mask.items())
    weights = {CONV: model.block.conv.weight.abs(), LINEAR: model.block.linear.weight.abs()}
    smallest_kept = min(weights[name][kept].min() for name, kept in mask.items())
    largest_dropped = max(weights[name][earlier[name] & ~kept].max() for name, kept in mask.items())
    assert smallest_kept > largest_dropped


def test_zeros_among_the_living_are_pruned_before_the_dead_are_revived():
    model = block()
    with torch.no_grad():
        model.block.conv.weight.zero_()
    earlier = random_mask_like(magnitude_mask(model, 0.5), seed=1)
    mask = magnitude_mask(model, 0.5, mask=earlier)
    assert mask == earlier


@pytest.mark.parametrize("sparsity", [1.0, 1.3, -0.1, float("nan")])
def test_a_sparsity_outside_the_range_is_an_error(sparsity):
    with pytest.raises(PermaskError, match=r"\[0, 1\)"):
        magnitude_mask(block(), sparsity)


def test_pruning_back_is_an_error():
    model = block()
    with pytest.raises(PermaskError, match=r"at least 0\.5"):
        magnitude_mask(model, 0.3, mask=magnitude_mask(model, 0.5))


def test_weights_that_are_not_numbers_are_an_error_that_names_them():
    model = block()
    with torch.no_grad():
        model.block.linear.weight[0, 0] = float("nan")
    with pytest.raises(NetworkError, match=r"block\.linear\.weight holds NaN"):
        magnitude_mask(model, 0.5)


def test_excluding_everything_is_an_error():
    with pytest.raises(PermaskError, match="no weights to prune"):
        magnitude_mask(block(), 0.5, exclude=("*",))


def test_an_earlier_mask_of_another_network_is_an_error():
    with pytest.raises(NetworkError, match=r"0\.weight"):
        magnitude_mask(nn.Sequential(nn.Linear(3, 3)), 0.5, mask=Mask({"0.weight": torch.ones(2, 2).bool()}))


def test_a_random_mask_keeps_the_count_of_every_layer():
    mask = magnitude_mask(block(), 0.7)
    shuffled = random_mask_like(mask, seed=3)
    assert {name: kept.sum().item() for name, kept in shuffled.items()} == {
        name: kept.sum().item() for name, kept in mask.items()
    }
    assert shuffled != mask
    assert shuffled == random_mask_like(mask, seed=3)
    assert shuffled != random_mask_like(mask, seed=4)
