"""Steps share the GPUs of a machine out: one each, unless lanes say otherwise, and several that train together."""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from support.small_study import LONG

from permask.errors import PermaskError, StudyError
from permask.study.engines import local
from permask.study.engines.choice import Choice, EngineName
from permask.study.engines.cluster import Cluster
from permask.study.engines.lanes import fastest
from permask.study.engines.local import Local
from permask.study.engines.ray import _options
from permask.study.engines.slots import Slots
from permask.study.engines.slurm import check_shares
from permask.study.messages import Computed
from permask.study.step import Step, Task
from permask.study.store import Store
from permask.study.worker import Worker
from permask.training import gpus
from permask.training.gpus import Gpu, has_kernels

EIGHT = [Gpu(str(number), "NVIDIA H100", 80 << 30) for number in range(8)]


def test_slots_are_of_different_gpus_and_those_with_most_room_come_first():
    slots = Slots(["2", "5", "7"], lanes=2)
    assert slots.take(2) == ("2", "5")
    assert slots.take(1) == ("7",)
    assert slots.take(3) == ("2", "5", "7")
    assert slots.take(1) is None and slots.take(0) == ()
    slots.give_back(("2", "5"))
    assert slots.take(2) == ("2", "5")


@dataclass(frozen=True)
class Together(Worker):
    """In place of the worker: its steps compute nothing, and end once as many as they say have begun."""

    def attempt(self, task, progress=None):
        begun = self.store.root / "begun"
        told = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "pid": os.getpid(), "asleep": not _looked()}
        (begun / f".{task.key}").write_text(json.dumps(told))
        (begun / f".{task.key}").rename(begun / task.key)
        until = time.monotonic() + LONG
        while len(_begun(self.store)) < task.specification["begun"]:
            assert time.monotonic() < until
            time.sleep(0.01)
        return Computed()


def _looked():
    """Whether a process has looked which GPUs there are, after which it takes no other ones."""
    return torch.cuda.is_initialized() or gpus.usable_gpus.cache_info().currsize > 0


def _begun(store):
    return [path for path in (store.root / "begun").iterdir() if not path.name.startswith(".")]


def step_of(number, begun, epochs=0, device="cuda"):
    execution = {"device": device}
    return Step(Task("dense", 1, {"number": number, "begun": begun, "execution": execution}, {}, epochs=epochs))


def run_together(tmp_path, monkeypatch, engine, steps):
    """Run steps that wait for each other, on faked GPUs; what each of them told."""
    monkeypatch.setattr(local, "Worker", Together)
    store = Store(tmp_path / "store")
    (store.root / "begun").mkdir()
    found = {step.key: step for step in steps}
    lengths = {key: 1000 * step.epochs - step.specification["number"] for key, step in found.items()}
    plan = SimpleNamespace(steps=found, study=SimpleNamespace(name="together"), critical_path=lambda: lengths)
    report = engine.run(plan, store, lambda *happening: None)
    assert report.computed == set(found)
    return [json.loads((store.root / "begun" / step.key).read_text()) for step in steps]


def test_eight_workers_take_eight_gpus_before_any_of_them_looked_which_there_are(tmp_path, monkeypatch):
    told = run_together(tmp_path, monkeypatch, Local(8, 1, gpus=EIGHT), [step_of(i, begun=8) for i in range(8)])
    assert sorted(one["gpus"] for one in told) == [gpu.name for gpu in EIGHT]
    assert all(one["asleep"] for one in told)


def test_a_network_on_four_gpus_and_four_steps_beside_it(tmp_path, monkeypatch):
    steps = [step_of(0, begun=5, epochs=1), *(step_of(i, begun=5) for i in range(1, 5))]
    engine = Local(8, 1, processes=4, gpus=EIGHT)
    together, *alone = [one["gpus"] for one in run_together(tmp_path, monkeypatch, engine, steps)]
    assert together == "0,1,2,3"
    assert sorted(alone) == ["4", "5", "6", "7"]


def test_two_steps_share_a_gpu_where_lanes_say_so_and_never_three(tmp_path, monkeypatch):
    told = run_together(tmp_path, monkeypatch, Local(9, 1, gpus=EIGHT[:2], lanes=2), [step_of(i, 4) for i in range(4)])
    assert Counter(one["gpus"] for one in told) == {"0": 2, "1": 2}


def test_more_steps_than_gpus_wait_and_steps_for_the_cpu_take_none(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    steps = [*(step_of(i, begun=2) for i in range(4)), step_of(4, begun=0, device="cpu")]
    told = run_together(tmp_path, monkeypatch, Local(3, 1, gpus=EIGHT[:2]), steps)
    assert {one["gpus"] for one in told[:4]} == {"0", "1"} and told[4]["gpus"] is None
    assert len({(one["gpus"], one["pid"]) for one in told[:4]}) == 2  # a worker keeps its GPU


def test_a_worker_that_dies_leaves_its_gpu_to_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_serve", _die_once)
    assert run_together(tmp_path, monkeypatch, Local(1, 1, gpus=EIGHT[:1]), [step_of(i, i + 1) for i in range(2)])


def _die_once(connection, worker, gpus, serve=local._serve):
    if not (worker.store.root / "died").exists():
        (worker.store.root / "died").touch()
        connection.recv()
        os._exit(1)
    serve(connection, worker, gpus)


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(gpus, "usable_gpus", lambda: EIGHT)


def made(choice, number=100, device="cuda"):
    steps = {str(i): step_of(i, 0, device=device) for i in range(number)}
    return choice.make(SimpleNamespace(steps=steps))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), (8, 1)),
        (Choice(lanes=3), (24, 3)),
        (Choice(jobs=16), (16, 2)),
        (Choice(jobs=9), (9, 2)),
        (Choice(jobs=3), (3, 1)),
        (Choice(jobs=30, lanes=2), (16, 2)),
        (Choice(processes=4), (8, 1)),
    ],
)
def test_jobs_are_gpus_times_lanes(eight, choice, expected):
    engine = made(choice)
    assert (engine.jobs, engine.lanes) == expected and list(engine.gpus) == EIGHT


def test_the_run_says_what_it_runs_on(eight, monkeypatch):
    monkeypatch.setattr("permask.study.provenance.available_cores", lambda: 16)
    assert made(Choice()).devices == (
        "on 8 NVIDIA H100 of this machine: 8 workers of 2 threads, each with a GPU of its own"
    )
    assert made(Choice(lanes=2, processes=4)).devices == (
        "on 8 NVIDIA H100 of this machine: 16 workers of 1 thread, 2 steps share a GPU, a network is trained on 4"
    )
    assert made(Choice(), device="cpu").devices == "on the CPU of this machine: 16 workers of 1 thread"
    assert made(Choice(jobs=1), device="cpu").devices == "on the CPU of this machine: 1 worker of 16 threads"


def test_more_processes_than_gpus_are_refused_at_once(eight):
    with pytest.raises(StudyError, match="--processes 9: expected a GPU for each of them, found 8"):
        made(Choice(processes=9))


def trained(lanes, rate, memory=1 << 30):
    return {"provenance": {"lanes": lanes}, "throughput": {"images_per_second": rate}, "gpu_memory": memory}


def test_lanes_are_those_that_trained_fastest_together_and_fit():
    assert fastest([], 80 << 30) == 1
    told = [trained(1, 100), trained(2, 90), trained(2, 80), trained(2, 10), trained(4, 30), trained(8, 25)]
    assert fastest(told[:4], 80 << 30) == 2  # 160 together, by the median
    assert fastest(told, 80 << 30) == 8  # 200
    assert fastest(told, 8 << 30) == 2  # four of 1.6 GB each take 6.3; 8 GB leave room for four at most
    assert fastest(told, 1 << 30) == 1


def test_a_gpu_is_one_that_torch_has_kernels_for():
    built_for = ["sm_75", "sm_80", "sm_90", "compute_90"]
    assert all(has_kernels(one, built_for) for one in [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 1)])
    assert not any(has_kernels(one, built_for) for one in [(7, 0), (6, 1)])
    assert has_kernels((9, 4), ["gfx90a"]) and has_kernels((9, 0), [])


def test_the_names_of_gpus_are_those_that_the_system_shows(monkeypatch, tmp_path):
    (tmp_path / "driver").touch()
    monkeypatch.setattr(gpus, "DRIVERS", (str(tmp_path / "driver"),))
    monkeypatch.setattr(gpus, "_is_made_for_gpus", lambda: True)
    properties = SimpleNamespace(name="Some GPU", total_memory=1 << 30, major=9, minor=0)
    old = SimpleNamespace(name="Old GPU", total_memory=1 << 30, major=3, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_90"])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: old if number == 1 else properties)
    find = gpus.usable_gpus.__wrapped__
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [gpu.name for gpu in find()] == ["0", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 2,GPU-1f")
    assert [gpu.name for gpu in find()] == ["4", "GPU-1f"]
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert find() == ()


def test_shares_of_a_gpu_are_rays_and_slurm_wants_its_own_words():
    share = Cluster.model_validate({"steps": {"all": {"gpus": 0.25}, "dense": {"gpus": 2}}})
    assert _options(share.resources("match"))["num_gpus"] == 0.25
    assert (share.resources("match").trains_in, share.resources("dense").trains_in) == (1, 2)
    assert share.devices == "all on 0.25 of a GPU; dense on 2 GPUs" and Cluster().devices == "on CPUs"
    with pytest.raises(PermaskError, match=r'steps.all.gpus: Slurm gives shares .* options: \["--gres=shard:1"\]'):
        check_shares(share)
    asked = share.resources("all").model_copy(update={"options": ("--gres=shard:1",)})
    check_shares(share.model_copy(update={"steps": {"all": asked}}))
    for wrong in (1.5, True, "2", -1):
        with pytest.raises(ValueError, match="gpus"):
            Cluster.model_validate({"steps": {"all": {"gpus": wrong}}})


def test_lanes_are_for_this_machine():
    with pytest.raises(StudyError, match="--lanes is for this machine; for ray say"):
        made(replace(Choice(lanes=2), engine=EngineName.ray))
