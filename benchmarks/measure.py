"""What the measurements share: the machine in one line, ways that take turns, seconds, medians and how sure they are.

Seconds by the clock are what a user waits for. Seconds of the processor are disturbed less by other work on the
machine, and do not count what other processes do.
"""

import os
import time
from argparse import ArgumentParser
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.stats import bootstrap

from permask.study.provenance import provenance

Clock = Callable[[], float]
Way = TypeVar("Way", bound=Hashable)
RESAMPLES = 2000


def machine(device: str = "cpu", *packages: str) -> str:
    """Versions, commit and hardware, in one line.

    Args:
        device: Where the measured work runs; a GPU is named beside the processor.
        packages: Those to state the versions of besides Python, torch, numpy, scipy and permask.
    """
    made = provenance()
    versions = [f"{name} {made[name]}" for name in ("torch", "numpy", "scipy", "permask")]
    versions += [f"{name} {version(name)}" for name in packages]
    commit = f" at commit {made['commit']}" if made["commit"] else ""
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.startswith("cuda") else ""
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores in use"
    return f"Python {made['python']}, {', '.join(versions)}{commit}; {gpu}{made['cpu']}, {threads}"


def take_turns(ways: Mapping[Way, Callable[[], Any]], rounds: int, warm_up: int = 1) -> dict[Way, np.ndarray]:
    """Measure every way once a round, so that whatever else the machine does falls on all of them.

    In every second round the order is reversed: whoever goes first may find the machine in another state.

    Args:
        ways: Name to what measures once: seconds, a rate, or several of them.
        rounds: How many there are.
        warm_up: Rounds before these that do not count: they allocate, compile and start processes.

    Returns:
        Name to its measurements, `[rounds, …]`.
    """
    measured: dict[Way, list[Any]] = {name: [] for name in ways}
    for number in range(warm_up + rounds):
        for name in reversed(measured) if number % 2 else measured:
            found = ways[name]()
            if number >= warm_up:
                measured[name].append(found)
    return {name: np.array(found) for name, found in measured.items()}


def seconds(clock: Clock, work: Callable[[], object]) -> float:
    """What some work takes."""
    started = clock()
    work()
    return clock() - started


@dataclass
class Spent:
    """Seconds by the clock and of this process on the processor; zero until `stopwatch` ends."""

    clock: float = 0.0
    processor: float = 0.0

    def __str__(self) -> str:
        return f"{self.clock:.2f} s ({self.processor:.2f} s of the processor)"


@contextmanager
def stopwatch() -> Iterator[Spent]:
    """What the body takes."""
    spent, clock, processor = Spent(), time.perf_counter(), time.process_time()
    yield spent
    spent.clock, spent.processor = time.perf_counter() - clock, time.process_time() - processor


def add_cpu_time(parser: ArgumentParser, but: str) -> None:
    """Add the option `--cpu-time`, which makes `clock` that of the processor; `but` says what it leaves out."""
    parser.add_argument(
        "--cpu-time",
        dest="clock",
        action="store_const",
        const=time.process_time,
        default=time.perf_counter,
        help=f"count the seconds of this process on the processor, for a machine that others share; {but}",
    )


def with_interval(values: np.ndarray, show: Callable[[float], str] = "{:.4f}".format) -> str:
    """The median with its 95% interval, from the percentiles of resampled medians."""
    generator = np.random.default_rng(0)
    found = bootstrap((values,), np.median, n_resamples=RESAMPLES, method="percentile", rng=generator)
    return _stated(np.median(values), found.confidence_interval, show)


def with_range(values: np.ndarray, show: Callable[[float], str] = "{:.2f}".format) -> str:
    """The median of a few values with the smallest and the largest."""
    return _stated(np.median(values), (values.min(), values.max()), show)


def _stated(median: float, ends: tuple[float, float], show: Callable[[float], str]) -> str:
    low, high = map(show, ends)
    return f"{show(median)} [{low}, {high}]"
