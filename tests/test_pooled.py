"""Differences over all cells together, and the check that methods which are equal in distribution do not differ."""

from pathlib import Path

import pytest
import yaml
from support.made_results import made_network, made_results, without
from support.small_study import SMALL

from permask.report.outcomes import Outcomes
from permask.report.pooled import check_sentence, pooled, pooled_sentence
from permask.report.statistics import t_interval
from permask.study.collect import collect
from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.plan import make_plan
from permask.study.provenance import provenance
from permask.study.spec import Study
from permask.study.store import Store
from permask.study.worker import Worker


def test_differences_are_averaged_within_pairs_over_all_cells() -> None:
    outcomes = Outcomes.of_study(made_results(alphas=0))
    by_cell = [outcomes.paired("permuted", "naive", s, k) for s in outcomes.sparsities for k in outcomes.rewinds]
    expected = t_interval([sum(cell[pair] for cell in by_cell) / 12 for pair in range(5)])
    found, cells, left = pooled(outcomes, "permuted", "naive")
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert (found.n, cells, left) == (5, 12, 0)
    sentence = pooled_sentence(outcomes)
    assert sentence.startswith(
        f"Over all 12 combinations of sparsity and rewind epoch: permuted − naive +{found.mean:.2f} ["
    )
    assert "(n = 5 pairs)" in sentence


def test_pairs_that_lack_a_cell_are_left_out_and_counted() -> None:
    results = without(made_results(alphas=0), lambda row: (row.pair, row.sparsity, row.method) == (1, 0.9, "naive"))
    found, cells, left = pooled(Outcomes.of_study(results), "permuted", "naive")
    assert found is not None
    assert (found.n, cells, left) == (4, 12, 1)
    assert "(n = 4 pairs, without 1 that lacks some)" in pooled_sentence(Outcomes.of_study(results))


def test_one_cell_is_told_by_the_table_alone() -> None:
    assert pooled_sentence(Outcomes.of_study(made_results(sparsities=(0.9,), rewinds=(5,), alphas=0))) == ""
    assert pooled_sentence(Outcomes.of_study(made_results(methods=("lth",), alphas=0))) == ""


def test_a_study_with_both_methods_that_are_equal_in_distribution_checks_them() -> None:
    accuracies = {"naive": [90.0, 91.0, 92.0], "any-symmetry": [90.5, 90.0, 92.0]}
    rows = [
        made_network(method, 0.9, 0, pair, accuracy=accuracy)
        for method, values in accuracies.items()
        for pair, accuracy in enumerate(values)
    ]
    expected = t_interval([-0.5, 1.0, 0.0])
    assert check_sentence(Outcomes.of(rows)).startswith(
        f"Check: naive − any-symmetry +{expected.mean:.2f} [−1.73, 2.06] ("
    )
    assert check_sentence(Outcomes.of(rows[:3])) == ""


def test_a_symmetry_that_knows_nothing_of_b_changes_nothing_and_one_that_knows_b_does(tmp_path: Path) -> None:
    """`naive` and `any-symmetry` do not differ over six pairs; `permuted`, another symmetry of the same mask, does."""
    changes = {
        **{
            "methods": ["naive", "any-symmetry", "permuted"],
            "pairs": 6,
            "epochs": 6,
            "data": {"name": "digits", "train": 512},
        },
        **{"sparsities": [0.8], "rewinds": [3], "prune": {"epochs": 2, "rate": 0.8}, "connect": None},
    }
    plan = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | changes)))
    store, made_with = Store(tmp_path / "store"), provenance()
    for step in plan.steps.values():
        assert Worker(store, made_with).compute(step.task) == Computed()
    outcomes = Outcomes.of_study(collect(plan, store))
    alike, _, _ = pooled(outcomes, "naive", "any-symmetry")
    other, _, _ = pooled(outcomes, "permuted", "any-symmetry")
    assert alike is not None and alike.p is not None and other is not None and other.p is not None
    assert alike.n == 6
    assert alike.p > 0.01
    assert other.p < 0.01
    assert outcomes.difference_on_inputs("naive", "any-symmetry", 0.8, 3) is not None
