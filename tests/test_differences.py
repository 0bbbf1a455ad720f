"""Differences against sparsity, and the share of the gap between naive and lth that methods close."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from scipy import stats
from support.made_results import made_network, made_results

from permask.report.differences import difference_plot, gap_closed, gap_plot, gap_table
from permask.report.figures import plots
from permask.report.outcomes import Outcomes
from permask.report.style import METHOD_STYLES


def outcomes_of(**accuracies: list[float]) -> Outcomes:
    return Outcomes.of(
        made_network(method, 0.9, 5, pair, accuracy=accuracy)
        for method, values in accuracies.items()
        for pair, accuracy in enumerate(values)
    )


def test_the_share_is_the_ratio_of_the_means_over_the_same_pairs() -> None:
    lth, naive, permuted = [94.0, 96.0, 95.0, 99.0], [90.0, 92.0, 90.0, 91.0], [92.0, 95.0, 94.0]
    found = gap_closed(outcomes_of(lth=lth, naive=naive, permuted=permuted), "permuted", 0.9, 5)
    assert found is not None and found.low is not None and found.high is not None
    assert (found.mean, found.n) == (pytest.approx(100 * 9 / 13), 3)
    own, gap = np.array([2.0, 3.0, 4.0]), np.array([4.0, 4.0, 5.0])
    for end in (found.low, found.high):
        assert stats.ttest_1samp(own - end / 100 * gap, 0).pvalue == pytest.approx(0.05)


def test_a_pair_with_hardly_a_gap_stays_in() -> None:
    lth, naive, permuted = (
        [94.0, 92.1, 95.0, 94.0, 94.0],
        [90.0, 92.0, 90.5, 90.0, 90.0],
        [93.0, 92.0, 93.0, 92.0, 92.0],
    )
    outcomes = outcomes_of(lth=lth, naive=naive, permuted=permuted)
    found = gap_closed(outcomes, "permuted", 0.9, 5)
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(100 * 9.5 / 16.6), 5)
    table, plot = gap_table(outcomes, 5), gap_plot(outcomes, 5)
    assert table is not None and plot is not None
    assert "Fieller's 95% interval" in table.caption
    assert "Fieller's 95% interval over n = 5 pairs" in plot.caption
    assert table.rows[0].cells[0].value == found
    assert not table.note


def test_the_band_of_the_share_is_its_own_interval_and_not_symmetric() -> None:
    outcomes = outcomes_of(lth=[93.0, 96.0, 95.0], naive=[90.0, 92.0, 90.0], permuted=[92.0, 95.0, 94.0])
    found, plot = gap_closed(outcomes, "permuted", 0.9, 5), gap_plot(outcomes, 5)
    assert found is not None and found.low is not None and found.high is not None and plot is not None
    assert found.mean - found.low > found.high - found.mean + 1
    (bar,) = (c for c in plot.figure.axes[0].collections if isinstance(c, LineCollection))
    drawn = np.asarray(bar.get_segments()[0])[:, 1]
    assert drawn == pytest.approx([found.low, found.high])


@pytest.mark.parametrize("lth", [[90.0, 93.0, 90.5], [85.0, 85.5, 85.2]])
def test_without_any_gap_there_is_no_figure_and_the_table_says_why(lth: list[float]) -> None:
    outcomes = outcomes_of(lth=lth, naive=[90.0, 90.5, 91.0], permuted=[93.0, 95.0, 94.0])
    assert gap_plot(outcomes, 5) is None
    table = gap_table(outcomes, 5)
    assert table is not None
    assert table.rows[0].cells[0].text == "no gap"
    assert table.note == "No gap to close at 90%, where no interval of lth − naive lies above 0."


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
    outcomes = outcomes_of(
        lth=[94.0, 96.0, 95.0], naive=[90.0, 92.0, 91.0], permuted=[92.0, 95.0, 98.0], mine=[10.0, 12.0, 14.0]
    )
    plot = gap_plot(outcomes, 5)
    assert plot is not None
    above, below = plot.figure.axes
    (low, high), (bottom, top) = above.get_ylim(), below.get_ylim()
    assert -150 < low < 0 and 100 < high < 250
    assert bottom < -100 * 80 / 4 < top == low  # its own mean is under the break
    assert "cuts off intervals that go far beyond −100 or 200%" in plot.caption


def test_a_difference_looks_like_its_first_method() -> None:
    outcomes = outcomes_of(lth=[94.0, 96.0], naive=[90.0, 92.0], permuted=[92.0, 95.0])
    for compared, alike in (
        ((("lth", "permuted"), ("permuted", "naive")), True),
        ((("lth", "permuted"), ("lth", "naive")), False),
    ):
        plot = difference_plot(replace(outcomes, comparisons=compared), 5)
        assert plot is not None
        drawn = [handle.get_color() for handle in plot.figure.legends[0].legend_handles]
        assert len(set(drawn)) == 2
        assert (drawn == [METHOD_STYLES[first].colour for first, _ in compared]) == alike
