"""Differences against sparsity, and the share of the gap between naive and lth that methods close."""

import numpy as np
import pytest
from scipy import stats
from support.made_results import made_network, made_results

from permask.report.differences import LEAST, difference_plot, gap_closed, gap_plot, gap_table
from permask.report.figures import plots
from permask.report.outcomes import Outcomes


def outcomes_of(**accuracies: list[float]) -> Outcomes:
    return Outcomes.of(
        made_network(method, 0.9, 5, pair, accuracy=accuracy)
        for method, values in accuracies.items()
        for pair, accuracy in enumerate(values)
    )


def test_the_share_is_taken_within_pairs_with_students_interval() -> None:
    outcomes = outcomes_of(lth=[94.0, 96.0, 95.0], naive=[90.0, 92.0, 90.0], permuted=[92.0, 95.0, 94.0])
    found, left_out, pairs = gap_closed(outcomes, "permuted", 0.9, 5)
    shares = np.array([50.0, 75.0, 80.0])
    interval = stats.t.interval(0.95, 2, shares.mean(), stats.sem(shares))
    assert found is not None
    assert (found.mean, (found.low, found.high), found.n) == (shares.mean(), pytest.approx(interval), 3)
    assert (left_out, pairs) == (0, 3)


def test_pairs_with_hardly_a_gap_are_left_out_and_counted() -> None:
    outcomes = outcomes_of(lth=[94.0, 92.0, 90.0], naive=[90.0, 92.0 - LEAST / 2, 91.0], permuted=[93.0, 95.0, 90.5])
    found, left_out, pairs = gap_closed(outcomes, "permuted", 0.9, 5)
    assert found is not None
    assert (found.mean, found.n, left_out, pairs) == (75.0, 1, 2, 3)
    table, plot = gap_table(outcomes, 5), gap_plot(outcomes, 5)
    assert table is not None and plot is not None
    assert table.note == "Left out are pairs in which lth is less than 0.5 points above naive: 2 of 3 at 90%."
    assert table.note in plot.caption
    assert [cell.text for cell in table.rows[0].cells] == ["+75 no interval", "1"]
    assert table.rows[-1].cells[-1].text == "3"


def test_without_any_gap_there_is_no_figure_and_the_table_says_why() -> None:
    outcomes = outcomes_of(lth=[90.0, 90.0], naive=[90.0, 91.0], permuted=[93.0, 95.0])
    assert gap_plot(outcomes, 5) is None
    table = gap_table(outcomes, 5)
    assert table is not None
    assert table.rows[0].cells[0].text == "–"
    assert "2 of 2 at 90%" in table.note


@pytest.mark.parametrize("methods", [("lth", "permuted"), ("naive", "permuted"), ("lth", "naive"), ()])
def test_without_both_ends_or_another_method_there_is_no_gap(methods: tuple[str, ...]) -> None:
    outcomes = Outcomes.of_study(made_results(methods=methods, pairs=2, alphas=0))
    assert gap_table(outcomes, 5) is None
    assert gap_plot(outcomes, 5) is None


def test_the_differences_that_a_study_names_have_a_figure_of_their_intervals() -> None:
    results = made_results(alphas=0)
    assert "accuracy_differences" not in [plot.name for plot in plots(results)]
    results.study["compare"] = [["lth", "permuted"], ["permuted", "naive"]]
    (plot,) = (plot for plot in plots(results) if plot.name == "accuracy_differences")
    assert "bands: Student's 95% interval over n = 5 pairs." in plot.caption
    outcomes = Outcomes.of_study(results)
    drawn = [np.asarray(line.get_ydata(), float) for line in plot.figure.axes[0].lines]
    for first, second in outcomes.compared:
        means = [d.mean for s in outcomes.sparsities if (d := outcomes.difference(first, second, s, 5))]
        assert any(len(y) == len(means) and np.array_equal(y, means) for y in drawn)
    results.study["compare"] = []
    assert difference_plot(Outcomes.of_study(results), 5) is None


def test_a_method_far_below_naive_does_not_flatten_the_others() -> None:
    outcomes = outcomes_of(lth=[94.0, 96.0], naive=[90.0, 92.0], permuted=[92.0, 95.0], mine=[10.0, 12.0])
    plot = gap_plot(outcomes, 5)
    assert plot is not None
    low, high = plot.figure.axes[0].get_ylim()
    assert (low, high) == (-100, 200)
    assert "between −100 and 200%" in plot.caption
