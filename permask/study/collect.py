"""The results of a study, read from the store: what every reported step says, row by row."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from permask.errors import StoreError
from permask.study.load import DECIDED
from permask.study.manifest import Manifest
from permask.study.plan import Plan
from permask.study.provenance import provenance
from permask.study.results import COMPUTED_WITH, IN_KEYS, LACKING, SMOKE, Results
from permask.study.rows import Row
from permask.study.smoke import SUFFIX
from permask.study.spec import Study
from permask.study.step import Specification, Step
from permask.study.steps import kind_of
from permask.study.steps.outcome import METRICS
from permask.study.store import Store
from permask.study.throughput import MeasuredThroughput

ORIGIN = ("permask", "commit", "torch", "device", "precision", "compile", "deterministic", "python", "platform", "cpu")


def collect(plan: Plan, store: Store) -> Results:
    """Gather what the store has of a plan; what it lacks is left out, and the provenance says how much that is."""
    ledger = _Ledger(plan, store)
    rows: list[Row] = []
    lacks: Counter[str] = Counter()
    for part in plan.parts:
        for reported in part.reported:
            if not store.has(reported.step.key):
                lacks[reported.step.kind] += 1
            else:
                made = kind_of(reported.step.kind).rows(Found(part.study, reported.step, reported.labels, ledger))
                rows += (replace(row, swept=part.swept) for row in made) if part.swept else made
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for key, step in plan.steps.items():
        if not store.has(key):
            continue
        told = ledger.told(key)
        measured = told.get("throughput", {})
        for part in plan.parts if measured else ():
            if key in part.steps:
                rows.append(MeasuredThroughput(kind=step.kind, step=key, swept=part.swept, **measured))
        for name, value in (told["provenance"] | measured).items():
            if name in ORIGIN:
                counts[name][str(value)] += 1
    computed_with = {name: dict(sorted(counts[name].items())) for name in ORIGIN if name in counts}
    unswept = set() if plan.study.sweep else {"sweep"}
    study = plan.study.model_dump(mode="json", exclude=unswept)
    made_with = {**provenance(), COMPUTED_WITH: computed_with, IN_KEYS: _in_keys(plan)}
    if plan.study.name.endswith(SUFFIX):
        made_with[SMOKE] = True
    if lacks:
        of = sum(len(part.reported) for part in plan.parts)
        made_with[LACKING] = f"{lacks.total()} of {of} ({', '.join(f'{kind}: {n}' for kind, n in lacks.items())})"
    return Results(study, made_with, rows)


def _in_keys(plan: Plan) -> dict[str, dict[str, list[str]]]:
    """What the keys of a plan's steps hold that its study does not say: name to value to the kinds of steps."""
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for step in plan.steps.values():
        for name, value in _decided(step).items():
            if value is not None:
                found[name][str(value)].add(step.kind)
    return {name: {value: sorted(kinds) for value, kinds in sorted(of.items())} for name, of in sorted(found.items())}


def _decided(step: Step) -> Mapping[str, Any]:
    """What the machine, the files of data, permask and the user's own code decide of a key; None for nothing."""
    options = step.specification
    return {
        "torch": options["torch"],
        **{name: options["execution"][name] for name in DECIDED},
        "content of data": options["data"].get("content"),
        "code of network": options.get("network_source"),
        "own code": options.get("source"),
        "own file": options.get("content"),
        "version of step": step.task.version,
    }


@dataclass(frozen=True)
class Found:
    """A reported step whose result is in the store: what a kind makes its rows from.

    Attributes:
        study: The study.
        step: The step.
        labels: What its rows are labelled with.
    """

    study: Study
    step: Step
    labels: Specification
    _ledger: "_Ledger"

    @property
    def labelled(self) -> Mapping[str, Any]:
        """The labels, and the key of the step."""
        return {**self.labels, "step": self.step.key}

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """What the step's outcome measured.

        Raises:
            StoreError: The result is damaged.
        """
        store, key = self._ledger.store, self.step.key
        try:
            return json.loads(store.read(key, METRICS))
        except StoreError as error:
            raise StoreError(f"{error}; run the study again to compute {self.step.title} anew") from error

    @property
    def made_with(self) -> Mapping[str, Any]:
        """Versions, commit and machine that it was computed with."""
        return self._ledger.told(self.step.key)["provenance"]

    @property
    def epochs(self) -> int:
        """Epochs of the step's recipe that it trains; of a dense network, those before a rewind epoch count."""
        specification = self.step.specification
        return specification["recipe"]["epochs"] - specification.get("first_epoch", 0)

    @property
    def cost(self) -> Mapping[str, Any]:
        """Epochs and seconds of the step, of all that it rests on, of what found its mask, and of one more network."""
        return self._ledger.of(self.step)


class _Ledger:
    """What networks cost to train, with all that they rest on."""

    def __init__(self, plan: Plan, store: Store):
        self.plan, self.store = plan, store
        self._seconds: dict[str, float | None] = {}
        self._told: dict[str, Manifest] = {}

    def told(self, key: str) -> Manifest:
        """What the manifest of a result tells of how it was computed; each is read once."""
        if key not in self._told:
            try:
                manifest = self.store.sealed_manifest(key)
            except StoreError as error:
                raise StoreError(f"{error}; run the study again to compute {key[:8]} anew") from error
            self._told[key] = {
                name: manifest[name] for name in ("provenance", "seconds", "throughput") if name in manifest
            }
        return self._told[key]

    def of(self, step: Step) -> Mapping[str, float | None]:
        mask = step.parents.get("mask")
        whole, ticket = self.plan.before(step), self.plan.before(mask) if mask else set()
        own = set(step.parents.get("weights", step).task.seeds)  # of the network that is trained
        marginal = {key for key in whole if own.intersection(self.plan.steps[key].task.seeds)}
        return {
            "seconds": self._total(whole if step.kind == "dense" else [step.key]),  # dense: from rewind epoch to epoch
            "epochs_total": sum(self.plan.steps[key].epochs for key in whole),
            "seconds_total": self._total(whole),
            "epochs_ticket": sum(self.plan.steps[key].epochs for key in ticket),
            "seconds_ticket": self._total(ticket),
            "epochs_marginal": sum(self.plan.steps[key].epochs for key in marginal),
            "seconds_marginal": self._total(marginal),
        }

    def _total(self, keys: Collection[str]) -> float | None:
        """Seconds of some steps; None if the store lacks one."""
        for key in keys:
            if key not in self._seconds:
                self._seconds[key] = self.told(key)["seconds"] if self.store.has(key) else None
        known = [seconds for key in keys if (seconds := self._seconds[key]) is not None]
        return round(sum(known), 3) if len(known) == len(keys) else None
