"""Several values of options in one study: one plan whose parts share their steps, columns that say which is which."""

import csv
import json

import pytest
import yaml
from support.small_study import SMALL, run, write_study

from permask.errors import StudyError
from permask.study.budget import budgets
from permask.study.load import Prepared, load_study, open_study
from permask.study.optimisation import Sparse
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.store import Store
from permask.study.sweep import LARGEST, as_written, label


def plan_of(**changes):
    return make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | changes)))


def keys(plan, *kinds):
    return {key for key, step in plan.steps.items() if not kinds or step.kind in kinds}


def messages(tmp_path, sweep, *overrides, text=SMALL):
    path = write_study(tmp_path, f"{text}sweep: {sweep}\n" if sweep else text)
    with pytest.raises(StudyError) as error:
        load_study(path, overrides)
    return [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]


def test_every_combination_is_planned_and_labelled():
    plan = plan_of(sweep={"network.widths": [[16], [16, 16]], "sparse.rescale": [None, "neuron", "layer"]})
    assert [label(part.swept) for part in plan.parts] == [
        f"network.widths = {widths}, sparse.rescale = {rescale}"
        for widths in ("[16]", "[16, 16]")
        for rescale in ("null", "neuron", "layer")
    ]
    alone = [
        make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | {"network": network, "sparse": sparse})))
        for network in ({"name": "mlp", "widths": [16]}, {"name": "mlp", "widths": [16, 16]})
        for rescale in (None, "neuron", "layer")
        for sparse in [{"learning_rate": 0.1, "rescale": rescale}]
    ]
    for part, plain in zip(plan.parts, alone, strict=True):
        assert list(part.steps) == list(plain.steps)
        assert [one.labels for one in part.reported] == [one.labels for one in plain.reported]
        assert part.study == plain.study
    assert keys(plan) == {key for plain in alone for key in plain.steps}


def test_steps_come_after_their_needs_and_are_shared():
    plan, plain = plan_of(sweep={"sparse.rescale": [None, "neuron"]}), plan_of()
    seen = set()
    for key, step in plan.steps.items():
        assert {need.key for need in step.needs} <= seen
        seen.add(key)
    kinds = ("dense", "prune", "match", "connect", "mask", "symmetry")
    assert keys(plan, *kinds) == keys(plain, *kinds)
    assert len(keys(plan, "sparse")) == 2 * len(keys(plain, "sparse"))
    assert keys(plain) < keys(plan)
    (first, second) = (part.steps for part in plan.parts)
    assert all(second[key] is step for key, step in first.items() if key in second)  # one object


@pytest.mark.parametrize(
    ("sweep", "changed"),
    [
        ({"prune.epochs": [1, 2]}, {"prune", "sparse", "mask"}),
        ({"sparsities": [[0.5], [0.5, 0.8]]}, {"prune", "sparse", "mask"}),
        ({"pairs": [2, 1]}, set()),
        ({"connect": [{"points": 3}, None, {"points": 5}]}, {"connect"}),
        ({"execution.precision": ["float32", "bfloat16"]}, {"dense", "prune", "sparse", "mask", "match", "connect"}),
        ({"methods": [["lth", "naive"], ["lth", "naive", "snip"]]}, {"score", "sparse"}),
        ({"prune": [{"epochs": 1}, {"epochs": 2}]}, {"prune", "sparse", "mask"}),
    ],
)
def test_any_option_can_be_swept(sweep, changed):
    first, *others = plan_of(sweep=sweep).parts
    for kind in ("dense", "prune", "sparse", "mask", "match", "connect", "score"):
        of = [{key for key, step in part.steps.items() if step.kind == kind} for part in (first, *others)]
        assert any(one - of[0] for one in of[1:]) == (kind in changed)


def test_a_study_without_a_sweep_is_its_only_part():
    plan, empty = plan_of(), plan_of(sweep={})
    assert keys(plan) == keys(empty)
    assert [part.swept for part in plan.parts] == [{}] and plan.parts[0].study == plan.study


def test_all_mistakes_come_at_once_with_their_places(tmp_path):
    sweep = """
  network.widths: [[16], [0], 3]
  sparse.resale: [null, neuron]
  spares.rescale: [null]
  prune.epochs: []
  prune.rate: 0.5
  name: [a, b]
  sweep.pairs: [1]
  sparsities.0: [0.3]
  rewinds: [[0], [1, 9]]"""
    assert messages(tmp_path, sweep, "sweep.prune.momentum=[0.5, 1]") == [
        "20:3: sweep.prune.epochs: expected at least one value; got an empty list",
        "21:3: sweep.prune.rate: expected a list of values; got 0.5",
        "22:3: sweep.name: expected an option that results depend on; name is none",
        "23:3: sweep.sweep.pairs: expected an option that results depend on; sweep is none",
        "24:3: sweep.sparsities.0: sparsities is not a section with keys",
        f"18:19: sparse.resale: expected one of the keys {', '.join(sorted(Sparse.model_fields))}; "
        "did you mean rescale?",
        f"19:20: spares: expected one of the keys {', '.join(sorted(Study.model_fields))}; did you mean sparse?",
        "sweep.prune.momentum=[0.5, 1]: prune.momentum: expected less than 1; got 1",
        "25:18: rewinds: expected epochs before the 4 epochs of dense training end, got 9",
        "17:27: network.widths.0: expected greater than 0; got 0",
        "17:31: network.widths: expected a list; got 3",
    ]


@pytest.mark.parametrize(
    ("sweep", "overrides", "said"),
    [
        ("{prune.rate: [0.2, 0.2]}", [], "16:27: sweep.prune.rate: expected each value once, got 0.2 more than once"),
        (
            "{prune.rate: [0.2, 2.0e-1]}",
            [],
            "16:27: sweep.prune.rate: expected each value once, got 0.2 more than once",
        ),
        (
            "{connect: [{points: 3}, {points: 3}]}",
            [],
            "connect: expected each value once, got {points: 3} more than once",
        ),
        ("[network.widths]", [], "16:1: sweep: expected a section with keys; got ['network.widths']"),
        ("{epochs: [2, 4]}", [], "7:1: rewinds: expected epochs before the 2 epochs of dense training end, got 2"),
        ("{1: [2], true: [3]}", [], "16:13: 1: expected one of the keys batch_size"),
        ("", [f"sweep.first_seed={list(range(1001))}"], "sweep: expected at most 1,000 combinations, got 1,001"),
        ("", ["sweep.prune.rate=0.5"], "sweep.prune.rate=0.5: sweep.prune.rate: expected a list of values; got 0.5"),
        ("", ["sweep.pairs=[0]"], "sweep.pairs=[0]: pairs: expected greater than 0; got 0"),
        ("{first_seed: [2020-01-01]}", [], "first_seed: expected a valid integer"),
    ],
)
def test_mistakes(tmp_path, sweep, overrides, said):
    text = SMALL.replace("rewinds: [0, 2]\n", "").replace("epochs: 4", "epochs: 4\nrewinds: [0, 2]")
    assert any(said in message for message in messages(tmp_path, sweep, *overrides, text=text))


def test_as_many_combinations_as_nobody_means(tmp_path):
    values = list(range(1, 41))
    found = messages(tmp_path, json.dumps({"pairs": values, "batch_size": values}))
    assert found == [f"16:1: sweep: expected at most {LARGEST:,} combinations, got 1,600"]


def test_an_option_that_must_be_given_may_be_given_by_the_sweep(tmp_path):
    text = SMALL.replace("sparse: {learning_rate: 0.1}\n", "").replace("pairs: 2\n", "")
    study = load_study(write_study(tmp_path, text + "sweep: {sparse.learning_rate: [0.1, 0.2], pairs: [2]}\n"))
    assert study.sweep["pairs"] == (2,)


def test_values_are_kept_as_they_were_understood(tmp_path):
    text = SMALL + "sweep: {sparse.learning_rate: [1e-3, 1], network.widths: [[16]], connect: [null, {points: 5}]}\n"
    study = load_study(write_study(tmp_path, text))
    assert study.sweep == {
        "sparse.learning_rate": (0.001, 1.0),
        "network.widths": ([16],),
        "connect": (None, {"points": 5}),
    }
    assert (study.sparse.learning_rate, study.connect) == (0.001, None)  # those of the first combination


def test_overrides(tmp_path):
    path = write_study(tmp_path, SMALL + "sweep: {network.widths: [[16], [8]], sparse.rescale: [null, neuron]}\n")
    assert load_study(path, ["sweep.network.widths=[[4], [5], [6]]"]).sweep["network.widths"] == ([4], [5], [6])
    fixed = load_study(path, ["network.widths=[3]"])
    assert (fixed.network.widths, list(fixed.sweep)) == ((3,), ["sparse.rescale"])
    assert load_study(path, ["sweep={}"]).sweep == {}
    added = load_study(path, ["sweep.prune.epochs=[1, 2]", "sparse.rescale=null"])
    assert list(added.sweep) == ["network.widths", "prune.epochs"]
    other = tmp_path / "other.yaml"
    other.write_text("extends: small.yaml\nsweep: {sparse.rescale: [layer], prune.epochs: [1, 2]}\n")
    assert load_study(other).sweep == {
        "network.widths": ([16], [8]),
        "sparse.rescale": ("layer",),
        "prune.epochs": (1, 2),
    }


def test_the_smallest_form_keeps_the_values_that_it_tells_apart(tmp_path):
    text = SMALL.replace("{name: mlp, widths: [16, 16]}", "{name: resnet8}")
    path = write_study(tmp_path, text + "sweep: {network.width: [1, 2, 4], sparse.rescale: [null, neuron]}\n")
    prepared = open_study(path, smoke=True)
    assert prepared.study.sweep == {"network.width": (1,), "sparse.rescale": (None, "neuron")}
    plan = make_plan(prepared)
    assert [label(part.swept) for part in plan.parts] == [
        "network.width = 1, sparse.rescale = null",
        "network.width = 1, sparse.rescale = neuron",
    ]
    assert {part.study.epochs for part in plan.parts} == {3}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (0.5, "0.5"), ([1, None], "[1, null]"), ({"a": [False]}, "{a: [false]}")],
)
def test_values_are_named_as_a_study_has_them(value, text):
    assert as_written(value) == text


def test_plan_shows_every_combination_and_what_it_shares(tmp_path):
    text = SMALL + "sweep: {network.widths: [[16], [8, 8]], sparse.rescale: [null, neuron]}\n"
    path = write_study(tmp_path, text)
    plan = make_plan(open_study(path))
    found = run("plan", path).stdout
    for widths in ("[16]", "[8, 8]"):
        for rescale in ("null", "neuron"):
            words = [widths, rescale, str(len(plan.parts[0].steps)), str(plan.alone[0])]
            assert any(all(word in line for word in words) for line in found.splitlines())
    told = json.loads(run("plan", path, "--json").stdout)["combinations"]
    assert [one["swept"] for one in told] == [part.swept for part in plan.parts]
    assert all(set(one["steps"]) == set(part.steps) for one, part in zip(told, plan.parts, strict=True))
    assert {one["own"] for one in told} == {32}  # the sparse networks of 2 pairs, 2 sparsities, 2 rewinds, 4 methods
    assert "combinations" not in json.loads(run("plan", path, "sweep={}", "--json").stdout)


def test_the_published_schedule_shares_nothing_between_combinations(tmp_path):
    plain, swept = (
        budgets(plan_of(**changes), None) for changes in ({}, {"sweep": {"sparse.rescale": [None, "neuron"]}})
    )
    assert swept["all"].epochs_published == 2 * plain["all"].epochs_published
    assert swept["dense"].epochs == plain["dense"].epochs


def test_hours_go_by_the_rate_of_each_network(tmp_path):
    plan, store = plan_of(sweep={"network.widths": [[16], [8, 8]]}), Store(tmp_path / "store")
    dense = [next(step for step in part.steps.values() if step.kind == "dense" and step.epochs) for part in plan.parts]
    for step, seconds in zip(dense, (10, 1000), strict=True):
        manifest = {"kind": step.kind, "specification": step.specification, "epochs": step.epochs}
        with store.writing(step.key, manifest | {"seconds": seconds * step.epochs}):
            pass
    left = [
        sum(s.epochs for s in part.steps.values() if s.kind == "dense" and not store.has(s.key)) for part in plan.parts
    ]
    assert budgets(plan, store)["dense"].hours_left == pytest.approx((10 * left[0] + 1000 * left[1]) / 3600)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A study that sweeps three options, and one of its plain forms, from one store."""
    folder = tmp_path_factory.mktemp("swept")
    study = write_study(folder, SMALL)
    quick = ["epochs=2", "rewinds=[0]", "sparsities=[0.5]", "methods=[lth, permuted]", "ensembles={members: 2}"]
    quick += ["connect_rounds={points: 3}", "measure=[gradient_norm]"]
    options = ["sweep.network.widths=[[8, 8]]", "sweep.epochs=[1, 2]", "sweep.sparse.rescale=[null, neuron]"]
    places = ["--store", folder / "store", "--jobs", 2]
    run("run", study, *quick, *options, *places, "--out", folder / "out")
    plain = run(
        "run", study, *quick, "network.widths=[8, 8]", "sparse.rescale=neuron", *places, "--out", folder / "plain"
    )
    assert "0 steps computed" in plain.stdout
    return folder


TABLES = {
    "results.csv": ["network.widths", "sweep.epochs", "sparse.rescale"],
    "connectivity.csv": ["network.widths", "sweep.epochs", "sparse.rescale"],
    "rounds.csv": ["network.widths", "sweep.epochs", "sparse.rescale"],
    "ensembles.csv": ["network.widths", "sweep.epochs", "sparse.rescale"],
    "masks.csv": ["network.widths", "sweep.epochs", "sparse.rescale"],
    "matching.csv": ["network.widths", "sweep.epochs", "sparse.rescale"],
    "gradient_norms.csv": ["network.widths", "sweep.epochs", "sparse.rescale"],
}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_column_for_each_option(swept, name):
    with (swept / "out" / name).open(newline="") as file:
        lines = list(csv.DictReader(file))
    with (swept / "plain" / name).open(newline="") as file:
        plain = list(csv.DictReader(file))
    assert list(lines[0]) == [*plain[0], *TABLES[name]]
    combination = {"network.widths": "[8, 8]", "sweep.epochs": "2", "sparse.rescale": "neuron"}
    there = [line for line in lines if all(line[column] == value for column, value in combination.items())]
    assert [{column: line[column] for column in plain[0]} for line in there] == plain
    combinations = {tuple(line[column] for column in TABLES[name]) for line in lines}
    assert len(combinations) == 4
    assert {rescale for *_, rescale in combinations} == {"", "neuron"}


def test_results_are_saved_with_their_values_and_loaded(swept):
    from permask.study.results import Results
    from permask.study.steps.trained import Trained

    content = json.loads((swept / "out" / "results.json").read_text())
    assert content["study"]["sweep"] == {
        "network.widths": [[8, 8]],
        "epochs": [1, 2],
        "sparse.rescale": [None, "neuron"],
    }
    row = content["rows"][-1]
    assert (row["network.widths"], row["sweep.epochs"], row["sparse.rescale"]) == ([8, 8], 2, "neuron")
    assert row["epochs"] == 2
    results = Results.load(swept / "out" / "results.json")
    assert results.of(Trained)[-1].swept == {"network.widths": [8, 8], "epochs": 2, "sparse.rescale": "neuron"}
    assert results.of(Trained)[-1].saved == row
    assert "sweep" not in json.loads((swept / "plain" / "results.json").read_text())["study"]
