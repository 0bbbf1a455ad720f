"""How long a plan takes on a number of GPUs: its steps are put on slots as a run would, in the order of their chains.

This is list scheduling: whenever a slot is free, it takes the step that is ready and has the longest chain of steps
after it, which ends within twice the shortest time there is (Graham 1969). Starting up, reading and writing are not
in it, nor is it known what shares a GPU takes of it.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from permask.errors import PermaskError
from permask.study.budget import rates
from permask.study.manifest import Manifest
from permask.study.operations import training_inputs
from permask.study.plan import Plan
from permask.study.step import Step
from permask.study.store import Store


@dataclass(frozen=True)
class Timetable:
    """How long a plan takes on some slots.

    Attributes:
        gpus: How many there are.
        lanes: Steps that share each of them.
        hours: From the first step to the last.
        chain_hours: Of the longest chain of steps that wait for each other: no number of GPUs makes it shorter.
        busy: Share of the slots' time in which they compute.
        uncounted: How many steps take a time that is not known, and count as none.
    """

    gpus: int
    lanes: int
    hours: float
    chain_hours: float
    busy: float
    uncounted: int


def measured_rate(store: Store | None, lanes: int) -> Callable[[Step], float | None]:
    """Step to the seconds that its like took on a GPU that as many steps shared."""
    if store is None:
        return lambda step: None

    def counts(manifest: Manifest) -> bool:
        on_gpu = manifest.get("specification", {}).get("execution", {}).get("device") == "cuda"
        return on_gpu and manifest.get("provenance", {}).get("lanes", 1) == lanes

    return rates(store, counts)


def stated_rate(
    plan: Plan, steps_per_second: float, others: Callable[[Step], float | None]
) -> Callable[[Step], float | None]:
    """Step to the seconds of its epochs at a stated rate; what trains nothing takes what others say.

    Args:
        plan: The plan.
        steps_per_second: Steps of training, of each of the networks that share a GPU.
        others: As of `timetable`.

    Raises:
        PermaskError: How many steps an epoch has is not known without the data.
    """
    inputs = {key: training_inputs(part.study.data) for part in plan.parts for key in part.steps}

    def seconds(step: Step) -> float | None:
        if not step.epochs:
            return others(step)
        count, recipe = inputs[step.key], step.specification["recipe"]
        if count is None:
            raise PermaskError(
                "--steps-per-second: the data would have to be loaded to tell the steps of an epoch; leave it out, and "
                "name a --store with like steps that a GPU computed"
            )
        whole, rest = divmod(count, recipe["batch_size"])
        return step.epochs * (whole + (rest > 0 and not recipe.get("drop_last"))) / steps_per_second

    return seconds


def timetable(
    plan: Plan, rate: Callable[[Step], float | None], present: Collection[str], gpus: int, lanes: int = 1
) -> Timetable:
    """Put the steps of a plan that are not there on slots, one after another.

    Args:
        plan: The plan.
        rate: Step to its seconds, on a GPU that it shares with as many as there are lanes; None where unknown.
        present: Keys of the steps that are there.
        gpus: How many there are.
        lanes: Steps that share each of them.
    """
    left = {key: step for key, step in plan.steps.items() if key not in present}
    known = {key: rate(step) for key, step in left.items()}
    seconds = {key: found or 0.0 for key, found in known.items()}
    chains = _chains(left, seconds)
    slots = gpus * lanes
    end = _end(left, seconds, chains, slots)
    busy = sum(seconds.values()) / (slots * end) if end else 0.0
    return Timetable(
        gpus,
        lanes,
        end / 3600,
        max(chains.values(), default=0.0) / 3600,
        busy,
        sum(found is None for found in known.values()),
    )


def _chains(left: Mapping[str, Step], seconds: Mapping[str, float]) -> dict[str, float]:
    """Step to the seconds of the longest chain that begins with it; every step comes after those that it needs."""
    chains = dict(seconds)
    for key, step in reversed(list(left.items())):
        for need in step.needs:
            if need.key in left:
                chains[need.key] = max(chains[need.key], seconds[need.key] + chains[key])
    return chains


def _end(left: Mapping[str, Step], seconds: Mapping[str, float], chains: Mapping[str, float], slots: int) -> float:
    """When the last step ends, in seconds."""
    missing = {key: {need.key for need in step.needs if need.key in left} for key, step in left.items()}
    dependents: dict[str, list[str]] = defaultdict(list)
    for key, needs in missing.items():
        for need in needs:
            dependents[need].append(key)
    place = {key: number for number, key in enumerate(left)}
    ready = [(-chains[key], place[key], key) for key in left if not missing[key]]
    heapq.heapify(ready)
    running: list[tuple[float, int, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            _, number, key = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[key], number, key))
        now, _, ended = heapq.heappop(running)
        for key in dependents[ended]:
            missing[key].discard(ended)
            if not missing[key]:
                heapq.heappush(ready, (-chains[key], place[key], key))
    return now
