"""A study to the steps that compute it, each of them once however many results rest on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from permask.study.data import Files, in_keys
from permask.study.spec import Method, Optimisation, Study
from permask.study.step import Step

# raised when what a kind of step computes changes, so that results of before are not taken for results of now
VERSIONS = {"dense": 1, "prune": 1, "match": 1, "sparse": 1, "connect": 1, "connect_round": 2, "ensemble": 1, "mask": 2}

ROUNDING = 1e-9  # 1 - 0.8 is a little less than 0.2, and 20% is still one round


@dataclass(frozen=True)
class Pair:
    """Two dense networks, what was measured between them, and the labels they share in the results."""

    labels: dict[str, Any]
    dense: dict[str, Step]
    match: Step | None
    connect: Step | None
    connect_rounds: "list[Labelled]"
    masks: "list[Labelled]"


@dataclass(frozen=True)
class Labelled:
    """A step whose result is reported, and what its rows of the results are labelled with."""

    labels: dict[str, Any]
    step: Step


@dataclass(frozen=True)
class Plan:
    """The steps of a study.

    Attributes:
        study: What it computes.
        pairs: One per pair of seeds.
        trained: Every network to report, one per row of the results.
        ensembles: One per ensemble to report.
        steps: By key, every step after the ones that it needs.
    """

    study: Study
    pairs: list[Pair]
    trained: list[Labelled]
    ensembles: list[Labelled]
    steps: dict[str, Step]

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

    def urgency(self) -> dict[str, int]:
        """For every step, by key, the epochs on the longest chain of steps that begins with it."""
        longest: dict[str, int] = {}
        for key, step in reversed(self.steps.items()):
            longest[key] = longest.get(key, 0) + step.epochs
            for need in step.needs:
                longest[need.key] = max(longest.get(need.key, 0), longest[key])
        return longest


def make_plan(study: Study) -> Plan:
    """Plan a study."""
    planner = _Planner(study)
    tickets = [planner.ticket(number) for number in range(study.pairs)]
    pairs = [planner.pair(ticket) for ticket in tickets]
    trained = [network for ticket in tickets for network in planner.trained(ticket)]
    ensembles = planner.ensembles(tickets)
    ends = [network.step for network in trained]
    ends += [step for pair in pairs for step in (pair.match, pair.connect) if step is not None]
    ends += [labelled.step for pair in pairs for labelled in (*pair.connect_rounds, *pair.masks)]
    ends += [ensemble.step for ensemble in ensembles]
    return Plan(study, pairs, trained, ensembles, _in_order(ends))


@dataclass(frozen=True)
class _Ticket:
    """What a pair of seeds trains before any sparse training.

    Attributes:
        labels: The pair's.
        dense_a: Epoch to network A.
        dense_b: Epoch to network B.
        masks: Sparsity to the round of pruning A that reaches it.
        rounds: Every round of pruning A, by rising sparsity.
    """

    labels: dict[str, Any]
    dense_a: dict[int, Step]
    dense_b: dict[int, Step]
    masks: dict[float, Step]
    rounds: list[Step]


class _Planner:
    """Builds the steps of a study, pair by pair."""

    def __init__(self, study: Study):
        self.study = study
        self.setting = {
            "data": in_keys(study.data),
            "network": study.network.model_dump(mode="json", exclude_defaults=True),
        } | study.model_dump(mode="json", include={"execution", "evaluate_every"}, exclude_defaults=True)
        self.data_root = str(Path(study.data.root).resolve()) if isinstance(study.data, Files) else ""

    def ticket(self, number: int) -> _Ticket:
        study = self.study
        seed_a, seed_b = study.seeds(number)
        others = [method for method in study.methods if method != "lth"]
        rewinds_a = set(study.rewinds if "lth" in study.methods else ())
        if study.prune.policy == "rewind_weights":
            rewinds_a.add(study.prune.rewind)
        dense_a = self.dense(seed_a, rewinds_a)
        dense_b = self.dense(seed_b, {*(study.rewinds if others else ()), *self.match_epochs})
        masks, rounds = self.prune(seed_a, dense_a)
        return _Ticket({"pair": number, "seed_a": seed_a, "seed_b": seed_b}, dense_a, dense_b, masks, rounds)

    def pair(self, ticket: _Ticket) -> Pair:
        study = self.study
        end_a, end_b = ticket.dense_a[study.epochs], ticket.dense_b[study.epochs]
        needed = study.connect or study.connect_rounds or "permuted" in study.methods
        match = self.match(ticket, ticket) if needed else None
        connect, rounds = None, []
        if study.connect and match:
            parents = {"source": end_a, "target": end_b, "alignment": match}
            connect = self.step("connect", study.connect.model_dump(mode="json"), parents)
        if study.connect_rounds and match:
            specification = study.connect_rounds.model_dump(mode="json")
            for pruned in (end_a, *ticket.rounds):
                parents = {"source": pruned, "target": end_b, "alignment": match}
                labels = {key: pruned.specification.get(key, 0) for key in ("round", "sparsity")}
                rounds.append(Labelled(ticket.labels | labels, self.step("connect_round", specification, parents)))
        aligned = {"alignment": match} if match else {}
        masks = [
            Labelled(
                ticket.labels | {"sparsity": sparsity},
                self.step("mask", {}, {"mask": ticket.masks[sparsity], "network": end_b} | aligned),
            )
            for sparsity in study.sparsities
        ]
        return Pair(ticket.labels, {"A": end_a, "B": end_b}, match, connect, rounds, masks)

    def trained(self, ticket: _Ticket) -> list[Labelled]:
        """The networks of a pair that are reported one by one."""
        study, labels = self.study, ticket.labels
        trained = [
            Labelled(
                labels | {"method": "dense", "sparsity": 0.0, "rewind": None, "trained": name}, dense[study.epochs]
            )
            for name, dense in (("A", ticket.dense_a), ("B", ticket.dense_b))
        ]
        for sparsity in study.sparsities:
            for rewind in study.rewinds:
                for method in study.methods:
                    label = {"method": method, "sparsity": sparsity, "rewind": rewind}
                    step = self.sparse(method, ticket, ticket, sparsity, rewind)
                    trained.append(Labelled(labels | label | {"trained": "A" if method == "lth" else "B"}, step))
                for t in self.match_epochs:
                    label = {"method": f"permuted t={t}", "sparsity": sparsity, "rewind": rewind, "trained": "B"}
                    step = self.sparse("permuted", ticket, ticket, sparsity, rewind, t)
                    trained.append(Labelled(labels | label, step))
        return trained

    def ensembles(self, tickets: list[_Ticket]) -> list[Labelled]:
        """Ensembles by method, sparsity and rewind epoch, around every n-th pair's network A."""
        options, study = self.study.ensembles, self.study
        if options is None:
            return []
        made = []
        for first in range(0, study.pairs, options.step):
            a, members = tickets[first], [tickets[(first + i) % study.pairs] for i in range(options.members)]
            labels = a.labels | {"pairs": [b.labels["pair"] for b in members]}

            def add(method: str, sparsity: float, rewind: int | None, networks: list[Step], labels=labels) -> None:
                parents = {f"member {i:02}": network for i, network in enumerate(networks)}
                label = {"method": method, "sparsity": sparsity, "rewind": rewind}
                made.append(Labelled(labels | label, self.step("ensemble", {}, parents)))

            add("dense", 0.0, None, [b.dense_b[study.epochs] for b in members])
            for sparsity in options.sparsities or study.sparsities:
                for rewind in options.rewinds or study.rewinds:
                    for method in study.methods:
                        add(method, sparsity, rewind, [self.sparse(method, a, b, sparsity, rewind) for b in members])
                    if "lth" in study.methods:
                        add("imp", sparsity, rewind, [self.sparse("lth", b, b, sparsity, rewind) for b in members])
        return made

    def step(
        self,
        kind: str,
        specification: dict[str, Any],
        parents: dict[str, Step] | None = None,
        goes_on_from: Step | None = None,
        epochs: int = 0,
    ) -> Step:
        specification = self.setting | specification
        return Step(kind, VERSIONS[kind], specification, parents or {}, goes_on_from, epochs, self.data_root)

    def recipe(self, epochs: int, section: str) -> dict[str, Any]:
        optimisation = getattr(self.study, section).model_dump(include=set(Optimisation.model_fields))
        return {"epochs": epochs, "batch_size": self.study.batch_size} | optimisation

    def dense(self, seed: int, rewinds: Iterable[int]) -> dict[int, Step]:
        """A network after each rewind epoch and after the last: every one goes on from the one before."""
        steps: dict[int, Step] = {}
        before: Step | None = None
        for epoch in sorted({*rewinds, self.study.epochs}):
            recipe = {"recipe": self.recipe(self.study.epochs, "dense")} if epoch else {}
            done = before.specification["epoch"] if before else 0
            specification = {"seed": seed, "epoch": epoch} | recipe
            before = steps[epoch] = self.step("dense", specification, {}, before, epoch - done)
        return steps

    @property
    def match_epochs(self) -> tuple[int, ...]:
        """The epochs of B at which masks are permuted by an early match."""
        return self.study.match_epochs if "permuted" in self.study.methods else ()

    def match(self, a: _Ticket, b: _Ticket, epoch: int | None = None) -> Step:
        """The alignment of one pair's dense A to one pair's dense B, after its last epoch or an earlier one."""
        last = self.study.epochs
        return self.step(
            "match", {}, {"source": a.dense_a[last], "target": b.dense_b[last if epoch is None else epoch]}
        )

    def prune(self, seed: int, dense: dict[int, Step]) -> tuple[dict[float, Step], list[Step]]:
        """Sparsity to the pruning round that reaches it, and all rounds.

        The full rounds are shared by all sparsities; a last round per sparsity is clipped to hit it exactly.
        """
        study, options = self.study, self.study.prune
        if options.policy == "fine_tune":
            first, recipe = 0, self.recipe(options.epochs, "prune")
        else:
            first, recipe = options.rewind, self.recipe(study.epochs, "dense")
        rewind = {"rewind": dense[first]} if options.policy == "rewind_weights" else {}

        def round_to(sparsity: float, number: int, before: Step) -> Step:
            specification = {
                "seed": seed,
                "round": number,
                "sparsity": sparsity,
                "exclude": list(options.exclude),
                "first_epoch": first,
                "recipe": recipe,
            }
            step = self.step("prune", specification, {"network": before} | rewind, None, recipe["epochs"] - first)
            rounds[step.key] = step
            return step

        reached: dict[float, Step] = {}
        rounds: dict[str, Step] = {}
        before = dense[study.epochs]
        wanted = sorted(study.sparsities)
        for number in count(1):
            full = 1 - (1 - options.rate) ** number
            while wanted and wanted[0] <= full + ROUNDING:
                sparsity = wanted.pop(0)
                on_schedule = sparsity >= full - ROUNDING
                reached[sparsity] = round_to(full if on_schedule else sparsity, number, before)
            if not wanted:
                return reached, sorted(rounds.values(), key=lambda step: step.specification["sparsity"])
            before = round_to(full, number, before)
        raise AssertionError("the full rounds come as close to 1 as any sparsity")

    def sparse(
        self, method: Method, a: _Ticket, b: _Ticket, sparsity: float, rewind: int, match_epoch: int | None = None
    ) -> Step:
        """Sparse training under A's mask; B's seed gives the order of the data, the same for every method."""
        epochs, seed = self.study.epochs - rewind, b.labels["seed_b"]
        specification: dict[str, Any] = {"seed": seed, "recipe": self.recipe(epochs, "sparse")}
        specification |= self.study.sparse.model_dump(include={"rescale", "reset_batchnorm"}, exclude_defaults=True)
        weights = (a.dense_a if method == "lth" else b.dense_b)[rewind]
        parents = {"weights": weights, "mask": a.masks[sparsity]}
        if method == "permuted":
            parents["alignment"] = self.match(a, b, match_epoch)
        if method == "random":
            specification["shuffle"] = seed
        return self.step("sparse", specification, parents, None, epochs)


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
