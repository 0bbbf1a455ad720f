"""Every matcher on every network: a planted permutation, under noise, is recovered exactly."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from support.invariance import randomise_
from support.networks import NETWORKS
from support.zoo import ZOO
from test_match_weights import noisy

from permask.batches import Batch
from permask.discovery.discover import discover
from permask.errors import NetworkError
from permask.matching.alignment import Alignment
from permask.matching.assignment import assign_nested, families
from permask.matching.descent import coordinate_descent, inner_product
from permask.matching.learned import match_learned
from permask.matching.matchers import MATCHERS, MatchOptions
from permask.matching.similarity import weight_scores, weights_of
from permask.permutation import Permutation

SMALL_ZOO = [name for name, entry in ZOO.items() if entry.small]
ARCHITECTURES = ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "resnext50_32x4d", "densenet121"]
ARCHITECTURES += ["squeezenet1_1", "regnet_y_400mf", "convnext_tiny", "vit_b_16", "swin_t", "efficientnet_b0"]


def sample(inputs, seed):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(x.shape, generator=generator, dtype=x.dtype)
        if x.is_floating_point()
        else torch.randint(int(x.max()) + 1, x.shape, generator=generator)
        for x in inputs
    )


def planted(network, inputs, noise=1e-6):
    """A network with random weights, its symmetry, and a target that is a permutation of it, but for noise."""
    randomise_(network)
    symmetry = discover(network, inputs)
    assert symmetry.groups
    return symmetry, network, noisy(symmetry.random(1).apply(network), noise)


def batches_for(matcher, target, inputs):
    """What a matcher needs; labels are what the target answers, in a single batch, as learning takes longer."""
    example = sample(inputs, 0)
    if MATCHERS[matcher].needs != "labels":
        return [Batch(sample(inputs, seed)) for seed in range(32)]
    with torch.no_grad():
        return [Batch(example, target.eval()(*example).softmax(-1))]


def recovers(matcher, pair, inputs):
    """Whether a matcher finds a permutation that was planted."""
    symmetry, network, target = pair
    options = MatchOptions(restarts=2, epochs=1)
    alignment = MATCHERS[matcher](symmetry, network, target, batches_for(matcher, target, inputs), options)
    assert alignment.method == matcher
    return recovered(alignment.permutation, network, target)


def recovered(permutation, network, target, noise=1e-6):
    """Whether the network, permuted, has the target's weights, but for the noise."""
    pairs = zip(permutation.apply(network).parameters(), target.parameters(), strict=True)
    return all(torch.allclose(x, y, rtol=0, atol=20 * noise) for x, y in pairs)


BY_HAND = [name for name, example in NETWORKS.items() if example.groups]
REFUSED = {
    ("grouped_convolution", "sinkhorn"): "does not mix input channels inside groups",
    ("nested_convolution_groups", "sinkhorn"): "does not mix input channels inside groups",
}


@cache
def by_hand(name):
    return planted(NETWORKS[name].make(), NETWORKS[name].inputs())


@pytest.mark.parametrize(("name", "matcher"), [x for x in product(BY_HAND, MATCHERS) if x not in REFUSED])
def test_networks_whose_symmetries_were_derived_by_hand(name, matcher):
    assert recovers(matcher, by_hand(name), NETWORKS[name].inputs())


@pytest.mark.parametrize(("name", "matcher"), REFUSED)
def test_what_a_matcher_cannot_do_it_refuses(name, matcher):
    with pytest.raises(NetworkError, match=REFUSED[name, matcher]):
        recovers(matcher, by_hand(name), NETWORKS[name].inputs())


@pytest.mark.parametrize("name", BY_HAND)
def test_weights_that_have_nothing_in_common_end_where_no_family_can_improve(name):
    networks = [NETWORKS[name].make() for _ in range(2)]
    for seed, network in enumerate(networks):
        randomise_(network, seed)
    source, target = map(weights_of, networks)
    symmetry = discover(networks[0], NETWORKS[name].inputs())
    found, history = coordinate_descent(symmetry.random(2), source, target, np.random.default_rng(0))
    parameters = {axis.parameter for group in symmetry.groups for axis in group.axes} & source.keys()

    def value(permutation):
        return inner_product(permutation, source, target, parameters)

    assert history == sorted(history)
    assert history[-1] == pytest.approx(value(found), rel=1e-6)
    for family in families(symmetry.groups):
        scores = weight_scores(family, found, source, target)
        again = Permutation(symmetry.groups, found.index | assign_nested(family, scores))
        assert value(again) <= value(found) + 1e-6 * abs(value(found))


@pytest.mark.slow
@pytest.mark.parametrize("matcher", [name for name, matcher in MATCHERS.items() if matcher.needs != "labels"])
@pytest.mark.parametrize("name", [*SMALL_ZOO, *ARCHITECTURES])
def test_architectures_of_the_zoo(name, matcher):
    assert recovers(matcher, planted(ZOO[name].make(), ZOO[name].inputs()), ZOO[name].inputs())


LEARNERS = {"sinkhorn": 1.0, "straight-through": 0.1}  # with learning rates
LEARNED = ["transformer", "encoder_norm_first", "gpt", "llama", "experts", "unet", "mlp_mixer", "wide_resnet", "lstm"]
LEARNED += ["lstm_both_ways", "gru", "tied_autoencoder"]


@pytest.mark.slow
@pytest.mark.parametrize("by", LEARNERS)
@pytest.mark.parametrize("name", LEARNED)
def test_learning_puts_right_what_is_wrong_in_every_group_of_architectures_of_the_zoo(name, by):
    network, inputs = ZOO[name].make(), ZOO[name].inputs()
    randomise_(network)
    symmetry = discover(network, inputs)
    planted = symmetry.random(1)
    target = noisy(planted.apply(network), 1e-6)
    goal = {n: x.detach().clone() for n, x in target.named_parameters()}

    def distance(halfway, _batch):  # the cost with which Peña et al. 2023 look for planted permutations
        return sum((x - goal[n]).square().sum() for n, x in halfway.named_parameters())

    wrong = Permutation(symmetry.groups, {name: three_in_turn(index) for name, index in planted.index.items()})
    assert not recovered(wrong, network, target)
    start = Alignment(symmetry, wrong, "three units of every group elsewhere", 0.0, ())
    alignment = match_learned(
        symmetry, network, target, distance, [None] * 10, epochs=2, learning_rate=LEARNERS[by], start=start, by=by
    )
    assert recovered(alignment.permutation, network, target)


def three_in_turn(index):
    turned = index.copy()
    turned[..., :3] = np.roll(turned[..., :3], 1, axis=-1)
    return turned
