"""Run a plan on this machine: independent steps in several worker processes.

Workers are forked from a server that has torch loaded already, so that a worker starts in hundredths of a second. A
worker that dies is replaced and its step tried again; a step that fails takes down what needs it and nothing else.
"""

import heapq
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from permask.study.plan import VERSIONS, Plan
from permask.study.provenance import provenance
from permask.study.step import Step
from permask.study.store import Store

ATTEMPTS = 3  # for a step whose worker died
POLL = 0.2  # seconds between looks at a step that another process is computing

# what workers are forked with; the optimizers of torch import torch._dynamo when the first of them is made
PRELOADED = ["permask.study.engines.worker", *(f"permask.study.steps.{kind}" for kind in VERSIONS), "torch._dynamo"]

Happening = Literal["present", "damaged", "started", "progress", "computed", "elsewhere", "retried", "failed"]
Listener = Callable[[Happening, Step, Any], None]


@dataclass
class Report:
    """What became of the steps, by key: `present`, `computed`, `failed` (with the log) or `blocked` by a failure."""

    present: set[str] = field(default_factory=set)
    computed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)


def warm_up() -> ForkServerContext:
    """Start loading torch for the workers, in the background, unless that is done."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # Ctrl-C is for this process alone: the server and the workers inherit that they ignore it
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    ensure_running()
    signal.signal(signal.SIGINT, handler)
    return context


def run_locally(plan: Plan, store: Store, jobs: int, threads: int, listen: Listener) -> Report:
    """Compute all that the store lacks of a plan.

    Args:
        plan: The plan.
        store: The store.
        jobs: Worker processes.
        threads: Threads of each worker.
        listen: Called as things happen: with what, the step, and a detail (the damage, the progress, the log).
    """
    return _LocalRun(plan, store, threads, listen).run(jobs)


class _Worker:
    """A worker process and the step it is at."""

    def __init__(self, store: Store, threads: int):
        context = warm_up()
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_work, args=(theirs, store.root, provenance(), threads), daemon=True
        )
        self.process.start()
        theirs.close()
        self.step: Step | None = None

    def begin(self, step: Step) -> bool:
        """Hand over a step; False if the worker has died since its last one."""
        try:
            self.connection.send(step.task)
        except OSError:
            self.stop()
            return False
        self.step = step
        return True

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _work(*arguments: Any) -> None:
    from permask.study.engines.worker import work  # torch is for the workers; who starts them does without

    work(*arguments)


class _LocalRun:
    """The state of one run: which steps wait, which are ready, which are under way."""

    def __init__(self, plan: Plan, store: Store, threads: int, listen: Listener):
        self.plan, self.store, self.threads, self.listen = plan, store, threads, listen
        self.report = Report()
        self.urgency = plan.urgency()
        self.missing: dict[str, set[str]] = {}  # step to the needs that are not there yet
        self.dependents: dict[str, list[Step]] = defaultdict(list)
        self.ready: list[tuple[int, int, Step]] = []
        self.elsewhere: list[tuple[float, Step]] = []  # when to look again, and the step that another run is at
        self.damaged: set[str] = set()
        self.deaths: Counter[str] = Counter()
        self.position = {key: number for number, key in enumerate(plan.steps)}

    def run(self, jobs: int) -> Report:
        todo = [step for step in self.plan.steps.values() if not self._is_present(step)]
        keys = {step.key for step in todo}
        for step in todo:
            self.missing[step.key] = {need.key for need in step.needs if need.key in keys}
            for need in self.missing[step.key]:
                self.dependents[need].append(step)
        for step in todo:
            if not self.missing[step.key]:
                self._push(step)
        workers: list[_Worker] = []
        try:
            while True:
                self._look_elsewhere()
                idle = [worker for worker in workers if worker.step is None]
                while self.ready and (idle or len(workers) < jobs):
                    step = heapq.heappop(self.ready)[2]
                    if self.store.has(step.key) and step.key not in self.damaged:
                        self._finish(step, "present")
                        continue
                    if idle:
                        worker = idle.pop()
                    else:
                        worker = _Worker(self.store, self.threads)
                        workers.append(worker)
                    if not worker.begin(step):
                        workers.remove(worker)
                        self._push(step)
                        continue
                    self.listen("started", step, worker.process.pid)
                busy = [worker for worker in workers if worker.step]
                if not busy and not self.elsewhere:
                    break
                for connection in wait([worker.connection for worker in busy], POLL if self.elsewhere else None):
                    worker = next(worker for worker in busy if worker.connection is connection)
                    if not self._hear(worker):
                        workers.remove(worker)
        finally:
            for worker in workers:
                worker.stop()
        return self.report

    def _is_present(self, step: Step) -> bool:
        if not self.store.folder(step.key).exists():
            return False
        damage = self.store.damage(step.key)
        if damage:
            self.damaged.add(step.key)
            self.listen("damaged", step, damage)
            return False
        self.report.present.add(step.key)
        self.listen("present", step, None)
        return True

    def _push(self, step: Step) -> None:
        heapq.heappush(self.ready, (-self.urgency[step.key], self.position[step.key], step))

    def _hear(self, worker: _Worker) -> bool:
        """Take a message of a worker; False if the worker is dead."""
        step = worker.step
        assert step is not None
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            worker.stop()
            self._mourn(step, worker.process.exitcode)
            return False
        match message:
            case ("progress", done, total):
                self.listen("progress", step, (done, total))
                return True
            case ("ended", "busy"):
                self.elsewhere.append((time.monotonic() + POLL, step))
                self.listen("elsewhere", step, None)
            case ("ended", outcome):
                self._finish(step, outcome)
            case ("failed", log):
                self._fail(step, log)
        worker.step = None
        return True

    def _mourn(self, step: Step, exit_code: int | None) -> None:
        self.deaths[step.key] += 1
        how = (
            f"killed by signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exited with {exit_code}"
        )
        if self.deaths[step.key] < ATTEMPTS:
            self.listen("retried", step, how)
            self._push(step)
        else:
            self._fail(step, f"its worker was {how}, {ATTEMPTS} times; is there enough memory?")

    def _look_elsewhere(self) -> None:
        now = time.monotonic()
        due = [step for when, step in self.elsewhere if when <= now]
        self.elsewhere = [(when, step) for when, step in self.elsewhere if when > now]
        for step in due:
            self._push(step)

    def _finish(self, step: Step, outcome: Literal["present", "computed"]) -> None:
        getattr(self.report, outcome).add(step.key)
        self.listen(outcome, step, None)
        for dependent in self.dependents[step.key]:
            missing = self.missing[dependent.key]
            missing.discard(step.key)
            if not missing:
                self._push(dependent)

    def _fail(self, step: Step, log: str) -> None:
        self.report.failed[step.key] = log
        self.listen("failed", step, log)
        stack = [step]
        while stack:
            for dependent in self.dependents[stack.pop().key]:
                if dependent.key not in self.report.blocked:
                    self.report.blocked.add(dependent.key)
                    stack.append(dependent)
