"""What planning and scheduling cost beside the work itself: python benchmarks/scheduling.py [--pairs 70].

Plans the paper's grid, and one of 10,000 steps; then hands out every step of the latter as an engine does, and writes a
small result for each into a store, without computing anything.
"""

import argparse
import resource
import tempfile
from pathlib import Path

from measure import machine, stopwatch

from permask.study.budget import budgets
from permask.study.engines.schedule import Schedule
from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.plan import Plan, make_plan
from permask.study.spec import Study
from permask.study.store import Store

GRID = {
    "name": "grid",
    "data": {"name": "digits"},
    "network": {"name": "resnet20"},
    "epochs": 200,
    "dense": {"learning_rate": 0.08},
    "sparse": {"learning_rate": 0.02},
    "prune": {"epochs": 50},
    "sparsities": [0.80, 0.90, 0.95, 0.97],
    "rewinds": [0, 5, 10, 15, 20, 25, 50, 75, 100],
}


def plan_of(pairs: int) -> Plan:
    with stopwatch() as spent:
        plan = make_plan(Prepared(Study.model_validate(GRID | {"pairs": pairs})))
        budgets(plan, None)
    print(f"{len(plan.steps):,} steps planned in {spent}")
    return plan


def hand_out(plan: Plan, store: Store) -> None:
    with stopwatch() as spent:
        schedule = Schedule(plan, store, lambda *happening: None, retries=0)
        while step := schedule.next():
            with store.claim(step.key) as mine:
                assert mine
                with store.writing(step.key, {"kind": step.kind}) as folder:
                    (folder / "metrics.json").write_text("{}")
            schedule.take(step, Computed())
        assert len(schedule.report.computed) == len(plan.steps)
    per_step = 1000 * spent.processor / len(plan.steps)
    print(f"scheduled and stored in {spent}, {per_step:.1f} ms of the processor a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=70)
    print(machine())
    plan_of(3)
    plan = plan_of(parser.parse_args().pairs)
    with tempfile.TemporaryDirectory() as folder:
        hand_out(plan, Store(Path(folder) / "store"))
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB of memory at most")


if __name__ == "__main__":
    main()
