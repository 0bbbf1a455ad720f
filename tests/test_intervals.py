"""Intervals of ratios, of means over cells and on new test inputs, by hand and by their definitions."""

import numpy as np
import pytest
from scipy import stats

from permask.report.intervals import interval_on_inputs, interval_over_cells, ratio_interval
from permask.report.statistics import Difference, t_interval


@pytest.mark.parametrize("n", [3, 5, 20])
def test_fiellers_interval_ends_where_the_t_test_does(n: int) -> None:
    generator = np.random.default_rng(n)
    x, y = generator.normal(10, 1, n), generator.normal(4, 2, n)
    found = ratio_interval(list(y), list(x))
    assert found is not None and found.low is not None and found.high is not None
    assert found.mean == pytest.approx(y.mean() / x.mean())
    for end in (found.low, found.high):
        assert stats.ttest_1samp(y - end * x, 0).pvalue == pytest.approx(0.05)
    inside, outside = (found.low + found.high) / 2, 2 * found.high - found.low
    assert stats.ttest_1samp(y - inside * x, 0).pvalue > 0.05 > stats.ttest_1samp(y - outside * x, 0).pvalue
    assert found.p == pytest.approx(stats.ttest_1samp(y, 0).pvalue)
    assert found.excludes_zero == (found.p < 0.05)


def test_fiellers_interval_by_hand() -> None:
    # x: mean 4, variance of the mean 1/3; y: mean 2, variance 1/3; covariance 1/6; t² = 18.513 at 2 degrees of freedom:
    # (16 − 6.171) ρ² − 2 (8 − 3.0855) ρ + 4 − 6.171 = 0
    found = ratio_interval([1.0, 3.0, 2.0], [3.0, 4.0, 5.0])
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(sorted(np.roots([9.829, -9.829, -2.171]))), abs=1e-3)
    assert (found.mean, found.n) == (0.5, 3)


@pytest.mark.parametrize("x", [[1.0, -1.0, 3.0], [-4.0, -4.5, -5.0], [5.0]])
def test_a_mean_that_is_not_told_from_zero_has_no_share(x: list[float]) -> None:
    assert ratio_interval([1.0] * len(x), x) is None


def test_two_pairs_have_a_ratio_without_interval() -> None:
    assert ratio_interval([1.0, 2.0], [4.0, 4.1]) == Difference(1.5 / 4.05, None, None, 2)


def test_a_pair_counts_once_over_cells() -> None:
    # means within the pairs: 2, 4, 9
    cells = [{0: 1.0, 1: 3.0, 2: 10.0}, {0: 3.0, 1: 5.0, 2: 8.0}]
    assert interval_over_cells(cells) == t_interval([2.0, 4.0, 9.0])
    # a fourth pair that lacks a cell changes nothing, wherever it stands
    assert interval_over_cells([{7: 100.0, **cells[0]}, cells[1]]) == t_interval([2.0, 4.0, 9.0])
    assert interval_over_cells(cells[:1]) == t_interval([1.0, 3.0, 10.0])
    assert interval_over_cells([{0: 1.0}, {1: 2.0}]) is None


def test_the_interval_on_inputs_by_hand() -> None:
    differences = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, -1, 1], [0, 0, 0, 1]], float)
    pairs, inputs = differences.shape
    mean = differences.mean()
    rows, columns = differences.mean(1), differences.mean(0)
    squares = {"pairs": 0.0, "inputs": 0.0, "residual": 0.0}
    for i in range(pairs):
        for j in range(inputs):
            squares["pairs"] += (rows[i] - mean) ** 2 / (pairs - 1)
            squares["inputs"] += (columns[j] - mean) ** 2 / (inputs - 1)
            residual = differences[i, j] - rows[i] - columns[j] + mean
            squares["residual"] += residual**2 / ((pairs - 1) * (inputs - 1))
    assert squares["inputs"] > squares["residual"]
    of_pairs = stats.t.ppf(0.975, 4) ** 2 * squares["pairs"] / 20
    of_inputs = stats.t.ppf(0.975, 3) ** 2 * (squares["inputs"] - squares["residual"]) / 20
    half = (of_pairs + of_inputs) ** 0.5
    found = interval_on_inputs(differences)
    assert (found.mean, found.low, found.high) == pytest.approx((mean, mean - half, mean + half))
    assert (found.n, found.p) == (5, None)


def test_inputs_on_which_all_pairs_agree_no_more_than_by_chance_leave_students_interval() -> None:
    # every input is right for one method in one pair, so that no input differs from another over pairs
    differences = np.repeat(np.eye(6), 3, axis=1)[:, :15]
    differences[5] = 0.2
    found, student = interval_on_inputs(differences), t_interval(list(differences.mean(1)))
    assert differences.mean(0) == pytest.approx(np.full(15, 0.2))
    assert (found.mean, found.low, found.high) == pytest.approx((student.mean, student.low, student.high))


@pytest.mark.parametrize("pairs", [1, 4])
def test_few_pairs_have_no_interval_on_inputs(pairs: int) -> None:
    assert interval_on_inputs(np.ones((pairs, 10))) == Difference(1.0, None, None, pairs)


def test_the_variance_on_inputs_is_that_of_new_pairs_and_new_inputs() -> None:
    """The moments, averaged over many draws, are the variance of the mean over new pairs and inputs."""
    generator = np.random.default_rng(0)
    draws = [
        generator.normal(0, 0.5, (6, 1)) + generator.normal(0, 1, 20) + generator.normal(0, 2, (6, 20))
        for _ in range(4000)
    ]
    means = np.array([draw.mean() for draw in draws])
    expected = 0.5**2 / 6 + 1 / 20 + 2**2 / 120
    assert means.var() == pytest.approx(expected, rel=0.1)
    quantiles = stats.t.ppf(0.975, 5), stats.t.ppf(0.975, 19)
    halves = []
    for draw in draws:
        found, student = interval_on_inputs(draw), t_interval(list(draw.mean(1)))
        assert found.high is not None and student.high is not None
        of_pairs = ((student.high - student.mean) / quantiles[0]) ** 2
        halves.append(
            of_pairs + ((found.high - found.mean) ** 2 - (student.high - student.mean) ** 2) / quantiles[1] ** 2
        )
    assert np.mean(halves) == pytest.approx(expected, rel=0.05)
