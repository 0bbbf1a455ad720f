"""How long a plan takes on a number of GPUs: chains are sequential, and slots take what is ready by its chain."""

import json
from types import SimpleNamespace

import pytest
import yaml
from support.small_study import TINY, run, write_study

from permask.errors import PermaskError
from permask.study.load import Prepared
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.step import Step, Task
from permask.study.store import Store
from permask.study.timetable import measured_rate, stated_rate, timetable


def plan_of(**needs):
    """A plan of steps by name, each with its seconds and the names of what it needs."""
    steps = {}
    for name, (seconds, *names) in needs.items():
        parents = {need: steps[need] for need in names}
        task = Task("mask", 1, {"name": name, "seconds": seconds}, {n: steps[n].key for n in names})
        steps[name] = Step(task, parents)
    return SimpleNamespace(steps={step.key: step for step in steps.values()})


def seconds(step):
    return step.specification["seconds"]


def times(plan, gpus, lanes=1, present=()):
    found = timetable(plan, seconds, present, gpus, lanes)
    return round(3600 * found.hours), round(3600 * found.chain_hours), found.busy


CHAIN = {"a": (10,), "b": (20, "a"), "c": (30, "b")}  # 60 seconds, one after another


def test_a_chain_takes_as_long_on_any_number_of_gpus():
    for gpus in (1, 8):
        assert times(plan_of(**CHAIN), gpus) == (60, 60, 1 / gpus)


def test_slots_take_the_longest_chain_first():
    plan = plan_of(x=(25,), y=(25,), **CHAIN)
    assert times(plan, 1)[0] == 110
    assert times(plan, 2) == (60, 60, 110 / 120)  # x and y in turn beside the chain
    assert times(plan, 1, lanes=2) == times(plan, 2)
    assert times(plan, 64)[:2] == (60, 60)


def test_steps_wait_for_all_that_they_need_and_what_is_there_takes_no_time():
    plan = plan_of(a=(10,), b=(40,), c=(5, "a", "b"), d=(5, "a"))
    assert times(plan, 2)[:2] == (45, 45)
    (b,) = (key for key, step in plan.steps.items() if step.specification["name"] == "b")
    assert times(plan, 2, present={b})[:2] == (15, 15)
    assert times(plan, 2, present=set(plan.steps)) == (0, 0, 0.0)


def tiny(**changes):
    return make_plan(Prepared(Study.model_validate(yaml.safe_load(TINY) | changes)))


def test_a_stated_rate_counts_the_steps_of_epochs():
    """One pair: two dense trainings of 2 epochs, a pruning round of one, two sparse trainings of 2; 2 steps each."""
    plan = tiny()
    rate = stated_rate(plan, 0.5, lambda step: None)
    found = timetable(plan, rate, (), 1)
    assert found.hours * 3600 == pytest.approx(sum(step.epochs for step in plan.steps.values()) * 2 / 0.5)
    assert found.uncounted == sum(step.epochs == 0 for step in plan.steps.values())
    assert timetable(plan, rate, (), 8).hours == pytest.approx(found.chain_hours)
    dropped = tiny(batch_size=48, dense={"learning_rate": 0.1, "drop_last": True})
    (step, *_) = (step for step in dropped.steps.values() if step.kind == "dense" and step.epochs == 2)
    assert stated_rate(dropped, 0.5, seconds)(step) == 2 / 0.5


def test_a_rate_cannot_be_stated_where_the_steps_of_an_epoch_are_not_known():
    plan = tiny(data={"name": "image_folder", "content": "x"}, network={"name": "resnet8"})
    with pytest.raises(PermaskError, match="the data would have to be loaded to tell the steps of an epoch"):
        timetable(plan, stated_rate(plan, 1.0, lambda step: None), (), 1)


def test_a_measured_rate_is_that_of_like_steps_on_gpus_with_as_many_lanes(tmp_path):
    store, plan = Store(tmp_path / "store"), tiny()
    steps = [step for step in plan.steps.values() if step.kind == "dense" and step.epochs]
    for number, (step, device, lanes) in enumerate(zip(steps, ("cuda", "cpu"), (2, 1), strict=True)):
        with store.writing(step.key, manifest := dict(step.task.identity)):
            manifest["epochs"], manifest["seconds"] = step.epochs, 10.0 * (number + 1)
            manifest["provenance"] = {"lanes": lanes}
            manifest["specification"] = {**step.specification, "execution": {"device": device}}
    assert measured_rate(store, 2)(steps[1]) == 10.0
    assert measured_rate(store, 1)(steps[1]) is None
    assert measured_rate(None, 1)(steps[1]) is None


def test_the_command_says_how_long_it_takes_on_some_gpus(tmp_path):
    study = write_study(tmp_path, TINY)
    said = run("plan", study, "--gpus", 1, "--gpus", 8, "--steps-per-second", 0.01).stdout
    assert "on 1 GPU: " in said and "on 8 GPUs: " in said and "steps count as no time" in " ".join(said.split())
    found = json.loads(run("plan", study, "--gpus", 2, "--lanes", 2, "--steps-per-second", 1, "--json").stdout)
    assert [(one["gpus"], one["lanes"]) for one in found["times"]] == [(2, 2)]
    assert "expected a number above 0, and --gpus" in run("plan", study, "--steps-per-second", 1, code=2).stderr
