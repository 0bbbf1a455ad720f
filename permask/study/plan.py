"""A study to the steps that compute it, each of them once however many results rest on it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from permask.study.composition import FILE, IMP
from permask.study.load import Prepared
from permask.study.optimisation import Optimisation
from permask.study.spec import Study
from permask.study.step import Reported, Specification, Step, Task
from permask.study.steps import kind_of, reporting_kinds
from permask.study.steps.dense import train_dense
from permask.study.steps.prune import prune
from permask.study.steps.score import AFTER_TRAINING
from permask.study.sweep import Swept


@dataclass(frozen=True)
class Part:
    """What a study computes for one combination of the options that it sweeps.

    Attributes:
        study: The study with that combination.
        swept: Option, with dots, to its value; empty for a study that sweeps nothing.
        reported: The steps that the results tell of, pair by pair.
    """

    study: Study
    swept: Swept
    reported: list[Reported]

    @cached_property
    def steps(self) -> dict[str, Step]:
        """By key, every step after the ones that it needs."""
        return _in_order(one.step for one in self.reported)


@dataclass(frozen=True)
class Plan:
    """The steps of a study.

    Attributes:
        study: What it computes.
        parts: The combinations of what it sweeps; one if that is nothing.
        steps: By key, every step after the ones that it needs, each once however many parts rest on it.
    """

    study: Study
    parts: list[Part]
    steps: dict[str, Step]

    @property
    def reported(self) -> list[Reported]:
        """The steps that the results tell of, part by part."""
        return [reported for part in self.parts for reported in part.reported]

    @property
    def alone(self) -> list[int]:
        """For every part, how many of its steps no other part has."""
        rest_on = Counter(key for part in self.parts for key in part.steps)
        return [sum(rest_on[key] == 1 for key in part.steps) for part in self.parts]

    def of(self, kind: str) -> list[Reported]:
        """What is reported of one kind."""
        return [reported for reported in self.reported if reported.step.kind == kind]

    def before(self, step: Step) -> frozenset[str]:
        """Keys of all that a step rests on, its own among them."""
        return frozenset((step.key,)).union(*map(self._before, step.needs))

    def _before(self, step: Step) -> frozenset[str]:
        """The same for a step that others need, which is remembered: many networks rest on one mask."""
        known = self._known
        if step.key in known:
            return known[step.key]
        found, stack = set(), [step]
        while stack:
            one = stack.pop()
            if one.key in known:
                found |= known[one.key]
            elif one.key not in found:
                found.add(one.key)
                stack += one.needs
        return known.setdefault(step.key, frozenset(found))

    @cached_property
    def _known(self) -> dict[str, frozenset[str]]:
        """What was remembered, by the key of the step."""
        return {}

    def critical_path(self) -> dict[str, int]:
        """For every step, by key, the epochs on the longest chain of steps that begins with it."""
        longest: dict[str, int] = {}
        for key, step in reversed(self.steps.items()):
            longest[key] = longest.get(key, 0) + step.epochs
            for need in step.needs:
                longest[need.key] = max(longest.get(need.key, 0), longest[key])
        return longest


def make_plan(prepared: Prepared) -> Plan:
    """Plan a study. Nothing is read: all that identifies the data is in what was prepared."""
    steps: dict[str, Step] = {}
    parts = [_make_part(combination, steps) for combination in prepared.combinations]
    ends = (one.step for part in parts for one in part.reported)
    return Plan(prepared.study, parts, parts[0].steps if len(parts) == 1 else _in_order(ends))


def _make_part(prepared: Prepared, steps: dict[str, Step]) -> Part:
    planner = Planner(prepared, steps)
    reported = [reported for kind in reporting_kinds(prepared.study.measure) for reported in kind.plan(planner)]
    reported.sort(key=lambda one: one.labels["pair"])  # rows come pair by pair
    return Part(prepared.study, prepared.swept, reported)


@dataclass(frozen=True)
class Ticket:
    """What a pair of seeds trains before any sparse training.

    Attributes:
        labels: `pair, seed_a, seed_b`.
        seeds: Network (A, B, new) to its seed.
        dense: Network to its steps by epoch.
        pruned: Network to its rounds of pruning, by the sparsity that they reach; only of those that are pruned.
        rounds: Every round of pruning A, by rising sparsity.
    """

    labels: Specification
    seeds: Mapping[str, int]
    dense: Mapping[str, dict[int, Step]]
    pruned: Mapping[str, dict[float, Step]]
    rounds: list[Step]

    @property
    def dense_a(self) -> dict[int, Step]:
        """Epoch to network A."""
        return self.dense["A"]

    @property
    def dense_b(self) -> dict[int, Step]:
        """Epoch to network B."""
        return self.dense["B"]

    @property
    def masks(self) -> dict[float, Step]:
        """Sparsity to the round of pruning A that reaches it."""
        return self.pruned["A"]


class Planner:
    """What the kinds of steps plan with: the study, its pairs, and how to make a step.

    Attributes:
        study: The study, or one combination of what it sweeps.
        files: What methods name of the user's: the reference of a function, or the path of a mask.
    """

    def __init__(self, prepared: Prepared, steps: dict[str, Step]):
        self.study, self.files = prepared.study, prepared.files
        self._setting = cache(prepared.setting)
        self._places = {"data_root": prepared.data_root, "study_folder": prepared.folder}
        self._all = steps  # of all combinations: a step that several results rest on is one object
        self._steps: dict[str, Step] = {}  # of this one

    def step(
        self,
        kind: str,
        specification: Specification,
        parents: dict[str, Step] | None = None,
        *,
        resumes_from: Step | None = None,
        epochs: int = 0,
        file: str = "",
    ) -> Step:
        """A step.

        Args:
            kind: Its kind.
            specification: All that determines its result besides the setting of the study and its parents.
            parents: Role to the step whose result it reads.
            resumes_from: The same computation at an earlier epoch.
            epochs: Epochs that it trains.
            file: The user's file that it reads; its content is in the specification.
        """
        parents = parents or {}
        own = [specification["seed"]] if "seed" in specification else []
        seeds = {*own, *(seed for parent in parents.values() for seed in parent.task.seeds)}
        task = Task(
            kind,
            kind_of(kind).VERSION,
            {**self._setting(kind), **specification},
            {role: parent.key for role, parent in parents.items()},
            resumes_from=(resumes_from.specification["epoch"], resumes_from.key) if resumes_from else None,
            epochs=epochs,
            file=file,
            **self._places,
            seeds=tuple(sorted(seeds)),
        )
        step = self._all.get(task.key) or self._all.setdefault(task.key, Step(task, parents, resumes_from))
        return self._steps.setdefault(task.key, step)

    def planned(self, kind: str) -> list[Step]:
        """The steps of a kind that were made so far, each once."""
        return [step for step in self._steps.values() if step.kind == kind]

    def recipe(self, epochs: int, section: Optimisation) -> Specification:
        """How a section of the study trains, as the specification of a step says it."""
        return {"epochs": epochs, "batch_size": self.study.batch_size, **section.recipe}

    @property
    def match_epochs(self) -> tuple[int, ...]:
        """The epochs of B at which masks are permuted by an early match."""
        return self.study.match_epochs if self.study.has("permuted") else ()

    @cached_property
    def tickets(self) -> list[Ticket]:
        """The pairs of seeds, with what they train before any sparse training."""
        return [self._ticket(number) for number in range(self.study.pairs)]

    def _ticket(self, number: int) -> Ticket:
        study = self.study
        seeds = study.network_seeds(number)
        dense = {name: train_dense(self, seed, self._epochs[name]) for name, seed in seeds.items()}
        rounds = {name: prune(self, seeds[name], dense[name]) for name in ("A", *sorted(self._pruned - {"A"}))}
        labels = {"pair": number, "seed_a": seeds["A"], "seed_b": seeds["B"]}
        pruned = {name: reached for name, (reached, _) in rounds.items()}
        return Ticket(labels, seeds, dense, pruned, rounds["A"][1])

    @cached_property
    def _pruned(self) -> set[str]:
        """The networks that methods prune iteratively."""
        return {method.mask.of for method in self.study.methods if method.mask.by == IMP}

    @cached_property
    def _epochs(self) -> Mapping[str, set[int]]:
        """The epochs, besides the last, at which the dense networks of a pair are needed."""
        study = self.study
        needed: dict[str, set[int]] = {name: set() for name in study.network_seeds(0)}
        for method in study.compositions:
            needed[method.start] |= {*study.rewinds}
            if method.mask.by not in (IMP, FILE, *AFTER_TRAINING):
                needed[method.mask.of] |= {*study.rewinds}
            if method.carry:
                needed["A"] |= {epoch for epoch in (method.carry.of,) if epoch is not None}
                needed[method.start] |= {epoch for epoch in (method.carry.at,) if isinstance(epoch, int)}
        needed["B"] |= {*self.match_epochs}
        if study.prune.policy == "rewind_weights":
            for name in self._pruned | {"A"}:
                needed[name].add(study.prune.rewind)
        return needed


def _in_order(ends: Iterable[Step]) -> dict[str, Step]:
    """All that the ends need, and themselves, by key, every step after the ones that it needs."""
    steps: dict[str, Step] = {}
    stack = [(step, False) for step in reversed(list(ends))]
    while stack:
        step, needs_are_there = stack.pop()
        if step.key in steps:
            continue
        if needs_are_there:
            steps[step.key] = step
        else:
            stack.append((step, True))
            stack += [(need, False) for need in step.needs]
    return steps
