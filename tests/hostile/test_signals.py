"""Signals end a run as Ctrl-C does, and no process outlives the one that started it."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile.forked import Ended, begin, call, end
from hostile.row import around
from hostile.spoil import at, replacing

ENDLESS = """
import itertools, os
from pathlib import Path

def mask(network, batches, sparsity, seed):
    Path("pid").write_text(str(os.getpid()))
    all(itertools.repeat(True))  # holds the interpreter, so that no other thread has its turn
"""


def wait(until: Callable[[], object]) -> None:
    """However long it takes: if it never comes, the whole run of tests is what ends."""
    while not until():
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def workers(folder: Path) -> set[int]:
    """The processes that began a step."""
    lines = [line for track in folder.glob("store/tracks/*/*.jsonl") for line in track.read_text().splitlines()]
    return {event["pid"] for event in map(json.loads, lines) if event["event"] == "started"}


SLOW = [pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGHUP, signal.SIGINT)]


@pytest.mark.parametrize("number", [signal.SIGTERM, *SLOW], ids=lambda number: number.name)
def test_a_signal_ends_a_run_that_can_go_on(number: signal.Signals, with_study: Path, tmp_path: Path) -> None:
    folder, environment = around(with_study, tmp_path)
    shutil.rmtree(folder / "store")
    arguments = ["run", "study.yaml", "--out", "out", "--jobs", "1"]
    child = begin([*arguments, "pairs=50"], folder, environment)
    wait(lambda: not child.is_alive() or list(folder.glob("store/??/*/manifest.json")))
    assert child.pid is not None
    os.kill(child.pid, number)
    found = end(child, folder)
    assert found.code == 128 + number, found
    assert "steps are in the store; run again to go on" in found.out and "Traceback" not in found.out + found.err
    wait(lambda: all(map(is_gone, workers(folder))))
    assert not list((folder / "store" / "unfinished").iterdir())
    assert not (folder / "out").exists()
    shutil.rmtree(folder.parent / "said")
    again = call(arguments, folder, environment)
    assert again.code == 0 and " 0 were in the store" not in again.out, again


def run_without_end(with_study: Path, tmp_path: Path, number: signal.Signals) -> tuple[Ended, int]:
    """A run whose only step never ends, which a signal ends; and the process of the step."""
    folder, environment = around(with_study, tmp_path)
    (folder / "mine.py").write_text(ENDLESS)
    at("study.yaml", replacing("[lth, naive]", "[{name: mine, mask: {by: 'mine.py:mask', of: B}}]"))(folder)
    child = begin(["run", "study.yaml", "--out", "out", "--jobs", "1"], folder, environment)
    wait(lambda: not child.is_alive() or ((folder / "pid").exists() and (folder / "pid").read_text()))
    assert child.pid is not None
    os.kill(child.pid, number)
    return end(child, folder), int((folder / "pid").read_text())


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=lambda number: number.name
)
def test_a_worker_ends_with_who_started_it(number: signal.Signals, with_study: Path, tmp_path: Path) -> None:
    _, pid = run_without_end(with_study, tmp_path, number)
    wait(lambda: is_gone(pid))
