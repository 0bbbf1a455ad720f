"""A study to the steps that compute it, each of them once however many results rest on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from permask.study.spec import Method, Optimisation, Study
from permask.study.step import Step

# raised when what a kind of step computes changes, so that results of before are not taken for results of now
VERSIONS = {"dense": 1, "prune": 1, "match": 1, "sparse": 1, "connect": 1}

ROUNDING = 1e-9  # 1 - 0.8 is a little less than 0.2, and 20% is still one round


@dataclass(frozen=True)
class Pair:
    """Two dense networks, what was measured between them, and the labels they share in the results."""

    labels: dict[str, Any]
    dense: dict[str, Step]
    match: Step | None
    connect: Step | None


@dataclass(frozen=True)
class Trained:
    """A network to be reported: one row of the results."""

    labels: dict[str, Any]
    step: Step


@dataclass(frozen=True)
class Plan:
    """The steps of a study.

    Attributes:
        study: What it computes.
        pairs: One per pair of seeds.
        trained: One per row of the results.
        steps: By key, every step after the ones that it needs.
    """

    study: Study
    pairs: list[Pair]
    trained: list[Trained]
    steps: dict[str, Step]

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
    pairs, trained = [], []
    for number in range(study.pairs):
        pair, networks = planner.pair(number)
        pairs.append(pair)
        trained += networks
    ends = [network.step for network in trained]
    ends += [step for pair in pairs for step in (pair.match, pair.connect) if step is not None]
    return Plan(study, pairs, trained, _in_order(ends))


class _Planner:
    """Builds the steps of a study, pair by pair."""

    def __init__(self, study: Study):
        self.study = study
        self.setting = {
            name: getattr(study, name).model_dump(mode="json", exclude_defaults=True) for name in ("data", "network")
        }

    def pair(self, number: int) -> tuple[Pair, list[Trained]]:
        study = self.study
        seed_a, seed_b = study.seeds(number)
        others = [method for method in study.methods if method != "lth"]
        rewinds_a = set(study.rewinds if "lth" in study.methods else ())
        if study.prune.policy == "rewind_weights":
            rewinds_a.add(study.prune.rewind)
        dense_a = self.dense(seed_a, rewinds_a)
        dense_b = self.dense(seed_b, study.rewinds if others else ())
        end_a, end_b = dense_a[study.epochs], dense_b[study.epochs]
        ends = {"source": end_a, "target": end_b}
        match = self.step("match", {}, ends) if study.connect or "permuted" in study.methods else None
        connect = None
        if study.connect and match:
            connect = self.step("connect", study.connect.model_dump(mode="json"), ends | {"alignment": match})
        labels = {"pair": number, "seed_a": seed_a, "seed_b": seed_b}
        trained = [
            Trained(labels | {"method": "dense", "sparsity": 0.0, "rewind": None, "trained": name}, end)
            for name, end in (("A", end_a), ("B", end_b))
        ]
        for sparsity, mask in self.prune(seed_a, dense_a).items():
            for rewind in study.rewinds:
                for method in study.methods:
                    weights = (dense_a if method == "lth" else dense_b)[rewind]
                    step = self.sparse(method, weights, mask, match, rewind, seed_b)
                    label = {"method": method, "sparsity": sparsity, "rewind": rewind}
                    trained.append(Trained(labels | label | {"trained": "A" if method == "lth" else "B"}, step))
        return Pair(labels, {"A": end_a, "B": end_b}, match, connect), trained

    def step(
        self,
        kind: str,
        specification: dict[str, Any],
        parents: dict[str, Step] | None = None,
        goes_on_from: Step | None = None,
        epochs: int = 0,
    ) -> Step:
        return Step(kind, VERSIONS[kind], self.setting | specification, parents or {}, goes_on_from, epochs)

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

    def prune(self, seed: int, dense: dict[int, Step]) -> dict[float, Step]:
        """Sparsity to the pruning round that reaches it.

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
            return self.step("prune", specification, {"network": before} | rewind, None, recipe["epochs"] - first)

        reached: dict[float, Step] = {}
        before = dense[study.epochs]
        wanted = sorted(study.sparsities)
        for number in count(1):
            full = 1 - (1 - options.rate) ** number
            while wanted and wanted[0] <= full + ROUNDING:
                sparsity = wanted.pop(0)
                reached[sparsity] = round_to(sparsity, number, before)
            if not wanted:
                return {sparsity: reached[sparsity] for sparsity in study.sparsities}
            before = round_to(full, number, before)
        raise AssertionError("the full rounds come as close to 1 as any sparsity")

    def sparse(self, method: Method, weights: Step, mask: Step, match: Step | None, rewind: int, seed: int) -> Step:
        """Sparse training from a rewind epoch; the seed gives the order of the data, the same for every method."""
        epochs = self.study.epochs - rewind
        specification: dict[str, Any] = {"seed": seed, "recipe": self.recipe(epochs, "sparse")}
        parents = {"weights": weights, "mask": mask}
        if method == "permuted" and match is not None:
            parents["alignment"] = match
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
