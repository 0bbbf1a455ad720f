"""Methods are compositions: where the weights start, where the mask comes from, how it is carried."""

import json
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.small_study import SMALL, run, write_study

from permask.errors import PermaskError, StudyError
from permask.mask import Mask
from permask.masks import sources
from permask.masks.layerwise import erk_mask
from permask.masks.scores import magnitude_mask
from permask.matching.matchers import MATCHERS
from permask.study.collect import collect
from permask.study.load import Prepared, load_study
from permask.study.messages import Computed
from permask.study.method import BUILT_IN
from permask.study.plan import make_plan
from permask.study.provenance import provenance
from permask.study.spec import Study
from permask.study.steps import training
from permask.study.steps.match import MatchedGroup
from permask.study.steps.run import Run
from permask.study.steps.trained import Trained
from permask.study.store import Store
from permask.study.worker import Worker
from permask.symmetry import Symmetry
from permask.training.data.load import load_data
from permask.training.evaluation import evaluate
from permask.training.networks import create_network

BY_WEIGHTS = {"name": "by-weights", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "weights"}}
EARLY = {"name": "early", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "activations", "at": 1}}
TICKET_OF_A = {"name": "snip-a", "start": "A", "mask": {"by": "snip", "of": "A"}}
CHANGES = {"pairs": 1, "sparsities": [0.8], "rewinds": [2], "connect": None}


def plan_of(*methods, **changes):
    return make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | CHANGES | {"methods": methods} | changes)))


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Every built-in method and three others, on one pair."""
    plan, store = plan_of(*BUILT_IN, BY_WEIGHTS, EARLY, TICKET_OF_A), Store(tmp_path_factory.mktemp("study") / "store")
    for step in plan.steps.values():
        assert Worker(store, provenance()).compute(step.task) == Computed()
    return plan, store


def step_of(plan, method):
    (step,) = (reported.step for reported in plan.of("sparse") if reported.labels["method"] == method)
    return step


def mask_in(store, step):
    return Mask.load(store.folder(step.key) / "mask.safetensors")


def weights_in(store, step):
    network = create_network("mlp", widths=(16, 16), input_shape=(1, 8, 8), classes=10, generator=torch.Generator())
    network.load_state_dict(load_file(store.folder(step.key) / "weights.safetensors"))
    return network


def test_every_method_has_a_row_with_its_exact_sparsity(computed):
    plan, store = computed
    rows = {row.method: row for row in collect(plan, store).of(Trained)}
    assert set(rows) == {"dense", "pruned", *BUILT_IN, "by-weights", "early", "snip-a"}
    size = 64 * 16 + 16 * 16 + 16 * 10
    for method in set(rows) - {"dense", "pruned"}:
        assert mask_in(store, step_of(plan, method)).count == round(0.2 * size)
    assert {method for method, row in rows.items() if row.trained == "A"} == {"lth", "snip-a", "dense"} - {"dense"}


def test_results_of_an_earlier_version_of_a_matcher_are_not_taken(monkeypatch):
    def keys():
        plan = plan_of({"name": "learned", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "sinkhorn"}}, BY_WEIGHTS)
        return {step.specification["by"]: step.key for step in plan.steps.values() if step.kind == "match"}

    now = keys()
    monkeypatch.setitem(MATCHERS, "sinkhorn", replace(MATCHERS["sinkhorn"], version=MATCHERS["sinkhorn"].version + 1))
    then = keys()
    assert then["weights"] == now["weights"]
    assert then["sinkhorn"] != now["sinkhorn"]


def test_masks_come_from_where_they_say(computed):
    plan, store = computed
    ticket = step_of(plan, "naive").parents["mask"]
    moved = {name: step_of(plan, name) for name in ("any-symmetry", "by-weights", "permuted", "random")}
    assert all(step.parents["mask"] is ticket for step in moved.values())
    symmetry = Symmetry.load(store.folder(moved["any-symmetry"].parents["symmetry"].key) / "symmetry.json")
    element = symmetry.random(moved["any-symmetry"].specification["element"])
    assert mask_in(store, moved["any-symmetry"]) == mask_in(store, ticket).permuted(element)
    assert len({tuple(next(iter(mask_in(store, step).values())).flatten().tolist()) for step in moved.values()}) == 4
    own = step_of(plan, "own-ticket").parents["mask"]
    assert own.kind == "prune" and own.specification["seed"] == 1
    one_shot = step_of(plan, "one-shot").parents["mask"]
    last = one_shot.parents["network"]
    assert last.specification["epoch"] == 4 and last.specification["seed"] == 1
    assert mask_in(store, one_shot) == magnitude_mask(weights_in(store, last), 0.8)
    erk = step_of(plan, "erk").parents["mask"]
    assert mask_in(store, erk) == erk_mask(weights_in(store, erk.parents["network"]), 0.8, seed=1)
    for name, seed in (("snip", 1), ("snip-a", 0)):
        start = step_of(plan, name).parents["mask"].parents["network"]
        assert (start.specification["epoch"], start.specification["seed"]) == (2, seed)
    assert step_of(plan, "early").parents["alignment"].parents["target"].specification["epoch"] == 1


def test_all_methods_of_a_pair_see_their_images_in_one_order(computed):
    plan, _ = computed
    recipes = {json.dumps([r.step.specification["seed"], r.step.specification["recipe"]]) for r in plan.of("sparse")}
    assert len(recipes) == 1


def test_another_method_leaves_all_other_keys_as_they_were():
    before = set(plan_of("lth", "naive", "permuted", "random").steps)
    assert before < set(
        plan_of(
            "lth",
            "naive",
            "permuted",
            "random",
            *sorted(set(BUILT_IN) - {"lth", "random"} - {"naive", "permuted"}),
            BY_WEIGHTS,
        ).steps
    )


def test_a_method_may_be_written_out():
    written = {"name": "permuted", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "activations"}}
    assert set(plan_of(written).steps) == set(plan_of("permuted").steps)
    assert plan_of(written).study.model_dump(mode="json")["methods"] == ["permuted"]


def test_a_study_says_its_methods_as_they_were_written():
    study = plan_of("lth", BY_WEIGHTS).study
    assert study.model_dump(mode="json")["methods"] == ["lth", BY_WEIGHTS]
    assert Study.model_validate(study.model_dump()) == study


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("[lth, snap]", "methods.1: expected lth or naive or permuted or .* or gmp; got snap; did you mean snip"),
        ("[{name: x, mask: {by: snop}}]", "methods.0.mask.by: expected imp or .*; got snop; did you mean snip"),
        ("[{name: x, mask: {by: imp, of: C}}]", "methods.0.mask.of: expected A or B or new; got 'C'"),
        ("[{name: x, start: C, mask: {by: imp}}]", "methods.0.start: expected A or B or new; got 'C'"),
        (
            "[{name: x, mask: {by: imp, oof: A}}]",
            "methods.0.mask.oof: expected one of the keys by, of, path, pattern, permute; did you",
        ),
        ("[{name: x}]", "methods.0.mask: expected this key, which has no default"),
        ("[{name: x, mask: {by: imp, of: A}, carry: {by: wheights}}]", "carry.by: expected .* did you mean weights"),
        (
            "[{name: x, mask: {by: imp, of: B}, carry: {by: weights}}]",
            "methods.0: expected a mask of A and a start",
        ),
        ("[lth, {name: lth, mask: {by: erk}}]", "methods: expected each value once, got lth more than once"),
        ("[{name: x, mask: {by: imp, of: A}, carry: {by: weights, at: -1}}]", "methods.0.carry.at: "),
        (
            "[{name: x, mask: {by: erk}, train: {update: rigel}}]",
            "update: expected set or rigl or gmp; got 'rigel'",
        ),
        ("[{name: x, mask: {by: erk}, train: {update: rigl, evry: 3}}]", "train.evry: expected .* did you mean every"),
        ("[{name: x, mask: {by: erk}, train: {update: rigl, until: 1.5}}]", "until: expected less than or equal to 1"),
        ("[{name: x, mask: {by: erk}, train: {warmup: 9}}]", "train: expected .* longer than its warm-up of 9 epochs"),
        ("[{name: x, mask: {by: erk}, train: {every: 5}}]", "expected no every with update: none, which reads none"),
        ("[{name: x, mask: {by: erk}, train: {update: gmp, fraction: 0.5}}]", "expected no fraction with update: gmp"),
    ],
)
def test_a_mistake_in_a_method_is_one_line_with_its_place(tmp_path, methods, message):
    with pytest.raises(StudyError, match=message) as error:
        load_study(write_study(tmp_path), [f"methods={methods}"])
    assert len(str(error.value).splitlines()) == 1


def test_masks_that_change_begin_where_others_do_and_end_at_the_counts_of_their_layers(computed):
    plan, store = computed
    for name, source in (("set", "erk"), ("rigl", "erk"), ("gmp", "uniform")):
        step, other = step_of(plan, name), step_of(plan, source)
        assert step.parents == other.parents and step.key != other.key
        assert step.specification["recipe"] == other.specification["recipe"]
        found, begun = mask_in(store, step), mask_in(store, step.parents["mask"])
        counts = [{layer: int(kept.sum()) for layer, kept in mask.items()} for mask in (found, begun)]
        assert counts[0] == counts[1] and found != begun
        weights = load_file(store.folder(step.key) / "weights.safetensors")
        assert all((weights[layer][~kept] == 0).all() for layer, kept in found.items())


def test_options_of_changes_are_in_the_keys_of_their_method_alone():
    often = {"name": "often", "mask": {"by": "erk"}, "train": {"update": "rigl", "every": 2, "rescale": "layer"}}
    usual = {"name": "rigl", "mask": {"by": "erk"}, "train": {"update": "rigl"}}
    assert set(plan_of(usual).steps) == set(plan_of("rigl").steps)
    (own,) = set(plan_of("rigl", often).steps) - set(plan_of("rigl").steps)
    specification = plan_of("rigl", often).steps[own].specification
    assert specification["update"] == {"by": "rigl", "every": 2, "until": 0.75, "fraction": 0.3}
    assert specification["rescale"] == "layer"
    assert set(plan_of({**usual, "train": {"update": "none"}, "name": "erk"}).steps) == set(plan_of("erk").steps)


def test_a_mask_that_misses_its_sparsity_is_refused(tmp_path, monkeypatch):
    plan, store = plan_of("erk"), Store(tmp_path / "store")
    short = sources.MaskSource("test_methods:too_few")
    monkeypatch.setattr(sources, "SOURCES", {**sources.SOURCES, "erk": short})
    with pytest.raises(PermaskError, match="mask by erk: expected 288 of 1440 weights to be kept, got 287"):
        for step in plan.steps.values():
            Worker(store, provenance()).compute(step.task)


def too_few(network, batches, sparsity, options):
    mask = magnitude_mask(network, sparsity, options.exclude)
    name, kept = next((name, kept.clone()) for name, kept in mask.items() if kept.any())
    kept.view(-1)[kept.flatten().nonzero()[0]] = False
    return Mask({**mask, name: kept})


def test_from_the_command_line(tmp_path):
    methods = "methods=[naive, snip, {name: by-weights, mask: {by: imp, of: A}, carry: {by: weights}}]"
    quick = ["pairs=1", "sparsities=[0.8]", "rewinds=[0]", "connect=null"]
    found = run("run", write_study(tmp_path), *quick, methods, "--store", tmp_path / "s", "--out", tmp_path / "o")
    assert all(name in found.stdout for name in ("naive", "snip", "by-weights"))


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        (
            "[[permuted, naive], [lth, permutd]]",
            "compare.1.1: expected lth or naive or .*; got permutd; did you",
        ),
        ("[[lth, permuted t=1]]", "compare.0.1: expected lth .*; got permuted t=1; did you mean permuted"),
        ("[[lth]]", "compare.0: expected two methods, the first minus the second; got"),
        ("[[lth, lth]]", "compare: expected each pair of different methods once, got lth, lth"),
    ],
)
def test_a_mistake_in_what_is_compared_is_one_line_with_its_place(tmp_path, compare, message):
    with pytest.raises(StudyError, match=message) as error:
        load_study(write_study(tmp_path), [f"compare={compare}"])
    assert len(str(error.value).splitlines()) == 1


def test_what_is_compared_changes_no_key_and_early_matches_can_be():
    compare = [["lth", "permuted t=1"]]
    plan = plan_of("lth", "permuted", match_epochs=[1], compare=compare)
    assert plan.study.model_dump(mode="json")["compare"] == compare
    assert set(plan.steps) == set(plan_of("lth", "permuted", match_epochs=[1]).steps)


def test_every_alignment_has_rows_that_say_by_what_it_was_found(computed):
    plan, store = computed
    rows = collect(plan, store).of(MatchedGroup)
    found = {(row.by, row.of, row.at) for row in rows}
    assert found == {("activations", None, None), ("weights", None, None), ("activations", None, 1)}
    for (by, _, at), method in ((("activations", None, None), "permuted"), (("weights", None, None), "by-weights")):
        steps = {row.step for row in rows if (row.by, row.at) == (by, at)}
        assert steps == {step_of(plan, method).parents["alignment"].key}
    assert plan_of("naive").of("match") == []
    (only,) = plan_of("naive", BY_WEIGHTS).of("match")
    assert only.labels["by"] == "weights"


def test_networks_are_scored_on_what_they_were_trained_on(computed):
    plan, store = computed
    for row in collect(plan, store).of(Trained):
        if row.method not in ("own-ticket", "lth"):
            continue
        network, train = weights_in(store, plan.steps[row.step]), load_data("digits", train=128, split_seed=0).train
        found = evaluate(network, train)
        assert (row.train_accuracy, row.train_loss) == (found.accuracy, found.loss)


def test_of_many_training_inputs_evenly_spaced_ones_are_scored(computed, tmp_path, monkeypatch):
    plan, store = computed
    step = step_of(plan, "lth")
    monkeypatch.setattr(training, "FITTED", 50)
    train = load_data("digits", train=128, split_seed=0).train
    found = evaluate(weights_in(store, step), train.subset(torch.tensor([i * 128 // 50 for i in range(50)])))
    run = Run.of(step.task, store, lambda *told, **values: None)
    scores = training.scores(run, weights_in(store, step))
    assert (scores["train_accuracy"], scores["inputs"]) == (found.accuracy, 128)


def test_inputs_that_no_step_trains_on_cost_nothing(tmp_path):
    dropped = {"learning_rate": 0.1, "drop_last": True}
    plan, store = plan_of("erk", epochs=2, rewinds=[0], batch_size=50, sparse=dropped), Store(tmp_path / "store")
    for step in plan.steps.values():
        assert Worker(store, provenance()).compute(step.task) == Computed()
    rows = {row.method: row for row in collect(plan, store).of(Trained)}
    assert rows["erk"].flops * 128 == rows["dense"].flops * 100  # two batches of 50, of 128 inputs


def test_pruned_networks_have_rows_of_their_own(computed):
    plan, store = computed
    rows = {row.trained: row for row in collect(plan, store).of(Trained) if row.method == "pruned"}
    assert set(rows) == {"A", "B"}
    for name, method in (("A", "naive"), ("B", "own-ticket")):
        step = step_of(plan, method).parents["mask"]
        assert (rows[name].step, rows[name].rewind, rows[name].epochs) == (step.key, None, 1)
        assert rows[name].accuracy == json.loads((store.folder(step.key) / "metrics.json").read_text())["accuracy"]


def test_what_one_more_network_costs_follows_from_what_is_shared(computed):
    plan, store = computed
    rows = {(row.method, row.trained): row for row in collect(plan, store).of(Trained)}
    # 4 epochs of a dense network, 3 rounds of an epoch, 2 epochs of sparse training from epoch 2
    expected = {
        **{("dense", "A"): (4, 4, 4), ("pruned", "B"): (1, 7, 7), ("lth", "A"): (2, 9, 9)},
        **{("naive", "B"): (2, 7 + 4, 4), ("permuted", "B"): (2, 7 + 6, 6), ("own-ticket", "B"): (2, 9, 9)},
        **{("snip", "B"): (2, 4, 4), ("one-shot", "B"): (2, 6, 6), ("any-symmetry", "B"): (2, 7 + 4, 4)},
    }
    per_epoch = 3 * 2 * (64 * 16 + 16 * 16 + 16 * 10) * 128
    for key, epochs in expected.items():
        row = rows[key]
        assert (row.epochs, row.epochs_total, row.epochs_marginal) == epochs, key
        assert (row.flops, row.flops_total, row.flops_marginal) == tuple(per_epoch * count for count in epochs)
        assert row.seconds_marginal <= row.seconds_total
