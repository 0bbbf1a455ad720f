"""Masks and matchings by a user's own functions, masks in files, a third network, and options by method."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.own_code import CODE, HELPER, MATCHED, MINE, compute_all, plan_own, step_of, write_own
from support.small_study import LONG, SMALL, permask, run

from permask.mask import Mask
from permask.masks.scores import keep_largest, magnitude_mask, random_mask
from permask.matching.alignment import Alignment
from permask.study.data import data_options
from permask.study.load import load_study, open_study
from permask.study.plan import make_plan
from permask.study.smoke import smallest
from permask.study.spec import Study
from permask.study.store import Store
from permask.training.data.load import load_data
from permask.training.networks import create_network

pytestmark = pytest.mark.usefixtures("apart_from_the_study")

SIZE = 64 * 16 + 16 * 16 + 16 * 10


def mask_in(store, step):
    return Mask.load(store.folder(step.key) / "mask.safetensors")


def network(seed=0):
    made = torch.Generator().manual_seed(seed)
    return create_network("mlp", widths=(16, 16), input_shape=(1, 8, 8), classes=10, generator=made)


def test_own_functions_make_masks_and_alignments(tmp_path):
    plan, store = plan_own(tmp_path, MINE, MATCHED, "naive"), Store(tmp_path / "store")
    assert compute_all(plan, store) == {}
    own, matched = step_of(plan, "mine"), step_of(plan, "matched")
    scored = own.parents["mask"]
    start = network()
    start.load_state_dict(load_file(store.folder(scored.parents["network"].key) / "weights.safetensors"))
    torch.manual_seed(scored.specification["seed"])
    noisy = {name: start.get_parameter(name).abs() for name in mask_in(store, scored)}
    assert mask_in(store, own) == keep_largest({name: w + torch.randn(w.shape) for name, w in noisy.items()}, 0.8)
    found = Alignment.load(store.folder(matched.parents["alignment"].key) / "alignment.json")
    assert found.method == "mine"
    drawn = found.symmetry.random(matched.parents["alignment"].specification["seed"])
    assert mask_in(store, matched) == mask_in(store, matched.parents["mask"]).permuted(drawn)


def test_functions_that_draw_and_change_what_they_get_change_nothing_that_comes_after(tmp_path):
    rude = CODE.replace(
        "    weights = scope_of(network)\n",
        "    mask = keep_largest(scope_of(network), sparsity)\n"
        "    for batch in batches:\n        batch.inputs[0].zero_()\n        batch.labels.zero_()\n"
        "    for weight in network.parameters():\n        weight.data.zero_()\n"
        "    torch.manual_seed(5)\n    return mask\n",
    ).replace(
        "    return Align", "    for weight in source.parameters():\n        weight.data.zero_()\n    return Align"
    )
    changed = {"name": "changed", "mask": {"by": "own.py:score"}}
    results = []
    for name, methods in {"without": ("snip",), "with": (changed, MATCHED, "snip")}.items():
        (tmp_path / name).mkdir()
        plan = plan_own(tmp_path / name, *methods, code=rude)
        before = torch.get_rng_state()
        assert compute_all(plan, Store(tmp_path / name / "store")) == {}
        assert torch.equal(before, torch.get_rng_state())
        step = step_of(plan, "snip")
        results.append((Store(tmp_path / name / "store").folder(step.key) / "weights.safetensors").read_bytes())
    assert results[0] == results[1]


def test_another_method_leaves_all_other_keys_as_they_were(tmp_path):
    before = set(plan_own(tmp_path, "lth", "naive", "snip").steps)
    others = (
        MINE,
        MATCHED,
        {"name": "third", "start": "new", "mask": {"by": "erk"}},
        {"name": "early", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "activations", "at": [1, 2], "of": 2}},
        {"name": "few", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "sinkhorn", "images": 64}},
        {"name": "slow", "mask": {"by": "imp", "of": "A"}, "train": {"learning_rate": 0.05, "rescale": "layer"}},
    )
    after = set(plan_own(tmp_path, "lth", "naive", "snip", *others).steps)
    assert before < after


@pytest.mark.parametrize("name", ["own.py", "helper.py"])
def test_one_character_of_a_file_changes_exactly_the_keys_that_depend_on_it(tmp_path, name):
    methods = ("lth", "permuted", "snip", MINE, MATCHED)
    plan = plan_own(tmp_path, *methods)
    (tmp_path / name).write_text({"own.py": CODE, "helper.py": HELPER}[name] + "#")
    changed = make_plan(open_study(tmp_path / "own.yaml"))
    scored, aligned = (step_of(plan, "mine").parents["mask"], step_of(plan, "matched").parents["alignment"])
    resting = {key for key in plan.steps if plan.before(plan.steps[key]) & {scored.key, aligned.key}}
    assert len(resting) == 4
    assert set(plan.steps) - set(changed.steps) == resting
    assert len(changed.steps) == len(plan.steps)


def test_a_mask_in_a_file_is_known_by_its_content(tmp_path):
    masks = {sparsity: magnitude_mask(network(), sparsity) for sparsity in (0.5, 0.8)}
    masks[0.5].save(tmp_path / "half.safetensors")
    torch.save({name: kept.float() for name, kept in masks[0.8].items()}, tmp_path / "fifth.pt")
    paths = {0.5: "half.safetensors", 0.8: "fifth.pt"}
    method = {"name": "given", "mask": {"by": "file", "path": paths}}
    carried = {"name": "moved", "mask": {"by": "file", "of": "A", "path": paths}, "carry": {"by": "random"}}
    study = {"sparsities": [0.5, 0.8], "pairs": 2}
    plan, store = plan_own(tmp_path, method, carried, **study), Store(tmp_path / "store")
    assert compute_all(plan, store) == {}
    steps = [reported.step for reported in plan.of("sparse") if reported.labels["method"] == "given"]
    assert {step.parents["mask"].specification["sparsity"] for step in steps} == {0.5, 0.8}
    assert len({step.parents["mask"].key for step in plan.steps.values() if step.kind == "sparse"}) == 2
    for step in steps:
        assert mask_in(store, step) == masks[step.parents["mask"].specification["sparsity"]]
    for old, new in paths.items():  # another name for the same content
        (tmp_path / new).rename(tmp_path / f"renamed{old}")
    method["mask"]["path"] = carried["mask"]["path"] = {old: f"renamed{old}" for old in paths}
    assert plan_own(tmp_path, method, carried, **study).steps.keys() == plan.steps.keys()
    random_mask(network(), 0.5, seed=0).save(tmp_path / "renamed0.5")
    assert len(plan_own(tmp_path, method, carried, **study).steps.keys() - plan.steps.keys()) == 1 + 2 * 2


def test_what_changes_while_a_study_runs_is_refused(tmp_path):
    magnitude_mask(network(), 0.8).save(tmp_path / "given.safetensors")
    given = {"name": "given", "mask": {"by": "file", "path": "given.safetensors"}}
    plan = plan_own(tmp_path, MINE, given)
    (tmp_path / "own.py").write_text(CODE + "#")
    magnitude_mask(network(1), 0.8).save(tmp_path / "given.safetensors")
    store, logs = Store(tmp_path / "store"), []
    for method in ("mine", "given"):
        needed = plan.before(step_of(plan, method).parents["mask"])
        steps = {key: step for key, step in plan.steps.items() if key in needed}
        logs.append(compute_all(replace(plan, steps=steps), store))
    assert "own.py:score: its code has changed since this run began; run again" in logs[0]["score"]
    assert "given.safetensors has changed since this run began; run again" in logs[1]["score"]


def test_a_third_network_has_a_seed_of_its_own_and_the_data_order_of_b(tmp_path):
    methods = [
        {"name": "third", "start": "new", "mask": {"by": "snip"}},
        {"name": "ticket", "start": "new", "mask": {"by": "imp"}},
        {"name": "moved", "start": "new", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "activations", "at": 3}},
        {"name": "mixed", "start": "new", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "random"}},
    ]
    plan = plan_own(tmp_path, "naive", *methods, rewinds=[2])
    seed = 1 + 2**62
    for method in methods:
        step = step_of(plan, method["name"])
        start = step.parents["weights"].specification
        assert (start["seed"], start["epoch"]) == (seed, 2)
        assert step.specification["seed"] == step_of(plan, "naive").specification["seed"] == 1
    scored = step_of(plan, "third").parents["mask"]
    assert scored.parents["network"] is step_of(plan, "third").parents["weights"]
    assert step_of(plan, "ticket").parents["mask"].specification["seed"] == seed
    target = step_of(plan, "moved").parents["alignment"].parents["target"].specification
    assert (target["seed"], target["epoch"]) == (seed, 3)
    assert step_of(plan, "mixed").specification["element"] == seed
    store = Store(tmp_path / "store")
    assert compute_all(plan, store) == {}
    assert {reported.labels["trained"] for reported in plan.of("sparse")} == {"B", "new"}
    (tmp_path / "only").mkdir()
    alone = plan_own(tmp_path / "only", methods[0], rewinds=[2])  # nothing needs the end of its dense training
    assert [s.specification["epoch"] for s in alone.steps.values() if s.specification.get("seed") == seed] == [2]


@pytest.mark.parametrize(("first_seed", "pairs"), [(0, 1000), (2**62 - 7, 10), (2**63 - 100, 50)])
def test_no_network_of_a_study_has_the_seed_of_another(first_seed, pairs):
    study = Study.model_validate(yaml.safe_load(SMALL) | {"pairs": pairs, "first_seed": first_seed})
    seeds = [seed for pair in range(pairs) for seed in study.network_seeds(pair).values()]
    assert len(set(seeds)) == 3 * pairs
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_matchers_read_as_many_images_at_the_epochs_that_are_asked_for(tmp_path):
    ticket = {"by": "imp", "of": "A"}
    methods = [
        {"name": "early", "mask": ticket, "carry": {"by": "activations", "at": [1, 3], "of": 2, "images": 10}},
        {"name": "late", "mask": ticket, "carry": {"by": "activations", "at": 4}},
        {"name": "own", "mask": ticket, "carry": {"by": "own.py:match", "images": 50, "at": 1}},
        {"name": "none", "mask": ticket, "carry": {"by": "none"}},
    ]
    counting = CODE.replace(
        "    return Alignment(",
        "    count = sum(len(batch.inputs[0]) for batch in batches)\n"
        "    labels = torch.cat([batch.labels for batch in batches])\n"
        "    assert not source.training and not target.training and len(batches) == 1 == len(batches[:])\n"
        "    used = {'inputs': count, 'labels': labels.tolist()}\n"
        "    return Alignment(",
    ).replace("0.0, ())", "0.0, (), used=used)")
    plan = plan_own(tmp_path, "permuted", "naive", *methods, code=counting, match_epochs=[1])
    store = Store(tmp_path / "store")
    assert compute_all(plan, store) == {}
    names = [reported.labels["method"] for reported in plan.of("sparse")]
    assert names == ["permuted", "naive", "early t=1", "early t=3", "late", "own", "none", "permuted t=1"]
    for at in (1, 3):
        alignment = step_of(plan, f"early t={at}").parents["alignment"]
        epochs = {role: alignment.parents[role].specification["epoch"] for role in ("source", "target")}
        assert epochs == {"source": 2, "target": at}
        used = Alignment.load(store.folder(alignment.key) / "alignment.json").used
        assert used["samples"] == 10
    assert step_of(plan, "late").key == step_of(plan, "permuted").key
    assert step_of(plan, "none").key == step_of(plan, "naive").key
    seen = Alignment.load(store.folder(step_of(plan, "own").parents["alignment"].key) / "alignment.json").used
    whole = Study.model_validate(plan.study.model_dump())  # as saved, it is the same study
    assert whole == plan.study
    labels = load_data(**data_options(plan.study.data.model_dump(), "", "")).train.labels
    assert seen == {"inputs": 50, "labels": [int(labels[i * 128 // 50]) for i in range(50)]}


def test_options_of_sparse_training_by_method(tmp_path):
    ticket = {"by": "imp", "of": "A"}
    methods = [
        {"name": "plain", "mask": ticket, "train": {"rescale": None}},
        {"name": "same", "mask": ticket, "train": {"learning_rate": 0.1, "rescale": "neuron"}},
        {"name": "layer", "mask": ticket, "train": {"rescale": "layer", "momentum": 0.5}},
    ]
    sparse = {"learning_rate": 0.1, "rescale": "neuron"}
    plan = plan_own(tmp_path, "naive", *methods, sparse=sparse)
    found = {name: step_of(plan, name) for name in ("naive", "plain", "same", "layer")}
    assert found["same"].key == found["naive"].key
    assert "rescale" not in found["plain"].specification
    assert found["layer"].specification["rescale"] == "layer"
    recipes = {name: step.specification["recipe"] for name, step in found.items()}
    assert recipes["plain"] == recipes["naive"]
    assert recipes["layer"] == recipes["naive"] | {"momentum": 0.5}
    assert plan.study.model_dump(mode="json")["methods"][1]["train"] == {"rescale": None}
    assert Study.model_validate(plan.study.model_dump(mode="json")) == plan.study
    assert compute_all(plan, Store(tmp_path / "store")) == {}


def test_the_smallest_form_keeps_what_methods_say_within_its_epochs(tmp_path):
    ticket = {"by": "imp", "of": "A"}
    methods = [
        {"name": "early", "mask": ticket, "carry": {"by": "activations", "at": [1, 5, 30], "of": 30}},
        {"name": "slow", "mask": ticket, "train": {"learning_rate": 0.4}},
        {"name": "warm", "mask": ticket, "train": {"warmup": 20}},
    ]
    path = write_own(tmp_path, *methods, epochs=40, batch_size=128)
    early, slow, warm = smallest(load_study(path)).methods
    assert early.carry and slow.train and warm.train
    assert warm.train.model_dump(exclude_defaults=True) == {"warmup": 2}
    assert (early.carry.at, early.carry.of) == ((1, 3), 3)
    assert slow.train.model_dump(exclude_defaults=True) == {"learning_rate": 0.2}


def test_a_mask_source_keeps_its_key_until_it_changes(tmp_path):
    plan = plan_own(tmp_path, *({"name": by, "mask": {"by": by}} for by in ("uniform", "random", "magnitude")))
    versions = {
        by: step_of(plan, by).parents["mask"].specification.get("source_version") for by in ("uniform", "random")
    }
    assert versions == {"uniform": None, "random": 2}
    store = Store(tmp_path / "store")
    assert compute_all(plan, store) == {}
    drawn = mask_in(store, step_of(plan, "random"))
    assert drawn == random_mask(network(), 0.8, seed=1)
    shares = [float(kept.float().mean()) for kept in mask_in(store, step_of(plan, "uniform")).values()]
    assert max(shares) - min(shares) < 0.01 < max(abs(float(kept.float().mean()) - 0.2) for kept in drawn.values())


@pytest.mark.slow
def test_ctrl_c_in_a_function_that_takes_an_hour_loses_nothing(tmp_path):
    code = CODE.replace(
        "    weights = scope_of",
        "    import time\n"
        f"    open({str(tmp_path / 'begun')!r}, 'w').close()\n"
        "    time.sleep(3600)\n"
        "    weights = scope_of",
    )
    path = write_own(tmp_path, "naive", MINE, code=code)
    where = ("--store", tmp_path / "s", "--out", tmp_path / "o", "--jobs", "1")
    with permask("run", path, *where) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=LONG)
    assert process.returncode == 130, f"{out}\n{err}"
    done = re.search(r"(\d+) steps? computed, 0 were in the store", out)
    assert done and int(done[1]) > 0
    (tmp_path / "own.py").write_text(CODE)
    assert f"{done[1]} were in the store" in run("run", path, *where).stdout
    run("store", "verify", "--store", tmp_path / "s")


def test_a_study_of_own_functions_runs_from_anywhere(tmp_path):
    found = run("run", write_own(tmp_path, "naive", MINE, MATCHED), "--store", tmp_path / "s", "--out", tmp_path / "o")
    assert all(name in found.stdout for name in ("naive", "mine", "matched"))
    again = run("run", tmp_path / "own.yaml", "--store", tmp_path / "s", "--out", tmp_path / "o")
    assert "0 steps computed" in again.stdout


def test_a_study_that_names_no_file_of_its_own_needs_no_torch_to_be_planned(tmp_path):
    write_own(tmp_path, "naive", {"name": "third", "start": "new", "mask": {"by": "erk"}})
    code = (
        "import sys\nfrom pathlib import Path\nfrom permask.study.load import open_study\n"
        "from permask.study.plan import make_plan\n"
        f"make_plan(open_study(Path({str(tmp_path / 'own.yaml')!r})))\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    )
