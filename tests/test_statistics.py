import numpy as np
import pytest
import scipy.stats
from support.made_results import made_network, made_results

from permask.report.connectivity import curve
from permask.report.outcomes import Outcomes, in_order
from permask.report.statistics import (
    Difference,
    Summary,
    bootstrap_interval,
    error_barrier,
    holm,
    summarise,
    t_interval,
    welch_interval,
)
from permask.study.steps.connect import PathPoint
from permask.study.steps.trained import Trained


def test_mean_and_std_by_hand() -> None:
    summary = summarise([1.0, 2.0, 6.0])
    assert summary.mean == 3
    assert summary.std == pytest.approx(7**0.5)  # (4 + 1 + 9) / 2
    assert summary.n == 3


def test_a_single_value_has_no_spread() -> None:
    assert summarise([5.0]) == Summary(5.0, None, 1)
    assert t_interval([5.0]) == Difference(5.0, None, None, 1)
    assert not t_interval([5.0]).excludes_zero


@pytest.mark.parametrize("n", [2, 3, 5, 30])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_is_that_of_scipys_paired_t_test(n: int, confidence: float) -> None:
    generator = np.random.default_rng(n)
    first, second = generator.normal(1, 1, n), generator.normal(0, 2, n)
    found = t_interval(list(first - second), confidence)
    test = scipy.stats.ttest_rel(first, second)
    interval = test.confidence_interval(confidence)
    np.testing.assert_allclose(
        [found.mean, found.low, found.high],
        [np.mean(first - second), interval.low, interval.high],
        rtol=1e-10,
    )
    assert found.excludes_zero == (test.pvalue < 1 - confidence)
    assert found.p == pytest.approx(test.pvalue, rel=1e-10)


def test_differences_that_do_not_spread_are_told_from_zero_unless_they_are_zero() -> None:
    assert t_interval([2.0, 2.0]) == Difference(2.0, 2.0, 2.0, 2, 0.0)
    assert t_interval([0.0, 0.0]) == Difference(0.0, 0.0, 0.0, 2, 1.0)


def test_only_pairs_that_have_both_are_compared() -> None:
    accuracies = {"permuted": {0: 3.0, 1: 5.0, 7: 9.0}, "naive": {1: 4.0, 7: 6.0, 9: 0.0}, "random": {8: 1.0}}
    outcomes = Outcomes.of(
        made_network(method, 0.9, 0, pair, accuracy=accuracy)
        for method, by_pair in accuracies.items()
        for pair, accuracy in by_pair.items()
    )
    assert outcomes.differences("permuted", "naive", 0.9, 0) == [1.0, 3.0]
    assert outcomes.difference("permuted", "naive", 0.9, 0) == t_interval([1.0, 3.0])
    assert outcomes.difference("permuted", "random", 0.9, 0) is None


def test_the_bootstrap_interval_is_scipys_at_an_expanded_level() -> None:
    values = np.random.default_rng(0).exponential(size=12)
    expanded = (12 / 11) ** 0.5 * scipy.stats.t.ppf(0.95, 11)
    expected = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=4999,
        confidence_level=scipy.stats.norm.cdf(expanded) - scipy.stats.norm.cdf(-expanded),
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = bootstrap_interval(list(values), 0.9, seed=3)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.mean == pytest.approx(values.mean())


def test_the_bootstrap_of_few_or_equal_values() -> None:
    assert bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == Difference(4.0, None, None, 7)
    assert bootstrap_interval([2.0] * 8) == Difference(2.0, 2.0, 2.0, 8)


def test_holms_correction_by_hand() -> None:
    # 4 · 0.005, 3 · 0.01, 2 · 0.03, and 1 · 0.04, which may not be below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5, 0.9]) == [1.0, 1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_holms_correction_errs_in_5_of_100_tables_where_bare_p_values_err_in_more() -> None:
    # twelve cells of one table over five pairs, none of them different from zero, correlated within pairs
    generator = np.random.default_rng(0)
    tables = generator.normal(size=(4000, 12, 5)) + generator.normal(size=(4000, 1, 5))
    p_values = scipy.stats.ttest_1samp(tables, 0, axis=2).pvalue
    bare = np.mean(p_values.min(1) < 0.05)
    corrected = np.mean([min(holm(list(table))) < 0.05 for table in p_values])
    assert corrected < 0.05 < 0.2 < bare


def covered(intervals: list[Difference], true_mean: float) -> float:
    """Share of intervals that hold the true mean."""
    held = [i.low is not None and i.high is not None and i.low <= true_mean <= i.high for i in intervals]
    return sum(held) / len(held)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_students_interval_holds_the_true_mean_in_95_of_100_studies(n: int) -> None:
    generator = np.random.default_rng(n)
    studies = generator.normal(2.6, 1.5, (5000, n))
    assert 0.94 < covered([t_interval(list(study)) for study in studies], 2.6) < 0.96


def test_students_interval_holds_for_differences_of_accuracies_on_a_finite_test_set() -> None:
    # two methods whose networks are right on 95% and 92% of images, of which 1,157 are tested
    generator = np.random.default_rng(0)
    right = generator.binomial(1157, [0.95, 0.92], (5000, 5, 2)) / 11.57
    assert 0.93 < covered([t_interval(list(study[:, 0] - study[:, 1])) for study in right], 3.0) < 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 10, 30])
def test_the_bootstrap_interval_holds_the_true_mean_in_95_of_100_studies(n: int) -> None:
    studies = np.random.default_rng(n).normal(size=(3000, n))
    assert 0.93 < covered([bootstrap_interval(list(study)) for study in studies], 0.0) < 0.97


@pytest.mark.parametrize(("first", "second"), [(3, 5), (5, 5), (4, 12)])
def test_welchs_interval_holds_the_true_difference_in_95_of_100_studies(first: int, second: int) -> None:
    generator = np.random.default_rng(first)
    ours, theirs = generator.normal(2, 1, (5000, first)), generator.normal(0.5, 3, (5000, second))
    found = [welch_interval(summarise(list(a)), summarise(list(b))) for a, b in zip(ours, theirs, strict=True)]
    assert 0.93 < covered(found, 1.5) < 0.97


def test_the_barrier_is_the_largest_excess_over_the_line_between_the_ends() -> None:
    # the line falls from 98 to 96; at 0.5 it is at 97, 5 above the path
    assert error_barrier([0, 0.5, 1, 0.75], [98, 92, 96, 93]) == 5
    assert error_barrier([0, 0.5, 1], [90, 95, 90]) == 0


def test_methods_stand_in_the_reports_order() -> None:
    assert in_order(["zeta", "random", "permuted", "alpha", "lth", "random"]) == (
        "lth",
        "permuted",
        "random",
        "alpha",
        "zeta",
    )


def test_outcomes_find_the_cells_of_the_rows() -> None:
    results = made_results()
    outcomes = Outcomes.of(results.of(Trained))
    assert outcomes.methods == ("lth", "permuted", "naive", "random")
    assert outcomes.sparsities == (0.90, 0.95, 0.98, 0.99)
    assert outcomes.rewinds == (0, 5, 20)
    assert outcomes.middle_rewind == 5
    accuracies = [
        row.accuracy for row in results.of(Trained) if (row.method, row.sparsity, row.rewind) == ("naive", 0.98, 5)
    ]
    assert outcomes.summary("naive", 0.98, 5) == summarise(accuracies)
    assert outcomes.summary("naive", 0.97, 5) is None
    dense = outcomes.summary("dense")
    assert dense is not None
    assert dense.n == 10


def test_a_run_that_two_pairs_share_counts_once() -> None:
    outcomes = Outcomes.of(made_network("lth", 0.9, 0, pair, accuracy=90.0, step="same") for pair in (0, 1))
    assert outcomes.summary("lth", 0.9, 0) == Summary(90.0, None, 1)
    assert outcomes.by_pair("lth", 0.9, 0) == {0: 90.0, 1: 90.0}


def test_curves_hold_the_barriers_of_every_pair() -> None:
    results = made_results(alphas=21)
    before, after = (curve(results.of(PathPoint), permuted) for permuted in (False, True))
    assert before is not None
    assert after is not None
    assert before.alphas == tuple(round(0.05 * i, 4) for i in range(21))
    assert before.barriers.n == after.barriers.n == 5
    assert after.barriers.mean < 1.5 < 6 < before.barriers.mean
    assert before.accuracies[10].mean == pytest.approx(before.accuracies[0].mean - before.barriers.mean)
    assert curve([], permuted=True) is None
