import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from support.made_results import changed, made_results, without

from permask.cli.compare import compare as compare_command
from permask.errors import PermaskError
from permask.report.comparison import compare, compare_with_means
from permask.report.published import PUBLISHED
from permask.report.statistics import Difference, Summary, summarise, t_interval, welch_interval
from permask.study.steps.trained import Trained


@pytest.mark.parametrize(("n", "m"), [(3, 3), (3, 5), (10, 4)])
def test_welchs_interval_is_scipys(n: int, m: int) -> None:
    generator = np.random.default_rng(n)
    first, second = generator.normal(1, 1, n), generator.normal(0, 3, m)
    interval = scipy.stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = welch_interval(summarise(list(first)), summarise(list(second)))
    assert found.low == pytest.approx(interval.low, rel=1e-10)
    assert found.high == pytest.approx(interval.high, rel=1e-10)
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert found.p == pytest.approx(scipy.stats.ttest_ind(first, second, equal_var=False).pvalue)


def test_three_values_against_many_have_an_interval_at_96_percent_and_a_p_value_that_agrees() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(1, 1, 10), generator.normal(0, 3, 3)
    test = scipy.stats.ttest_ind(first, second, equal_var=False)
    found = welch_interval(summarise(list(first)), summarise(list(second)))
    interval = test.confidence_interval(0.96)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert found.p == pytest.approx(test.pvalue / 0.8)


def test_two_values_have_no_interval_beside_others() -> None:
    assert welch_interval(Summary(90, 0.5, 2), Summary(89, 0.5, 5)) == Difference(1, None, None, 2)


def test_means_without_spread_have_no_interval_and_equal_values_a_point() -> None:
    assert welch_interval(Summary(90, None, 3), Summary(89, 0.5, 5)) == Difference(1, None, None, 3)
    assert welch_interval(Summary(90, 0.0, 3), Summary(89, 0.0, 5)) == Difference(1, 1, 1, 3, 0.0)


def test_equal_seeds_are_compared_in_pairs() -> None:
    first = made_results()
    noise = np.random.default_rng(1)
    # the difference between machines is small against that between seeds
    second = changed(first, accuracy=lambda row: row.accuracy + 0.1 + 0.01 * noise.normal())
    found = compare(first, second)
    assert len(found) == 1 + 4 * 4 * 3
    for row in found:
        of_cell = [
            b.accuracy - a.accuracy
            for a, b in zip(first.of(Trained), second.of(Trained), strict=True)
            if (a.method, a.sparsity, a.rewind) == row.condition
        ]
        assert row.paired
        assert row.difference == t_interval(of_cell)
        assert row.difference.excludes_zero


def test_pairs_are_matched_by_seeds_and_not_by_number() -> None:
    first = made_results()
    renumbered = changed(first, pair=lambda row: 4 - row.pair)
    renumbered = replace(renumbered, rows=renumbered.rows[::-1])
    assert {(row.difference.mean, row.difference.low) for row in compare(first, renumbered)} == {(0.0, 0.0)}


def test_other_seeds_are_compared_by_their_means() -> None:
    first = made_results()
    second = changed(first, seed_a=lambda row: row.seed_a + 100, accuracy=lambda row: row.accuracy + 1)
    for row in compare(first, second):
        assert not row.paired
        assert row.difference == welch_interval(row.second, row.first)
        assert row.difference.mean == pytest.approx(1)


def test_only_common_cells_are_compared() -> None:
    found = compare(made_results(rewinds=(0, 5)), made_results(rewinds=(5, 20), methods=("lth", "naive")))
    assert {row.condition[0] for row in found} == {"dense", "lth", "naive"}
    assert {row.condition[2] for row in found} == {None, 5}


def test_results_are_compared_with_the_published_table() -> None:
    results = made_results(sparsities=(0.8, 0.97), rewinds=(20, 50), methods=("lth", "permuted"))
    found = {row.condition: row for row in compare_with_means(results, PUBLISHED)}
    assert found.keys() == {
        ("dense", 0, None),
        ("lth", 0.8, 20),
        ("lth", 0.97, 20),
        ("permuted", 0.8, 20),
        ("permuted", 0.97, 20),
        ("permuted", 0.97, 50),
    }
    row = found["lth", 0.97, 20]
    assert row.second == Summary(89.21, 0.23, 3)
    assert row.difference == welch_interval(row.second, row.first)
    assert found["permuted", 0.97, 50].difference.low is None


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    results = made_results()
    other = changed(results, accuracy=lambda row: row.accuracy - 0.5)
    for folder, content in (
        (first, results),
        (second, replace(other, provenance=other.provenance | {"torch": "2.11"})),
    ):
        folder.mkdir()
        content.save(folder)
    compare_command(first, str(second / "results.json"), tmp_path / "comparison.csv")
    printed = capsys.readouterr().out
    assert "torch: 2.15.0 / 2.11" in printed
    assert "−0.50 [−0.50, −0.50]" in printed
    with (tmp_path / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(compare(results, other))
    assert {row["paired"] for row in rows} == {"True"}
    assert float(rows[3]["difference"]) == pytest.approx(-0.5)


def test_the_command_knows_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_results(sparsities=(0.97,), rewinds=(20,)).save(tmp_path)
    compare_command(tmp_path, "paper")
    printed = capsys.readouterr().out
    assert "89.21 ± 0.23" in printed
    assert "against mlp on digits" in printed


def test_the_command_rejects_what_cannot_be_compared(tmp_path: Path) -> None:
    made_results(sparsities=(0.5,), rewinds=(3,)).save(tmp_path)
    with pytest.raises(PermaskError, match=r"missing: expected results"):
        compare_command(tmp_path, "missing")
    (tmp_path / "other").mkdir()
    without(made_results(rewinds=(5,)), lambda row: row.method == "dense").save(tmp_path / "other")
    with pytest.raises(PermaskError, match="no method, sparsity and rewind epoch in common"):
        compare_command(tmp_path, str(tmp_path / "other"))
    with pytest.raises(PermaskError, match="choose another file with --out"):
        compare_command(tmp_path, str(tmp_path), tmp_path)
