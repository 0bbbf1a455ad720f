"""A step that was broken off anywhere goes on from its last checkpoint, to the same bits."""

import hashlib
import json
import os
import signal
import time

import pytest
import torch
import yaml
from safetensors.torch import save
from support.small_study import SMALL, permask, run, write_study

from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.steps import checkpoint
from permask.study.steps.checkpoint import Checkpoints
from permask.study.store import Store
from permask.study.tracking.track import read_track
from permask.study.upkeep import find_garbage, remove_garbage
from permask.study.worker import Worker


@pytest.fixture
def prune(tmp_path):
    """A step that trains 6 epochs of 4 batches under a mask, its needs computed; and what it writes undisturbed."""
    changes = {"pairs": 1, "rewinds": [0], "sparsities": [0.5], "prune": {"epochs": 6, "rate": 0.5}, "connect": None}
    plan = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | changes)))
    (step,) = (step for step in plan.steps.values() if step.kind == "prune")
    stores = Store(tmp_path / "store"), Store(tmp_path / "clean")
    for store in stores:
        for before in plan.steps.values():
            if before.kind == "dense" and before.specification["seed"] == step.specification["seed"]:
                Worker(store, {}).compute(before.task)
    assert Worker(stores[1], {}).compute(step.task) == Computed()
    return step, stores[0], contents(stores[1], step)


@pytest.fixture(params=["set", "rigl", "gmp"])
def changing(tmp_path, request):
    """A step that trains 6 epochs of 4 batches under a mask that changes, and what it writes undisturbed."""
    changes = {"pairs": 1, "epochs": 7, "rewinds": [1], "sparsities": [0.5], "prune": {"epochs": 1, "rate": 0.5}}
    own = {"methods": [request.param], "connect": None}
    plan = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | changes | own)))
    (step,) = (step for step in plan.steps.values() if step.kind == "sparse")
    stores = Store(tmp_path / "store"), Store(tmp_path / "clean")
    for store in stores:
        for before in plan.steps.values():
            if before is not step and before.key in plan.before(step):
                Worker(store, {}).compute(before.task)
    assert Worker(stores[1], {}).compute(step.task) == Computed()
    return step, stores[0], contents(stores[1], step)


def contents(store, step):
    return {path.name: path.read_bytes() for path in store.folder(step.key).iterdir() if path.name != "manifest.json"}


class Preempted(BaseException):
    """As abrupt as a kill: nothing handles it."""


@pytest.fixture
def broken_off(monkeypatch):
    """Break off a step right after its n-th checkpoint."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    save = Checkpoints.save

    def after(n, step, store):
        left = [n]

        def save_and_break(self, *arguments):
            save(self, *arguments)
            left[0] -= 1
            if not left[0]:
                raise Preempted

        monkeypatch.setattr(Checkpoints, "save", save_and_break)
        with pytest.raises(Preempted):
            Worker(store, {}).compute(step.task)
        monkeypatch.setattr(Checkpoints, "save", save)

    return after


@pytest.mark.parametrize("n", [1, 3, 4, 5, 23])
def test_goes_on_where_it_was_bit_for_bit(prune, broken_off, n):
    step, store, expected = prune
    broken_off(n, step, store)
    assert len(list(store.checkpoints(step.key).iterdir())) == 1
    assert Worker(store, {}).compute(step.task) == Computed()
    assert contents(store, step) == expected
    epochs = [event["done"] for event in read_track(store, step.key) if event["event"] == "progress"]
    assert epochs == [1, 2, 3, 4, 5, 6]  # none was trained twice
    assert not store.checkpoints(step.key).exists()


@pytest.mark.parametrize("n", [3, 10, 20])
def test_masks_that_change_go_on_where_they_were_bit_for_bit(changing, broken_off, n):
    step, store, expected = changing
    broken_off(n, step, store)
    assert Worker(store, {}).compute(step.task) == Computed()
    assert contents(store, step) == expected


def test_a_damaged_checkpoint_is_not_used(prune, broken_off):
    step, store, expected = prune
    broken_off(9, step, store)
    (path,) = store.checkpoints(step.key).iterdir()
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert Worker(store, {}).compute(step.task) == Computed()
    assert contents(store, step) == expected


def test_a_checkpoint_of_an_older_version_is_not_used(prune):
    step, store, expected = prune
    state = {"begun": {"epoch": 2, "steps": 1, "loss_sum": 3.5}, "history": [], "seconds": 1.0}
    content = save({"weights/layers.0.weight": torch.zeros(2)}, {"state": json.dumps(state)})
    folder = store.checkpoints(step.key)
    folder.mkdir(parents=True)
    (folder / f"{hashlib.sha256(content).hexdigest()}.safetensors").write_bytes(content)
    assert Worker(store, {}).compute(step.task) == Computed()
    assert contents(store, step) == expected


def test_checkpoints_that_no_step_will_read_can_go(prune, broken_off):
    step, store, _ = prune
    broken_off(2, step, store)
    assert find_garbage(store).leftovers == []
    garbage = find_garbage(store, set(store.results()))
    assert garbage.leftovers == [store.checkpoints(step.key)]
    remove_garbage(store, garbage)
    assert not store.checkpoints(step.key).exists()


def test_killed_inside_a_long_step(tmp_path, monkeypatch):
    """Kill -9 of all processes while a training of hundreds of epochs writes checkpoints."""
    long = SMALL.replace("epochs: 4", "epochs: 300").replace("sparsities: [0.5, 0.8]", "sparsities: [0.5]")
    study = write_study(tmp_path, long.replace("[lth, naive, permuted, random]", "[lth]").replace("[0, 2]", "[0]"))
    arguments = ["run", study, "pairs=1", "connect=null", "--out", tmp_path / "out", "--jobs", 2, "--store"]
    run(*arguments, tmp_path / "clean")
    clean, store = Store(tmp_path / "clean", existing=True), Store(tmp_path / "store")
    monkeypatch.setenv("PERMASK_CHECKPOINT_SECONDS", "0.1")
    killed = permask(*arguments, store.root)
    keys = []
    while not keys:
        assert killed.poll() is None
        time.sleep(0.02)
        found = [path.parent.name for path in store.root.glob("checkpoints/*/*.safetensors")]
        keys = [key for key in found if len(read_track(store, key)) > 50]
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    (key, *_) = keys
    assert not store.has(key)
    run(*arguments, store.root)
    assert store.results() == clean.results()
    for one in store.results():
        for path in clean.folder(one).iterdir():
            assert path.name == "manifest.json" or path.read_bytes() == (store.folder(one) / path.name).read_bytes()
    events = read_track(store, key)
    again = [event["event"] for event in events].index("started", 1)
    assert events[again + 1]["done"] > 1  # not from the beginning
