"""Which results of a study a store has: what it leaves to the machine is in the keys as the machine decided it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from permask.errors import StudyError
from permask.study.budget import TRAINING
from permask.study.load import DECIDED, Prepared
from permask.study.machines import Machines
from permask.study.plan import Plan, make_plan
from permask.study.step import Specification
from permask.study.store import Store
from permask.study.tracking.track import track_file


@dataclass(frozen=True)
class Held:
    """A study as some machines compute it, and what a store has of that; it is planned when that is asked for.

    Attributes:
        prepared: The study.
        store: The store.
        settings: Of every combination and kind of training step.
    """

    prepared: Prepared
    store: Store
    settings: Sequence[Specification]

    @cached_property
    def plan(self) -> Plan:
        """Of the study."""
        return make_plan(self.prepared)

    @cached_property
    def begun(self) -> int:
        """Steps that are in the store, or were begun."""
        return sum(self.store.has(key) or track_file(self.store, key).exists() for key in self.plan.steps)

    @property
    def execution(self) -> str:
        """How its networks are trained, in words."""
        ways = (f"on {device} in {precision}{', compiled' * compiles}" for device, precision, compiles in self._ways)
        return f"{' and '.join(ways)} with torch {self.prepared.machines.torch}"

    @property
    def options(self) -> str:
        """The same as changes to the study; empty if they are not the same for all of it."""
        if len(self._ways) > 1:
            return ""
        return " ".join(
            f"execution.{name}={str(value).lower()}" for name, value in zip(DECIDED, self._ways[0], strict=True)
        )

    @property
    def _ways(self) -> list[tuple[str, str, bool]]:
        """Device, precision, compiled or not."""
        executions = (setting["execution"] for setting in self.settings)
        return list(dict.fromkeys((one["device"], one["precision"], one["compile"]) for one in executions))

    @property
    def said(self) -> str:
        """How much there is of it, in words."""
        return f"{self.begun:,} of {len(self.plan.steps):,} steps {self.execution}"


def held(prepared: Prepared, store: Store) -> list[Held]:
    """The study as it was prepared, then as machines of earlier runs on the store compute it, where that differs."""
    found: list[Held] = []
    for one in (prepared, *map(prepared.on, Machines.recorded(store))):
        try:
            settings = [part.setting(kind) for part in one.combinations for kind in TRAINING]
        except StudyError:
            if one is prepared:
                raise
            continue  # a cluster of which not enough is known for this study
        if all(settings != other.settings for other in found):
            found.append(Held(one, store, settings))
    return found


def as_computed(prepared: Prepared, store: Store | None) -> tuple[Plan, str]:
    """The plan to show what a store has, and what to tell of it; without a store, the plan of this machine.

    It is this machine's if the store has any of its steps, or else the one of which the store has most.
    """
    if store is None:
        return make_plan(prepared), ""
    here, *elsewhere = held(prepared, store)
    chosen = here if here.begun else max((here, *elsewhere), key=lambda one: one.begun)
    others = [one for one in (here, *elsewhere) if one is not chosen and one.begun]
    told = [f"shown: {chosen.said}; this machine would compute {here.execution}"] if chosen is not here else []
    told += [f"not shown: {one.said}: {_how_to_name(one, chosen)}" for one in others]
    return chosen.plan, "\n".join(told)


def left_elsewhere(prepared: Prepared, store: Store) -> str:
    """What to tell of steps that the store has, and that this machine computes anew; empty without any."""
    here, *elsewhere = held(prepared, store)
    return "\n".join(
        f"the store has {one.said}; this machine computes {here.execution}, and takes none of them: "
        f"{_how_to_name(one, here)}"
        for one in elsewhere
        if one.begun
    )


def keys_of_all(prepared: Prepared, store: Store) -> set[str]:
    """The keys of a study's steps, on this machine and on all that have run on the store."""
    return {key for one in held(prepared, store) for key in one.plan.steps}


def _how_to_name(one: Held, other: Held) -> str:
    """What a user does to have one and not the other."""
    return f"name them by {one.options}" if one.options != other.options else "with that torch, permask takes them"
