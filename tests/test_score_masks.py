"""Masks by layer densities and by what a loss, a gradient or a signal depends on."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from permask.errors import NetworkError, PermaskError
from permask.masks.layerwise import erk_mask, layer_magnitude_mask, uniform_mask
from permask.masks.scores import random_mask
from permask.masks.sensitivity import grasp_mask, snip_mask, synflow_mask


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 20), nn.Tanh()),
        nn.Linear(20, 4),
    )


def loss(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def batches(count=2):
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(16, 3, 5, 5, generator=generator), torch.randint(4, (16,), generator=generator))
        for _ in range(count)
    ]


MAKERS = {
    "layer magnitude": layer_magnitude_mask,
    "uniform": lambda model, sparsity: uniform_mask(model, sparsity, seed=0),
    "random": lambda model, sparsity: random_mask(model, sparsity, seed=0),
    "erk": lambda model, sparsity: erk_mask(model, sparsity, seed=0),
    "snip": lambda model, sparsity: snip_mask(model, sparsity, loss, batches()),
    "grasp": lambda model, sparsity: grasp_mask(model, sparsity, loss, batches()),
    "synflow": lambda model, sparsity: synflow_mask(model, sparsity, [torch.zeros(2, 3, 5, 5)], rounds=20),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("sparsity", [0, 0.37, 0.9])
def test_the_count_is_exact_and_the_network_untouched(make, sparsity):
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    mask = make(model, sparsity)
    mask.check(model)
    slack = 1 if make is layer_magnitude_mask else 0  # rounded layer by layer
    assert abs(mask.count - round(mask.size * (1 - sparsity))) <= slack
    assert mask == make(model, sparsity)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_sparsity_of_one_is_an_error(make):
    with pytest.raises(PermaskError, match=r"\[0, 1\)"):
        make(network(), 1.0)


def test_layer_magnitude_keeps_the_largest_of_every_layer():
    model = network()
    mask = layer_magnitude_mask(model, 0.75)
    for name, kept in mask.items():
        weight = model.get_parameter(name).abs()
        assert kept.sum() == round(kept.numel() * 0.25)
        assert weight[kept].min() > weight[~kept].max()


def test_uniform_masks_keep_the_same_share_of_every_layer_and_differ_by_seed():
    model = network()
    mask = uniform_mask(model, 0.75, seed=0)
    assert all(abs(kept.float().mean() - 0.25) < 1 / kept.numel() + 1e-6 for kept in mask.values())
    assert mask != uniform_mask(model, 0.75, seed=1)


def test_random_masks_draw_over_all_layers_together():
    model, smallest = network(), "6.weight"  # of 80 weights, among 1736
    masks = [random_mask(model, 0.75, seed=seed) for seed in range(200)]
    kept = torch.tensor([int(mask[smallest].sum()) for mask in masks]).double()
    # hypergeometric: 80 draws of 434 kept among 1736
    assert kept.mean() == pytest.approx(20, abs=4 * (14.3 / 200) ** 0.5)
    assert kept.var() == pytest.approx(80 * 0.25 * 0.75 * (1736 - 80) / 1735, rel=0.4)


def test_erk_densities_are_in_the_ratio_of_dims_to_size():
    mask = erk_mask(network(), 0.95, seed=0)
    density = {name: kept.double().mean().item() for name, kept in mask.items()}
    # sum of dims over product: 17 / 216, 92 / 1440, 24 / 80
    assert density["4.weight"] / density["0.weight"] == pytest.approx((92 / 1440) / (17 / 216), rel=0.15)
    assert density["6.weight"] / density["0.weight"] == pytest.approx((24 / 80) / (17 / 216), rel=0.15)


def test_erk_leaves_small_layers_dense_rather_than_exceed_one():
    mask = erk_mask(network(), 0.5, seed=0)
    assert mask["6.weight"].all()
    assert not mask["4.weight"].all()


def linear(*weight):
    layer = nn.Linear(len(weight), 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weight]))
    return layer


def squared(model, batch):
    return model(batch).square().mean()


def test_snip_scores_are_weight_times_gradient():
    # L = (w · x)², |w ∂L/∂w| = 2 (w · x) |w x|
    mask = snip_mask(linear(1.0, 2.0, 3.0, 0.1), 0.5, squared, [torch.tensor([[3.0, 1.0, 0.1, 1.0]])])
    assert mask["weight"].tolist() == [[True, True, False, False]]


def test_grasp_keeps_what_the_norm_of_the_gradient_needs():
    model = linear(1.0, 2.0, -3.0, 0.5)
    x = torch.tensor([[3.0, 1.0, 0.1, 2.0], [0.5, -1.0, 0.3, 1.0]])
    mask = grasp_mask(model, 0.5, squared, [x])

    def gradient_norm(weight):
        w = weight.clone().requires_grad_()
        return torch.autograd.grad((x @ w.T).square().mean(), w)[0].square().sum().item()

    # first order: removing weight k changes |g|² by -2 w_k (Hg)_k
    weight = model.weight.detach()
    step = 1e-3
    change = [gradient_norm(weight - step * torch.eye(4)[k] * weight[0, k]) - gradient_norm(weight) for k in range(4)]
    kept = set(mask["weight"][0].nonzero().flatten().tolist())
    assert kept == set(sorted(range(4), key=lambda k: change[k])[:2])


def test_synflow_keeps_the_path_with_the_most_signal():
    # two paths: 10 · 0.01 and 1 · 1; by magnitude the first would keep one of its ends
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[10.0, 0.0], [0.0, -1.0]]))
        model[1].weight.copy_(torch.tensor([[0.01, -1.0]]))
    mask = synflow_mask(model, 2 / 3, [torch.zeros(1, 2)])
    assert mask["0.weight"].tolist() == [[False, False], [False, True]]
    assert mask["1.weight"].tolist() == [[False, True]]


def test_synflow_does_not_lose_a_layer_where_magnitude_does():
    model = nn.Sequential(*itertools.chain(*[(nn.Linear(20, 20, bias=False), nn.ReLU()) for _ in range(4)]))
    with torch.no_grad():
        model[4].weight.mul_(1e-3)
    mask = synflow_mask(model, 0.95, [torch.zeros(1, 20)])
    assert all(kept.any() for kept in mask.values())


def test_no_data_is_an_error():
    for make in (snip_mask, grasp_mask):
        with pytest.raises(PermaskError, match="at least one batch"):
            make(network(), 0.5, loss, [])


def test_gradients_that_are_not_numbers_are_an_error():
    with pytest.raises(NetworkError, match="NaN"):
        snip_mask(network(), 0.5, lambda model, batch: loss(model, batch) * float("nan"), batches())
    with pytest.raises(NetworkError, match="not finite"):
        synflow_mask(linear(float("inf"), 1.0), 0.5, [torch.zeros(1, 2)])
