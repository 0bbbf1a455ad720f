"""How a study stands, read from its store: by any process, on any machine, whether or not something runs."""

from dataclasses import dataclass
from typing import Literal

from permask.study.budget import budgets
from permask.study.messages import Progress
from permask.study.plan import Plan
from permask.study.step import Step
from permask.study.store import Store
from permask.study.tracking.track import Event, read_track

State = Literal["done", "running", "failed", "blocked", "interrupted", "waiting"]


@dataclass(frozen=True)
class StepStatus:
    """How a step stands.

    Attributes:
        step: The step.
        state: `interrupted` began and was killed; `blocked` needs one that failed.
        done: Epochs, or other units of work, done by the attempt under way.
        total: Of how many.
        images_per_second: In the last epoch; None where there are no images.
        seconds_left: Of the attempt under way; None before its first epoch.
        where: Host and process that it runs or ran on.
        log: Why it failed.
    """

    step: Step
    state: State
    done: int = 0
    total: int = 0
    images_per_second: float | None = None
    seconds_left: float | None = None
    where: str = ""
    log: str = ""


@dataclass(frozen=True)
class Status:
    """How a study stands.

    Attributes:
        steps: Every step of the plan.
        seconds_left: Of the study, at the rates that its store tells and as many at once as run now; None if unknown.
    """

    steps: list[StepStatus]
    seconds_left: float | None

    def of(self, state: State) -> list[StepStatus]:
        """The steps in a state."""
        return [step for step in self.steps if step.state == state]


def status_of(plan: Plan, store: Store) -> Status:
    """Look at every step of a plan."""
    states: dict[str, StepStatus] = {}
    for key, step in plan.steps.items():
        found = _look_at(step, store)
        if found.state == "waiting" and any(states[need.key].state in ("failed", "blocked") for need in step.needs):
            found = StepStatus(step, "blocked")
        states[key] = found
    steps = list(states.values())
    running = [step for step in steps if step.state == "running"]
    hours = budgets(plan, store)["all"].hours_left
    return Status(steps, None if hours is None or not running else 3600 * hours / len(running))


def progress_of(step: Step, store: Store) -> Progress | None:
    """How far the attempt at a step is that is under way."""
    events = read_track(store, step.key)
    under_way = events and events[-1]["event"] == "progress"
    return Progress(events[-1]["done"], events[-1]["total"]) if under_way else None


def _look_at(step: Step, store: Store) -> StepStatus:
    if store.has(step.key):
        return StepStatus(step, "done")
    events = read_track(store, step.key)
    if not events:
        return StepStatus(step, "running" if store.is_claimed(step.key) else "waiting")
    begins = [number for number, event in enumerate(events) if event["event"] == "started"]
    attempt = events[begins[-1] :] if begins else events
    where = f"{attempt[0]['host']}:{attempt[0].get('pid', '')}" if "host" in attempt[0] else ""
    if store.is_claimed(step.key):
        return _running(step, attempt, where)
    if attempt[-1]["event"] == "failed":
        return StepStatus(step, "failed", where=where, log=attempt[-1]["log"])
    return StepStatus(step, "interrupted", where=where)


def _running(step: Step, attempt: list[Event], where: str) -> StepStatus:
    last = attempt[-1]
    if last["event"] != "progress":
        return StepStatus(step, "running", where=where)
    begin = next(event for event in attempt if event["event"] == "progress")
    done, total = last["done"], last["total"]
    units, seconds = done, last["seconds"]
    if last is not begin:  # the first unit has what loading takes in it
        units, seconds = done - begin["done"], seconds - begin["seconds"]
    left = seconds / units * (total - done) if units else None
    return StepStatus(step, "running", done, total, last.get("images_per_second"), left, where)
