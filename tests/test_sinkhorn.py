"""Doubly stochastic matrices in the place of permutations: sums, derivatives, and what they do to weights."""

import numpy as np
import pytest
import torch
from support.networks import NETWORKS
from test_match_weights import grouped_convolution

from permask.discovery.discover import discover
from permask.errors import NetworkError
from permask.matching.similarity import weights_of
from permask.matching.sinkhorn import ITERATIONS, DoublyStochastic, SinkhornLearner


def test_rows_and_columns_sum_to_one_and_a_larger_logit_has_the_larger_share():
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, 7, 7)
    share = DoublyStochastic.apply(logits)
    torch.testing.assert_close(share.sum(1), torch.ones(2, 7), rtol=0, atol=1e-4)
    torch.testing.assert_close(share.sum(2), torch.ones(2, 7), rtol=0, atol=1e-4)
    more = logits.clone()
    more[0, 2, 3] += 1
    assert DoublyStochastic.apply(more)[0, 2, 3] > share[0, 2, 3]


@pytest.mark.parametrize("scale", [1e-3, 30, 1e3, 1e5])
def test_logits_of_any_size_give_the_shares_that_logarithms_give(scale):
    torch.manual_seed(0)
    logits = scale * torch.randn(2, 9, 9)
    expected = logits.double()
    for _ in range(ITERATIONS):
        expected = expected - expected.logsumexp(-1, keepdim=True)
        expected = expected - expected.logsumexp(-2, keepdim=True)
    torch.testing.assert_close(DoublyStochastic.apply(logits), expected.exp().float(), rtol=0, atol=1e-6)


def test_the_derivative_is_that_of_finite_differences():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(DoublyStochastic.apply, (logits,), atol=1e-6)


MIXED = ["squeeze_excite", "depthwise_multiplier", "group_norm", "grouped_query_attention", "maxout"]


@pytest.mark.parametrize("name", MIXED)
def test_sharp_logits_permute_weights_as_the_permutation_does(name):
    network = NETWORKS[name].make()
    symmetry = discover(network, NETWORKS[name].inputs())
    weights, permutation = weights_of(network), symmetry.random(3)
    learner = SinkhornLearner(permutation, weights, 0.1, seed=0, noise=0.0)
    for logits in learner.optimizer.param_groups[0]["params"]:
        logits.data = 60 * (logits.data > 0) + logits.data
    expected = permutation.apply(weights)
    for tensor, mixed in learner.weights().items():
        torch.testing.assert_close(mixed, expected[tensor], rtol=1e-4, atol=1e-5)
    index = learner.permutation.index
    assert all(np.array_equal(index[group.name], permutation.index[group.name]) for group in symmetry.groups)


def test_noise_is_drawn_anew_by_the_seed_as_a_share_of_the_spread_of_matrices():
    network = NETWORKS["group_norm"].make()
    weights, symmetry = weights_of(network), discover(network, NETWORKS["group_norm"].inputs())
    one, same, none = (SinkhornLearner(symmetry.identity(), weights, 0.1, 7, noise) for noise in (0.3, 0.3, 0.0))
    first, second, clean = one.weights(), one.weights(), none.weights()
    assert all(torch.equal(x, y) for x, y in zip(first.values(), same.weights().values(), strict=True))
    for name, x in clean.items():
        noise = (first[name] - x).detach()
        assert x.ndim < 2 or not torch.equal(first[name], second[name])
        assert noise.std().item() == pytest.approx(0.3 * x.std().item() if x.ndim > 1 else 0.0, rel=0.5)


def test_channels_inside_the_groups_of_a_grouped_convolution_are_refused():
    network, symmetry = grouped_convolution()
    with pytest.raises(NetworkError, match=r"1\.weight: Sinkhorn matching does not mix input channels"):
        SinkhornLearner(symmetry.identity(), weights_of(network), 0.1, seed=0)
