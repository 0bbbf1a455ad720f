"""Run a plan on this machine: independent steps in several worker processes.

Workers are forked from a server that has torch loaded already, so that a worker starts in hundredths of a second. One
that dies is replaced.
"""

import signal
import sys
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from permask.study.engines.schedule import POLL, Listener, Report, Schedule
from permask.study.messages import Failed, Progress
from permask.study.plan import Plan
from permask.study.provenance import provenance
from permask.study.step import Step
from permask.study.steps import KINDS
from permask.study.store import Store
from permask.study.tracking.track import append_event
from permask.study.tracking.trackers import Name
from permask.study.worker import Worker

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
    """

    jobs: int
    threads: int
    retries: int = 2
    trackers: tuple[Name, ...] = ()
    processes: int = 1

    def run(self, plan: Plan, store: Store, listen: Listener) -> Report:
        """Compute all that the store lacks of a plan.

        Raises:
            StoreError: The store takes no more: the disk is full, or read-only.
        """
        schedule = Schedule(plan, store, listen, self.retries)
        workers: list[_Process] = []
        try:
            while True:
                self._hand_out(schedule, workers)
                busy = [worker for worker in workers if worker.step]
                if not busy and not schedule.looks_elsewhere:
                    return schedule.report
                patience = POLL if schedule.looks_elsewhere else None
                for connection in wait([worker.connection for worker in busy], patience):
                    worker = next(worker for worker in busy if worker.connection is connection)
                    if not _hear(worker, schedule):
                        workers.remove(worker)
        finally:
            for worker in workers:
                worker.stop()
                if worker.step:
                    store.tidy(worker.step.key)

    def _hand_out(self, schedule: Schedule, workers: "list[_Process]") -> None:
        """Give a step to every idle worker, and start workers while there are steps for them."""
        while True:
            idle = [worker for worker in workers if worker.step is None]
            if not idle and len(workers) == self.jobs:
                return
            step = schedule.next()
            if step is None:
                return
            if not idle:
                made_with = {**provenance(), "study": schedule.plan.study.name}
                idle = [_Process(Worker(schedule.store, made_with, self.trackers, self.processes, self.threads))]
                workers += idle
            worker = idle[-1]
            if worker.begin(step):
                schedule.listen("started", step, worker.process.pid)
            else:
                workers.remove(worker)
                schedule.put_back(step)


class _Process:
    """A process with a worker in it, and the step it is at."""

    def __init__(self, worker: Worker):
        context = warm_up()
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, worker), daemon=True)
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


def _serve(connection: Connection, worker: Worker) -> None:
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
        return False
    if isinstance(message, Progress):
        schedule.listen("progress", step, message)
    else:
        worker.step = None
        schedule.take(step, message)
    return True
