"""The paper's claims are judged by what results say, pair by pair; a second difference can stand in the way."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.made_results import changed, made_network, made_results, measured_results

from permask.report.claims import NOT_DECIDED, NOT_REPRODUCED, REPRODUCED, claim_lines, judged
from permask.report.outcomes import Outcomes
from permask.report.paper import CLAIMS
from permask.report.power import pairs_for
from permask.report.statistics import half_width
from permask.study.results import Results
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.trained import Trained

BETTER, WIDTH, EARLY, DIVERSE, REPAIR = CLAIMS
STUDY: dict[str, Any] = {
    **{"network": {"name": "mlp", "widths": [256, 256]}, "data": {"name": "digits", "train": 192}},
    **{"epochs": 60, "sparsities": [0.9, 0.95]},
}


def named(results: Results, name: str, **study: object) -> dict[str, Results]:
    return {name: replace(results, study=STUDY | {"name": name} | study)}


def of_pairs(**methods: list[float]) -> Results:
    """Networks at one sparsity and rewind epoch: method to its accuracy in every pair."""
    rows = [
        made_network(method.replace("_t_", " t="), 0.9, 5, pair, accuracy=accuracy)
        for method, accuracies in methods.items()
        for pair, accuracy in enumerate(accuracies)
    ]
    return Results({}, {}, [replace(row, step=f"{row.method}{row.pair}") for row in rows])


def test_a_difference_is_the_mean_over_cells_within_pairs_with_scipys_interval() -> None:
    results = made_results(pairs=6)
    (found,) = judged(BETTER, named(results, "digits"))
    outcomes = Outcomes.of(results.of(Trained))
    cells = [
        outcomes.differences("permuted", "naive", sparsity, rewind)
        for sparsity in outcomes.sparsities
        for rewind in outcomes.rewinds
    ]
    of_pairs = np.mean(cells, axis=0)
    low, high = stats.t.interval(0.95, 5, of_pairs.mean(), stats.sem(of_pairs))
    assert (found.difference.mean, found.difference.low, found.difference.high, found.n) == (
        *(pytest.approx(value) for value in (of_pairs.mean(), low, high)),
        6,
    )
    assert found.verdict == REPRODUCED
    assert found.scale == "mlp 256-256, digits (192 training inputs), 60 epochs, 90%, 95%"
    assert found.besides is not None and found.besides.low is not None and found.besides.low > 0  # naive − random


@pytest.mark.parametrize(
    ("permuted", "verdict"),
    [
        ([91, 92, 91.5], REPRODUCED),
        ([89, 88, 88.5], NOT_REPRODUCED),
        ([91, 89, 90.5], NOT_DECIDED),
        ([91, 92], NOT_DECIDED),
    ],
)
def test_a_verdict_goes_by_the_interval_and_takes_three_pairs(permuted: list[float], verdict: str) -> None:
    results = of_pairs(permuted=permuted, naive=[90.0] * len(permuted))
    (found,) = judged(BETTER, named(results, "cifar10-resnet8"))
    assert found.verdict == verdict
    assert (found.decides == "") == (verdict != NOT_DECIDED)


def test_what_would_decide_is_the_number_of_pairs_at_this_spread() -> None:
    values = [1.0, -1.0, 0.5, 1.5]
    (found,) = judged(BETTER, named(of_pairs(permuted=values, naive=[0.0] * 4), "cifar10-resnet8"))
    n = pairs_for(float(np.std(values, ddof=1)), 0.5)
    assert n is not None and (half_width(float(np.std(values, ddof=1)), n) or 9) <= 0.5
    assert found.decides == f"about {n} pairs in all, if differences go on as here"
    (found,) = judged(BETTER, named(of_pairs(permuted=[1.0, -1.0, 0.0], naive=[0.0] * 3), "cifar10-resnet8"))
    assert found.decides.startswith("no number of pairs")


def test_pairs_that_lack_a_cell_are_left_out() -> None:
    results = of_pairs(permuted=[91, 92, 93, 94], naive=[90, 90, 90])
    (found,) = judged(BETTER, named(results, "digits"))
    assert (found.n, found.difference.mean) == (3, 2)


def test_early_matching_may_lose_a_point_and_has_to_beat_naive() -> None:
    late, naive = [92.0, 93, 94], [90.0, 91, 92]
    for early, expected in (
        ([91.8, 92.7, 93.9], REPRODUCED),
        ([90.1, 91.3, 91.6], NOT_REPRODUCED),
        ([91.9, 91.4, 93.9], NOT_DECIDED),
    ):
        results = of_pairs(permuted=late, naive=naive, permuted_t_5=early, permuted_t_20=late)
        (found,) = judged(EARLY, named(results, "early-matching"))
        assert (found.verdict, found.n) == (expected, 3)
    results = of_pairs(permuted=late, naive=late, permuted_t_5=[91.8, 92.7, 93.9])
    (found,) = judged(EARLY, named(results, "early-matching"))
    assert found.verdict == NOT_DECIDED  # as good as a match that does not help
    assert judged(EARLY, named(of_pairs(permuted=late, naive=naive), "early-matching")) == []


def test_ensembles_have_to_differ_for_the_errors_that_they_make() -> None:
    results = measured_results(pairs=9)
    (found,) = judged(DIVERSE, named(results, "ensembles"))
    assert (found.verdict, found.n) == (REPRODUCED, 3)
    worse = changed(  # so bad that their members differ less for each error
        results, MeasuredEnsemble, member_accuracy=lambda row: 10.0 if row.method == "permuted" else row.member_accuracy
    )
    (found,) = judged(DIVERSE, named(worse, "ensembles"))
    assert found.difference.low is not None and found.difference.low > 0
    assert found.verdict == NOT_DECIDED


def test_repair_is_compared_with_the_batchnorm_reset_and_must_not_grow_itself() -> None:
    results = measured_results(pairs=4)  # REPAIR's barrier is 2 points in every round
    (found,) = judged(REPAIR, named(results, "repair-along-imp"))
    barriers = {
        (row.pair, row.sparsity, row.statistics): row.accuracy for row in results.of(RoundPoint) if row.alpha == 0.5
    }
    growth = {
        name: np.array([barriers[pair, 0.0, name] - barriers[pair, 0.99, name] for pair in range(4)])
        for name in ("reset", "repair")
    }
    assert found.difference.mean == pytest.approx((growth["reset"] - growth["repair"]).mean())
    assert found.besides is not None and found.besides.mean == pytest.approx(growth["repair"].mean())
    assert found.verdict == REPRODUCED
    growing = changed(
        results,
        RoundPoint,
        accuracy=lambda row: row.accuracy - (row.statistics == "repair") * (row.alpha == 0.5) * row.round / 2,
    )
    (found,) = judged(REPAIR, named(growing, "repair-along-imp"))
    assert found.difference.low is not None and found.difference.low > 0
    assert found.verdict == NOT_REPRODUCED


def test_the_gap_is_compared_between_the_smallest_and_the_largest_width() -> None:
    narrow, middle, wide = (
        of_pairs(lth=[95.0, 96, 97], permuted=[95 - gap, 96 - 1.1 * gap, 97 - 1.2 * gap]) for gap in (4.0, 9.0, 1.0)
    )
    rows = [
        replace(row, swept={"network.widths": [width, width]})
        for width, one in ((1024, wide), (32, narrow), (128, middle))
        for row in one.of(Trained)
    ]
    sweep = {"network.widths": [[1024, 1024], [32, 32], [128, 128]]}
    (found,) = judged(WIDTH, named(Results({}, {}, rows), "digits-width", sweep=sweep))
    assert found.difference.mean == pytest.approx(np.mean([3, 3.3, 3.6]))
    assert (found.verdict, found.file) == (REPRODUCED, "digits-width")
    network = {"name": "resnet20", "width": 1}
    known = named(narrow, "resnet20x1-cifar10", network=network)
    assert judged(WIDTH, known) == []
    known |= named(wide, "resnet20x4-cifar10", network=network | {"width": 4})
    (found,) = judged(WIDTH, known)
    assert found.study == "resnet20x1-cifar10, resnet20x4-cifar10"
    assert found.scale.startswith("resnet20 ×1 to ×4")


def test_studies_come_nearest_to_the_paper_first_and_those_that_are_missing_are_left_out() -> None:
    results = of_pairs(permuted=[91, 92, 93], naive=[90, 90, 90])
    known = named(results, "digits") | named(results, "resnet20x1-cifar10") | named(results, "unknown")
    assert [found.study for found in judged(BETTER, known)] == ["resnet20x1-cifar10", "digits"]
    swept = [replace(row, swept={"sparse.rescale": None}) for row in results.of(Trained)]
    sweep = {"sparse": STUDY, "sweep": {"sparse.rescale": [None]}}
    (found,) = judged(BETTER, named(Results({}, {}, swept), "digits", **sweep))
    assert found.file == "digits" and found.study.startswith("digits-1-")
    assert claim_lines(None)[:3] == [NOT_DECIDED, "not run yet", "0"]
    assert claim_lines(found)[1].startswith(f"[{found.study}](results/digits.json): ")
