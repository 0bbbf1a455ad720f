"""What `permask plan` takes, from the start of the process to its end: python benchmarks/planning.py [--rounds 3].

Plans the paper's grid of ResNet20 on CIFAR-10 with every built-in method and 5 pairs, the same with a sweep of four
widths, with and without rescaling, and at as many pairs as come to more than 20,000 steps. The last of these is then
planned with a store that has its results (small ones, of nothing computed), from which the costs of networks are told.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measure import machine

from permask.study.load import open_study
from permask.study.method import BUILT_IN
from permask.study.plan import make_plan
from permask.study.provenance import provenance
from permask.study.store import Store

STUDY = "resnet20x1-cifar10"
METHODS = f"methods=[{', '.join(BUILT_IN)}]"
TRAINED = dict.fromkeys(("accuracy", "loss", "train_accuracy", "train_loss", "sparsity_network"), 1.0)
TRAINED |= {"flops": 1, "inputs": 1}
METRICS = dict.fromkeys(("dense", "prune", "sparse"), TRAINED) | {
    "match": {"groups": []},
    "connect": {"path": []},
    "mask": {"layers": [], "dense": {}, "sparse": {}},
}
PLANS = {
    "the paper's grid": ("pairs=5", METHODS),
    "the grid, swept": (
        "pairs=5",
        METHODS,
        "sweep.network.width=[1, 4, 8, 16]",
        "sweep.sparse.rescale=[null, neuron]",
    ),
    "more than 20,000 steps": ("pairs=34", METHODS),
}


# starts a command and tells its seconds and its peak in KB; the peak of a process is at least that of the one that
# started it, so it is not this one
STARTER = """
import os, sys, time
started = time.perf_counter()
_, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]), 0)
print(time.perf_counter() - started, usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measure(name: str, changes: Sequence[str], rounds: int) -> None:
    """Print steps, the median of seconds by the clock, and the largest peak of memory."""
    steps, seconds, peaks = 0, [], []
    for _ in range(rounds):
        command = [sys.executable, "-m", "permask", "plan", STUDY, *changes, "--json"]
        found = subprocess.run([sys.executable, "-c", STARTER, *command], capture_output=True, text=True, check=True)
        steps = json.loads(found.stdout)["costs"]["all"]["steps"]
        spent, peak = found.stderr.splitlines()[-1].split()
        seconds.append(float(spent))
        peaks.append(float(peak) / 1e3)
    middle = sorted(seconds)[rounds // 2]
    print(f"{name}: {steps:,} steps, {middle:.2f} s [{min(seconds):.2f}, {max(seconds):.2f}], {max(peaks):.0f} MB")


def fill(folder: Path, changes: Sequence[str]) -> None:
    """Put a small result of every step into a store."""
    store = Store(folder)
    for key, step in make_plan(open_study(Path(STUDY), changes)).steps.items():
        manifest = {"kind": step.kind, "specification": step.specification, "epochs": step.epochs, "seconds": 1.0}
        with store.writing(key, manifest | {"provenance": provenance()}) as result:
            (result / "metrics.json").write_text(json.dumps(METRICS.get(step.kind, {})))


def costs(folder: Path, changes: Sequence[str]) -> None:
    """Print what it takes to tell what every network rests on."""
    from permask.study.collect import _Ledger

    plan = make_plan(open_study(Path(STUDY), changes))
    started = time.perf_counter()
    ledger = _Ledger(plan, Store(folder))
    networks = [reported.step for reported in plan.of("sparse")]
    for step in networks:
        ledger.of(step)
    print(f"what {len(networks):,} networks cost, from the store: {time.perf_counter() - started:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(machine())
    for name, changes in PLANS.items():
        measure(name, changes, rounds)
    with tempfile.TemporaryDirectory() as root:
        folder, changes = Path(root) / "store", PLANS["more than 20,000 steps"]
        fill(folder, changes)
        measure("the same with a full store", (*changes, "--store", str(folder)), rounds)
        costs(folder, changes)


if __name__ == "__main__":
    main()
