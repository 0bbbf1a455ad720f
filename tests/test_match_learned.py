"""Learning a permutation from the loss half-way between two networks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from test_match_activations import CONVOLUTIONS, PERCEPTRON, convolutions, perceptron
from test_match_weights import equal

from permask.connectivity.interpolate import connect
from permask.errors import PermaskError
from permask.matching.alignment import Alignment
from permask.matching.learned import match_learned


def loss(network, batch):
    return F.cross_entropy(network(batch[0]), batch[1])


def labelled(shape, network, batches=4):
    """Inputs that a network itself has labelled."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(64, *shape, generator=generator) for _ in range(batches)]
    with torch.no_grad():
        return [(x, network.eval()(x).argmax(1)) for x in inputs]


def sharp(network):
    """A network whose outputs are sure of themselves, so that the loss says something."""
    with torch.no_grad():
        network[-1].weight.mul_(20)
    return network


BY = pytest.mark.parametrize("by", ["straight-through", "sinkhorn"])


@BY
def test_from_a_bad_start_the_loss_half_way_falls(by):
    source, planted = sharp(perceptron(3)), PERCEPTRON.random(1)
    target = planted.apply(source)
    batches = labelled((6,), source)
    start = Alignment(PERCEPTRON, PERCEPTRON.identity(), "none", 0.0, ())
    alignment = match_learned(PERCEPTRON, source, target, loss, batches, epochs=10, start=start, by=by)
    assert alignment.objective == max(alignment.history) > 0.9 * alignment.history[0]
    assert alignment.method == by

    def at_the_middle(permutation):
        path = connect(permutation.apply(source), target, lambda net, _: sum(loss(net, b) for b in batches) / 4, 3)
        return path.values[1]

    assert at_the_middle(alignment.permutation) == pytest.approx(-alignment.objective, rel=1e-4)
    assert at_the_middle(PERCEPTRON.identity()) == pytest.approx(-alignment.history[0], rel=1e-4)


@BY
def test_a_perfect_start_is_kept(by):
    source, planted = sharp(perceptron(3)), PERCEPTRON.random(1)
    batches = iter(labelled((6,), source))
    alignment = match_learned(PERCEPTRON, source, planted.apply(source), loss, batches, epochs=2, by=by)
    assert equal(alignment.permutation, planted)
    assert alignment.used["start"] == "weights"


@BY
def test_networks_with_batchnorm_are_left_as_they_were(by):
    source, target = convolutions(0).train(), convolutions(1).train()
    source[1].eval()
    before = copy.deepcopy([source.state_dict(), target.state_dict()])
    match_learned(CONVOLUTIONS, source, target, loss, labelled((3, 9, 9), convolutions(2), 2), epochs=2, by=by)
    assert [module.training for module in source] == [True, False, *[True] * 6]
    for network, state in zip((source, target), before, strict=True):
        assert all(torch.equal(x, state[name]) for name, x in network.state_dict().items())
        assert all(p.grad is None for p in network.parameters())


def test_sinkhorn_recovers_a_planted_permutation_that_it_was_not_told():
    source, planted = perceptron(3), PERCEPTRON.random(0)
    target = planted.apply(source)
    start = Alignment(PERCEPTRON, PERCEPTRON.identity(), "none", 0.0, ())
    with torch.no_grad():
        batches = [(x, target(x)) for x, _ in labelled((6,), source)]
    alignment = match_learned(
        PERCEPTRON,
        source,
        target,
        lambda network, batch: F.mse_loss(network(batch[0]), batch[1]),
        batches,
        epochs=25,
        start=start,
        by="sinkhorn",
    )
    assert equal(alignment.permutation, planted)


def test_no_data_is_an_error():
    with pytest.raises(PermaskError, match="at least one batch"):
        match_learned(PERCEPTRON, perceptron(0), perceptron(1), loss, [])


def test_an_unknown_way_is_an_error():
    with pytest.raises(PermaskError, match="expected one of straight-through, sinkhorn, got teleport"):
        match_learned(PERCEPTRON, perceptron(0), perceptron(1), loss, [0], by="teleport")


def test_the_earlier_name_of_the_way_is_taken_for_one_release():
    labelled_once = labelled((6,), perceptron(2), 1)
    with pytest.warns(DeprecationWarning, match="by='sinkhorn'"):
        alignment = match_learned(
            PERCEPTRON, perceptron(0), perceptron(1), loss, labelled_once, epochs=1, through="sinkhorn"
        )
    assert alignment.method == "sinkhorn"
