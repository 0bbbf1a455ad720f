"""Learning a permutation from the loss half-way between two networks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from test_match_activations import CONVOLUTIONS, PERCEPTRON, convolutions, perceptron
from test_match_weights import equal

from permask.batches import Batch, cross_entropy
from permask.connectivity.interpolate import connect
from permask.errors import PermaskError
from permask.matching import learned
from permask.matching.activations import match_activations
from permask.matching.alignment import Alignment
from permask.matching.learned import match_learned
from permask.matching.mixing import mixed
from permask.matching.weights import match_weights


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


def given(shape, network, batches=5):
    """Batches as matchers by name take them."""
    return [Batch((x,), y) for x, y in labelled(shape, network, batches)]


def test_it_begins_where_the_loss_half_way_is_lower_by_weights_or_by_activations():
    source, target = sharp(perceptron(3)), sharp(perceptron(4))
    batches = given((6,), source)
    found = [
        match_weights(PERCEPTRON, source, target),
        match_activations(PERCEPTRON, source, target, [b.given for b in batches]),
    ]

    def begun(start=None, inputs=None):
        return match_learned(
            PERCEPTRON, source, target, cross_entropy, batches, epochs=1, learning_rate=0.0, start=start, inputs=inputs
        )

    losses = {alignment.method: -begun(alignment).history[0] for alignment in found}
    best = begun(inputs=[batch.given for batch in batches])
    assert losses["activations"] != losses["weights"]
    assert best.used["start"] == min(losses, key=losses.__getitem__)
    assert -best.history[0] == min(losses.values())


@BY
def test_where_no_epoch_moves_anything_it_says_so_and_stops(by):
    source = sharp(perceptron(3))
    batches = labelled((6,), source)
    still = match_learned(PERCEPTRON, source, source, loss, batches, epochs=9, learning_rate=1e-9, by=by, patience=2)
    assert still.used["moved"] == 0
    assert len(still.history) == 3


def test_the_straight_through_estimator_moves():
    source, target = sharp(perceptron(3)), sharp(perceptron(4))
    assert match_learned(PERCEPTRON, source, target, loss, labelled((6,), source)).used["moved"] > 0


def test_the_start_is_chosen_on_all_batches_as_none_was_learned_from():
    source, target = sharp(perceptron(3)), sharp(perceptron(4))
    batches = given((6,), source)
    inputs = [batch.given for batch in batches]
    found = [match_weights(PERCEPTRON, source, target), match_activations(PERCEPTRON, source, target, inputs)]

    def lost(alignment, seen):
        path = connect(
            alignment.permutation.apply(source),
            target,
            lambda net, _: sum(cross_entropy(net, b).item() for b in seen),
            3,
        )
        return path.values[1]

    best = min(found, key=lambda each: lost(each, batches))
    misled = [batch for batch in batches if min(found, key=lambda each: lost(each, [batch])) is not best]
    assert misled, "no batch alone would choose another start"
    others = [batch for batch in batches if batch is not misled[0]]
    begun = match_learned(
        PERCEPTRON, source, target, cross_entropy, others, epochs=1, learning_rate=0.0, inputs=inputs, judge=misled[:1]
    )
    assert begun.used["start"] == best.method
    assert -begun.history[0] == pytest.approx(lost(best, misled[:1]), rel=1e-4)


def test_what_judges_is_not_what_is_learned_from():
    source, target = sharp(perceptron(3)), sharp(perceptron(4))
    batches = labelled((6,), source)
    judged = match_learned(PERCEPTRON, source, target, loss, batches[:3], epochs=1, judge=batches[3:])
    path = connect(judged.permutation.apply(source), target, lambda net, _: loss(net, batches[3]).item(), 3)
    assert path.values[1] == pytest.approx(-judged.objective, rel=1e-4)


def test_once_a_gain_carries_over_what_judged_is_learned_from_too():
    """Labels that a network gave hold for other samples; labels drawn at random are only fitted."""
    source, planted = sharp(perceptron(3)), PERCEPTRON.random(1)
    target, batches = planted.apply(source), labelled((6,), source)
    start = Alignment(PERCEPTRON, PERCEPTRON.identity(), "none", 0.0, ())

    def judged_by(held_out, release):
        return match_learned(
            PERCEPTRON, source, target, loss, batches[:3], start=start, by="sinkhorn", judge=held_out, release=release
        )

    def at_the_middle(permutation, seen):
        path = connect(permutation.apply(source), target, lambda net, _: sum(loss(net, b) for b in seen) / len(seen), 3)
        return -path.values[1]

    drawn = torch.randint(3, (64,), generator=torch.Generator().manual_seed(1))
    true, false, unmoved = batches[3:], [(batches[3][0], drawn)], PERCEPTRON.identity()
    released, kept = judged_by(true, release=True), judged_by(true, release=False)
    assert released.objective == pytest.approx(at_the_middle(released.permutation, batches), rel=1e-4)
    assert released.history[0] == pytest.approx(at_the_middle(unmoved, batches), rel=1e-4)
    assert kept.history[0] == pytest.approx(at_the_middle(unmoved, true), rel=1e-4)
    assert judged_by(false, release=True).history == judged_by(false, release=False).history


def test_a_gain_carries_over_where_two_epochs_in_a_row_show_half_of_it_on_other_samples():
    def carries(*gained):  # by epoch: on samples learned from, on others
        return learned._carries_over([-3.0, *(-3 + other for _, other in gained)], [-2.0, *(-2 + x for x, _ in gained)])

    assert carries((1, 0), (1, 0.5), (2, 1))
    assert not carries((2, 2))  # a single epoch
    assert not carries((1, 1), (2, 0.9))
    assert not carries((1, 0.4), (2, 2))
    assert not carries((1, 1), (-0.5, 0.1))  # nothing was learned that could carry over


def test_batches_that_come_class_by_class_are_mixed():
    sorted_by_class = [Batch((torch.full((4, 2), float(i)),), torch.full((4,), i)) for i in range(3)]
    again = mixed(sorted_by_class, 0)
    assert [len(batch.labels) for batch in again] == [4, 4, 4]
    assert all(batch.labels.unique().numel() > 1 for batch in again)
    assert all(torch.equal(batch.inputs[0][:, 0].long(), batch.labels) for batch in again)
    assert torch.cat([batch.labels for batch in again]).bincount().tolist() == [4, 4, 4]
    apart = [*sorted_by_class, Batch((torch.zeros(4, 3),), torch.zeros(4, dtype=torch.int64))]
    assert mixed(apart, 0) == apart
