"""A study to the steps that compute it, each of them once however many results rest on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from permask.study.load import Prepared
from permask.study.method import IMP, MaskFrom
from permask.study.spec import Study
from permask.study.step import Reported, Specification, Step, Task
from permask.study.steps import kind_of, reporting_kinds
from permask.study.steps.dense import train_dense
from permask.study.steps.prune import prune


@dataclass(frozen=True)
class Plan:
    """The steps of a study.

    Attributes:
        study: What it computes.
        reported: The steps that the results tell of, pair by pair.
        steps: By key, every step after the ones that it needs.
    """

    study: Study
    reported: list[Reported]
    steps: dict[str, Step]

    def of(self, kind: str) -> list[Reported]:
        """What is reported of one kind."""
        return [reported for reported in self.reported if reported.step.kind == kind]

    def before(self, step: Step) -> set[str]:
        """Keys of all that a step rests on, its own among them."""
        found: set[str] = set()
        stack = [step]
        while stack:
            one = stack.pop()
            if one.key not in found:
                found.add(one.key)
                stack += one.needs
        return found

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
    planner = Planner(prepared)
    reported = [reported for kind in reporting_kinds(prepared.study.measure) for reported in kind.plan(planner)]
    reported.sort(key=lambda one: one.labels["pair"])  # rows come pair by pair
    return Plan(prepared.study, reported, _in_order(one.step for one in reported))


@dataclass(frozen=True)
class Ticket:
    """What a pair of seeds trains before any sparse training.

    Attributes:
        labels: `pair, seed_a, seed_b`.
        dense_a: Epoch to network A.
        dense_b: Epoch to network B.
        masks: Sparsity to the round of pruning A that reaches it.
        rounds: Every round of pruning A, by rising sparsity.
        own_masks: Sparsity to the round of pruning B that reaches it; empty unless a method asks for it.
    """

    labels: Specification
    dense_a: dict[int, Step]
    dense_b: dict[int, Step]
    masks: dict[float, Step]
    rounds: list[Step]
    own_masks: dict[float, Step]


class Planner:
    """What the kinds of steps plan with: the study, its pairs, and how to make a step.

    Attributes:
        study: The study.
        setting: What is in the specification of every step: data, network, execution.
    """

    def __init__(self, prepared: Prepared):
        self.study = prepared.study
        self.setting: Specification = {
            "data": prepared.data_in_keys,
            "network": self.study.network.model_dump(mode="json", exclude_defaults=True),
        } | self.study.model_dump(mode="json", include={"execution", "evaluate_every"}, exclude_defaults=True)
        self._places = {"data_root": prepared.data_root, "study_folder": prepared.folder}
        self._steps: dict[str, Step] = {}  # a step that several results rest on is one object

    def step(
        self,
        kind: str,
        specification: Specification,
        parents: dict[str, Step] | None = None,
        *,
        resumes_from: Step | None = None,
        epochs: int = 0,
    ) -> Step:
        """A step.

        Args:
            kind: Its kind.
            specification: All that determines its result besides the setting of the study and its parents.
            parents: Role to the step whose result it reads.
            resumes_from: The same computation at an earlier epoch.
            epochs: Epochs that it trains.
        """
        parents = parents or {}
        own = [specification["seed"]] if "seed" in specification else []
        seeds = {*own, *(seed for parent in parents.values() for seed in parent.task.seeds)}
        task = Task(
            kind,
            kind_of(kind).VERSION,
            {**self.setting, **specification},
            {role: parent.key for role, parent in parents.items()},
            resumes_from=(resumes_from.specification["epoch"], resumes_from.key) if resumes_from else None,
            epochs=epochs,
            **self._places,
            seeds=tuple(sorted(seeds)),
        )
        return self._steps.setdefault(task.key, Step(task, parents, resumes_from))

    def planned(self, kind: str) -> list[Step]:
        """The steps of a kind that were made so far, each once."""
        return [step for step in self._steps.values() if step.kind == kind]

    def recipe(self, epochs: int, section: str) -> Specification:
        """How a section of the study trains, as the specification of a step says it."""
        return {"epochs": epochs, "batch_size": self.study.batch_size, **getattr(self.study, section).recipe}

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
        seed_a, seed_b = study.seeds(number)
        starts = {method.start for method in study.methods}
        scored_a = any(method.mask.of == "A" and method.mask.by != IMP for method in study.methods)
        rewinds_a = set(study.rewinds if "A" in starts or scored_a else ())
        if study.prune.policy == "rewind_weights":
            rewinds_a.add(study.prune.rewind)
        dense_a = train_dense(self, seed_a, rewinds_a)
        at = {method.carry.at for method in study.methods if method.carry and method.carry.at is not None}
        rewinds_b = {*(study.rewinds if "B" in starts else ()), *self.match_epochs, *at}
        own = any(method.mask == MaskFrom(by=IMP, of="B") for method in study.methods)
        if own and study.prune.policy == "rewind_weights":
            rewinds_b.add(study.prune.rewind)
        dense_b = train_dense(self, seed_b, rewinds_b)
        masks, rounds = prune(self, seed_a, dense_a)
        own_masks = prune(self, seed_b, dense_b)[0] if own else {}
        labels = {"pair": number, "seed_a": seed_a, "seed_b": seed_b}
        return Ticket(labels, dense_a, dense_b, masks, rounds, own_masks)


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
