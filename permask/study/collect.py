"""The results of a study, read from the store."""

import json
from collections.abc import Collection
from typing import Any

from permask.errors import StoreError
from permask.study.plan import Plan
from permask.study.provenance import provenance
from permask.study.results import Results
from permask.study.rows import Row
from permask.study.step import Step
from permask.study.steps.connect import PathPoint
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.mask import MeasuredMask
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained
from permask.study.store import Store
from permask.study.throughput import MeasuredThroughput


def collect(plan: Plan, store: Store) -> Results:
    """Gather what the store has of a plan; what it lacks is left out."""
    study = plan.study
    common = {"study": study.name, "dataset": study.data.name, "network": study.network.name}
    rows, ledger = [], _Ledger(plan, store)
    for network in plan.trained:
        if not store.has(network.step.key):
            continue
        metrics = _metrics(store, network.step)
        made_with = store.manifest(network.step.key)["provenance"]
        recipe = network.step.specification["recipe"]
        rows.append(
            common
            | network.labels
            | {
                "sparsity_network": metrics.get("sparsity_network", 0.0),
                "accuracy": metrics["accuracy"],
                "loss": metrics["loss"],
                "epochs": recipe["epochs"],
                "step": network.step.key,
            }
            | ledger.of(network.step)
            | {name: made_with[name] for name in ("permask", "commit", "torch")}
        )
    connectivity = [
        pair.labels | point | {"step": pair.connect.key}
        for pair in plan.pairs
        if pair.connect and store.has(pair.connect.key)
        for point in _metrics(store, pair.connect)["path"]
    ]
    matching = [
        pair.labels | group | {"step": pair.match.key}
        for pair in plan.pairs
        if pair.match and store.has(pair.match.key)
        for group in _metrics(store, pair.match)["groups"]
    ]
    rounds = [
        labelled.labels | point | {"step": labelled.step.key}
        for pair in plan.pairs
        for labelled in pair.connect_rounds
        if store.has(labelled.step.key)
        for point in _metrics(store, labelled.step)["path"]
    ]
    ensembles = [
        labelled.labels | _metrics(store, labelled.step) | {"step": labelled.step.key}
        for labelled in plan.ensembles
        if store.has(labelled.step.key)
    ]
    masks = [
        labelled.labels | _metrics(store, labelled.step) | {"step": labelled.step.key}
        for pair in plan.pairs
        for labelled in pair.masks
        if store.has(labelled.step.key)
    ]
    throughput = [
        {"kind": step.kind, "step": step.key} | measured
        for step in plan.steps.values()
        if step.epochs and store.has(step.key)
        if (measured := store.manifest(step.key).get("throughput"))
    ]
    tables: list[tuple[type[Row], list[dict[str, Any]]]] = [
        *((Trained, rows), (PathPoint, connectivity), (MatchedGroup, matching), (RoundPoint, rounds)),
        *((MeasuredEnsemble, ensembles), (MeasuredMask, masks), (MeasuredThroughput, throughput)),
    ]
    found = [kind(**keys) for kind, table in tables for keys in table]
    return Results(study.model_dump(mode="json"), dict(provenance()), found)


class _Ledger:
    """What networks cost to train, with all that they rest on."""

    def __init__(self, plan: Plan, store: Store):
        self.plan, self.store = plan, store
        self._seconds: dict[str, float | None] = {}

    def of(self, step: Step) -> dict[str, float | None]:
        """Epochs and seconds of a step, of all that it rests on, and of what found its mask."""
        mask = step.parents.get("mask")
        whole, ticket = self.plan.before(step), self.plan.before(mask) if mask else set()
        return {
            "seconds": self._total(whole if step.kind == "dense" else [step.key]),  # dense: from rewind epoch to epoch
            "epochs_total": sum(self.plan.steps[key].epochs for key in whole),
            "seconds_total": self._total(whole),
            "epochs_ticket": sum(self.plan.steps[key].epochs for key in ticket),
            "seconds_ticket": self._total(ticket),
        }

    def _total(self, keys: Collection[str]) -> float | None:
        """Seconds of some steps; None if the store lacks one."""
        for key in keys:
            if key not in self._seconds:
                self._seconds[key] = self.store.manifest(key)["seconds"] if self.store.has(key) else None
        known = [seconds for key in keys if (seconds := self._seconds[key]) is not None]
        return round(sum(known), 3) if len(known) == len(keys) else None


def _metrics(store: Store, step: Step) -> dict[str, Any]:
    try:
        return json.loads((store.folder(step.key) / "metrics.json").read_text())
    except (OSError, ValueError) as error:
        damage = store.damage(step.key) or f"{store.folder(step.key)} cannot be read"
        raise StoreError(f"{damage}; run the study again to compute {step.title} anew") from error
