"""What `permask plan` says of epochs, hours and the published schedule, at the size of the paper's grid and beyond."""

import json
import re
import time
import xml.etree.ElementTree as ET

import pytest
from support.small_study import run, write_study

from permask.report.graph import draw
from permask.study.budget import budgets, rounds_to
from permask.study.load import Prepared
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.store import Store

GRID = {
    "name": "grid",
    "data": {"name": "digits"},
    "network": {"name": "resnet20"},
    "pairs": 3,
    "epochs": 200,
    "dense": {"learning_rate": 0.08},
    "sparse": {"learning_rate": 0.02},
    "prune": {"epochs": 50},
    "sparsities": [0.80, 0.90, 0.95, 0.97],
    "rewinds": [0, 5, 10, 15, 20, 25, 50, 75, 100],
    "methods": ["lth", "naive", "permuted"],
}


def plan_of(**changes):
    return make_plan(Prepared(Study.model_validate(GRID | changes)))


def test_the_papers_grid_against_its_schedule():
    assert [rounds_to(sparsity, 0.2) for sparsity in GRID["sparsities"]] == [8, 11, 14, 16]
    found = budgets(plan_of(), None)
    dense, prune, sparse = (found[kind] for kind in ("dense", "prune", "sparse"))
    assert (dense.epochs, dense.epochs_published) == (3 * 2 * 200, 4 * 3 * 2 * 200)
    assert (prune.epochs, prune.epochs_published) == (3 * 19 * 50, 3 * 49 * 50)
    assert sparse.epochs == sparse.epochs_published == 3 * 4 * 3 * sum(200 - k for k in GRID["rewinds"])
    assert found["match"].steps == 3 and found["match"].reads == 3 * (4 * 9 + 1 + 4)
    assert found["all"].epochs_left == found["all"].epochs


def test_planning_is_quick():
    started = time.process_time()
    budgets(plan_of(), None)
    assert time.process_time() - started < 2
    started = time.process_time()
    large = plan_of(pairs=70)
    budgets(large, None)
    draw(large, set())
    assert len(large.steps) > 10_000
    assert time.process_time() - started < 5


def test_hours_come_from_the_rates_of_like_steps(tmp_path):
    plan, store = plan_of(pairs=1), Store(tmp_path / "store")
    assert budgets(plan, store)["all"].hours_left is None

    def put(step, seconds):
        manifest = {"kind": step.kind, "specification": step.specification, "epochs": step.epochs, "seconds": seconds}
        with store.writing(step.key, manifest):
            pass

    dense = [step for step in plan.steps.values() if step.kind == "dense" and step.epochs]
    put(dense[0], 2.0 * dense[0].epochs)
    found = budgets(plan, store)
    assert found["dense"].hours_left == pytest.approx(2.0 * (400 - dense[0].epochs) / 3600)
    assert found["sparse"].hours_left == pytest.approx(2.0 * found["sparse"].epochs / 3600)  # trains at the same rate
    assert found["match"].hours_left is None
    for kind in ("match", "connect"):
        put(next(step for step in plan.steps.values() if step.kind == kind), 36.0)
    assert budgets(plan_of(pairs=2), store)["match"].hours_left == pytest.approx(36 / 3600)
    other = budgets(plan_of(network={"name": "resnet20", "width": 4}), store)
    assert other["dense"].hours_left is None  # another network has another rate


def test_the_picture_draws_each_step_once_and_pairs_that_are_alike_once():
    plan = plan_of()
    root = ET.fromstring(draw(plan, set(plan.steps)))
    titles = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")]
    drawn = [(int(found[1]), int(found[2])) for title in titles if (found := re.search(r"(\d+) of (\d+) in", title))]
    assert len(drawn) == len(titles) < 30
    assert sum(total for _, total in drawn) == len(plan.steps) == sum(present for present, _ in drawn)
    assert any("27 × sparse" in title for title in titles)
    assert "<!doctype html>" in draw(plan, set(), as_page=True)


def test_the_command(tmp_path):
    study = write_study(tmp_path)
    picture = tmp_path / "plan.svg"
    content = json.loads(run("plan", study, "--json", "--picture", picture).stdout)
    plan = {step["key"]: step for step in content["steps"]}
    assert len(plan) == content["costs"]["all"]["steps"]
    assert all(
        plan[need]["critical_path"] >= step["critical_path"] + plan[need]["epochs"]
        for step in plan.values()
        for need in step["needs"]
    )
    assert picture.read_text().startswith("<svg")
    assert "rounds per network" in run("plan", study).stdout
    wrong = run("plan", study, "--picture", tmp_path / "plan.gif", code=2)
    assert "expected a file name that ends in .svg or .html" in wrong.stderr
