"""How a study stands can be told from its store alone: what is done, runs, failed and why."""

import json
import os
import signal

import pytest
import yaml
from support.small_study import SMALL, permask, run, write_study

from permask.study.engines.local import Local
from permask.study.load import Prepared
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.status import status_of
from permask.study.store import Store
from permask.study.tracking.track import append_event, read_track, track_file


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def plan_of(**changes):
    small = {"pairs": 1, "methods": ["lth", "naive"], "connect": None, "sparsities": [0.5], "rewinds": [0]}
    return make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | small | changes)))


def states(plan, store):
    return {step.step.key: step.state for step in status_of(plan, store).steps}


def test_a_run_from_its_first_step_to_its_end(store):
    plan = plan_of()
    assert set(states(plan, store).values()) == {"waiting"}

    Local(1, 1).run(plan, store, lambda *happening: None)
    assert set(states(plan, store).values()) == {"done"}
    for step in plan.steps.values():
        events = read_track(store, step.key)
        assert [event["event"] for event in events if event["event"] != "progress"] == ["started", "completed"]
        start = events[0]
        assert start["step"] == step.key and start["provenance"]["study"] == "small"
        assert start["provenance"]["torch"] and "commit" in start["provenance"]
        assert start["seeds"] == ([step.specification["seed"]] if step.kind in ("dense", "prune") else [0, 1])
        epochs = [event for event in events if event["event"] == "progress"]
        assert len(epochs) == step.epochs
        assert all(event["loss"] > 0 and event["images_per_second"] > 0 for event in epochs)


def test_what_runs_tells_epoch_rate_and_time_left(store, in_another_process):
    plan = plan_of()
    key, step = next((key, step) for key, step in plan.steps.items() if step.kind == "prune")
    append_event(store, key, "started", host="node7", pid=12)
    for done in (1, 2, 3):
        append_event(store, key, "progress", done=done, total=10, seconds=5.0 + 2 * done, images_per_second=123.0)
    with in_another_process(store, key):
        (found,) = status_of(plan, store).of("running")
        assert (found.step, found.done, found.total, found.where) == (step, 3, 10, "node7:12")
        assert found.images_per_second == 123.0 and found.seconds_left == pytest.approx(2.0 * 7)
    assert states(plan, store)[key] == "interrupted"


def test_a_half_written_line_spoils_no_other(store):
    key = "ab" * 32
    append_event(store, key, "started")
    with track_file(store, key).open("a") as file:
        file.write('{"event": "prog')
    append_event(store, key, "started")
    assert [event["event"] for event in read_track(store, key)] == ["started", "started"]


def test_failures_tell_their_reason_and_what_they_block(store):
    plan = plan_of()
    for step in plan.steps.values():
        if step.kind == "prune":
            step.specification["sparsity"] = 7.0
    Local(1, 1).run(plan, store, lambda *happening: None)
    status = status_of(plan, store)
    (failed,) = status.of("failed")
    assert "expected a share in [0, 1), got 7.0" in failed.log
    assert "sparse" in {step.step.kind for step in status.of("blocked")}
    assert {step.step.kind for step in status.of("done")} == {"dense"}


def test_a_worker_that_was_killed_is_told(store):
    plan = plan_of()

    def kill(happening, step, detail):
        if happening == "started" and step.kind == "prune":
            os.kill(detail, signal.SIGKILL)

    Local(1, 1, retries=0).run(plan, store, kill)
    (failed,) = status_of(plan, store).of("failed")
    assert "killed by signal 9" in failed.log


def test_from_another_shell(tmp_path):
    """While a run goes on, `status` tells its steps, and a second run attaches to it."""
    study, root = write_study(tmp_path), tmp_path / "store"
    text = study.read_text().replace("epochs: 4", "epochs: 3000").replace("pairs: 2", "pairs: 1")
    study.write_text(text)
    with permask("run", study, "--store", root, "--out", tmp_path / "out", "--jobs", 1) as process:
        running = []
        while not running or not running[0]["total"]:
            assert process.poll() is None
            if (root / "tracks").exists():
                content = json.loads(run("status", study, "--store", root, "--json").stdout)
                running = [step for step in content["steps"] if step["state"] == "running"]
        assert running[0]["kind"] == "dense" and running[0]["images_per_second"] > 0
        assert "1 running" in run("status", study, "--store", root).stdout
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert "interrupted" in run("status", study, "--store", root).stdout
