"""What `permask plan` says of operations, and of how narrow intervals will be."""

import json

import numpy as np
import pytest
import yaml
from scipy import stats
from support.made_results import made_network
from support.small_study import SMALL, run, write_study

from permask.report.outcomes import Outcomes
from permask.report.power import pairs_for, pooled_spread, powers
from permask.report.statistics import half_width
from permask.study.load import Prepared
from permask.study.operations import operations_per_epoch
from permask.study.plan import make_plan
from permask.study.spec import Study

FORWARD = 2 * (64 * 16 + 16 * 16 + 16 * 10)


def plan_of(**changes):
    return make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | changes)))


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_half_width_is_that_of_scipys_interval(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert half_width(float(values.std(ddof=1)), n) == pytest.approx((high - low) / 2)


def test_one_pair_has_no_width() -> None:
    assert half_width(0.4, 1) is None


@pytest.mark.parametrize("n", [2, 5, 20])
def test_the_pairs_for_a_width_are_the_fewest(n: int) -> None:
    wanted = (half_width(0.4, n) or 0) / 2
    more = pairs_for(0.4, wanted)
    assert more is not None
    assert (half_width(0.4, more) or 0) <= wanted < (half_width(0.4, more - 1) or 0)
    assert pairs_for(0.0, 0.0) is None


def test_the_spread_is_pooled_over_conditions_with_their_degrees_of_freedom() -> None:
    # differences 1, 3 at one sparsity; 0, 3, 6 at another; a single one at a third: s² = (1 · 2 + 2 · 9) / 3
    differences = {0.8: [1, 3], 0.9: [0, 3, 6], 0.95: [7]}
    rows = [
        made_network(method, sparsity, 0, pair, accuracy=50.0 + (by if method == "lth" else 0))
        for sparsity, values in differences.items()
        for pair, by in enumerate(values)
        for method in ("lth", "naive")
    ]
    assert pooled_spread([Outcomes.of(rows)], "lth", "naive") == (pytest.approx((20 / 3) ** 0.5), 2)
    assert pooled_spread([Outcomes.of(rows)], "lth", "snip") == (None, 0)


def test_a_spread_that_is_given_tells_of_every_comparison() -> None:
    found = powers(plan_of(pairs=3, compare=[["lth", "permuted"], ["permuted", "random"]]), spread=0.4)
    assert [(power.first, power.second) for power in found] == [("lth", "permuted"), ("permuted", "random")]
    assert {(power.spread, power.half_width, power.pairs) for power in found} == {(0.4, half_width(0.4, 3), 3)}
    assert [power.second for power in powers(plan_of())] == ["naive"]
    assert powers(plan_of())[0].half_width is None
    assert powers(plan_of(methods=["lth", "naive"])) == powers(plan_of(compare=[])) == []


def test_operations_follow_from_the_network_and_what_the_study_says_of_its_data() -> None:
    assert operations_per_epoch(plan_of()) == 3 * FORWARD * 128
    small = {"network": {"name": "mlp", "widths": [4]}, "data": {"name": "cifar10", "content": "x"}}
    assert operations_per_epoch(plan_of(**small)) == 3 * 2 * (3072 * 4 + 40) * 50_000
    resized = {**small, "data": {"name": "cifar100", "content": "x", "image_size": 8, "train_size": 10}}
    assert operations_per_epoch(plan_of(**resized)) == 3 * 2 * (192 * 4 + 400) * 10
    held_out = {**small, "data": {"name": "svhn", "content": "x", "image_size": 8, "validation": 257}}
    assert operations_per_epoch(plan_of(**held_out)) == 3 * 2 * (192 * 4 + 40) * 73_000
    assert operations_per_epoch(plan_of(data={"name": "image_folder", "root": "x", "content": "x"})) is None


def test_the_command_tells_from_the_store_and_from_what_it_is_given(tmp_path) -> None:
    quick = ["methods=[naive, permuted]", "sparsities=[0.5]", "rewinds=[0]", "connect=null"]
    study, store = write_study(tmp_path), tmp_path / "store"
    before = " ".join(run("plan", study, *quick).stdout.split())
    assert "permuted − naive: interval unknown, the store has no two pairs" in before
    run("run", study, *quick, "--jobs", 2, "--store", store, "--out", tmp_path / "out")
    told = json.loads(run("plan", study, *quick, "pairs=3", "--store", store, "--json").stdout)
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    by_method = {
        method: {row["pair"]: row["accuracy"] for row in rows if row["method"] == method}
        for method in ("permuted", "naive")
    }
    spread = float(np.std([by_method["permuted"][pair] - by_method["naive"][pair] for pair in (0, 1)], ddof=1))
    (power,) = told["power"]
    assert (power["spread"], power["half_width"]) == (pytest.approx(spread), pytest.approx(half_width(spread, 3)))
    assert told["flops_per_epoch"] == 3 * FORWARD * 128
    assert {row["flops"] for row in rows if row["method"] == "dense"} == {4 * 3 * FORWARD * 128}
    given = " ".join(run("plan", study, *quick, "--spread", "0.4").stdout.split())
    assert "permuted − naive: 95% interval ± 3.59 points at 2 pairs, half of that at 3" in given
    assert "--spread" in run("plan", study, "--spread", "-1", code=2).stderr
