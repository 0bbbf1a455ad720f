"""Compute one step into the store, unless it is there or another process is at it."""

import json
import shutil
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from permask.errors import StoreError
from permask.study.step import Task
from permask.study.steps.files import METRICS, Progress, Run
from permask.study.store import Store
from permask.study.torchrun import compute_together
from permask.study.tracking.track import Track
from permask.study.tracking.trackers import Name, make_trackers

Outcome = Literal["computed", "present", "busy"]


class DamagedNeed(StoreError):
    """The result of a step that comes first is damaged, or gone.

    Attributes:
        key: That step's.
    """

    def __init__(self, key: str, damage: str):
        super().__init__(damage)
        self.key = key


def compute(
    task: Task,
    store: Store,
    provenance: dict[str, Any],
    progress: Progress,
    trackers: Sequence[Name] = (),
    processes: int = 1,
) -> Outcome:
    """Compute a task whose needs are in the store.

    Args:
        task: The step's task.
        store: Where the results of its needs lie, and where its own goes.
        provenance: Recorded in the manifest and with what is tracked.
        progress: As of `Run`, without values.
        trackers: Where the progress goes besides the step's track in the store.
        processes: How many train a network together, each with a GPU of its own if there are any.

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
        track = Track(store, task, provenance, make_trackers(trackers, store, task, provenance))

        def tell(done: int, total: int, note: str = "", /, **values: float) -> None:
            track.progress(done, total, values)
            progress(done, total, note)

        started = time.perf_counter()
        try:
            with store.writing(task.key, manifest) as folder:
                if processes > 1 and task.epochs:
                    measured = compute_together(task, store, folder, tell, processes)
                else:
                    run = Run.of(task, store, folder, tell)
                    import_module(f"permask.study.steps.{task.kind}").compute(run)
                    measured = run.measured
                before = measured.pop("seconds_before", 0.0)
                manifest |= measured
                manifest["seconds"] = round(before + time.perf_counter() - started, 3)
            shutil.rmtree(store.checkpoints(task.key), ignore_errors=True)
        except Exception:
            track.end("failed", log=traceback.format_exc())
            raise
        track.end("completed", metrics=_numbers(store.folder(task.key)))
        return "computed"


def _numbers(folder: Path) -> dict[str, float]:
    """The metrics of a result that are single numbers."""
    path = folder / METRICS
    metrics = json.loads(path.read_text()) if path.exists() else {}
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}
