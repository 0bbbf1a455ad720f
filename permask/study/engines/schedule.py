"""Which step of a plan is next: the same for every engine that hands steps out one by one.

Steps on the critical path run first. A step whose process died, or that failed, is tried again as
often as configured; one that fails for good takes down what needs it and nothing else.
"""

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from permask.errors import StoreError
from permask.study.messages import Busy, Computed, Ending, Failed, Lacks, Present, Refused
from permask.study.plan import Plan
from permask.study.status import progress_of
from permask.study.step import Step
from permask.study.store import Store

POLL = 0.2  # seconds between looks at a step that another process is computing

Happening = Literal["present", "damaged", "started", "progress", "computed", "elsewhere", "retried", "failed"]
Listener = Callable[[Happening, Step, Any], None]


@dataclass
class Report:
    """What became of the steps, by key: `present`, `computed`, `failed` (with the log) or `blocked` by a failure."""

    present: set[str] = field(default_factory=set)
    computed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)


class Engine(Protocol):
    """Where the steps of a plan run."""

    @property
    def devices(self) -> str:
        """What they run on, in words."""
        ...

    def run(self, plan: Plan, store: Store, listen: Listener) -> Report:
        """Compute all that the store lacks of a plan.

        Args:
            plan: The plan.
            store: The store.
            listen: Called as things happen: with what, the step, and a detail (the damage, the progress, the log).

        Raises:
            StoreError: The store takes no more: the disk is full, or read-only.
        """
        ...


class Schedule:
    """The state of a plan under way: which steps wait, which are ready, which another run is at.

    Args:
        plan: The plan.
        store: The store.
        listen: Called as things happen: with what, the step, and a detail (the damage, the progress, the log).
        retries: How often a step that failed, or whose process died, is tried again.
    """

    def __init__(self, plan: Plan, store: Store, listen: Listener, retries: int):
        self.plan, self.store, self.listen, self.retries = plan, store, listen, retries
        self.report = Report()
        self._critical_path = plan.critical_path()
        self._position = {key: number for number, key in enumerate(plan.steps)}
        self._missing: dict[str, set[str]] = {}  # step to the needs that are not there yet
        self._dependents: dict[str, list[Step]] = defaultdict(list)
        self._ready: list[tuple[int, int, Step]] = []
        self._elsewhere: list[tuple[float, Step]] = []  # when to look again, and the step that another run is at
        self._damaged: set[str] = set()
        self._failures: Counter[str] = Counter()
        for step in [step for step in plan.steps.values() if not self._is_present(step)]:
            missing = {need.key for need in step.needs if need.key not in self.report.present}
            self._missing[step.key] = missing
            for need in missing:
                self._dependents[need].append(step)
            if not missing:
                self._push(step)

    @property
    def looks_elsewhere(self) -> bool:
        """Whether it waits for steps that another run is at."""
        return bool(self._elsewhere)

    def next(self) -> Step | None:
        """The step to compute now, if there is one."""
        self._look_elsewhere()
        while self._ready:
            step = heapq.heappop(self._ready)[2]
            if self.store.has(step.key) and step.key not in self._damaged:
                self._present(step)
            elif self.store.is_claimed(step.key):
                self.busy(step)
            else:
                return step
        return None

    def put_back(self, step: Step) -> None:
        """Have a step that was not begun come again."""
        self._push(step)

    def take(self, step: Step, ending: Ending) -> None:
        """An attempt at a step is over.

        Raises:
            StoreError: The store takes no more.
        """
        match ending:
            case Computed():
                self.report.computed.add(step.key)
                self._finished(step, "computed")
            case Present():
                self._present(step)
            case Busy():
                self.busy(step)
            case Lacks(key, damage):
                self._lacks(step, key, damage)
            case Failed():
                self.failed(step, ending)
            case Refused(reason):
                raise StoreError(reason)

    def busy(self, step: Step) -> None:
        """Another run is at this step: look again later."""
        self._elsewhere.append((time.monotonic() + POLL, step))
        self.listen("elsewhere", step, None)

    def _present(self, step: Step) -> None:
        self.report.present.add(step.key)
        self._finished(step, "present")

    def _finished(self, step: Step, happening: Happening) -> None:
        """The step's result is in the store."""
        self._damaged.discard(step.key)
        self.listen(happening, step, None)
        for dependent in self._dependents.pop(step.key, []):
            missing = self._missing[dependent.key]
            missing.discard(step.key)
            if not missing:
                self._push(dependent)

    def _lacks(self, step: Step, key: str, damage: str) -> None:
        """A step met a need of it that is damaged: that one is computed again first."""
        need = self.plan.steps[key]
        self.report.present.discard(key)
        self._missing[step.key].add(key)
        self._dependents[key].append(step)
        if key not in self._damaged:
            self._damaged.add(key)
            self.listen("damaged", need, damage)
            self._missing[key] = set()
            self._push(need)

    def failed(self, step: Step, failure: Failed) -> None:
        """A step failed or its process died; it is tried again if that may help and was not tried too often."""
        self._failures[step.key] += 1
        if failure.again and self._failures[step.key] <= self.retries:
            self.listen("retried", step, failure.log)
            self._push(step)
            return
        self.report.failed[step.key] = failure.log
        self.listen("failed", step, failure.log)
        stack = [step]
        while stack:
            for dependent in self._dependents[stack.pop().key]:
                if dependent.key not in self.report.blocked:
                    self.report.blocked.add(dependent.key)
                    stack.append(dependent)

    def _is_present(self, step: Step) -> bool:
        if not self.store.folder(step.key).exists():
            return False
        damage = self.store.damage(step.key)
        if damage:
            self._damaged.add(step.key)
            self.listen("damaged", step, damage)
            return False
        self.report.present.add(step.key)
        self.listen("present", step, None)
        return True

    def _push(self, step: Step) -> None:
        heapq.heappush(self._ready, (-self._critical_path[step.key], self._position[step.key], step))

    def _look_elsewhere(self) -> None:
        now = time.monotonic()
        due = [step for when, step in self._elsewhere if when <= now]
        self._elsewhere = [(when, step) for when, step in self._elsewhere if when > now]
        for step in due:
            if self.store.has(step.key) or not self.store.is_claimed(step.key):
                self._push(step)
            else:
                self._elsewhere.append((now + POLL, step))
                if progress := progress_of(step, self.store):
                    self.listen("progress", step, progress)


def tell_progress(step: Step, store: Store, started: set[str], listen: Listener) -> None:
    """Tell that a step runs somewhere, once, and how far its track says that it is.

    Args:
        step: A step that some process has claimed.
        store: Where its track is.
        started: Keys of the steps of which it was told that they run; this one is added.
        listen: As of `Schedule`.
    """
    if step.key not in started:
        started.add(step.key)
        listen("started", step, None)
    if progress := progress_of(step, store):
        listen("progress", step, progress)
