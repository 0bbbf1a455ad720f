"""A plan shares what can be shared, and its keys hold everything that determines a result."""

import pytest

from permask.study.load import Prepared
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.step import Step

SMALL = {
    "name": "small",
    "data": {"name": "digits"},
    "network": {"name": "mlp", "widths": [16]},
    "pairs": 2,
    "epochs": 10,
    "dense": {"learning_rate": 0.1},
    "sparse": {"learning_rate": 0.1},
    "prune": {"epochs": 2},
    "sparsities": [0.5, 0.8],
    "rewinds": [0, 3],
    "methods": ["lth", "naive", "permuted", "random"],
}


def plan_of(**changes):
    return make_plan(Prepared(Study.model_validate(SMALL | changes)))


def keys(kind, plan):
    return {key for key, step in plan.steps.items() if step.kind == kind}


def test_every_step_comes_after_its_needs():
    seen = set()
    for key, step in plan_of().steps.items():
        assert {need.key for need in step.needs} <= seen
        seen.add(key)


def test_rounds_of_pruning_are_shared_by_the_sparsities():
    # a full round leaves 0.8^n: 0.5 is reached from round 3 (0.488 pruned), 0.8 from round 7 (0.79)
    rounds = [step for step in plan_of(pairs=1).steps.values() if step.kind == "prune"]
    assert len(rounds) == 7 + 2
    assert sorted(step.specification["round"] for step in rounds) == [1, 2, 3, 4, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("rate", "sparsity", "rounds"), [(0.2, 0.2, 1), (0.2, 0.36, 2), (0.1, 0.19, 2), (0.5, 0.75, 2)]
)
def test_a_sparsity_on_the_schedule_takes_no_extra_round(rate, sparsity, rounds):
    plan = plan_of(pairs=1, sparsities=[sparsity], prune={"epochs": 2, "rate": rate})
    assert len(keys("prune", plan)) == rounds


def test_a_sparsity_on_the_schedule_shares_its_round_with_higher_ones():
    plan = plan_of(pairs=1, prune={"epochs": 2, "rate": 0.2}, sparsities=[0.36, 0.55])
    rounds = [step for step in plan.steps.values() if step.kind == "prune"]
    assert sorted(step.specification["sparsity"] for step in rounds) == pytest.approx([0.2, 0.36, 0.488, 0.55])


def test_hundreds_of_rounds():
    plan = plan_of(pairs=1, sparsities=[0.99], prune={"epochs": 2, "rate": 0.01})
    assert len(keys("prune", plan)) == 459  # 0.99^458 > 0.01 > 0.99^459


def test_the_papers_grid_has_19_distinct_rounds():
    plan = plan_of(pairs=1, sparsities=[0.80, 0.90, 0.95, 0.97])
    assert len(keys("prune", plan)) == 19


def test_dense_training_is_cut_at_the_rewind_epochs():
    dense = [step for step in plan_of(pairs=1).steps.values() if step.kind == "dense"]
    found = {(step.specification["seed"], step.specification["epoch"]): step.epochs for step in dense}
    assert found == {(0, 0): 0, (0, 3): 3, (0, 10): 7, (1, 0): 0, (1, 3): 3, (1, 10): 7}


def test_the_longest_chain_comes_first():
    plan = plan_of(pairs=1)
    critical_path = plan.critical_path()
    first = max(plan.steps.values(), key=lambda step: critical_path[step.key])
    assert (first.kind, first.specification["seed"], first.specification["epoch"]) == ("dense", 0, 0)
    # 10 dense epochs, 8 rounds of 2, 10 sparse epochs from the initialisation
    assert critical_path[first.key] == 10 + 8 * 2 + 10


@pytest.mark.parametrize(
    ("changes", "unchanged"),
    [
        ({"sparse": {"learning_rate": 0.2}}, {"dense", "prune", "match", "connect"}),
        ({"sparse": {"learning_rate": 0.1, "rescale": "layer"}}, {"dense", "prune", "match", "connect"}),
        ({"sparse": {"learning_rate": 0.1, "reset_batchnorm": True}}, {"dense", "prune", "match", "connect"}),
        ({"execution": {"precision": "bfloat16"}}, set()),
        ({"execution": {"compile": True}}, set()),
        ({"execution": {"deterministic": True}}, set()),
        ({"execution": {"precision": "auto"}}, {"dense", "prune", "match", "sparse", "connect"}),
        ({"evaluate_every": 2}, set()),
        ({"prune": {"epochs": 3}}, {"dense", "match", "connect"}),
        ({"connect": {"points": 5}}, {"dense", "prune", "match", "sparse"}),
        ({"connect": {"images": 64}}, {"dense", "prune", "match", "sparse"}),
        ({"connect": {"images": None}}, {"dense", "prune", "match", "sparse", "connect"}),
        ({"name": "other", "description": "renamed"}, {"dense", "prune", "match", "sparse", "connect"}),
        ({"dense": {"learning_rate": 0.2}}, set()),
        (
            {"dense": {"learning_rate": 0.1, "momentum": 0.9}},
            {"dense", "prune", "match", "sparse", "connect"},
        ),
    ],
)
def test_a_change_of_one_option_changes_just_the_keys_that_depend_on_it(changes, unchanged):
    before, after = plan_of(), plan_of(**changes)
    for kind in ("dense", "prune", "match", "sparse", "connect"):
        assert (keys(kind, before) == keys(kind, after)) == (kind in unchanged)


def test_the_images_of_a_path_are_in_its_key_only_where_a_study_names_them():
    for connect, expected in (({"points": 3}, {"points": 3}), ({"images": 64}, {"points": 11, "images": 64})):
        plan = plan_of(connect=connect)
        setting = next(iter(plan.steps.values())).specification
        for labelled in plan.of("connect"):
            own = labelled.step.specification
            assert {
                name: own[name] for name in own if name not in ("data", "network", "execution", "torch")
            } == expected
            assert own["data"] == setting["data"]


def test_initialisations_depend_on_no_option_of_training():
    before, after = plan_of(), plan_of(dense={"learning_rate": 0.2}, epochs=20)
    initial = [{k for k, s in plan.steps.items() if s.specification.get("epoch") == 0} for plan in (before, after)]
    assert initial[0] == initial[1] != set()


def test_a_new_sparsity_rewind_or_pair_only_adds_steps():
    before = set(plan_of().steps)
    for changes in ({"sparsities": [0.5, 0.7, 0.8]}, {"rewinds": [0, 2, 3]}, {"pairs": 3}):
        assert before < set(plan_of(**changes).steps)


def test_methods_differ_in_their_parents_only():
    plan = plan_of(pairs=1)
    found = {
        network.labels["method"]: network.step
        for network in plan.of("sparse")
        if network.labels["sparsity"] == 0.8 and network.labels["rewind"] == 3
    }
    lth, naive, permuted, random = (found[method] for method in SMALL["methods"])
    assert lth.specification == naive.specification == permuted.specification
    assert lth.parents["weights"].specification["seed"] == 0
    assert {step.parents["weights"].specification["seed"] for step in (naive, permuted, random)} == {1}
    assert "alignment" in permuted.parents and "alignment" not in naive.parents
    assert random.specification == naive.specification | {"shuffle": 1}


@pytest.mark.parametrize(
    ("policy", "parents", "epochs"),
    [
        ("fine_tune", {"network"}, 2),
        ("rewind_weights", {"network", "rewind"}, 6),
        ("rewind_learning_rate", {"network"}, 6),
    ],
)
def test_policies_of_pruning(policy, parents, epochs):
    plan = plan_of(prune={"policy": policy, "epochs": 2, "rewind": 4})
    rounds = [step for step in plan.steps.values() if step.kind == "prune"]
    assert all(set(step.parents) == parents and step.epochs == epochs for step in rounds)


def ensembles_of(plan, method):
    return [e for e in plan.of("ensemble") if e.labels["method"] == method and e.labels["sparsity"] in (0, 0.8)]


def members(ensemble):
    return list(ensemble.step.parents.values())


def test_ensembles_take_their_members_from_several_pairs():
    plan = plan_of(pairs=4, rewinds=[0], ensembles={"members": 2, "sparsities": [0.8]})
    assert [e.labels["pairs"] for e in ensembles_of(plan, "permuted")] == [[0, 1], [2, 3]]
    (lth, _), (imp, _), (permuted, _), (dense, _) = (
        ensembles_of(plan, method) for method in ("lth", "imp", "permuted", "dense")
    )
    assert {step.parents["weights"].specification["seed"] for step in members(lth)} == {0}
    assert [step.parents["weights"].specification["seed"] for step in members(permuted)] == [1, 3]
    assert [step.parents["weights"].specification["seed"] for step in members(imp)] == [0, 2]
    assert [step.specification["seed"] for step in members(dense)] == [1, 3]
    assert len({step.parents["mask"].key for step in [*members(lth), *members(permuted)]}) == 1
    for step, seed in zip(members(permuted), (1, 3), strict=True):
        assert step.parents["alignment"].parents["source"].specification["seed"] == 0
        assert step.parents["alignment"].parents["target"].specification["seed"] == seed
    # the members of lth differ in the order of the data alone
    assert [step.specification["seed"] for step in members(lth)] == [1, 3]
    reported = {network.step.key for network in plan.of("sparse")}
    assert members(lth)[0].key in reported
    assert members(lth)[1].key not in reported
    assert all(step.key in reported for step in members(imp))


def test_an_ensemble_at_every_pair_goes_around_the_end():
    plan = plan_of(pairs=3, rewinds=[0], methods=["lth", "permuted"], ensembles={"members": 2, "every": 1})
    assert [e.labels["pairs"] for e in ensembles_of(plan, "permuted")] == [[0, 1], [1, 2], [2, 0]]


def test_ensembles_and_rounds_leave_all_other_steps_as_they_are():
    before = plan_of()
    after = plan_of(ensembles={"members": 2}, connect_rounds={"points": 3})
    assert set(before.steps) < set(after.steps)
    assert {step.kind for key, step in after.steps.items() if key not in before.steps} == {
        "ensemble",
        "connect_round",
        "sparse",
        "match",
    }


def test_every_round_of_pruning_is_connected_once():
    plan = plan_of(pairs=1, connect_rounds={"points": 3, "images": 100})
    (match,) = plan.of("match")
    labels = [(labelled.labels["round"], labelled.labels["sparsity"]) for labelled in plan.of("connect_round")]
    assert [number for number, _ in labels] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]
    assert [sparsity for _, sparsity in labels] == sorted(sparsity for _, sparsity in labels)
    assert {0.0, 0.5, 0.8} < {sparsity for _, sparsity in labels}
    assert all(labelled.step.parents["alignment"] is match.step for labelled in plan.of("connect_round"))


def test_early_matching_adds_matches_and_what_rests_on_them():
    plain = plan_of()
    early = plan_of(match_epochs=[1, 2])
    added = [step for key, step in early.steps.items() if key not in plain.steps]
    assert not plain.steps.keys() - early.steps.keys()
    matches = [step for step in added if step.kind == "match"]
    assert {step.parents["target"].specification["epoch"] for step in matches} == {1, 2}
    assert {step.parents["source"].specification["epoch"] for step in matches} == {early.study.epochs}
    rows = [row for row in early.of("sparse") if row.labels["method"].startswith("permuted t=")]
    assert {row.step.parents["alignment"].key for row in rows} == {step.key for step in matches}
    assert {row.step.key for row in rows} == {step.key for step in added if step.kind == "sparse"}


def test_what_a_step_rests_on_is_all_that_leads_to_it():
    plan = plan_of(match_epochs=[1], ensembles={"members": 2}, connect_rounds={"points": 3})
    expected = {}
    for key, step in plan.steps.items():  # every step after the ones that it needs
        expected[key] = {key}.union(*(expected[need.key] for need in step.needs))
    for key, step in [*plan.steps.items(), *reversed(plan.steps.items())]:
        assert plan.before(step) == expected[key]


def test_what_many_networks_rest_on_is_followed_once(monkeypatch):
    """A long chain of rounds below many networks: the work grows with both, not with their product."""
    sparsities = [round(0.5 + 0.02 * i, 2) for i in range(20)]
    plan = plan_of(
        pairs=1, epochs=40, prune={"epochs": 2, "rate": 0.02}, sparsities=sparsities, rewinds=list(range(20))
    )
    networks, looks = plan.of("sparse"), []
    needs = Step.needs.fget
    monkeypatch.setattr(Step, "needs", property(lambda step: looks.append(step) or needs(step)))
    for reported in networks:
        plan.before(reported.step)
        plan.before(reported.step.parents["mask"])
    assert len(networks) == 1600
    assert len(looks) < 3 * len(networks) + len(plan.steps)
