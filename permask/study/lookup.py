"""Which results of a study a store has: what it leaves to the machine is in the keys as the machine decided it."""

from dataclasses import dataclass

from permask.errors import StudyError
from permask.study.budget import TRAINING
from permask.study.load import Prepared
from permask.study.machines import Machines
from permask.study.plan import Plan, make_plan
from permask.study.store import Store
from permask.study.tracking.track import track_file


@dataclass(frozen=True)
class Held:
    """A study as some machines compute it, and what a store has of that.

    Attributes:
        plan: Of the study.
        execution: How its networks are trained, in words.
        options: The same as changes to the study.
        begun: Steps that are in the store, or were begun.
    """

    plan: Plan
    execution: str
    options: str
    begun: int

    @property
    def said(self) -> str:
        """How much there is of it, in words."""
        return f"{self.begun:,} of {len(self.plan.steps):,} steps {self.execution}"


def held(prepared: Prepared, store: Store) -> list[Held]:
    """The study as it was prepared, then as machines of earlier runs on the store compute it, where that differs."""
    found: list[Held] = []
    settings: list[object] = []
    for one in (prepared, *map(prepared.on, Machines.recorded(store))):
        try:
            setting = [[part.setting(kind) for kind in TRAINING] for part in one.combinations]
        except StudyError:
            if one is prepared:
                raise
            continue  # a cluster of which not enough is known for this study
        if setting not in settings:
            settings.append(setting)
            plan = make_plan(one)
            begun = sum(store.has(key) or track_file(store, key).exists() for key in plan.steps)
            found.append(Held(plan, *_execution(one), begun))
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


def _execution(prepared: Prepared) -> tuple[str, str]:
    """How networks are trained, in words and as changes to the study."""
    settings = [part.setting(kind) for part in prepared.combinations for kind in TRAINING]
    ways = list(dict.fromkeys(_ways(setting["execution"]) for setting in settings))
    words = " and ".join(f"on {device} in {precision}{', compiled' * compiles}" for device, precision, compiles in ways)
    options = ""
    if len(ways) == 1:
        values = (str(value).lower() for value in ways[0])
        options = " ".join(f"execution.{name}={value}" for name, value in zip(_NAMES, values, strict=True))
    return f"{words} with torch {prepared.machines.torch}", options


_NAMES = ("device", "precision", "compile")


def _ways(execution: dict) -> tuple[str, str, bool]:
    return execution["device"], execution["precision"], execution["compile"]


def _how_to_name(one: Held, other: Held) -> str:
    """What a user does to have one and not the other."""
    return f"name them by {one.options}" if one.options != other.options else "with that torch, permask takes them"
