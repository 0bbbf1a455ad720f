"""Run a plan on a Ray cluster, or on one that Ray starts here. Its machines share the store's file system.

Steps are handed out in the order of the schedule, a few more than the cluster can run at once. A step whose machine is
lost goes to another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from permask.extras import require
from permask.study.engines.cluster import Cluster, Resources
from permask.study.engines.schedule import POLL, Listener, Report, Schedule, tell_progress
from permask.study.messages import Ending, Failed
from permask.study.plan import Plan
from permask.study.provenance import provenance
from permask.study.step import Step, Task
from permask.study.store import Store
from permask.study.tracking.trackers import Name
from permask.study.worker import Worker

QUEUED = 1.5  # what the steps handed out ask for, per what the cluster has, so that no machine waits
UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}


def check_ray() -> None:
    """Raise a `PermaskError` if Ray is not installed."""
    require("ray", "--engine ray")


@dataclass(frozen=True)
class Ray:
    """The Ray engine.

    Attributes:
        cluster: What steps ask for, and where the cluster is.
        retries: How often a step that failed, or whose process or machine was lost, is tried again.
        trackers: Where the progress of the steps goes besides their tracks in the store.
    """

    cluster: Cluster = field(default_factory=Cluster)
    retries: int = 2
    trackers: tuple[Name, ...] = ()

    @property
    def devices(self) -> str:
        """What the steps run on, in words."""
        return f"tasks of Ray: {self.cluster.devices}"

    def run(self, plan: Plan, store: Store, listen: Listener) -> Report:
        """Compute all that the store lacks of a plan.

        Raises:
            PermaskError: Ray is not installed.
            StoreError: The store takes no more.
        """
        check_ray()
        ray = import_module("ray")
        ray.init(address=self.cluster.address, log_to_driver=False, include_dashboard=False)
        try:
            return self._run(ray, Schedule(plan, store, listen, self.retries))
        finally:
            ray.shutdown()

    def _run(self, ray: Any, schedule: Schedule) -> Report:
        remote = ray.remote(max_retries=0)(_attempt)
        under_way: dict[Any, Step] = {}
        started: set[str] = set()
        while True:
            has = ray.cluster_resources()
            while step := schedule.next():
                asked = self.cluster.resources(step.kind)
                if not _has_room(has, asked, [self.cluster.resources(other.kind) for other in under_way.values()]):
                    schedule.put_back(step)
                    break
                worker = Worker(
                    Store(schedule.store.root.resolve()),
                    {**provenance(), "study": schedule.plan.study.name},
                    self.trackers,
                    processes=asked.trains_in,
                    threads=asked.cpus,
                )
                under_way[remote.options(**_options(asked)).remote(worker, step.task)] = step
            if not under_way and not schedule.looks_elsewhere:
                return schedule.report
            for ended in ray.wait(list(under_way), timeout=POLL)[0] if under_way else []:
                step = under_way.pop(ended)
                started.discard(step.key)
                try:
                    ending: Ending = ray.get(ended)
                except ray.exceptions.RayError as error:
                    ending = Failed(f"lost by Ray: {error}")
                schedule.take(step, ending)
            for step in under_way.values():
                if schedule.store.is_claimed(step.key):
                    tell_progress(step, schedule.store, started, schedule.listen)


def _has_room(has: dict[str, float], asked: Resources, others: Sequence[Resources]) -> bool:
    """Whether a step may be handed out beside others; what the cluster lacks counts as one, so that it hears of it."""
    cpus, gpus = (QUEUED * max(1, has.get(name, 0)) for name in ("CPU", "GPU"))
    taken = sum(other.cpus for other in others), sum(other.gpus for other in others)
    return taken[0] < cpus and (taken[1] < gpus or not asked.gpus)


def _options(asked: Resources) -> Mapping[str, float]:
    memory = {"memory": int(asked.memory[:-1]) * 1024 ** UNITS[asked.memory[-1]]} if asked.memory else {}
    return {"num_cpus": asked.cpus, "num_gpus": asked.gpus} | memory


def _attempt(worker: Worker, task: Task) -> Ending:
    """Compute a step, on whatever machine this is."""
    return worker.attempt(task)
