"""Compute one step into the store, unless it is there or another process is at it."""

import time
from importlib import import_module
from typing import Any, Literal

from permask.errors import StoreError
from permask.study.step import Task
from permask.study.steps.files import Progress, Run
from permask.study.store import Store

Outcome = Literal["computed", "present", "busy"]


class DamagedNeed(StoreError):
    """The result of a step that comes first is damaged, or gone.

    Attributes:
        key: That step's.
    """

    def __init__(self, key: str, damage: str):
        super().__init__(damage)
        self.key = key


def compute(task: Task, store: Store, provenance: dict[str, Any], progress: Progress) -> Outcome:
    """Compute a task whose needs are in the store.

    Args:
        task: The step's task.
        store: Where the results of its needs lie, and where its own goes.
        provenance: Recorded in the manifest.
        progress: As of `Run`.

    Returns:
        `computed`; `present` if the store had it, whole and unaltered; `busy` if another process is computing it.

    Raises:
        DamagedNeed: A result that the step would read is not as it was written.
        StoreError: The store takes no more.
    """
    with store.claim(task.key) as mine:
        if not mine:
            return "busy"
        if store.folder(task.key).exists():
            if not store.damage(task.key):
                return "present"
            store.discard(task.key)
        store.sweep(task.key)
        for key in task.needs:
            if damage := store.damage(key):
                raise DamagedNeed(key, damage)
        manifest: dict[str, Any] = {
            "kind": task.kind,
            "version": task.version,
            "specification": task.specification,
            "parents": task.parents,
            "epochs": task.epochs,
            "provenance": provenance,
        }
        started = time.perf_counter()
        with store.writing(task.key, manifest) as folder:
            parents = {role: store.folder(key) for role, key in task.parents.items()}
            goes_on_from = (task.goes_on_from[0], store.folder(task.goes_on_from[1])) if task.goes_on_from else None
            kind = import_module(f"permask.study.steps.{task.kind}")
            run = Run(task.specification, parents, goes_on_from, folder, progress, task.data_root)
            kind.compute(run)
            manifest |= run.measured
            manifest["seconds"] = round(time.perf_counter() - started, 3)
        return "computed"
