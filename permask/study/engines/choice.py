"""Which engine runs a study, and how: the options that users choose, checked, as an engine."""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from permask.errors import StudyError

if TYPE_CHECKING:
    from permask.study.engines.local import Local
    from permask.study.engines.schedule import Engine
    from permask.study.machines import Machines
    from permask.study.plan import Plan
    from permask.study.store import Store
    from permask.study.tracking.trackers import Name


class Tracking(StrEnum):
    """Where the progress of steps goes besides the store."""

    tensorboard = "tensorboard"
    wandb = "wandb"


class EngineName(StrEnum):
    """The engines there are."""

    local = "local"
    slurm = "slurm"
    ray = "ray"


@dataclass(frozen=True)
class Choice:
    """Where and how the steps of a study run; the options of `permask run`.

    Attributes:
        engine: Where the steps run.
        jobs: Worker processes of this machine; unless given, one for each lane of each GPU, or one per core.
        processes: How many of this machine train one network together.
        retries: How often a step that failed, or whose process died, is tried again.
        track: Where the progress goes besides the store.
        cluster: The file that says what steps ask of a cluster.
        detach: Whether to return once everything is submitted.
        lanes: How many steps share a GPU of this machine; unless given, what `jobs` takes, or was measured.
    """

    engine: EngineName = EngineName.local
    jobs: int | None = None
    processes: int = 1
    retries: int = 2
    track: tuple[Tracking, ...] = ()
    cluster: Path | None = None
    detach: bool = False
    lanes: int | None = None

    def machines(self) -> "Machines":
        """What the steps of a study run on.

        Raises:
            StudyError: A cluster file that is wrong.
        """
        from permask.study.engines.cluster import Cluster, load_cluster
        from permask.study.machines import Machines

        if self.engine is EngineName.local:
            return Machines.here(self.processes)
        return Machines.of_cluster(load_cluster(self.cluster) if self.cluster else Cluster())

    def make(self, plan: "Plan", store: "Store | None" = None) -> "Engine":
        """The engine.

        Args:
            plan: What it is for.
            store: Tells which number of lanes was fastest.

        Raises:
            PermaskError: What it needs is not installed, its cluster file is wrong, or another option is not for it.
        """
        from permask.study.engines.cluster import Cluster, load_cluster
        from permask.study.tracking.trackers import check_trackers

        trackers = tuple(tracker.value for tracker in self.track)
        check_trackers(trackers)
        if self.detach and self.engine is not EngineName.slurm:
            raise StudyError(f"--detach is for slurm; with {self.engine} the steps end with the command")
        if self.cluster and self.engine is EngineName.local:
            raise StudyError("--cluster is for slurm and ray; choose one with --engine, or leave it out")
        if self.engine is EngineName.local:
            return self._local(plan, store, trackers)
        if self.lanes:
            raise StudyError(f"--lanes is for this machine; for {self.engine} say `gpus: 0.5` in the cluster file")
        if self.processes > 1:
            raise StudyError(f"--processes is for this machine; for {self.engine} say `processes` in the cluster file")
        cluster = load_cluster(self.cluster) if self.cluster else Cluster()
        if self.engine is EngineName.slurm:
            from permask.study.engines.slurm import Slurm, check_shares, check_slurm

            check_slurm()
            check_shares(cluster)
            return Slurm(cluster, self.retries, trackers, self.detach)
        from permask.study.engines.ray import Ray, check_ray

        check_ray()
        return Ray(cluster, self.retries, trackers)

    def _local(self, plan: "Plan", store: "Store | None", trackers: "tuple[Name, ...]") -> "Local":
        """The engine of this machine: on its GPUs where any step is to run on one, else on its cores."""
        from permask.study.engines.lanes import measured_lanes
        from permask.study.engines.local import Local
        from permask.study.provenance import available_cores
        from permask.training.gpus import usable_gpus

        gpus = usable_gpus() if any(step.on_gpu for step in plan.steps.values()) else ()
        if gpus and self.processes > len(gpus):
            raise StudyError(
                f"--processes {self.processes}: expected a GPU for each of them, found {len(gpus)}; choose fewer"
            )
        cores = available_cores()
        if gpus:
            of_jobs = self.jobs and ceil(self.jobs / len(gpus))
            lanes = self.lanes or of_jobs or measured_lanes(plan, store, gpus[0].model, min(g.memory for g in gpus))
            jobs = min(self.jobs or len(gpus) * lanes, len(gpus) * lanes)
        else:
            lanes, jobs = 1, self.jobs or max(1, cores // self.processes)
        jobs = min(jobs, len(plan.steps))
        return Local(jobs, max(1, cores // jobs), self.retries, trackers, self.processes, gpus, lanes)
