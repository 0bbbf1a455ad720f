"""What a plan costs: epochs, device hours, and what the published schedule would have cost for the same results."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from permask.errors import StoreError
from permask.study.manifest import Manifest
from permask.study.plan import Plan
from permask.study.step import Specification, Step
from permask.study.steps.prune import rounds_to
from permask.study.store import Store

TRAINING = ("dense", "prune", "sparse")  # kinds whose time goes by the epoch, at about the same rate


@dataclass(frozen=True)
class Budget:
    """What the steps of one kind budget.

    Attributes:
        steps: How many there are.
        present: How many of them the store has.
        reads: How often other steps read their results.
        epochs: Epochs that they train.
        epochs_left: Epochs of those that the store lacks.
        epochs_published: Epochs that the published schedule trains for the same results.
        hours_left: Device hours for what the store lacks, from the rates of like steps in the store; None without any.
    """

    steps: int
    present: int
    reads: int
    epochs: int
    epochs_left: int
    epochs_published: int
    hours_left: float | None


def budgets(plan: Plan, store: Store | None) -> dict[str, Budget]:
    """The cost of a plan, kind by kind, and of all together under `all`."""
    kinds: dict[str, list[Step]] = defaultdict(list)
    reads: dict[str, int] = defaultdict(int)
    for step in plan.steps.values():
        kinds[step.kind].append(step)
        for need in step.needs:
            reads[need.kind] += 1
    present = {key for key in plan.steps if store and store.has(key)}
    rate = rates(store) if store else lambda step: None
    published = _published_epochs(plan)
    found = {}
    for kind, steps in kinds.items():
        left = [step for step in steps if step.key not in present]
        seconds = list(map(rate, left))
        hours = None if None in seconds else sum(s for s in seconds if s is not None) / 3600
        epochs = sum(step.epochs for step in steps)
        found[kind] = Budget(
            len(steps),
            len(steps) - len(left),
            reads[kind],
            epochs,
            sum(step.epochs for step in left),
            published.get(kind, epochs),
            hours,
        )
    return found | {"all": _total(found.values())}


def _published_epochs(plan: Plan) -> dict[str, int]:
    """Epochs of the published schedule, which trains both networks and prunes from scratch for every sparsity.

    Nothing is shared by the combinations of what a study sweeps, either.
    """
    found: dict[str, int] = defaultdict(int)
    for part in plan.parts:
        study, steps = part.study, part.steps.values()
        dense = sum(step.epochs for step in steps if step.kind == "dense")
        per_round = max((step.epochs for step in steps if step.kind == "prune"), default=0)
        rounds = sum(rounds_to(sparsity, study.prune.rate) for sparsity in study.sparsities)
        networks = {step.specification["seed"] for step in steps if step.kind == "prune"}
        found["dense"] += len(study.sparsities) * dense
        found["prune"] += len(networks) * rounds * per_round
        if len(plan.parts) > 1:
            found["sparse"] += sum(step.epochs for step in steps if step.kind == "sparse")
    return found


def rates(store: Store, counts: Callable[[Manifest], bool] = lambda manifest: True) -> Callable[[Step], float | None]:
    """Step to the seconds that its like in the store took, by the epoch where it trains; None where there is none.

    Args:
        store: The store.
        counts: Whether a result tells anything.
    """
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    units: dict[tuple[str, str], int] = defaultdict(int)
    for manifest in manifests(store):
        done = _units(manifest["kind"], manifest.get("epochs", 0))
        if done and counts(manifest):
            of = manifest["kind"], like(manifest.get("specification", {}))
            seconds[of] += manifest.get("seconds", 0)
            units[of] += done

    @cache
    def rate_of(kind: str, setting: str) -> float | None:
        alike = [kind] if units[kind, setting] or kind not in TRAINING else TRAINING
        total = sum(units[name, setting] for name in alike)
        return sum(seconds[name, setting] for name in alike) / total if total else None

    def seconds_of(step: Step) -> float | None:
        per = rate_of(step.kind, like(step.specification))
        return None if per is None else _units(step.kind, step.epochs) * per

    return seconds_of


def like(specification: Specification) -> str:
    """What steps have in common that take alike long: data and network."""
    return json.dumps([specification.get(name) for name in ("data", "network")], sort_keys=True)


def _units(kind: str, epochs: int) -> int:
    """By what the time of a step goes: its epochs, or the step."""
    return epochs if kind in TRAINING else 1


def manifests(store: Store) -> Iterable[Manifest]:
    """The manifests of a store that can be read."""
    for key in store.results():
        try:
            yield store.manifest(key)
        except StoreError:
            continue  # damaged: it tells nothing, and a run will compute it again


def _total(found: Iterable[Budget]) -> Budget:
    found = list(found)
    hours = [budget.hours_left for budget in found]
    return Budget(
        steps=sum(budget.steps for budget in found),
        present=sum(budget.present for budget in found),
        reads=sum(budget.reads for budget in found),
        epochs=sum(budget.epochs for budget in found),
        epochs_left=sum(budget.epochs_left for budget in found),
        epochs_published=sum(budget.epochs_published for budget in found),
        hours_left=None if None in hours else sum(h for h in hours if h is not None),
    )
