"""Measures of ensembles, against figures found by hand and by scipy."""

from dataclasses import asdict
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from permask.ensembles import calibration_error, evaluate_ensemble
from permask.errors import DataError

MEASURES = {"calibration_error", "loss", "member_calibration_error", "member_loss", "disagreement", "kl", "js"}


def made(seed=0, members=4, samples=50, classes=5):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(members, samples, classes, generator=generator)
    return logits, torch.randint(classes, (samples,), generator=generator)


def test_two_members_on_two_samples_by_hand():
    p = torch.tensor([[[0.8, 0.2], [0.4, 0.6]], [[0.6, 0.4], [0.9, 0.1]]])
    found = evaluate_ensemble(p.log(), torch.tensor([0, 1]), bins=4)
    # the ensemble says (0.7, 0.3) and (0.65, 0.35): right, and wrong
    assert found.accuracy == 50
    assert found.loss == pytest.approx(-(log(0.7) + log(0.35)) / 2)
    # both fall into the bin (0.5, 0.75], with accuracy 0.5 and mean confidence 0.675
    assert found.calibration_error == pytest.approx(0.675 - 0.5)
    assert found.member_accuracy == 75
    assert found.member_loss == pytest.approx(-(log(0.8) + log(0.6) + log(0.6) + log(0.1)) / 4)
    assert found.disagreement == 0.5
    one_way = [0.8 * log(0.8 / 0.6) + 0.2 * log(0.2 / 0.4), 0.4 * log(0.4 / 0.9) + 0.6 * log(0.6 / 0.1)]
    other_way = [0.6 * log(0.6 / 0.8) + 0.4 * log(0.4 / 0.2), 0.9 * log(0.9 / 0.4) + 0.1 * log(0.1 / 0.6)]
    assert found.kl == pytest.approx((sum(one_way) + sum(other_way)) / 4)


def test_divergences_agree_with_scipy():
    logits, labels = made()
    p = logits.double().softmax(-1).numpy()
    found = evaluate_ensemble(logits, labels)
    ordered = [(i, j) for i in range(4) for j in range(4) if i != j]
    assert found.kl == pytest.approx(np.mean([entropy(p[i], p[j], axis=-1).mean() for i, j in ordered]))
    distances = [jensenshannon(p[i], p[j], axis=-1) ** 2 for i, j in ordered]
    assert found.js == pytest.approx(np.mean(distances))
    predicted = p.argmax(-1)
    assert found.disagreement == pytest.approx(np.mean([predicted[i] != predicted[j] for i, j in ordered]))
    assert found.loss == pytest.approx(-np.log(p.mean(0)[np.arange(50), labels]).mean())
    assert found.accuracy == pytest.approx(100 * (p.mean(0).argmax(-1) == labels.numpy()).mean())


def test_calibration_error_agrees_with_a_loop_over_bins():
    logits, labels = made(samples=400)
    p = logits[0].double().softmax(-1)
    confidence, predicted = p.max(-1)
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            right = (predicted == labels)[inside].double().mean()
            expected += float(inside.double().mean() * (right - confidence[inside].mean()).abs())
    assert calibration_error(p.log(), labels).item() == pytest.approx(expected)


def test_members_that_are_equal_do_not_differ():
    logits, labels = made(members=1)
    found = evaluate_ensemble(logits.repeat(3, 1, 1), labels)
    assert (found.disagreement, found.members) == (0, 3)
    assert found.kl == pytest.approx(0, abs=1e-12)
    assert found.js == pytest.approx(0, abs=1e-12)
    assert found.loss == pytest.approx(found.member_loss)
    assert found.calibration_error == pytest.approx(found.member_calibration_error)


def test_members_that_are_sure_of_different_classes_are_as_far_apart_as_can_be():
    logits = torch.tensor([[[200.0, 0.0]], [[0.0, 200.0]]])
    found = evaluate_ensemble(logits, torch.tensor([0]))
    assert (found.disagreement, found.js, found.kl) == (1, pytest.approx(log(2)), pytest.approx(200))
    assert found.calibration_error == pytest.approx(0.5)


@given(seed=st.integers(0, 10_000), members=st.integers(2, 5), classes=st.integers(2, 6))
def test_order_does_not_matter_and_bounds_hold(seed, members, classes):
    logits, labels = made(seed, members, 20, classes)
    found, turned = evaluate_ensemble(logits, labels), evaluate_ensemble(logits.flip(0), labels)
    assert asdict(found) == pytest.approx(asdict(turned))
    assert found.loss <= found.member_loss + 1e-12  # −log is convex
    assert 0 <= found.js <= log(2)
    assert 0 <= found.calibration_error <= 1
    assert 0 <= found.disagreement <= 1
    assert all(getattr(found, name) >= 0 for name in MEASURES)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(1, 3, 2), torch.zeros(3, dtype=torch.int64), "two members or more"),
        (torch.zeros(2, 3, 2), torch.zeros(4, dtype=torch.int64), r"shapes \[2, 3, 2\] and \[4\]"),
        (torch.zeros(2, 0, 2), torch.zeros(0, dtype=torch.int64), "a label per sample"),
        (torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), r"got shapes \[2, 3\]"),
        (torch.zeros(2, 3, 2), torch.tensor([0, 1, 2]), "labels from 0 to 1, got 0 to 2"),
        (torch.zeros(2, 3, 2), torch.tensor([0, -1, 1]), "got -1 to 1"),
    ],
)
def test_bad_input_is_refused(logits, labels, message):
    with pytest.raises(DataError, match=message):
        evaluate_ensemble(logits, labels)
