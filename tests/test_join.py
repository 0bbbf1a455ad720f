"""Results of one study from several machines become those of the study with all pairs, or one sentence says why not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.made_results import changed, made_results, measured_results, without
from support.small_study import SMALL, run, write_study

from permask.errors import PermaskError
from permask.report.origins import warning
from permask.report.outcomes import Outcomes
from permask.study.collect import collect
from permask.study.join import JOINED, joined
from permask.study.load import Prepared
from permask.study.plan import make_plan
from permask.study.results import IN_KEYS, Results
from permask.study.spec import Study
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.trained import Trained
from permask.study.store import Store
from permask.study.throughput import MeasuredThroughput

WITH = {"torch": {"2.15.0": 10}, "device": {"cpu": 9}, "precision": {"float32": 9}, "cpu": {"one": 10}}
KEYS = {
    "torch": {"2.15": ["dense", "sparse"]},
    "precision": {"float32": ["dense"]},
    "content of data": {"abc": ["dense"]},
}


def part(results: Results, pairs: range, **provenance: object) -> Results:
    """What a run of some of the pairs would have found: its pairs are numbered from 0."""
    rows: Any = [row for row in results.rows if getattr(row, "pair", pairs[0]) in pairs]
    rows = [replace(row, pair=row.pair - pairs[0]) if hasattr(row, "pair") else row for row in rows]
    rows = [
        replace(row, pairs=[pair - pairs[0] for pair in row.pairs]) if isinstance(row, MeasuredEnsemble) else row
        for row in rows
    ]
    study = results.study | {"pairs": len(pairs), "first_seed": 2 * pairs[0]}
    return Results(study, results.provenance | {"computed_with": WITH, IN_KEYS: KEYS} | provenance, rows)


def test_parts_of_a_study_become_the_whole_in_any_order() -> None:
    whole = measured_results(pairs=6, members=3, every=3)
    parts = {"a": part(whole, range(3)), "b": part(whole, range(3, 6))}
    for order in ("ab", "ba"):
        found = joined({name: parts[name] for name in order})
        assert found.rows == whole.rows
        assert found.study == whole.study | {"pairs": 6, "first_seed": 0}
        assert found.provenance["computed_with"] == {
            name: {v: 2 * n for v, n in of.items()} for name, of in WITH.items()
        }
        assert found.provenance[IN_KEYS] == KEYS
        assert found.provenance["torch"] == "2.15.0"
        assert found.provenance[JOINED] == "2 results"


def test_pairs_are_numbered_by_their_seeds_also_where_some_are_missing() -> None:
    whole = made_results(pairs=9)
    found = joined({"b": part(whole, range(7, 9)), "a": part(whole, range(2, 3)), "c": part(whole, range(4, 5))})
    assert (found.study["pairs"], found.study["first_seed"]) == (4, 4)
    numbers = {row.pair: (row.seed_a, row.seed_b) for row in found.of(Trained)}
    assert numbers == {0: (4, 5), 1: (8, 9), 2: (14, 15), 3: (16, 17)}
    of_whole, of_joined = (Outcomes.of(results.of(Trained)) for results in (whole, found))
    expected = of_whole.differences("permuted", "naive", 0.98, 5)
    assert of_joined.differences("permuted", "naive", 0.98, 5) == [expected[pair] for pair in (2, 4, 7, 8)]


def test_ensembles_keep_their_members() -> None:
    whole = measured_results(pairs=4, members=2, every=2)
    found = joined({"b": part(whole, range(2, 4)), "a": part(whole, range(2))})
    assert {(row.pair, *row.pairs) for row in found.of(MeasuredEnsemble)} == {(0, 0, 1), (2, 2, 3)}


def test_a_pair_of_several_is_taken_once_from_the_one_that_has_most_of_it() -> None:
    whole = made_results(pairs=4)
    first, second = part(whole, range(3)), part(whole, range(1, 4))
    unfinished = without(second, lambda row: (row.pair, row.method) == (0, "permuted"))
    for other in (second, unfinished):
        for order in ({"a": first, "b": other}, {"b": other, "a": first}):
            assert joined(order).rows == whole.rows


def test_other_results_of_a_pair_are_refused() -> None:
    whole = made_results(pairs=3)
    first, second = part(whole, range(2)), part(whole, range(1, 3))
    other = changed(second, step=lambda row: f"{row.step}x" if (row.pair, row.method) == (0, "lth") else row.step)
    with pytest.raises(
        PermaskError, match="the rows of the pair of seeds 2 and 3 are those of other steps in b than in a"
    ):
        joined({"a": first, "b": other})


def test_pairs_that_share_a_network_are_refused() -> None:
    whole = made_results(pairs=2)
    shifted = changed(part(whole, range(1)), seed_a=lambda _: 1, seed_b=lambda _: 2)
    with pytest.raises(PermaskError, match="the network of seed 1 is in two pairs"):
        joined({"a": part(without(whole, lambda _: False), range(1)), "b": only_trained(shifted)})


def only_trained(results: Results) -> Results:
    return replace(results, rows=results.of(Trained))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"epochs": 5},
            "epochs is 4 in a and 5 in b: expected results of one study, equal but for pairs and first_seed",
        ),
        ({"data": {"name": "digits", "train": 100}}, "data.train is 128 in a and 100 in b"),
        ({"methods": ["lth"]}, "methods is .* in a and .* in b"),
        ({"sweep": {"epochs": [4]}}, "sweep.epochs is not given in a and .* in b"),
    ],
)
def test_the_first_option_in_which_studies_differ_is_named(changes: dict[str, Any], sentence: str) -> None:
    study = yaml.safe_load(SMALL)
    first, second = (
        Results(Study.model_validate(study | more).model_dump(mode="json"), {}, ()) for more in ({}, changes)
    )
    with pytest.raises(PermaskError, match=sentence):
        joined({"a": first, "b": second})


def test_what_an_earlier_version_did_not_know_and_where_data_lie_makes_no_difference() -> None:
    study = yaml.safe_load(SMALL) | {"data": {"name": "cifar10", "root": "here"}, "first_seed": 0}
    new = Study.model_validate(study | {"data": {"name": "cifar10", "root": "there"}, "first_seed": 4, "pairs": 1})
    assert (
        joined({"a": Results(study, {}, ()), "b": Results(new.model_dump(mode="json"), {}, ())}).study["name"]
        == "small"
    )


@pytest.mark.parametrize(
    ("what", "value", "sentence"),
    [
        ("torch", {"2.14": ["dense", "sparse"]}, "torch is 2.15 in a and 2.14 in b: expected results whose steps were"),
        ("precision", {"bfloat16": ["dense"]}, "precision is float32 in a and bfloat16 in b"),
        ("content of data", {"def": ["dense"]}, "content of data is abc in a and def in b"),
        ("own code", {"123": ["score"]}, "own code is none in a and 123 in b"),
        ("torch", {"2.15": ["dense"]}, "torch is 2.15 .* in a and 2.15 .* in b"),
    ],
)
def test_results_that_were_computed_otherwise_are_refused(
    what: str, value: dict[str, list[str]], sentence: str
) -> None:
    whole = made_results(pairs=2)
    with pytest.raises(PermaskError, match=sentence):
        joined({"a": part(whole, range(1)), "b": part(whole, range(1, 2), **{IN_KEYS: KEYS | {what: value}})})


def test_results_of_before_are_compared_as_far_as_they_tell_and_the_rest_is_told() -> None:
    whole = made_results(pairs=2)
    before, now = part(whole, range(1)), part(whole, range(1, 2))
    del before.provenance[IN_KEYS]
    found = joined({"a": before, "b": now})
    assert found.provenance[JOINED] == (
        "2 results; not all that is in the keys of their steps could be compared, as a does not tell it"
    )
    assert IN_KEYS not in found.provenance
    for name, value, sentence in (
        ("torch", "2.14.1", "torch is 2.15 in a and 2.14 in b"),
        ("device", "cuda", "device is"),
    ):
        other = part(whole, range(1, 2), computed_with=WITH | {name: {value: 3}})
        with pytest.raises(PermaskError, match=sentence):
            joined({"a": before, "b": other})
    stated = [replace(one, study=one.study | {"data": {"content": c}}) for one, c in ((before, "abc"), (now, ""))]
    assert joined(dict(zip("ab", stated, strict=True))).study["data"] == {"content": "abc"}
    stated[0].study["data"] = {"content": "def"}
    with pytest.raises(PermaskError, match="content of data is def in a and abc in b"):
        joined(dict(zip("ab", stated, strict=True)))


def test_other_commits_and_processors_are_joined_with_a_warning() -> None:
    whole = made_results(pairs=2)
    other = WITH | {"cpu": {"another": 5}}
    found = joined({"a": part(whole, range(1)), "b": part(whole, range(1, 2), commit="f00", computed_with=other)})
    assert found.provenance["commit"] == f"{whole.provenance['commit']}, f00"
    assert "cpu: another (5 steps), one (10 steps)" in warning(found)


def test_throughput_stays_that_of_every_step_once() -> None:
    whole = made_results(pairs=2)
    speeds = [
        MeasuredThroughput(
            **{"kind": "dense", "step": step, "images_per_second": 200.0, "share_of_peak": 0.1, "device": "cpu"},
            **{"precision": "float32", "compile": False, "deterministic": False},
        )
        for step in "xy"
    ]
    parts = [part(replace(whole, rows=[*whole.rows, *speeds]), range(i, i + 1)) for i in (0, 1)]
    assert joined(dict(zip("ab", parts, strict=True))).of(MeasuredThroughput) == speeds


def test_what_keys_hold_is_kept_in_results(tmp_path: Path) -> None:
    plan = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL)), content="abc"))
    told: Any = collect(plan, Store(tmp_path / "store")).provenance[IN_KEYS]
    kinds = {step.kind for step in plan.steps.values()}
    torch = plan.steps[next(iter(plan.steps))].specification["torch"]
    assert set(told) == {"torch", "device", "precision", "compile", "content of data", "version of step"}
    assert told["torch"] == {torch: sorted(kinds)}
    assert told["content of data"] == {"abc": sorted(kinds)}
    assert {kind for of in told["version of step"].values() for kind in of} == kinds


def test_the_command_joins_what_two_stores_computed(tmp_path: Path) -> None:
    quick = ["methods=[naive, permuted]", "sparsities=[0.5]", "rewinds=[0]", "pairs=1"]
    study, files = write_study(tmp_path), []
    for seed in (2, 0):
        out = tmp_path / f"out{seed}"
        run("run", study, *quick, f"first_seed={seed}", "--store", tmp_path / f"store{seed}", "--out", out)
        files.append(out / "results.json")
    found = run("report", *files, "--out", tmp_path / "all")
    assert "joined: 2 results" in found.stdout
    both = Results.load(tmp_path / "all" / "results.json")
    assert {(row.pair, row.seed_a) for row in both.of(Trained)} == {(0, 0), (1, 2)}
    plan = make_plan(Prepared(Study.model_validate(both.study)))
    assert {row.step for row in both.of(Trained)} <= set(plan.steps)  # the keys of one run of both pairs
    assert "would be replaced" in run("report", *files, code=2).stderr
    other = json.loads(files[1].read_text())
    other["study"]["epochs"] = 5
    files[1].write_text(json.dumps(other))
    said = run("report", *files, "--out", tmp_path / "none", code=2).stderr
    assert f"epochs is 4 in {files[0]} and 5 in {files[1]}" in said
    assert not (tmp_path / "none").exists()
