"""Whatever ends a run, at whatever moment, the next run completes it to the same results, bit for bit."""

import os
import random
import re
import signal
import time

import pytest
from support.small_study import LONG, permask, run, write_study


def computed(output):
    found = re.search(r"(\d+) steps? computed, (\d+) (?:was|were) in the store", output)
    assert found
    return int(found[1]), int(found[2])


def kill_at_random(arguments, results, kills, longest, seed):
    """Start a run and kill it, again and again, then let it end; the results.csv of the end."""
    rng = random.Random(seed)
    for number in range(kills):
        process = permask(*arguments)
        time.sleep(rng.uniform(0, longest))
        if number % 2:
            os.kill(process.pid, signal.SIGKILL)  # the driver alone: its workers are to notice
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    run(*arguments)
    return results.read_bytes()


def test_killed_at_random_moments(tmp_path):
    study = write_study(tmp_path)

    def arguments(name):
        return ["run", study, "--store", tmp_path / f"{name}-store", "--out", tmp_path / name, "--jobs", 2]

    run(*arguments("clean"))
    killed = kill_at_random(arguments("killed"), tmp_path / "killed" / "results.csv", 4, 5.0, seed=0)
    assert killed == (tmp_path / "clean" / "results.csv").read_bytes()


@pytest.mark.slow
def test_the_demo_killed_at_20_random_moments(tmp_path):
    run("demo", "--out", tmp_path / "clean")
    killed = kill_at_random(
        ["demo", "--out", tmp_path / "killed"], tmp_path / "killed" / "results.csv", 20, 12.0, seed=0
    )
    assert killed == (tmp_path / "clean" / "results.csv").read_bytes()


@pytest.mark.slow
def test_runs_at_the_same_time_share_the_work(tmp_path):
    study = write_study(tmp_path)

    def start(name):
        return permask("run", study, "--store", tmp_path / "store", "--out", tmp_path / name, "--jobs", 2)

    processes = [start("one"), start("two")]
    outputs = [process.communicate(timeout=LONG) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    counts = [computed(out) for out, _ in outputs]
    total = sum(counts[0])
    assert total == sum(counts[1])
    assert counts[0][0] + counts[1][0] == total  # each step was computed by one of them
    assert (tmp_path / "one" / "results.csv").read_bytes() == (tmp_path / "two" / "results.csv").read_bytes()


@pytest.mark.slow
def test_eight_runs_at_once_compute_each_step_once(tmp_path):
    study = write_study(tmp_path)
    arguments = ["run", study, "--store", tmp_path / "store", "--jobs", 1, "--out"]
    processes = [permask(*arguments, tmp_path / str(number)) for number in range(8)]
    outputs = [process.communicate(timeout=LONG) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    total = sum(computed(outputs[0][0]))
    assert sum(computed(out)[0] for out, _ in outputs) == total
    tracks = [path.read_text() for path in (tmp_path / "store" / "tracks").glob("??/*.jsonl")]
    assert len(tracks) == total
    assert all(text.count('"event": "started"') == text.count('"event": "completed"') == 1 for text in tracks)
    assert len({(tmp_path / str(number) / "results.csv").read_bytes() for number in range(8)}) == 1


def test_ctrl_c_says_how_to_go_on(tmp_path):
    study = write_study(tmp_path)
    arguments = ["run", study, "--store", tmp_path / "store", "--out", tmp_path / "out", "--jobs", 2, "pairs=40"]
    process = permask(*arguments)
    while not list((tmp_path / "store").glob("??/*/manifest.json")):
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert re.search(r"stopped: \d+ of \d+ steps are in the store; run again to go on", out)
    assert "Traceback" not in out + err
    again = run("run", study, "--store", tmp_path / "store", "--out", tmp_path / "out", "--jobs", 2, "pairs=2")
    assert computed(again.stdout)[1] > 0
