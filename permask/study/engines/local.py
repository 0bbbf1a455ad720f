"""Run a plan on this machine: independent steps in several worker processes.

Workers are forked from a server that has torch loaded already, so that a worker starts in hundredths of a second. One
that dies is replaced. Where there are GPUs, a worker sees those alone that its step has slots of.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from permask.study.engines.schedule import POLL, Listener, Report, Schedule
from permask.study.engines.slots import Slots
from permask.study.messages import Failed, Progress
from permask.study.plan import Plan
from permask.study.provenance import provenance
from permask.study.step import Step
from permask.study.steps import KINDS
from permask.study.store import Store
from permask.study.tracking.track import append_event
from permask.study.tracking.trackers import Name
from permask.study.worker import Worker
from permask.training.gpus import VISIBLE, Gpu

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

# what workers are forked with; the optimizers of torch import torch._dynamo when the first of them is made
PRELOADED = [
    "permask.study.engines.serve",
    *(f"permask.study.steps.{kind}" for kind in (*KINDS, "run", "training")),
    *("permask.connectivity.repair", "permask.discovery.discover", "permask.matching.activations"),
    "torch._dynamo",
]


def warm_up() -> "ForkServerContext | SpawnContext":
    """Start loading torch for the workers, in the background, unless that is done."""
    if sys.platform == "win32":  # it forks no process: every worker loads torch
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # it unblocks Ctrl-C when it starts
    # Ctrl-C is for this process alone: the server and the workers inherit that it is blocked; here it only waits
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@dataclass(frozen=True)
class Local:
    """The local engine.

    Attributes:
        jobs: Worker processes.
        threads: Threads of each worker.
        retries: How often a step that failed, or whose worker died, is tried again.
        trackers: Where the progress of the steps goes besides their tracks in the store.
        processes: How many train one network together, for each worker.
        gpus: Those that steps run on, but for the steps of a CPU.
        lanes: How many steps share a GPU.
    """

    jobs: int
    threads: int
    retries: int = 2
    trackers: tuple[Name, ...] = ()
    processes: int = 1
    gpus: Sequence[Gpu] = ()
    lanes: int = 1

    @property
    def devices(self) -> str:
        """What it runs on, in words."""
        workers = f"{self.jobs} worker{'s' * (self.jobs > 1)} of {self.threads} thread{'s' * (self.threads > 1)}"
        if not self.gpus:
            together = f", {self.processes} processes a network" * (self.processes > 1)
            return f"on the CPU of this machine: {workers}{together}"
        models = Counter(gpu.model for gpu in self.gpus)
        names = " and ".join(f"{count} {model}" for model, count in models.items())
        sharing = f"{self.lanes} steps share a GPU" if self.lanes > 1 else "each with a GPU of its own"
        if self.processes > 1:
            sharing += f", a network is trained on {self.processes}"
        return f"on {names} of this machine: {workers}, {sharing}"

    def run(self, plan: Plan, store: Store, listen: Listener) -> Report:
        """Compute all that the store lacks of a plan.

        Raises:
            StoreError: The store takes no more: the disk is full, or read-only.
        """
        schedule = Schedule(plan, store, listen, self.retries)
        workers: list[_Process] = []
        slots = Slots([gpu.name for gpu in self.gpus], self.lanes)
        try:
            while True:
                self._hand_out(schedule, workers, slots)
                busy = [worker for worker in workers if worker.step]
                if not busy and not schedule.looks_elsewhere:
                    return schedule.report
                patience = POLL if schedule.looks_elsewhere else None
                for connection in wait([worker.connection for worker in busy], patience):
                    worker = next(worker for worker in busy if worker.connection is connection)
                    if not _hear(worker, schedule):
                        workers.remove(worker)
                    if worker.step is None:
                        slots.give_back(worker.gpus)
        finally:
            for worker in workers:
                worker.stop()
                if worker.step:
                    store.tidy(worker.step.key)

    def _hand_out(self, schedule: Schedule, workers: "list[_Process]", slots: Slots) -> None:
        """Give every step that has its turn to an idle worker, or a new one, while there are slots.

        A step waits for as many slots as it needs, and those behind it wait with it, or it might wait for ever.
        """
        while sum(worker.step is not None for worker in workers) < self.jobs:
            step = schedule.next()
            if step is None:
                return
            gpus = slots.take(self._needs(step))
            if gpus is None:
                schedule.put_back(step)
                return
            worker = self._worker_on(gpus, workers, schedule)
            if worker.begin(step):
                schedule.listen("started", step, worker.process.pid)
            else:
                workers.remove(worker)
                slots.give_back(gpus)
                schedule.put_back(step)

    def _needs(self, step: Step) -> int:
        """How many GPUs a step takes a slot of."""
        return 0 if not self.gpus or not step.on_gpu else self.processes if step.epochs else 1

    def _worker_on(self, gpus: tuple[str, ...], workers: "list[_Process]", schedule: Schedule) -> "_Process":
        """An idle worker that sees these GPUs, or a new one; it keeps them, as does their memory what it left there."""
        idle = [worker for worker in workers if worker.step is None]
        for worker in idle:
            if worker.gpus == gpus:
                return worker
        crowded = len(workers) == self.jobs
        for worker in idle:
            if crowded or set(gpus) & set(worker.gpus):
                worker.stop()
                workers.remove(worker)
                crowded = False
        made_with = {**provenance(), "study": schedule.plan.study.name}
        if gpus:
            made_with |= {"gpu": self._model_of(gpus[0]), "lanes": self.lanes}
        worker = _Process(Worker(schedule.store, made_with, self.trackers, self.processes, self.threads), gpus)
        workers.append(worker)
        return worker

    def _model_of(self, name: str) -> str:
        return next(gpu.model for gpu in self.gpus if gpu.name == name)


class _Process:
    """A process with a worker in it, and the step it is at.

    Args:
        worker: The worker.
        gpus: Those that the process sees.
    """

    def __init__(self, worker: Worker, gpus: tuple[str, ...] = ()):
        self.gpus = gpus
        context = warm_up()
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, worker, gpus), daemon=True)
        self.process.start()
        theirs.close()
        self.step: Step | None = None

    def begin(self, step: Step) -> bool:
        """Hand over a step; False if the worker has died since its last one."""
        self.step = step  # first, so that whoever is interrupted while the worker begins knows what it may leave
        try:
            self.connection.send(step.task)
        except OSError:
            self.stop()
            return False
        return True

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection, worker: Worker, gpus: tuple[str, ...]) -> None:
    if gpus:
        os.environ[VISIBLE] = ",".join(gpus)  # torch is loaded, but has not looked yet
    from permask.study.engines.serve import serve  # torch is for the workers; who starts them does without

    serve(connection, worker)


def _hear(worker: _Process, schedule: Schedule) -> bool:
    """Take a message of a worker; False if the worker is dead."""
    step = worker.step
    assert step is not None
    try:
        message = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        worker.stop()
        code = worker.process.exitcode or 0
        how = f"was killed by signal {-code}; is there enough memory?" if code < 0 else f"exited with {code}"
        append_event(schedule.store, step.key, "failed", log=f"its worker {how}")
        schedule.failed(step, Failed(f"its worker {how}"))
        worker.step = None
        return False
    if isinstance(message, Progress):
        schedule.listen("progress", step, message)
    else:
        worker.step = None
        schedule.take(step, message)
    return True
