"""Which engine runs a study, and how: the options that users choose, checked, as an engine."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from permask.errors import StudyError

if TYPE_CHECKING:
    from permask.study.engines.schedule import Engine
    from permask.study.machines import Machines


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
        jobs: Worker processes of this machine; one per core unless given.
        processes: How many of this machine train one network together.
        retries: How often a step that failed, or whose process died, is tried again.
        track: Where the progress goes besides the store.
        cluster: The file that says what steps ask of a cluster.
        detach: Whether to return once everything is submitted.
    """

    engine: EngineName = EngineName.local
    jobs: int | None = None
    processes: int = 1
    retries: int = 2
    track: tuple[Tracking, ...] = ()
    cluster: Path | None = None
    detach: bool = False

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

    def make(self, steps: int) -> "Engine":
        """The engine, for a plan of so many steps.

        Raises:
            PermaskError: What it needs is not installed, its cluster file is wrong, or another option is not for it.
        """
        from permask.study.engines.cluster import Cluster, load_cluster
        from permask.study.provenance import available_cores
        from permask.study.tracking.trackers import check_trackers

        trackers = tuple(tracker.value for tracker in self.track)
        check_trackers(trackers)
        if self.detach and self.engine is not EngineName.slurm:
            raise StudyError(f"--detach is for slurm; with {self.engine} the steps end with the command")
        if self.cluster and self.engine is EngineName.local:
            raise StudyError("--cluster is for slurm and ray; choose one with --engine, or leave it out")
        if self.engine is EngineName.local:
            from permask.study.engines.local import Local

            cores = available_cores()
            jobs = min(self.jobs or max(1, cores // self.processes), steps)
            return Local(jobs, max(1, cores // jobs), self.retries, trackers, self.processes)
        if self.processes > 1:
            raise StudyError(f"--processes is for this machine; for {self.engine} say `processes` in the cluster file")
        cluster = load_cluster(self.cluster) if self.cluster else Cluster()
        if self.engine is EngineName.slurm:
            from permask.study.engines.slurm import Slurm, check_slurm

            check_slurm()
            return Slurm(cluster, self.retries, trackers, self.detach)
        from permask.study.engines.ray import Ray, check_ray

        check_ray()
        return Ray(cluster, self.retries, trackers)
