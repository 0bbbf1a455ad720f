"""Compute one step into the store, unless it is there or another process is at it."""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

from permask.study.step import Step
from permask.study.steps.files import Run
from permask.study.store import Store

Outcome = Literal["computed", "present", "busy"]


def compute(step: Step, store: Store, provenance: dict[str, Any], progress: Callable[[int, int], None]) -> Outcome:
    """Compute a step whose needs are in the store.

    Args:
        step: The step.
        store: Where the results of its needs lie, and where its own goes.
        provenance: Recorded in the manifest.
        progress: Called with the epochs done and the epochs to do.

    Returns:
        `computed`; `present` if the store had it, whole and unaltered; `busy` if another process is computing it.
    """
    with store.claim(step.key) as mine:
        if not mine:
            return "busy"
        if store.has(step.key):
            if not store.damage(step.key):
                return "present"
            store.discard(step.key)
        store.sweep(step.key)
        manifest: dict[str, Any] = {
            "kind": step.kind,
            "version": step.version,
            "specification": step.specification,
            "parents": {role: parent.key for role, parent in step.parents.items()},
            "provenance": provenance,
        }
        started = time.perf_counter()
        with store.writing(step.key, manifest) as folder:
            parents = {role: store.folder(parent.key) for role, parent in step.parents.items()}
            earlier = step.goes_on_from
            goes_on_from = (earlier.specification["epoch"], store.folder(earlier.key)) if earlier else None
            kind = import_module(f"permask.study.steps.{step.kind}")
            kind.compute(Run(step.specification, parents, goes_on_from, folder, progress))
            manifest["seconds"] = round(time.perf_counter() - started, 3)
        return "computed"
