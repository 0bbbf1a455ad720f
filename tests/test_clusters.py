"""A real Slurm and a real Ray cluster, each losing a machine under way, give the local engine's results exactly.

Run by `make clusters`: Slurm's packages are fetched from Debian's archive, and minutes go by.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.slurm_cluster import ask, slurm, wait_for
from support.small_study import LONG, SMALL, permask, run, write_study

from permask.study.store import Store
from permask.study.tracking.track import read_track

pytestmark = pytest.mark.cluster

# long enough steps that a machine can be lost while one runs
STUDY = (
    SMALL.replace("pairs: 2", "pairs: 1")
    .replace("epochs: 4", "epochs: 600")
    .replace("[lth, naive, permuted, random]", "[lth, permuted]")
    .replace("sparsities: [0.5, 0.8]", "sparsities: [0.5]")
    .replace("rewinds: [0, 2]", "rewinds: [0]")
    .replace("connect: {points: 3}", "connect: null")
)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The study, and the store that the local engine fills."""
    folder = tmp_path_factory.mktemp("local")
    study = write_study(folder, STUDY)
    run("run", study, "--store", folder / "store", "--out", folder / "out", "--jobs", 2)
    return study, Store(folder / "store", existing=True)


def contents(store):
    return {
        (key, path.name): path.read_bytes()
        for key in store.results()
        for path in store.folder(key).iterdir()
        if path.name != "manifest.json"
    }


def attempts(store):
    """Key to the events of its track that begin or end an attempt."""
    events = {}
    for track in (store.root / "tracks").glob("??/*.jsonl"):
        lines = [json.loads(line) for line in track.read_text().splitlines()]
        events[track.stem] = [line["event"] for line in lines if line["event"] != "progress"]
    return events


def computing(root):
    """The processes that are at a step and have done some of it, by their tracks."""
    for track in root.glob("tracks/??/*.jsonl"):
        events = read_track(Store(root, existing=True), track.stem)
        if events and events[-1]["event"] == "progress":
            yield next(event["pid"] for event in reversed(events) if event["event"] == "started")


def parent(pid):
    found = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True)
    return int(found.stdout or 0)


def test_slurm_with_a_node_drained_and_a_job_requeued(local, tmp_path):
    study, expected = local
    packages = Path(os.environ.get("PERMASK_SLURM", Path.home() / ".cache" / "permask-slurm"))
    root = tmp_path / "store"
    with slurm(packages, tmp_path / "slurm") as environment:
        command = [sys.executable, "-m", "permask", "run", study, "--engine", "slurm", "--store", root]
        detached = subprocess.run(
            [*command, "--out", tmp_path / "out", "--detach"], env=environment, capture_output=True, text=True
        )
        assert detached.returncode == 0 and "the jobs go on" in detached.stdout, detached
        states = lambda: ask(environment, "squeue", "-r", "-h", "-o", "%i %t %N").splitlines()  # noqa: E731
        print(*states(), sep="\n")
        wait_for(lambda: sum(" R " in line for line in states()) == 2 == len(list(computing(root))), 300)
        job = next(line.split()[0] for line in states() if " R one" in line)
        ask(environment, "scontrol", "update", "nodename=two", "state=drain", "reason=test")
        ask(environment, "scontrol", "requeue", job)
        print(f"drained node two, requeued {job}")
        # attach: follows the jobs that are there, and writes the results
        done = subprocess.run([*command, "--out", tmp_path / "out"], env=environment, capture_output=True, text=True)
        print(done.stdout)
        assert done.returncode == 0, done
    store = Store(root, existing=True)
    assert contents(store) == contents(expected)
    ended = attempts(store)
    print(*ended.values(), sep="\n")
    assert all(events.count("completed") == 1 for events in ended.values())
    assert sum(events.count("started") for events in ended.values()) == len(ended) + 1  # the job that was requeued
    assert (tmp_path / "out" / "results.csv").exists()


def test_slurm_reports_a_step_that_fails_and_goes_on(tmp_path):
    """Nothing that needs it is left in the queue."""
    study = write_study(tmp_path, STUDY.replace("epochs: 600", "epochs: 4"))
    packages = Path(os.environ.get("PERMASK_SLURM", Path.home() / ".cache" / "permask-slurm"))
    root = tmp_path / "store"
    blocker = "import permask.study.steps.prune as p, sys; p.compute = None"
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f"import sys\nif 'permask.study.engines.job' in ' '.join(sys.orig_argv):\n    {blocker}\n"
    )
    with slurm(packages, tmp_path / "slurm") as environment:
        command = [sys.executable, "-m", "permask", "run", study, "--engine", "slurm", "--store", root]
        found = subprocess.run(
            [*command, "--out", tmp_path / "out", "--retries", "1"],
            env=environment | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )
        assert found.returncode == 1, found
        assert "'NoneType' object is not callable" in found.stdout
        wait_for(lambda: not ask(environment, "squeue", "-h"))
    kinds = {Store(root, existing=True).manifest(key)["kind"] for key in Store(root).results()}
    assert kinds == {"dense", "match"}
    assert [events for events in attempts(Store(root)).values() if "failed" in events] == [["started", "failed"] * 2]


def test_slurm_trains_one_network_in_two_processes(tmp_path):
    """Under torchrun, each on half of every batch; the loss is that of one process."""
    study = write_study(tmp_path, STUDY.replace("epochs: 600", "epochs: 6"))
    file = tmp_path / "cluster.yaml"
    file.write_text("steps: {all: {processes: 2}}\n")
    packages = Path(os.environ.get("PERMASK_SLURM", Path.home() / ".cache" / "permask-slurm"))
    alone, together = tmp_path / "alone", tmp_path / "together"
    run("run", study, "--store", alone, "--out", tmp_path / "out", "--jobs", 2)
    with slurm(packages, tmp_path / "slurm") as environment:
        command = [sys.executable, "-m", "permask", "run", study, "--engine", "slurm", "--cluster", file]
        arguments = ["--store", together, "--out", tmp_path / "out"]
        found = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)
        assert found.returncode == 0, found
    store = Store(together, existing=True)
    trained = [key for key in store.results() if store.manifest(key)["epochs"]]
    assert [store.manifest(key)["processes"] for key in trained] == [2] * len(trained)
    for key in trained:
        losses = [
            [json.loads(line)["loss"] for line in (where / key[:2] / key / "history.jsonl").read_text().splitlines()]
            for where in (alone, together)
        ]
        print(*losses, sep="\n")
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.skipif(shutil.which("ray") is None and not Path(sys.executable).with_name("ray").exists(), reason="no Ray")
def test_ray_with_a_node_lost(local, tmp_path, monkeypatch):
    study, expected = local
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "300000")  # a busy machine takes long to start its agents
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    try:
        file = tmp_path / "cluster.yaml"
        file.write_text(f"address: {cluster.address}\n")
        root = tmp_path / "store"
        arguments = ["run", study, "--engine", "ray", "--cluster", file, "--store", root, "--out", tmp_path / "out"]
        with permask(*arguments) as process:
            raylet = second.all_processes["raylet"][0].process.pid
            wait_for(lambda: any(parent(pid) == raylet for pid in computing(root)), 300)
            cluster.remove_node(second, allow_graceful=False)
            print("lost the second node")
            out, err = process.communicate(timeout=LONG)
        print(out)
        assert process.returncode == 0, err
    finally:
        cluster.shutdown()
    store = Store(root, existing=True)
    assert contents(store) == contents(expected)
    ended = attempts(store)
    print(*ended.values(), sep="\n")
    assert all(events.count("completed") == 1 for events in ended.values())
    assert sum(events.count("started") for events in ended.values()) == len(ended) + 1  # the step that was lost
    assert "retrying" in out
