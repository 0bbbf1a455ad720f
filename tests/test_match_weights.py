"""Matching by weights: planted permutations, the objective, masks, and groups inside groups."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_match_activations import CASES, CONVOLUTIONS, PERCEPTRON, column, convolutions, perceptron
from torch import nn

from permask.errors import NetworkError
from permask.groups import Axis, Group
from permask.mask import Mask
from permask.masks.scores import magnitude_mask
from permask.masks.transport import transport
from permask.matching.descent import inner_product
from permask.matching.kicks import kicked
from permask.matching.similarity import weight_scores, weights_of
from permask.matching.weights import match_weights
from permask.symmetry import Symmetry


def noisy(network, scale, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=scale)
    return network


def equal(permutation, planted):
    return all(np.array_equal(permutation.index[name], index) for name, index in planted.index.items())


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=5)
@given(seed=st.integers(0, 1000))
def test_a_planted_permutation_is_recovered_from_noisy_weights(case, seed):
    make, symmetry, _, _ = CASES[case]
    source, planted = make(seed), symmetry.random(seed)
    alignment = match_weights(symmetry, source, noisy(planted.apply(source), 0.02))
    assert equal(alignment.permutation, planted)
    assert all(group.correlation > 0.95 for group in alignment.groups)


def test_the_objective_is_the_inner_product_of_all_permuted_weights():
    source, target = perceptron(0), perceptron(1)
    alignment = match_weights(PERCEPTRON, source, target)
    aligned = alignment.permutation.apply(source)
    names = [name for name, _ in source.named_parameters() if name != "4.bias"]
    expected = sum((aligned.get_parameter(n) * target.get_parameter(n)).sum().item() for n in names)
    assert alignment.objective == pytest.approx(expected, rel=1e-5)


def test_every_sweep_improves_and_no_single_group_can_improve_the_result():
    source, target = convolutions(0), convolutions(1)
    alignment = match_weights(CONVOLUTIONS, source, target)
    assert list(alignment.history) == sorted(alignment.history)
    weights_A, weights_B = weights_of(source), weights_of(target)
    rng = np.random.default_rng(0)
    for group in CONVOLUTIONS.groups:
        scores = weight_scores([group], alignment.permutation, weights_A, weights_B)[group.name]
        found = scores[np.arange(group.size), alignment.permutation.index[group.name]].sum()
        others = [scores[np.arange(group.size), rng.permutation(group.size)].sum() for _ in range(200)]
        assert found >= max(others)


def test_restarts_never_make_it_worse_and_the_seed_decides():
    source, target = convolutions(0), convolutions(1)
    one = match_weights(CONVOLUTIONS, source, target, seed=3)
    many = match_weights(CONVOLUTIONS, source, target, seed=3, restarts=5)
    assert many.objective == max(many.used["restarts"]) >= one.objective
    assert len(many.used["restarts"]) == 6
    again = match_weights(CONVOLUTIONS, source, target, seed=3, restarts=5)
    assert equal(again.permutation, many.permutation)


def test_under_masks_pruned_weights_do_not_count():
    source, planted = perceptron(0), PERCEPTRON.random(7)
    mask = magnitude_mask(source, 0.6)
    spoilt = copy.deepcopy(source)
    with torch.no_grad():
        for name, kept in mask.items():
            spoilt.get_parameter(name).add_(torch.randn(kept.shape) * ~kept, alpha=10)
    target = planted.apply(source)
    moved = Mask(planted.apply(dict(mask)))
    alignment = match_weights(PERCEPTRON, spoilt, target, source_mask=mask, target_mask=moved)
    assert equal(alignment.permutation, planted)
    assert transport(mask, alignment) == moved
    assert alignment.used["source_mask"]


def test_recurrent_weights_with_one_group_on_both_dims():
    torch.manual_seed(0)
    axes = [("0.weight", 0), ("0.bias", 0), ("1.weight", 0), ("1.weight", 1), ("1.bias", 0), ("2.weight", 1)]
    group = Group("state", 8, tuple(Axis(name, dim, 8, column(8)) for name, dim in axes))
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3))
    symmetry = Symmetry((group,), (), 1.0, {n: tuple(x.shape) for n, x in net.state_dict().items()})
    planted = symmetry.random(2)
    assert equal(match_weights(symmetry, net, noisy(planted.apply(net), 0.02)).permutation, planted)


HEADS = np.arange(12).reshape(3, 4)
ATTENTION = (
    Group("heads", 3, tuple(Axis(n, d, 12, HEADS) for n, d in (("q", 0), ("k", 0), ("v", 0), ("o", 1)))),
    Group("qk", 4, tuple(Axis(n, 0, 12, HEADS[..., None]) for n in "qk"), parent="heads", blocks=3),
    Group("vo", 4, tuple(Axis(n, d, 12, HEADS[..., None]) for n, d in (("v", 0), ("o", 1))), parent="heads", blocks=3),
)


def test_heads_and_the_dims_inside_them_are_matched_together():
    torch.manual_seed(0)
    net = nn.ParameterDict({"q": torch.randn(12, 7), "k": torch.randn(12, 7), "v": torch.randn(12, 7)})
    net["o"] = nn.Parameter(torch.randn(5, 12))
    symmetry = Symmetry(ATTENTION, (), 1.0, {n: tuple(x.shape) for n, x in net.state_dict().items()})
    planted = symmetry.random(4)
    alignment = match_weights(symmetry, net, noisy(planted.apply(net), 0.1))
    assert equal(alignment.permutation, planted)


def grouped_convolution(groups=4, inside=2, outside=3):
    """A grouped convolution between two pointwise ones, with blocks that move and channels inside them."""
    n_in, n_out = groups * inside, groups * outside
    before = np.arange(n_in).reshape(groups, inside)
    after = np.arange(n_out).reshape(groups, outside)
    rows = [Axis("0.weight", 0, n_in, before), Axis("0.bias", 0, n_in, before)]
    columns = [Axis("1.weight", 0, n_out, after), Axis("1.bias", 0, n_out, after), Axis("2.weight", 1, n_out, after)]
    virtual = Axis("1.weight", 1, n_in, before, convolution_groups=groups)

    def inner(axes):
        return tuple(Axis(a.parameter, a.dim, a.length, a.table[..., None], a.convolution_groups) for a in axes)

    found = (
        Group("blocks", groups, (*rows, virtual, *columns)),
        Group("inputs", inside, inner([*rows, virtual]), parent="blocks", blocks=groups),
        Group("outputs", outside, inner(columns), parent="blocks", blocks=groups),
    )
    net = nn.Sequential(nn.Conv2d(3, n_in, 1), nn.Conv2d(n_in, n_out, 3, groups=groups), nn.Conv2d(n_out, 2, 1))
    return net, Symmetry(found, (), 1.0, {n: tuple(x.shape) for n, x in net.state_dict().items()})


@pytest.mark.parametrize("seed", range(4))
def test_the_blocks_of_a_grouped_convolution_and_the_channels_inside_them(seed):
    torch.manual_seed(seed)
    net, symmetry = grouped_convolution()
    planted = symmetry.random(seed)
    target = planted.apply(net)
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(target(x), net(x))
    assert equal(match_weights(symmetry, net, noisy(target, 0.02)).permutation, planted)


def test_the_score_of_a_unit_is_the_gain_of_putting_it_there():
    source, target = perceptron(0), perceptron(1)
    weights_A, weights_B = weights_of(source), weights_of(target)
    here = PERCEPTRON.random(1)
    scores = weight_scores([PERCEPTRON.groups[1]], here, weights_A, weights_B)["second"]
    swapped = dict(here.index) | {"second": here.index["second"][[1, 0, 2, 3, 4]]}
    there = type(here)(here.groups, swapped)
    names = {"0.weight", "0.bias", "2.weight", "2.bias", "4.weight"}
    difference = inner_product(there, weights_A, weights_B, names) - inner_product(here, weights_A, weights_B, names)
    j, k = here.index["second"][:2]
    assert difference == pytest.approx(scores[0, k] + scores[1, j] - scores[0, j] - scores[1, k], rel=1e-4)


def test_weights_that_are_not_finite_are_an_error_that_names_them():
    source = perceptron(0)
    with torch.no_grad():
        source[2].weight[0, 0] = float("inf")
    with pytest.raises(NetworkError, match=r"2\.weight"):
        match_weights(PERCEPTRON, source, perceptron(1))


def test_another_architecture_or_a_mask_of_it_is_an_error():
    with pytest.raises(NetworkError, match=r"0\.weight"):
        match_weights(PERCEPTRON, perceptron(0), convolutions(0))
    with pytest.raises(NetworkError, match=r"0\.weight"):
        mask = magnitude_mask(convolutions(0), 0.5)
        match_weights(PERCEPTRON, perceptron(0), perceptron(1), source_mask=mask)


def test_kicks_leave_an_optimum_and_find_a_better_one():
    source, target = convolutions(0), convolutions(1)
    one = match_weights(CONVOLUTIONS, source, target)
    many = match_weights(CONVOLUTIONS, source, target, restarts=20)
    assert len(set(many.used["restarts"])) > 1
    assert many.objective > one.objective


def test_a_kick_moves_some_units_of_every_block_and_keeps_the_others():
    permutation = CONVOLUTIONS.random(0)
    after = kicked(permutation, np.random.default_rng(0))
    for name, index in permutation.index.items():
        moved = (index != after.index[name]).sum(-1)
        size = index.shape[-1]
        assert (np.sort(after.index[name], -1) == np.arange(size)).all()
        assert (moved == max(2, round(0.2 * size))).all()
