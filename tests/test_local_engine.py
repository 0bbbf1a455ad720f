"""The local engine computes every step once, survives the death of its workers, and goes on around failures."""

import json
import os
import signal
from pathlib import Path

import pytest
import yaml
from support.small_study import SMALL

from permask.study.engines.local import Local
from permask.study.load import Prepared
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def plan_of(**changes):
    small = {"pairs": 1, "methods": ["lth", "naive"], "connect": None, "sparsities": [0.5], "rewinds": [0]}
    return make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | small | changes)))


def compute(plan, store, listen=lambda *happening: None, jobs=2):
    return Local(jobs, 1).run(plan, store, listen)


def contents(plan, store):
    """Every file of every result but the manifests, which hold the time it took."""
    return {
        (key, path.name): path.read_bytes()
        for key in plan.steps
        for path in store.folder(key).iterdir()
        if path.name != "manifest.json"
    }


def test_a_second_run_computes_nothing_and_a_changed_option_what_depends_on_it(store):
    plan = plan_of()
    assert compute(plan, store).computed == set(plan.steps)
    assert compute(plan, store).present == set(plan.steps)
    longer = plan_of(sparsities=[0.5, 0.8])
    report = compute(longer, store)
    assert report.present == set(plan.steps)
    assert report.computed == set(longer.steps) - set(plan.steps)


def test_results_do_not_depend_on_the_number_of_workers(store, tmp_path):
    plan, other = plan_of(methods=["permuted"]), Store(tmp_path / "other")
    compute(plan, store, jobs=1)
    compute(plan, other, jobs=3)
    assert contents(plan, store) == contents(plan, other)


def test_a_killed_worker_is_replaced_and_its_step_tried_again(store, tmp_path):
    plan, clean = plan_of(), Store(tmp_path / "clean")
    killed = []

    def kill(happening, step, detail):
        if happening == "started" and step.kind == "prune" and not killed:
            os.kill(detail, signal.SIGKILL)
            killed.append(step)
        if happening == "retried":
            killed.append(detail)

    assert compute(plan, store, kill).computed == set(plan.steps)
    assert killed[1:] == ["its worker was killed by signal 9; is there enough memory?"]
    compute(plan, clean)
    assert contents(plan, store) == contents(plan, clean)
    assert not list((store.root / "unfinished").iterdir())


def test_a_worker_that_always_dies_is_reported_and_all_else_goes_on(store):
    plan, deaths = plan_of(), []

    def kill(happening, step, detail):
        if happening == "started" and step.kind == "prune":
            os.kill(detail, signal.SIGKILL)
            deaths.append(step.key)

    report = compute(plan, store, kill)
    (failed,) = report.failed
    assert deaths == [failed] * 3
    assert "killed by signal 9" in report.failed[failed]
    kinds = {key: step.kind for key, step in plan.steps.items()}
    assert {kinds[key] for key in report.computed} == {"dense"}
    assert {kinds[key] for key in report.blocked} == {"mask", "sparse"}


def test_a_step_that_fails_blocks_what_needs_it_and_nothing_else(store):
    plan = plan_of()
    for step in plan.steps.values():
        if step.kind == "prune":
            step.specification["sparsity"] = 7.0  # no weights can be kept
    report = compute(plan, store)
    (log,) = report.failed.values()
    assert "expected a share in [0, 1), got 7.0" in log
    assert {plan.steps[key].kind for key in report.blocked} == {"mask", "sparse"}
    assert {plan.steps[key].kind for key in report.computed} == {"dense"}


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json", "metrics.json"])
@pytest.mark.parametrize("harm", ["truncated", "altered"])
def test_a_damaged_result_is_named_and_computed_again(store, name, harm):
    plan, told = plan_of(), []
    compute(plan, store)
    before = contents(plan, store)
    step = next(step for step in plan.steps.values() if step.kind == "prune")
    path = Path(store.folder(step.key) / name)
    content = path.read_bytes()
    path.write_bytes(content[:-1] if harm == "truncated" else content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    report = compute(plan, store, lambda happening, step, detail: told.append((happening, step.key, detail)))
    assert report.computed == {step.key}
    damaged = [(key, detail) for happening, key, detail in told if happening == "damaged"]
    assert damaged == [(step.key, f"{path} is truncated or altered")]
    assert contents(plan, store) == before


def test_a_result_without_a_manifest_is_damage(store):
    plan, told = plan_of(), []
    compute(plan, store)
    step = next(step for step in plan.steps.values() if step.kind == "prune")
    (store.folder(step.key) / "manifest.json").unlink()
    report = compute(plan, store, lambda happening, step, detail: told.append((happening, detail)))
    assert report.computed == {step.key}
    assert ("damaged", f"{store.folder(step.key)}/manifest.json cannot be read: No such file or directory") in told


def test_damage_that_a_step_meets_under_way_is_mended_first(store, tmp_path):
    """A byte flips in a result that was whole when the run began: nothing is computed from it."""
    plan, clean, told = plan_of(), Store(tmp_path / "clean"), []
    (prune,) = (step for step in plan.steps.values() if step.kind == "prune")
    end = prune.parents["network"].key

    def harm(happening, step, detail):
        told.append((happening, step.key))
        if told.count(("computed", end)) == 1 and told[-1] == ("computed", end):
            path = store.folder(end) / "weights.safetensors"
            content = path.read_bytes()
            path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])

    assert compute(plan, store, harm).computed == set(plan.steps)
    assert ("damaged", end) in told and told.count(("computed", end)) == 2
    compute(plan, clean)
    assert contents(plan, store) == contents(plan, clean)


def test_retries_are_as_many_as_configured(store):
    plan, deaths = plan_of(), []

    def kill(happening, step, detail):
        if happening == "started" and step.kind == "prune":
            os.kill(detail, signal.SIGKILL)
            deaths.append(step.key)

    Local(1, 1, retries=0).run(plan, store, kill)
    assert len(deaths) == 1


def test_manifests_say_how_a_result_came_about(store):
    plan = plan_of()
    compute(plan, store)
    for key, step in plan.steps.items():
        manifest = json.loads((store.folder(key) / "manifest.json").read_text())
        assert manifest["specification"] == step.specification
        assert manifest["provenance"]["torch"] and manifest["provenance"]["permask"]
        assert manifest["seconds"] > 0
