"""Several networks at once: one frame, whatever the order."""

import itertools

import numpy as np
import pytest
from test_match_activations import CONVOLUTIONS, PERCEPTRON, convolutions, data, perceptron
from test_match_weights import equal, noisy

from permask.errors import PermaskError
from permask.matching.descent import inner_product
from permask.matching.many import match_many
from permask.matching.similarity import weights_of

WITH = {"weights": None, "activations": data((6,))}


@pytest.mark.parametrize("batches", WITH.values(), ids=WITH)
def test_planted_permutations_are_recovered(batches):
    source = perceptron(3)
    planted = [PERCEPTRON.identity(), *(PERCEPTRON.random(seed) for seed in range(3))]
    networks = [noisy(p.apply(source), 0.02, seed) for seed, p in enumerate(planted)]
    alignments = match_many(PERCEPTRON, networks, batches)
    for alignment, permutation in zip(alignments, planted, strict=True):
        assert equal(alignment.permutation, permutation.inverse())


@pytest.mark.parametrize("batches", WITH.values(), ids=WITH)
def test_neither_the_order_of_the_networks_nor_the_reference_changes_the_frame(batches):
    networks = [perceptron(seed) for seed in (3, 4, 8, 9)]
    first = match_many(PERCEPTRON, networks, batches)
    backwards = match_many(PERCEPTRON, networks[::-1], batches, reference=1)[::-1]
    for i, j in itertools.combinations(range(4), 2):
        between = [a[j].permutation.inverse().compose(a[i].permutation) for a in (first, backwards)]
        assert equal(*between)


@pytest.mark.parametrize("batches", WITH.values(), ids=WITH)
def test_the_reference_stays_and_the_sum_over_pairs_grows(batches):
    alignments = match_many(PERCEPTRON, [perceptron(seed) for seed in (3, 4, 8)], batches, reference=2)
    assert equal(alignments[2].permutation, PERCEPTRON.identity())
    assert list(alignments[0].history) == sorted(alignments[0].history)
    assert alignments[2].groups[0].correlation == pytest.approx(1)


def test_the_history_is_the_sum_over_pairs_of_inner_products():
    networks = [convolutions(seed) for seed in range(3)]
    alignments = match_many(CONVOLUTIONS, networks)
    moved = {axis.parameter for group in CONVOLUTIONS.groups for axis in group.axes}
    weights = [weights_of(a.permutation.apply(n)) for a, n in zip(alignments, networks, strict=True)]
    moved &= weights[0].keys()
    pairs = itertools.combinations(weights, 2)
    total = sum(inner_product(CONVOLUTIONS.identity(), x, y, moved) for x, y in pairs)
    assert alignments[0].history[-1] == pytest.approx(total, rel=1e-5)


def test_all_pairs_together_are_matched_better_than_through_the_reference():
    networks, batches = [perceptron(seed) for seed in (3, 4, 8, 9, 12)], data((6,))
    joint = match_many(PERCEPTRON, networks, batches)[0].history
    assert joint[-1] > joint[0]
    assert np.isfinite(joint).all()


@pytest.mark.parametrize(("count", "reference"), [(1, 0), (3, 3), (3, -1)])
def test_too_few_networks_or_no_such_reference_is_an_error(count, reference):
    with pytest.raises(PermaskError, match="two networks or more"):
        match_many(PERCEPTRON, [perceptron(seed) for seed in range(count)], reference=reference)
